//! The URL of every endpoint. All are put together once, when a state is built, so that a request only clones its own,
//! or, where the model stands in the path, fills it in.

use crate::{Dialect, Endpoint};
use http::{
    HeaderValue, Uri,
    uri::{InvalidUri, PathAndQuery},
};
use keyway_proto::snapshot::v1 as wire;
use std::sync::Arc;

const ENDPOINTS: usize = 18;
const MODEL: &str = "{model}";

/// Where one surface has its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Urls {
    whole: [Option<EndpointUrl>; ENDPOINTS],
    /// Of streamed calls, where that is another one.
    streams: Vec<(Endpoint, EndpointUrl)>,
}

/// Where one endpoint is.
#[derive(Debug, Clone)]
pub struct EndpointUrl {
    /// What is connected to.
    pub origin: Arc<Origin>,
    /// What stands in the request line, but for the model where it stands in the path; see `path_for`.
    pub path: PathAndQuery,
    template: Option<Arc<Template>>,
}

/// A path that the model stands in.
#[derive(Debug)]
struct Template {
    before: Box<str>,
    after: Box<str>,
    /// A slash in the model's name is a slash of the path.
    slashes: bool,
}

/// Why a model's name cannot stand in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misplaced;

/// What a connection leads to. Connections are shared by `id` alone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Hash over all other fields.
    pub id: u128,
    /// `https`.
    pub tls: bool,
    /// Name or IP literal, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Addresses of private networks may be connected to.
    pub private_network: bool,
    /// The `host` header.
    pub authority: HeaderValue,
}

/// The path that an endpoint of this dialect has under a base URL that ends in the version segment.
#[must_use]
pub fn standard_path(dialect: Dialect, endpoint: Endpoint) -> Option<&'static str> {
    Some(match (dialect, endpoint) {
        (Dialect::OpenaiChat, Endpoint::ChatCompletions) => "/chat/completions",
        (Dialect::OpenaiChat, Endpoint::Completions) => "/completions",
        (Dialect::OpenaiChat, Endpoint::Embeddings) => "/embeddings",
        (Dialect::OpenaiChat, Endpoint::ImagesGenerations) => "/images/generations",
        (Dialect::OpenaiChat, Endpoint::ImagesEdits) => "/images/edits",
        (Dialect::OpenaiChat, Endpoint::ImagesVariations) => "/images/variations",
        (Dialect::OpenaiChat, Endpoint::AudioSpeech) => "/audio/speech",
        (Dialect::OpenaiChat, Endpoint::AudioTranscriptions) => "/audio/transcriptions",
        (Dialect::OpenaiChat, Endpoint::AudioTranslations) => "/audio/translations",
        (Dialect::OpenaiChat, Endpoint::Moderations) => "/moderations",
        (Dialect::OpenaiResponses, Endpoint::Responses) => "/responses",
        (Dialect::OpenaiResponses, Endpoint::CountTokens) => "/responses/input_tokens",
        (Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::AnthropicMessages, Endpoint::Models) => {
            "/models"
        }
        (Dialect::Gemini | Dialect::CohereChat, Endpoint::Models) => "/models",
        (Dialect::AnthropicMessages, Endpoint::Messages) => "/messages",
        (Dialect::AnthropicMessages, Endpoint::CountTokens) => "/messages/count_tokens",
        (Dialect::Gemini, Endpoint::ChatCompletions) => "/models/{model}:generateContent",
        (Dialect::Gemini, Endpoint::CountTokens) => "/models/{model}:countTokens",
        (Dialect::Gemini, Endpoint::Embeddings) => "/models/{model}:embedContent",
        (Dialect::Gemini, Endpoint::EmbeddingsBatch) => "/models/{model}:batchEmbedContents",
        (Dialect::BedrockConverse, Endpoint::ChatCompletions) => "/model/{model}/converse",
        (Dialect::BedrockConverse, Endpoint::Invoke) => "/model/{model}/invoke",
        (Dialect::BedrockConverse, Endpoint::CountTokens) => "/model/{model}/count-tokens",
        (Dialect::CohereChat, Endpoint::ChatCompletions) => "/chat",
        (Dialect::CohereChat, Endpoint::Embeddings) => "/embed",
        (Dialect::CohereChat, Endpoint::Rerank) => "/rerank",
        _ => return None,
    })
}

