//! Where a user's base URL leads, for every row and for cases worth naming.

use crate::{
    BaseUrlError, Catalog, Dialect, Endpoint, Kind, Provider, ResolvedSurface, dialect_from_name,
    dialect_name, resolve_base_url,
};

const PLAIN: &str = "http://10.0.0.7:8000";
const PROXY: &str = "https://proxy.example/keyway";
const VERSIONED: &str = "https://proxy.example/x/v1";

fn resolve(row: &str, dialect: Option<&str>, user: Option<&str>) -> Vec<(&'static str, String)> {
    let row = Catalog::embedded().provider(row);
    let dialect = dialect.map(|name| dialect_from_name(name).unwrap());
    let found = resolve_base_url(row, dialect, user).unwrap();
    found.into_iter().map(|surface| (dialect_name(surface.dialect), surface.base_url)).collect()
}

/// Splits after the host, without looking further.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").unwrap() + 3;
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    url.split_at(end)
}

fn filled(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some((before, rest)) = text.split_once('{') {
        text = format!("{before}x{}", rest.split_once('}').unwrap().1);
    }
    text
}

fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Gemini => "/v1beta",
        Dialect::CohereChat => "/v2",
        Dialect::BedrockConverse => "",
        _ => "/v1",
    }
}

#[test]
fn every_row_follows_the_rules() {
    let rows = Catalog::embedded().providers().iter().filter(|row| !row.is_built_in());
    for row in rows {
        follows_the_rules(row, None);
        for surface in &row.surfaces {
            follows_the_rules(row, Some(surface.dialect));
        }
    }
}

fn follows_the_rules(row: &Provider, dialect: Option<Dialect>) {
    let listed = row.surfaces.iter().filter(|surface| dialect.is_none_or(|only| only == surface.dialect));
    let own: Vec<(Dialect, &str)> =
        listed.map(|surface| (surface.dialect, surface.base_url.as_deref().unwrap())).collect();
    let (_, main) = own[0];
    let (origin, path) = split(main);
    let at = |user: Option<&str>| -> Vec<(Dialect, String)> {
        let found = resolve_base_url(Some(row), dialect, user).unwrap();
        found.into_iter().map(|surface| (surface.dialect, surface.base_url)).collect()
    };
    let name = format!("{} {dialect:?}", row.id);

    let as_it_is: Vec<_> = own.iter().map(|(dialect, base)| (*dialect, (*base).to_owned())).collect();
    assert_eq!(at(None), as_it_is, "{name}: as written");
    // What the main base does not hold is not known from it either.
    let known = |text: &str| {
        if filled(text).is_empty() || !text.contains('{') { text.to_owned() } else { filled(text) }
    };
    let whole: Vec<_> = own.iter().map(|(dialect, base)| (*dialect, known(base))).collect();
    for user in [main.to_owned(), format!("{main}/")] {
        assert_eq!(at(Some(&filled(&user))), whole, "{name}: its own base {user}");
    }
    if !path.contains('{') {
        for user in [origin.to_owned(), format!("{origin}/"), format!("{origin}//")] {
            assert_eq!(at(Some(&filled(&user))), whole, "{name}: its own origin {user}");
        }
    }

    let near = || own.iter().filter(|(_, base)| split(base).0 == origin);
    // Its own is only an example.
    let any_origin = row.kind == Kind::SelfHosted;
    let replaced = |user: &str, version: bool| -> Vec<(Dialect, String)> {
        let surface = |(dialect, base): &(Dialect, &str)| {
            let messages = row.surface(*dialect).unwrap().paths.get(&Endpoint::Messages);
            let complete = messages.is_some_and(|path| path.contains("{model}"));
            let tail = match (any_origin && user == PLAIN, version && !complete) {
                (true, _) => split(base).1,
                (false, true) => prefix(*dialect),
                (false, false) => "",
            };
            (*dialect, format!("{user}{tail}"))
        };
        near().map(surface).collect()
    };
    assert_eq!(at(Some(PLAIN)), replaced(PLAIN, true), "{name}: another origin");
    assert_eq!(at(Some(PROXY)), replaced(PROXY, true), "{name}: a proxy's path");
    assert_eq!(at(Some(VERSIONED)), replaced(VERSIONED, false), "{name}: as written with its version");
}

