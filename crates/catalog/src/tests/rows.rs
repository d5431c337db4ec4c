//! Every row of every file.

use crate::provider::Auth;
use crate::rows::Files;
use crate::{AuthScheme, Catalog, Kind, Model, Price, Probe, Provider, Surface, embedded};
use std::collections::{BTreeMap, BTreeSet};

const BY_HAND: &str = "# Written by hand";

fn parsed() -> Vec<(Provider, Vec<Model>)> {
    let read = |files: &Files| {
        let row = files.provider().unwrap_or_else(|why| panic!("{why}"));
        (row, files.models().unwrap_or_else(|why| panic!("{why}")))
    };
    embedded::FILES.iter().map(read).collect()
}

#[test]
fn every_provider_is_sound() {
    let rows = parsed();
    assert!(rows.len() >= 100, "{} providers", rows.len());
    assert!(rows.is_sorted_by(|(a, _), (b, _)| a.id < b.id), "ids are sorted and stand once");
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (row, _) in &rows {
        check_provider(row);
        for name in &row.env {
            let other = owners.insert(name.clone(), row.id.clone());
            assert_eq!(other, None, "{name} is the key of {} too", row.id);
        }
    }
}

fn check_provider(row: &Provider) {
    let id = row.id.as_str();
    let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    assert!(!id.is_empty() && id.chars().all(slug), "{id}");
    assert!(!row.name.is_empty(), "{id}: name");
    assert_eq!(row.kind == Kind::SelfHosted, row.default_port.is_some(), "{id}: default_port");
    for name in row.env.iter().chain(&row.env_shared).chain(&row.env_settings).chain(&row.base_url_env) {
        let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(good), "{id}: {name}");
    }
    for (name, value) in &row.headers {
        check_header(id, name);
        assert!(http::HeaderValue::from_str(value).is_ok() && !value.contains('{'), "{id}: {name}: {value}");
    }
    check_auth(id, &row.auth);
    row.auth_alternatives.iter().for_each(|auth| check_auth(id, auth));
    if let Probe::Get(path) = &row.probe {
        assert!(path.starts_with('/') || path.starts_with("https://"), "{id}: probe {path}");
    }
    assert!(!row.surfaces.is_empty(), "{id}: surfaces");
    let dialects: BTreeSet<i32> = row.surfaces.iter().map(|surface| surface.dialect.into()).collect();
    assert_eq!(dialects.len(), row.surfaces.len(), "{id}: a dialect twice");
    for surface in &row.surfaces {
        check_surface(row, surface);
    }
    let used: BTreeSet<&str> =
        row.surfaces.iter().filter_map(|surface| surface.base_url.as_deref()).flat_map(names).collect();
    let told: BTreeSet<&str> = row.base_url_vars.keys().map(String::as_str).collect();
    assert_eq!(used, told, "{id}: base_url_vars");
}

fn check_surface(row: &Provider, surface: &Surface) {
    let id = row.id.as_str();
    let Some(base) = &surface.base_url else {
        assert_eq!(row.kind, Kind::BuiltIn, "{id}: base_url");
        return;
    };
    check_url(row, base);
    assert!(!base.ends_with('/') && !base.contains(['?', '#']), "{id}: {base}");
    for path in surface.paths.values() {
        let plain = path.replace("{model}", "x");
        if path.contains("://") {
            check_url(row, &plain);
        } else {
            assert!(path.starts_with('/') && !plain.contains('{') && !path.contains(' '), "{id}: {path}");
        }
    }
    surface.auth.iter().for_each(|auth| check_auth(id, auth));
}

fn check_url(row: &Provider, url: &str) {
    let filled =
        names(url).into_iter().fold(url.to_owned(), |url, name| url.replace(&format!("{{{name}}}"), "x"));
    let uri: http::Uri = filled.parse().unwrap_or_else(|why| panic!("{}: {url}: {why}", row.id));
    let host = uri.host().unwrap_or_else(|| panic!("{}: {url}: no host", row.id));
    let local = ["localhost", "127.0.0.1"].contains(&host);
    match row.kind {
        Kind::SelfHosted => assert!(local && uri.port_u16() == row.default_port, "{}: {url}", row.id),
        Kind::Cloud | Kind::Gateway | Kind::Subscription | Kind::BuiltIn => {
            assert!(uri.scheme_str() == Some("https") && !local, "{}: {url}", row.id);
        }
    }
    for name in names(url) {
        assert!(row.base_url_vars.contains_key(name), "{}: {name} is not among base_url_vars", row.id);
    }
}

fn check_auth(id: &str, auth: &Auth) {
    match auth.scheme {
        AuthScheme::Header => check_header(id, &auth.name),
        AuthScheme::Query => assert!(!auth.name.is_empty(), "{id}: query without a name"),
        AuthScheme::Sigv4 => assert!(auth.service.is_some(), "{id}: sigv4 without a service"),
        AuthScheme::Oauth => assert!(auth.flow.is_some(), "{id}: oauth without a flow"),
        AuthScheme::None => assert!(auth.name.is_empty() && auth.prefix.is_empty(), "{id}: none with a name"),
    }
}

fn check_header(id: &str, name: &str) {
    assert_eq!(name, name.to_ascii_lowercase(), "{id}: header names are lower-case");
    assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok(), "{id}: {name}");
}

