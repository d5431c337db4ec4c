//! Which of a provider's surfaces serves a call: the caller's own dialect where it is spoken, else one that a
//! conversation can be carried over to.

use keyway_dialect::codec::{self, codec};
use keyway_snapshot::{Dialect, Endpoint, Provider, Surface};

/// The surface that serves calls of this dialect and endpoint, streamed or not, and which of its endpoints does; none where
/// the provider cannot serve them.
pub(crate) fn surface(
    provider: &Provider,
    dialect: Dialect,
    (endpoint, stream): (Endpoint, bool),
) -> Option<(&Surface, Endpoint)> {
    // What is built in has no URLs.
    let has = |surface: &Surface, endpoint| provider.built_in || surface.url(endpoint, stream).is_some();
    if let Some(own) = provider.surface(dialect).filter(|own| has(own, endpoint)) {
        return Some((own, endpoint));
    }
    let is_conversation = codec(dialect).is_some() && codec::endpoint(dialect) == endpoint;
    provider.surfaces.iter().filter(|_| is_conversation).find_map(|other| {
        let there = codec::endpoint(other.dialect);
        let crosses = other.dialect != dialect && codec(other.dialect).is_some() && has(other, there);
        crosses.then_some((other, there))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
    use keyway_snapshot::{Snapshot, Version};
    use prost::Message;

    /// A snapshot with one provider, which speaks these dialects.
    fn snapshot(dialects: &[Dialect], built_in: bool) -> Snapshot {
        let surface = |dialect: &Dialect| wire::Surface {
            dialect: *dialect as i32,
            base_url: "http://localhost:1/v1".to_owned(),
            ..wire::Surface::default()
        };
        let provider = wire::Provider {
            name: "p".to_owned(),
            surfaces: dialects.iter().map(surface).collect(),
            auth: Some(wire::Auth { scheme: wire::AuthScheme::None as i32, ..wire::Auth::default() }),
            built_in,
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
            (&[messages], false, (Dialect::Gemini, talk), Some((messages, Endpoint::Messages))),
            // Only conversations cross.
            (&[messages], false, (chat, Endpoint::Embeddings), None),
            (&[chat], false, (messages, Endpoint::CountTokens), None),
            (&[chat], false, (chat, Endpoint::Embeddings), Some((chat, Endpoint::Embeddings))),
            (&[chat], true, (responses, Endpoint::Responses), Some((chat, talk))),
            (&[chat], true, (chat, Endpoint::Embeddings), Some((chat, Endpoint::Embeddings))),
        ] {
            let snapshot = snapshot(spoken, built_in);
            let provider = snapshot.providers.get("p").unwrap();
            let found =
                surface(provider, asked.0, (asked.1, false)).map(|(surface, at)| (surface.dialect, at));
            assert_eq!(found, expected, "{spoken:?} {built_in} {asked:?}");
        }
    }
}