#[test]
fn cases_worth_naming() {
    let chat = |base: &str| vec![("openai-chat", base.to_owned())];
    let both = |base: &str| vec![("openai-chat", base.to_owned()), ("openai-responses", base.to_owned())];
    for user in [
        None,
        Some("https://api.openai.com"),
        Some("https://api.openai.com/v1"),
        Some("https://API.openai.com:443/v1/"),
    ] {
        assert_eq!(resolve("openai", None, user), both("https://api.openai.com/v1"));
    }
    assert_eq!(resolve("openai", None, Some(PLAIN)), both("http://10.0.0.7:8000/v1"));
    assert_eq!(
        resolve("openai", None, Some("https://api.openai.com/v2beta")),
        both("https://api.openai.com/v2beta")
    );
    assert_eq!(resolve("openai", Some("openai-chat"), None), chat("https://api.openai.com/v1"));
    assert_eq!(resolve("no-such", Some("openai-chat"), Some(PLAIN)), chat("http://10.0.0.7:8000/v1"));
    assert_eq!(
        resolve("no-such", Some("openai-chat"), Some("http://[::1]:80/api/v3/")),
        chat("http://[::1]/api/v3")
    );

    let deepseek = [
        ("openai-chat", "https://api.deepseek.com".to_owned()),
        ("anthropic-messages", "https://api.deepseek.com/anthropic/v1".to_owned()),
    ];
    assert_eq!(resolve("deepseek", None, Some("https://api.deepseek.com")), deepseek);
    assert_eq!(resolve("deepseek", None, Some("https://api.deepseek.com/")), deepseek);
    assert_eq!(
        resolve("deepseek", Some("openai-chat"), Some("https://api.deepseek.com/v1")),
        chat("https://api.deepseek.com/v1")
    );
    assert_eq!(
        resolve("deepseek", Some("anthropic-messages"), Some("https://api.deepseek.com/anthropic")),
        [("anthropic-messages", "https://api.deepseek.com/anthropic/v1".to_owned())]
    );
    // The path of its second dialect alone.
    assert_eq!(
        resolve("google", None, Some("https://generativelanguage.googleapis.com/v1beta/openai/")),
        chat("https://generativelanguage.googleapis.com/v1beta/openai")
    );
    assert_eq!(resolve("ollama", Some("openai-chat"), Some("http://gpu:11434")), chat("http://gpu:11434/v1"));
    assert_eq!(resolve("lemonade", None, Some("http://gpu:8000")), chat("http://gpu:8000/api/v1"));
    assert_eq!(
        resolve("azure-openai", None, Some("https://mine.openai.azure.com")),
        both("https://mine.openai.azure.com/openai/v1")
    );
    assert_eq!(
        resolve("azure-openai", None, Some("https://mine.openai.azure.com/openai")),
        both("https://mine.openai.azure.com/openai/v1")
    );
    // The same origin is not replaced, so the compatibility host stays; another origin switches it off.
    assert_eq!(resolve("cohere", None, Some("https://api.cohere.com")).len(), 2);
    assert_eq!(resolve("cohere", None, Some(PLAIN)), [("cohere-chat", "http://10.0.0.7:8000/v2".to_owned())]);
}

#[test]
fn addresses_of_a_replaced_origin_are_dropped() {
    let found =
        |user: &str| resolve_base_url(Catalog::embedded().provider("alibaba"), None, Some(user)).unwrap();
    for surface in found("https://proxy.example") {
        let at = |url: &String| !url.contains("aliyuncs");
        assert!(at(&surface.base_url) && surface.paths.values().all(at), "{surface:?}");
    }
    let own = found("https://dashscope-intl.aliyuncs.com");
    assert!(
        own[0].paths.values().all(|path| path.starts_with("https://dashscope-intl.aliyuncs.com/")),
        "{own:?}"
    );
}

#[test]
fn settings_fill_an_address() {
    let bedrock = || resolve_base_url(Catalog::embedded().provider("bedrock"), None, None).unwrap().remove(0);
    let region = [("region".to_owned(), "eu-west-1".to_owned())];
    let filled: ResolvedSurface = bedrock().fill(&region).unwrap();
    assert_eq!(filled.base_url, "https://bedrock-runtime.eu-west-1.amazonaws.com");
    let why = bedrock().fill(&[]).unwrap_err();
    assert_eq!(why, BaseUrlError::Unfilled(vec!["region".to_owned()]));
    assert_eq!(why.to_string(), "its address needs region: set `region` or `base_url`");
}

#[test]
fn what_is_no_base_url_is_refused_without_repeating_it() {
    let bad = [
        "api.openai.com",
        "ftp://x",
        "https://",
        "https:///v1",
        "https://user:sk-secret@host",
        "https://host/v1?key=sk-secret",
        "https://host/v1#sk-secret",
        "https://ho st/",
        "https://host:0",
        "https://host:99999",
        "https://[::1",
        "https://[nonsense]/",
        "",
    ];
    for url in bad {
        let why = resolve_base_url(Catalog::embedded().provider("openai"), None, Some(url)).unwrap_err();
        assert!(matches!(why, BaseUrlError::NotAUrl(_)), "{url}: {why}");
        assert!(!why.to_string().contains("secret"));
    }
    assert_eq!(resolve_base_url(None, None, Some(PLAIN)), Err(BaseUrlError::NoDialect));
    assert_eq!(resolve_base_url(None, Some(Dialect::OpenaiChat), None), Err(BaseUrlError::NoBaseUrl));
    let sandbox = Catalog::embedded().provider("sandbox");
    assert_eq!(resolve_base_url(sandbox, None, Some(PLAIN)), Err(BaseUrlError::BuiltIn));
    assert_eq!(resolve_base_url(sandbox, Some(Dialect::Gemini), None), Err(BaseUrlError::BuiltInDialect));
    assert_eq!(resolve_base_url(sandbox, None, None).unwrap().len(), 2);
}
