//! Looks at frames of Bedrock: of Converse, and of models that are invoked in their own words, whose chunks only their
//! last one is read of.

use super::{Pass, State, Watch};
use crate::bedrock_converse;
use crate::frame::aws::{Kind, Message};
use crate::scan::{member, skip_blank};
use crate::stream::refused::Refused;
use crate::stream::text::of_string;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// The counts that the service adds to a model's last chunk.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

// === impl Watch ===

impl Watch {
    /// Looks at a frame.
    pub(in crate::stream) fn see_frame(&mut self, message: &Message<'_>) -> Pass {
        if message.kind == Kind::Event {
            return self.see(message.name.as_bytes(), message.payload);
        }
        let status = bedrock_converse::exception_status(message.name);
        self.failed(Refused::named(status, message.name));
        Pass::On
    }

    pub(super) fn see_converse(&mut self, name: &[u8], payload: &[u8]) -> Pass {
        match name {
            b"messageStart" | b"contentBlockStart" | b"contentBlockStop" => {}
            b"contentBlockDelta" => self.text_bytes += member(payload, "delta").map_or(0, of_delta),
            b"messageStop" => self.complete(),
            b"metadata" => {
                self.told |=
                    member(payload, "usage").is_some_and(|usage| self.tokens.read_in(self.dialect, usage));
                self.tokens.read_tier(member(payload, "serviceTier").and_then(|tier| member(tier, "type")));
                if self.state == State::Complete {
                    self.state = State::Sealed;
                }
            }
            _ => return Pass::On,
        }
        self.began();
        Pass::On
    }

    /// No end marker is common to all models: the answer is whole where the connection ends between two frames.
    pub(super) fn see_invoked(&mut self, name: &[u8], payload: &[u8]) -> Pass {
        if name != b"chunk" {
            return Pass::On;
        }
        self.began();
        self.complete();
        let bytes =
            member(payload, "bytes").and_then(|quoted| quoted.strip_prefix(b"\"")?.strip_suffix(b"\""));
        let Some(chunk) = bytes.and_then(|bytes| STANDARD.decode(bytes).ok()) else { return Pass::On };
        if memmem::find(&chunk, METRICS.as_bytes()).is_some()
            && let Some(metrics) = member(&chunk, METRICS)
        {
            self.told |= self.tokens.take(bedrock_converse::invoked(metrics));
        }
        Pass::On
    }
}

/// Text, thoughts, and pieces of the arguments of calls.
fn of_delta(delta: &[u8]) -> u64 {
    let within = |outer: &str, inner: &str| {
        let inner =
            member(delta, outer).filter(|value| is_object(value)).and_then(|value| member(value, inner));
        inner.map_or(0, of_string)
    };
    member(delta, "text").map_or(0, of_string)
        + within("toolUse", "input")
        + within("reasoningContent", "text")
}

fn is_object(value: &[u8]) -> bool {
    value.get(skip_blank(value, 0)) == Some(&b'{')
}