fn names(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

#[test]
fn every_model_is_sound() {
    let mut priced = 0;
    for (files, (provider, models)) in embedded::FILES.iter().zip(parsed()) {
        let mut seen = BTreeSet::new();
        for model in &models {
            let at = format!("{}/{}", provider.id, model.id);
            let key = (&model.id, model.mode, &model.region, &model.variant);
            assert!(seen.insert(key), "{at}: the same id, mode, region and variant twice");
            check_model(&at, model);
        }
        if !files.models.starts_with(BY_HAND) {
            priced += models.iter().filter(|model| is_priced(model)).count();
        }
    }
    assert_eq!(priced, embedded::PRICED_ROWS, "the import counted otherwise");
}

fn is_priced(model: &Model) -> bool {
    let tokens = model.price.is_some() || model.partial_price.is_some() || !model.service_tiers.is_empty();
    tokens || !model.units.is_empty()
}

fn check_model(at: &str, model: &Model) {
    assert!(!model.id.is_empty() && !model.id.contains(char::is_whitespace), "{at}");
    assert!(model.price.is_none() || model.partial_price.is_none(), "{at}: price and partial_price");
    assert!(is_priced(model) != model.listed_free, "{at}: a price, or listed as free");
    let prices = model.price.iter().chain(&model.partial_price);
    for price in prices.clone() {
        assert!(!price.rates.is_empty(), "{at}: a price without rates");
    }
    let timed = model.by_time.iter().map(|timed| &timed.price);
    let scheduled = model.scheduled.iter().map(|from| &from.price);
    for price in prices.chain(model.service_tiers.values()).chain(timed).chain(scheduled) {
        check_price(at, price);
    }
    assert!(!model.service_tiers.contains_key("standard"), "{at}: standard is `price`");
    for timed in &model.by_time {
        assert!(timed.weekdays.iter().all(|day| (1..=7).contains(day)), "{at}: weekdays");
        assert!(timed.hours.iter().all(|hours| is_hours(hours)), "{at}: {:?}", timed.hours);
    }
    let dates = model.scheduled.iter().map(|from| &from.from).chain(&model.deprecation_date);
    dates.for_each(|date| assert!(is_date(date), "{at}: {date}"));
    assert!(model.can.iter().all(|what| !model.cannot.contains(what)), "{at}: can and cannot");
}

fn check_price(at: &str, price: &Price) {
    let rising = price.tiers.iter().map(|tier| tier.above_input_tokens);
    assert!(rising.is_sorted_by(|a, b| a < b), "{at}: tiers are not ascending");
    for rates in price.tiers.iter().map(|tier| &tier.rates).chain([&price.rates]) {
        let meters: BTreeSet<_> = rates.iter().map(|(meter, _)| meter).collect();
        assert_eq!(meters.len(), rates.iter().count(), "{at}: a meter twice");
    }
    assert!(price.tiers.iter().all(|tier| !tier.rates.is_empty()), "{at}: a tier without rates");
}

fn is_hours(text: &str) -> bool {
    let hour = |text: &str| {
        let parts = text.split_once(':').map(|(hour, minute)| (hour.parse::<u8>(), minute.parse::<u8>()));
        matches!(parts, Some((Ok(0..=23), Ok(0..=59)))) && text.len() == 5
    };
    text.split_once('-').is_some_and(|(from, to)| hour(from) && hour(to))
}

fn is_date(text: &str) -> bool {
    let part = |range| text.get(range).and_then(|part: &str| part.parse::<u16>().ok());
    let good = matches!((part(0..4), part(5..7), part(8..10)), (Some(2000..), Some(1..=12), Some(1..=31)));
    good && text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2
}

#[test]
fn every_file_is_embedded() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
    let known = |folder: &str| -> BTreeSet<String> {
        let named = embedded::FILES.iter().filter(|files| folder == "providers" || !files.models.is_empty());
        named.map(|files| format!("{}.toml", files.id)).collect()
    };
    for folder in ["providers", "models"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let there: BTreeSet<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(there, known(folder), "run `cargo xtask catalog`");
    }
}

#[test]
fn unknown_fields_are_refused() {
    let sandbox = embedded::FILES.iter().find(|files| files.id == "sandbox").unwrap();
    let longer = format!("colour = \"red\"\n{}", sandbox.provider);
    assert!(toml::from_str::<Provider>(&longer).unwrap_err().to_string().contains("colour"));
    let model = "id = \"m\"\nprices = { input = \"1\" }";
    assert!(toml::from_str::<Model>(model).unwrap_err().to_string().contains("prices"));
}

#[test]
fn rows_are_found_by_id() {
    let catalog = Catalog::embedded();
    assert_eq!(catalog.providers().len(), embedded::FILES.len());
    assert!(catalog.provider("no-such").is_none() && catalog.models("no-such").is_empty());
    let sandbox = catalog.provider("sandbox").unwrap();
    assert!(sandbox.is_built_in() && sandbox.probe == Probe::None);
    assert!(catalog.model("sandbox", "echo").is_some() && catalog.model("sandbox", "ech").is_none());
    for row in catalog.providers() {
        let rows = catalog.models(&row.id);
        assert!(rows.is_sorted_by(|a, b| a.id <= b.id), "{}", row.id);
        for model in rows.iter().filter(|model| model.is_default()) {
            let found = catalog.model(&row.id, &model.id).unwrap();
            assert!(found.id == model.id && found.mode <= model.mode, "{}/{}", row.id, model.id);
        }
    }
    // Only rows of variants are listed for this one.
    assert!(catalog.models("openai").iter().any(|model| model.id == "ft:gpt-3.5-turbo"));
    assert!(catalog.model("openai", "ft:gpt-3.5-turbo").is_none());
    assert!(catalog.provider("mistral").unwrap().surfaces.iter().all(|surface| surface.no_stream_options));
}
