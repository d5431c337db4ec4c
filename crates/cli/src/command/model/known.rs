//! What is known of models: the catalogue's rows, with what the configuration adds and overrides.

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::print::{cell, list};
use crate::server::{Server, segment};

/// Rows that the catalogue is asked for of one provider: all.
const ALL_ROWS: u32 = 20_000;

/// Aliases and the models of configured providers, each with `name` and `kind`.
pub(super) async fn configured(
    server: &Server,
    provider: Option<&str>,
    search: Option<&str>,
) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    if provider.is_none() {
        let aliases = server.get("/models").await?;
        all.extend(list(&aliases).map(|alias| named(alias, &cell(alias, "name"), "alias")));
    }
    let providers = server.get("/providers").await?;
    for configured in list(&providers).filter(|one| provider.is_none_or(|wanted| cell(one, "name") == wanted))
    {
        all.extend(of_provider(server, configured).await?);
    }
    let wanted = search.unwrap_or_default().to_lowercase();
    all.retain(|model| cell(model, "name").to_lowercase().contains(&wanted));
    Ok(all)
}

/// All that is known of one model.
pub(super) async fn model(server: &Server, name: &str) -> Result<Value, Failure> {
    let (provider, id) = find(server, name).await?;
    let configured = provider_view(server, &provider).await?;
    let ids: Vec<String> = id.split('/').map(segment).collect();
    let row = match server.get(&format!("/catalog/models/{}/{}", segment(&provider), ids.join("/"))).await {
        // A configured provider serves names that no catalogue has.
        Err(failure) if is_not_found(&failure) && configured.is_some() => {
            json!({ "provider": provider, "id": id })
        }
        other => other?,
    };
    let mut model = priced(&row, configured.as_ref());
    // What a configured provider says of its models wins over the catalogue.
    if configured.is_some()
        && let Some(fields) = model.as_object_mut()
    {
        let path = format!("/providers/{}/quirks?model={}", segment(&provider), segment(&id));
        match server.get(&path).await {
            Err(failure) if is_not_found(&failure) => {}
            quirks => drop(fields.insert("quirks".into(), quirks?)),
        }
    }
    Ok(model)
}

/// `PROVIDER/MODEL` as it stands; a bare name where exactly one configured provider offers it.
async fn find(server: &Server, name: &str) -> Result<(String, String), Failure> {
    if let Some((provider, id)) = name.split_once('/') {
        return Ok((provider.into(), id.into()));
    }
    let all = configured(server, None, Some(name)).await?;
    let offers: Vec<&Value> = all.iter().filter(|model| cell(model, "id") == name).collect();
    match offers.as_slice() {
        [one] => Ok((cell(one, "provider"), name.into())),
        [] => Err(Failure::Answered {
            status: reqwest::StatusCode::NOT_FOUND,
            message: format!(
                "no alias is named {name} and no configured provider offers it; try PROVIDER/MODEL, or `keyway model list --catalog --search {name}`"
            ),
        }),
        several => {
            let names: Vec<String> = several.iter().map(|model| cell(model, "name")).collect();
            Err(Failure::Usage(format!("{name} is offered by several providers; say {}", names.join(" or "))))
        }
    }
}

/// The catalogue's models of a configured provider, and those that its configuration names.
async fn of_provider(server: &Server, provider: &Value) -> Result<Vec<Value>, Failure> {
    let name = cell(provider, "name");
    let path = format!("/catalog/models?provider={}&limit={ALL_ROWS}", segment(&name));
    let rows = match server.get(&path).await {
        Err(failure) if is_not_found(&failure) => Value::Null,
        other => other?,
    };
    let mut all: Vec<Value> = list(&rows).map(|row| priced(row, Some(provider))).collect();
    let named = provider.get("models").map(list).into_iter().flatten().filter_map(Value::as_str);
    let prices = provider.get("prices").and_then(Value::as_object);
    let with_price = prices.into_iter().flatten().map(|(id, _)| id.as_str());
    for id in named.chain(with_price) {
        if !all.iter().any(|model| cell(model, "id") == id) {
            all.push(priced(&json!({ "provider": name, "id": id }), Some(provider)));
        }
    }
    Ok(all)
}

/// The configured provider, if it is one.
async fn provider_view(server: &Server, name: &str) -> Result<Option<Value>, Failure> {
    match server.get(&format!("/providers/{}", segment(name))).await {
        Err(failure) if is_not_found(&failure) => Ok(None),
        other => other.map(Some),
    }
}

/// A row with its name and with the price that holds: the configuration's before the catalogue's.
fn priced(row: &Value, provider: Option<&Value>) -> Value {
    let id = cell(row, "id");
    let mut model = named(row, &format!("{}/{id}", cell(row, "provider")), "model");
    let Some(fields) = model.as_object_mut() else { return model };
    let of_model = |provider: &Value| provider.get("prices").and_then(|prices| prices.get(&id)).cloned();
    let own = provider.and_then(|provider| of_model(provider).or_else(|| provider.get("price").cloned()));
    let from = match own {
        Some(price) => {
            fields.insert("price".into(), price);
            fields.shift_remove("price_tiers");
            json!("configuration")
        }
        None if fields.get("price").is_some_and(|price| !price.is_null()) => json!("catalogue"),
        None => Value::Null,
    };
    fields.insert("price_from".into(), from);
    model
}

fn named(row: &Value, name: &str, kind: &str) -> Value {
    let mut model = Map::new();
    model.insert("name".into(), json!(name));
    model.insert("kind".into(), json!(kind));
    for (field, value) in row.as_object().into_iter().flatten() {
        model.entry(field.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(model)
}

fn is_not_found(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered { status, .. } if *status == reqwest::StatusCode::NOT_FOUND)
}
