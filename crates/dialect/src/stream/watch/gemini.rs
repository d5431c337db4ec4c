//! Looks at chunks of Gemini: each is a whole reply with the new parts only. There is no end marker; the answer is whole
//! once every candidate that has begun has told why it ended.

use super::{Pass, State, Watch};
use crate::scan::{Items, Members, member, skip_blank};
use crate::stream::refused::Refused;
use crate::stream::text::{of_object, of_string};

/// Candidates so far, one bit each: as many as a stream may have choices.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Candidates {
    begun: u128,
    stopped: u128,
    /// The prompt was refused: there will be none.
    blocked: bool,
}

// === impl Candidates ===

impl Candidates {
    pub(super) fn are_over(self) -> bool {
        self.blocked || (self.begun != 0 && self.begun == self.stopped)
    }

    /// Notes that one of them has come, and whether it has ended.
    pub(super) fn note(&mut self, candidate: &[u8], stopped: bool) {
        let number =
            member(candidate, "index").and_then(|index| std::str::from_utf8(index).ok()?.parse().ok());
        let bit = 1_u128.checked_shl(number.unwrap_or_default()).unwrap_or_default();
        self.begun |= bit;
        if stopped {
            self.stopped |= bit;
        }
    }

    /// What one of them brings: bytes of text.
    fn take(&mut self, candidate: &[u8]) -> u64 {
        let reason = member(candidate, "finishReason");
        self.note(candidate, reason.is_some_and(|reason| reason.starts_with(b"\"")));
        let parts = member(candidate, "content").and_then(|content| member(content, "parts"));
        items(parts.unwrap_or_default()).map(of_part).sum()
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn see_gemini(&mut self, data: &[u8]) -> Pass {
        // Errors may come in a list of one.
        let data = items(data).next().unwrap_or(data);
        let Ok(mut members) = Members::open(data, skip_blank(data, 0)) else {
            self.began();
            return Pass::On;
        };
        let mut told = false;
        while let Ok(Some(found)) = members.next() {
            let value = data.get(found.value).unwrap_or_default();
            match found.key.value(data).as_ref() {
                "error" if value != b"null" => {
                    self.failed(Refused::read(data));
                    return Pass::On;
                }
                "candidates" => {
                    self.text_bytes +=
                        items(value).map(|candidate| self.candidates.take(candidate)).sum::<u64>();
                }
                "promptFeedback" => {
                    let reason = member(value, "blockReason");
                    self.candidates.blocked |= reason.is_some_and(|reason| reason.starts_with(b"\""));
                }
                "usageMetadata" => told = self.tokens.read_in(self.dialect, value),
                _ => {}
            }
        }
        self.began();
        self.state = if self.candidates.are_over() { State::Complete } else { State::Running };
        // Counts are of what has come so far: those that come with the end, or behind it, are of the whole answer.
        self.told = (self.told || told) && self.state == State::Complete;
        Pass::On
    }

    /// The bracket that closes a list of chunks. Behind an answer that is cut it would make it look whole.
    pub(in crate::stream) fn see_close(&mut self) -> Pass {
        if self.state != State::Complete && !self.erred {
            return Pass::Withheld;
        }
        self.state = State::Sealed;
        Pass::On
    }
}

/// The items of a list; none of what is no list.
pub(super) fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    Items::open(list, skip_blank(list, 0)).map(|item| list.get(item).unwrap_or_default())
}

/// Text, thoughts, and arguments of calls.
fn of_part(part: &[u8]) -> u64 {
    let arguments = member(part, "functionCall").and_then(|call| member(call, "args"));
    member(part, "text").map_or(0, of_string) + arguments.map_or(0, of_object)
}