/// The same of a streamed call, where that has a path of its own.
fn standard_stream(dialect: Dialect, endpoint: Endpoint) -> Option<&'static str> {
    Some(match (dialect, endpoint) {
        (Dialect::Gemini, Endpoint::ChatCompletions) => "/models/{model}:streamGenerateContent?alt=sse",
        (Dialect::BedrockConverse, Endpoint::ChatCompletions) => "/model/{model}/converse-stream",
        (Dialect::BedrockConverse, Endpoint::Invoke) => "/model/{model}/invoke-with-response-stream",
        _ => return None,
    })
}

// === impl Urls ===

impl Urls {
    pub(crate) fn build(from: &wire::Surface, private_network: bool) -> Result<Self, &'static str> {
        let dialect = from.dialect();
        let url = |path: &str| EndpointUrl::build(&from.base_url, path, dialect, private_network);
        let mut all = Self::default();
        for (number, whole) in all.whole.iter_mut().enumerate() {
            let endpoint = Endpoint::try_from(i32::try_from(number).unwrap_or(0)).unwrap_or_default();
            let own = |stream: bool| {
                let mut paths = from.paths.iter();
                let own = paths.find(|path| path.endpoint() == endpoint && path.stream == stream);
                own.map(|path| path.path.as_str())
            };
            // Where a row has a path of its own, the dialect's own for streams is not near it.
            let usual = || standard_stream(dialect, endpoint).filter(|_| own(false).is_none());
            *whole = own(false).or_else(|| standard_path(dialect, endpoint)).map(url).transpose()?;
            if let Some(path) = own(true).or_else(usual) {
                all.streams.push((endpoint, url(path)?));
            }
        }
        Ok(all)
    }

    pub(crate) fn get(&self, endpoint: Endpoint, stream: bool) -> Option<&EndpointUrl> {
        let own = self.streams.iter().find(|(of, _)| stream && *of == endpoint).map(|(_, url)| url);
        own.or_else(|| self.whole.get(endpoint as usize)?.as_ref())
    }
}

// === impl EndpointUrl ===

impl EndpointUrl {
    fn build(base: &str, path: &str, dialect: Dialect, private: bool) -> Result<Self, &'static str> {
        let full = match path.contains("://") {
            true => path.to_owned(),
            false => format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
        };
        let uri: Uri = full.replace('{', "%7B").replace('}', "%7D").parse().map_err(|_| "not a URL")?;
        let whole = uri.path_and_query().cloned().ok_or("a URL without a path")?;
        let slashes = dialect != Dialect::BedrockConverse;
        Ok(Self {
            origin: Arc::new(Origin::build(&uri, private)?),
            template: Template::of(&full, slashes)?.map(Arc::new),
            path: whole,
        })
    }

    /// Whether the model stands in the path.
    #[must_use]
    pub fn holds_model(&self) -> bool {
        self.template.is_some()
    }

    /// What stands in the request line for this model.
    ///
    /// # Errors
    /// When its name cannot stand in the path.
    pub fn path_for(&self, model: &str) -> Result<PathAndQuery, Misplaced> {
        match &self.template {
            None => Ok(self.path.clone()),
            Some(template) => template.filled(model),
        }
    }
}

// === impl Template ===

impl Template {
    /// None where the model does not stand in the URL.
    fn of(url: &str, slashes: bool) -> Result<Option<Self>, &'static str> {
        let Some((before, after)) = url.split_once(MODEL) else { return Ok(None) };
        let path = before.find("://").and_then(|scheme| {
            let host = scheme + 3;
            before.get(host..)?.find('/').map(|slash| host + slash)
        });
        let before = path.and_then(|path| before.get(path..)).ok_or("the model cannot stand in a host")?;
        Ok(Some(Self { before: before.into(), after: after.into(), slashes }))
    }

    fn filled(&self, model: &str) -> Result<PathAndQuery, Misplaced> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        // One that names a step up the path would lead to another endpoint under the provider's key.
        let astray = |segment: &str| matches!(segment, "" | "." | "..");
        let wrong = if self.slashes { model.split('/').any(astray) } else { astray(model) };
        if wrong {
            return Err(Misplaced);
        }
        let mut text = String::with_capacity(self.before.len() + model.len() * 3 + self.after.len());
        text.push_str(&self.before);
        let digit = |value: u8| HEX.get(usize::from(value)).map_or('0', |digit| char::from(*digit));
        for byte in model.bytes() {
            match byte {
                b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
                b'/' | b'@' if self.slashes => text.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
                _ => text.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            }
        }
        text.push_str(&self.after);
        PathAndQuery::try_from(text).map_err(|_: InvalidUri| Misplaced)
    }
}

