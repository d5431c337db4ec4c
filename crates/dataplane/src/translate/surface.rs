//! Which of a provider's surfaces serves a call: the caller's own dialect where it has the endpoint, else one that what
//! is asked for can be carried over to.

use super::asks::endpoint_there;
use crate::sandbox;
use keyway_snapshot::{Dialect, Endpoint, Surface, Target};

/// The surface that serves calls of this dialect and endpoint, streamed or not, and which of its endpoints does; none where
/// the provider cannot serve them, or not with this model.
pub(crate) fn surface(
    target: &Target,
    dialect: Dialect,
    (endpoint, stream): (Endpoint, bool),
) -> Option<(&Surface, Endpoint)> {
    let provider = &target.provider;
    let has = |surface: &Surface, endpoint| match provider.built_in {
        true => sandbox::serves(surface.dialect, endpoint),
        false => surface.url(endpoint, stream).is_some() && surface.serves(&target.model),
    };
    if let Some(own) = provider.surface(dialect).filter(|own| has(own, endpoint)) {
        return Some((own, endpoint));
    }
    let others = provider.surfaces.iter().filter(|other| other.dialect != dialect);
    others
        .filter_map(|other| Some((other, endpoint_there((dialect, endpoint), other.dialect)?)))
        .find(|(other, there)| has(other, *there))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
    use keyway_snapshot::{Resolved, Snapshot, Version};
    use prost::Message;

    /// A snapshot with one provider, which speaks these dialects.
    fn snapshot(dialects: &[Dialect], built_in: bool) -> Snapshot {
        of(dialects.iter().map(|dialect| plain(*dialect)).collect(), built_in)
    }

    fn plain(dialect: Dialect) -> wire::Surface {
        wire::Surface {
            dialect: dialect as i32,
            base_url: "http://localhost:1/v1".to_owned(),
            ..wire::Surface::default()
        }
    }

    fn of(surfaces: Vec<wire::Surface>, built_in: bool) -> Snapshot {
        let provider = wire::Provider {
            name: "p".to_owned(),
            surfaces,
            auth: Some(wire::Auth { scheme: wire::AuthScheme::None as i32, ..wire::Auth::default() }),
            built_in,
            offers: vec![wire::Offer { id: "m".to_owned(), ..wire::Offer::default() }],
            ..wire::Provider::default()
        };
        let settings = wire::Settings {
            digest_key: vec![1; 32],
            body_limit: 1,
            bodies_in_flight_limit: 1,
            ..wire::Settings::default()
        };
        let resource = |kind: Kind, name: &str, body: Vec<u8>| Resource {
            kind: kind as i32,
            name: name.to_owned(),
            body: body.into(),
            ..Resource::default()
        };
        let resources = [
            resource(Kind::Provider, "p", provider.encode_to_vec()),
            resource(Kind::Settings, "settings", settings.encode_to_vec()),
        ];
        Snapshot::build(Version { epoch: 1, counter: 1 }, &resources).unwrap()
    }

    #[test]
    fn the_callers_own_or_one_that_it_can_cross_to() {
        let (chat, responses, messages) =
            (Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages);
        let (gemini, cohere) = (Dialect::Gemini, Dialect::CohereChat);
        let talk = Endpoint::ChatCompletions;
        for (spoken, built_in, asked, expected) in [
            (&[chat, responses][..], false, (chat, talk), Some((chat, talk))),
            (
                &[chat, responses],
                false,
                (responses, Endpoint::Responses),
                Some((responses, Endpoint::Responses)),
            ),
            (&[chat, responses], false, (messages, Endpoint::Messages), Some((chat, talk))),
            (&[messages], false, (chat, talk), Some((messages, Endpoint::Messages))),
            (&[messages], false, (gemini, talk), Some((messages, Endpoint::Messages))),
            // Not everything crosses, and not everywhere.
            (&[messages], false, (chat, Endpoint::Embeddings), None),
            (&[chat], false, (messages, Endpoint::CountTokens), None),
            (
                &[chat, gemini],
                false,
                (messages, Endpoint::CountTokens),
                Some((gemini, Endpoint::CountTokens)),
            ),
            (&[chat], false, (cohere, Endpoint::Embeddings), Some((chat, Endpoint::Embeddings))),
            (&[cohere], false, (chat, Endpoint::Moderations), None),
            (&[chat], false, (chat, Endpoint::Embeddings), Some((chat, Endpoint::Embeddings))),
            (&[chat], true, (responses, Endpoint::Responses), Some((chat, talk))),
            (&[chat], true, (chat, Endpoint::Embeddings), None),
        ] {
            let snapshot = snapshot(spoken, built_in);
            assert_eq!(chosen(&snapshot, "m", asked), expected, "{spoken:?} {built_in} {asked:?}");
        }
    }

    fn chosen(snapshot: &Snapshot, model: &str, asked: (Dialect, Endpoint)) -> Option<(Dialect, Endpoint)> {
        let Ok(Resolved::Target(target)) = snapshot.lookup(&format!("p/{model}")) else { panic!("{model}") };
        surface(&target, asked.0, (asked.1, false)).map(|(surface, at)| (surface.dialect, at))
    }

    #[test]
    fn some_models_are_served_in_one_dialect_alone() {
        let surface = |dialect: Dialect, models: &[&str]| wire::Surface {
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            ..plain(dialect)
        };
        let surfaces = vec![
            surface(Dialect::Gemini, &["gemini*"]),
            surface(Dialect::AnthropicMessages, &["claude*"]),
            surface(Dialect::OpenaiChat, &["*/*"]),
        ];
        let snapshot = of(surfaces, false);
        let (talk, messages) = (Endpoint::ChatCompletions, Endpoint::Messages);
        for (model, caller, expected) in [
            ("gemini-3", (Dialect::AnthropicMessages, messages), Some((Dialect::Gemini, talk))),
            ("gemini-3", (Dialect::Gemini, talk), Some((Dialect::Gemini, talk))),
            ("claude-x", (Dialect::Gemini, talk), Some((Dialect::AnthropicMessages, messages))),
            ("claude-x", (Dialect::OpenaiChat, talk), Some((Dialect::AnthropicMessages, messages))),
            ("meta/llama", (Dialect::OpenaiChat, talk), Some((Dialect::OpenaiChat, talk))),
            ("meta/llama", (Dialect::Gemini, talk), Some((Dialect::OpenaiChat, talk))),
            ("veo-3", (Dialect::OpenaiChat, talk), None),
        ] {
            assert_eq!(chosen(&snapshot, model, caller), expected, "{model} {caller:?}");
        }
    }
}
