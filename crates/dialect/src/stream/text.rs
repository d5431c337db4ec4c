//! How much answer text an event brings: content, refusals, reasoning and arguments of tools, in bytes of UTF-8. Sound
//! and images are no text.

use crate::scan::{Member, Members, skip_blank, skip_string};
use crate::usage::unescaped_len;
use memchr::memmem::Finder;
use std::sync::LazyLock;

static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\""));
static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"text\""));
static ARGUMENTS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"arguments\""));

/// Of a chunk of chat completions, or of completions: each choice's delta.
pub(super) fn of_chunk(data: &[u8]) -> u64 {
    let mut bytes = 0;
    let mut behind = 0;
    for found in DELTA.find_iter(data) {
        if found < behind {
            continue;
        }
        if let Some(open) = value_at(data, found + DELTA.needle().len()).filter(|at| is(data, *at, b'{')) {
            let (delta, end) = of_delta(data, open);
            (bytes, behind) = (bytes + delta, end);
        }
    }
    // Completions have no delta: their choices hold the text itself.
    if behind == 0 { strings(&TEXT, data) } else { bytes }
}

/// Of an event of Responses whose kind ends in `.delta`.
pub(super) fn of_response_delta(data: &[u8]) -> u64 {
    strings(&DELTA, data)
}

/// Of a `content_block_delta` of Messages. Signatures are no text.
pub(super) fn of_block_delta(data: &[u8]) -> u64 {
    let open = DELTA.find(data).and_then(|found| value_at(data, found + DELTA.needle().len()));
    let Some(Ok(mut members)) = open.map(|open| Members::open(data, open)) else { return 0 };
    let mut bytes = 0;
    while let Ok(Some(member)) = members.next() {
        if matches!(key(data, &member), b"\"text\"" | b"\"thinking\"" | b"\"partial_json\"") {
            bytes += of_string(data.get(member.value).unwrap_or_default());
        }
    }
    bytes
}

/// Of the delta that opens at `open`, and where it ends. Some say their reasoning under two names: it counts once.
fn of_delta(data: &[u8], open: usize) -> (u64, usize) {
    let Ok(mut members) = Members::open(data, open) else { return (0, open + 1) };
    let (mut bytes, mut reasoning) = (0, 0);
    while let Ok(Some(member)) = members.next() {
        let value = data.get(member.value.clone()).unwrap_or_default();
        match key(data, &member) {
            b"\"content\"" if value.starts_with(b"[") => bytes += strings(&TEXT, value),
            b"\"content\"" | b"\"refusal\"" => bytes += of_string(value),
            b"\"reasoning_content\"" | b"\"reasoning\"" => reasoning = of_string(value).max(reasoning),
            b"\"tool_calls\"" | b"\"function_call\"" => bytes += strings(&ARGUMENTS, value),
            _ => {}
        }
    }
    (bytes + reasoning, members.end().max(open + 1))
}

/// A member's key, quotes and all.
fn key<'a>(data: &'a [u8], member: &Member) -> &'a [u8] {
    data.get(member.key.span()).unwrap_or_default()
}

/// All strings that this key has for a value, however deep.
fn strings(key: &Finder<'_>, data: &[u8]) -> u64 {
    let values = key.find_iter(data).filter_map(|found| value_at(data, found + key.needle().len()));
    values.map(|at| of_string(data.get(at..).unwrap_or_default())).sum()
}

/// Of an object, as it is written: arguments that are no text.
pub(super) fn of_object(value: &[u8]) -> u64 {
    if value.starts_with(b"{") { value.len() as u64 } else { 0 }
}

/// Of the string that these bytes begin with, if they do.
pub(super) fn of_string(value: &[u8]) -> u64 {
    if !value.starts_with(b"\"") {
        return 0;
    }
    let inside = skip_string(value, 0).and_then(|end| value.get(1..end - 1));
    inside.map_or(0, unescaped_len)
}

/// Where the value behind a key begins; none if this was no key.
fn value_at(data: &[u8], behind_key: usize) -> Option<usize> {
    let colon = skip_blank(data, behind_key);
    is(data, colon, b':').then(|| skip_blank(data, colon + 1))
}

fn is(data: &[u8], at: usize, byte: u8) -> bool {
    data.get(at) == Some(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_chat() {
        let table = [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, 0),
            (r#"{"choices":[{"index":0,"delta":{"content":"Hi\n\u00e9"}}],"usage":null}"#, 5),
            (r#"{"choices": [{"delta" : { "content" : "a \"delta\":{\"content\":\"b\"}" } } ]}"#, 25),
            (r#"{"choices":[{"delta":{"content":"ab"}},{"delta":{"refusal":"cde"}}]}"#, 5),
            (r#"{"choices":[{"delta":{"reasoning":"abc","reasoning_content":"abc","content":null}}]}"#, 3),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"id":"x","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
                7,
            ),
            (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"abcd"}]}}]}"#, 4),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, 0),
            (r#"{"choices":[{"index":0,"text":"abc","logprobs":null}]}"#, 3),
            (r#"{"choices":[{"delta":{"content":"cut"#, 0),
            (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, 0),
            ("[DONE]", 0),
        ];
        for (data, bytes) in table {
            assert_eq!(of_chunk(data.as_bytes()), bytes, "{data}");
        }
    }

    #[test]
    fn deltas_of_the_other_families() {
        assert_eq!(
            of_response_delta(br#"{"type":"response.output_text.delta","delta":"hi","logprobs":[]}"#),
            2
        );
        assert_eq!(of_response_delta(br#"{"delta":{"x":1}}"#), 0);
        for (delta, bytes) in [
            (r#"{"type":"text_delta","text":"hello"}"#, 5),
            (r#"{"type":"thinking_delta","thinking":"abc"}"#, 3),
            (r#"{"type":"input_json_delta","partial_json":"{\"a"}"#, 3),
            (r#"{"type":"signature_delta","signature":"EqQBCg"}"#, 0),
        ] {
            let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
            assert_eq!(of_block_delta(data.as_bytes()), bytes, "{delta}");
        }
    }
}