// === impl Origin ===

impl Origin {
    /// Of a URL that belongs to no provider.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn of(uri: &Uri) -> Result<Self, &'static str> {
        Self::build(uri, false)
    }

    pub(crate) fn build(uri: &Uri, private_network: bool) -> Result<Self, &'static str> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL must begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("a URL without a host")?;
        if authority.as_str().contains('@') {
            return Err("a URL must not hold a user name or password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let whole = format!("{tls} {host} {port} {private_network}");
        let id = blake3::hash(whole.as_bytes())
            .as_bytes()
            .first_chunk::<16>()
            .map_or(0, |id| u128::from_le_bytes(*id));
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| "not a host")?;
        Ok(Self { id, tls, host: host.into(), port, private_network, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dialect: Dialect, endpoint: Endpoint, stream: bool, model: &str) -> Option<String> {
        let surface = wire::Surface {
            dialect: dialect.into(),
            base_url: "https://h.example/base".to_owned(),
            ..wire::Surface::default()
        };
        let urls = Urls::build(&surface, false).unwrap();
        Some(urls.get(endpoint, stream)?.path_for(model).unwrap().as_str().to_owned())
    }

    #[test]
    fn models_stand_in_paths() {
        let talk = Endpoint::ChatCompletions;
        for (dialect, stream, model, expected) in [
            (Dialect::OpenaiChat, true, "a/b", "/base/chat/completions"),
            (Dialect::Gemini, false, "gemini-2.5-pro", "/base/models/gemini-2.5-pro:generateContent"),
            (Dialect::Gemini, true, "g", "/base/models/g:streamGenerateContent?alt=sse"),
            (Dialect::Gemini, false, "a/b", "/base/models/a/b:generateContent"),
            (Dialect::Gemini, false, "a?b#c%é", "/base/models/a%3Fb%23c%25%C3%A9:generateContent"),
            (Dialect::BedrockConverse, false, "a.b-v1:0", "/base/model/a.b-v1%3A0/converse"),
            (Dialect::BedrockConverse, true, "arn:aws:x/y", "/base/model/arn%3Aaws%3Ax%2Fy/converse-stream"),
            (Dialect::CohereChat, true, "c", "/base/chat"),
        ] {
            assert_eq!(path(dialect, talk, stream, model).as_deref(), Some(expected), "{dialect:?} {model}");
        }
        assert_eq!(path(Dialect::BedrockConverse, Endpoint::Embeddings, false, "m"), None);
        let counted = path(Dialect::Gemini, Endpoint::CountTokens, true, "m");
        assert_eq!(counted.as_deref(), Some("/base/models/m:countTokens"));
    }

    #[test]
    fn no_model_leads_elsewhere() {
        let template =
            |slashes| Template::of("https://h.example/models/{model}:x", slashes).unwrap().unwrap();
        for (slashes, model) in
            [(true, "../files"), (true, "a/../b"), (true, "a//b"), (false, ".."), (true, "")]
        {
            assert_eq!(template(slashes).filled(model), Err(Misplaced), "{model}");
        }
        let kept = template(false).filled("../files").unwrap();
        assert_eq!(kept.as_str(), "/models/..%2Ffiles:x");
        assert!(Template::of("https://{model}.example/x", true).is_err());
    }

    #[test]
    fn a_row_has_paths_of_its_own() {
        let own = |endpoint: Endpoint, path: &str, stream| wire::EndpointPath {
            endpoint: endpoint.into(),
            path: path.to_owned(),
            stream,
        };
        let surface = wire::Surface {
            dialect: Dialect::AnthropicMessages.into(),
            base_url: "https://h.example/v1".to_owned(),
            paths: vec![
                own(Endpoint::Messages, "/models/{model}:rawPredict", false),
                own(Endpoint::Messages, "https://s.example/models/{model}:streamRawPredict", true),
            ],
            ..wire::Surface::default()
        };
        let urls = Urls::build(&surface, false).unwrap();
        let at = |stream| {
            let url = urls.get(Endpoint::Messages, stream).unwrap();
            (url.origin.host.to_string(), url.path_for("claude-x@2").unwrap().as_str().to_owned())
        };
        assert_eq!(at(false), ("h.example".to_owned(), "/v1/models/claude-x@2:rawPredict".to_owned()));
        assert_eq!(at(true), ("s.example".to_owned(), "/models/claude-x@2:streamRawPredict".to_owned()));
    }
}
