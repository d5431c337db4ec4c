//! The requests' bodies.

use std::fmt::Write as _;

/// A chat request; all of them ask for the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// 969 bytes, for a whole reply.
    Chat,
    /// The same, for a stream.
    Stream,
    /// A long conversation of about this size, for a whole reply.
    Kilobytes(usize),
}

const CHAT: &str = include_str!("../../../bench/bodies/chat.json");
const STREAM: &str = include_str!("../../../bench/bodies/chat-stream.json");
/// One turn of a long conversation: line ends and quotes are escaped as often as in a real one.
const TURN: &str = r#"Here is the next part of the log.\n\n2026-11-22T09:14:03Z gateway: \"upstream\" answered after 812 ms\n2026-11-22T09:14:04Z gateway: no reply from the second target, so the first one was asked again and answered\n\nPlease say what happened in two sentences, and name the line that shows it."#;

// === impl Body ===

impl Body {
    pub(super) fn text(self) -> String {
        match self {
            Self::Chat => CHAT.to_owned(),
            Self::Stream => STREAM.to_owned(),
            Self::Kilobytes(kilobytes) => conversation(kilobytes * 1024),
        }
    }

    pub(super) fn is_stream(self) -> bool {
        self == Self::Stream
    }
}

fn conversation(bytes: usize) -> String {
    let mut text = String::from(r#"{"model": "gpt-4o-mini", "messages": ["#);
    let mut roles = ["user", "assistant"].iter().cycle();
    while let (true, Some(role)) = (text.len() + 2 * TURN.len() < bytes, roles.next()) {
        // Writing to a String cannot fail.
        let _written = write!(text, r#"{{"role": "{role}", "content": "{TURN}"}}, "#);
    }
    text.push_str(r#"{"role": "user", "content": "And now?"}], "temperature": 0.7}"#);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_conversation_is_valid_and_as_long_as_asked() {
        for kilobytes in [64, 1024] {
            let text = Body::Kilobytes(kilobytes).text();
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed["model"], "gpt-4o-mini");
            assert!(text.len() <= kilobytes * 1024 && text.len() + 1024 > kilobytes * 1024, "{}", text.len());
        }
    }
}
