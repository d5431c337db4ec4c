//! Looks at events of Cohere's chat. The last one tells the counts, or that the answer has failed.

use super::{Pass, State, Watch, kind};
use crate::cohere_chat;
use crate::scan::member;
use crate::stream::refused::Refused;
use crate::stream::text::of_string;

// === impl Watch ===

impl Watch {
    pub(super) fn see_cohere(&mut self, name: &[u8], data: &[u8]) -> Pass {
        match kind(name, data).as_ref() {
            b"debug" => return Pass::On,
            b"content-start" | b"content-delta" | b"tool-plan-delta" | b"tool-call-start"
            | b"tool-call-delta" => {
                let message = member(data, "delta").and_then(|delta| member(delta, "message"));
                self.text_bytes += message.map_or(0, of_message);
            }
            b"message-end" => self.see_end(member(data, "delta").unwrap_or_default()),
            _ => return self.see_unnamed(data),
        }
        self.began();
        Pass::On
    }

    fn see_end(&mut self, delta: &[u8]) {
        let reason = member(delta, "finish_reason").unwrap_or_default();
        let reason = std::str::from_utf8(reason).unwrap_or_default().trim_matches('"');
        if let Some(status) = cohere_chat::failed_status(reason) {
            return self.failed(Refused::named(status, reason));
        }
        self.told |= member(delta, "usage").is_some_and(|usage| self.tokens.read_in(self.dialect, usage));
        self.state = State::Sealed;
    }
}

/// Text, thoughts, plans, and arguments of calls.
fn of_message(message: &[u8]) -> u64 {
    let text = |within: Option<&[u8]>, name: &str| {
        within.and_then(|within| member(within, name)).map_or(0, of_string)
    };
    let content = member(message, "content");
    let call = member(message, "tool_calls").and_then(|call| member(call, "function"));
    text(content, "text")
        + text(content, "thinking")
        + text(Some(message), "tool_plan")
        + text(call, "arguments")
}
