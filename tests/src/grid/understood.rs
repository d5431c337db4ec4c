//! Whether the provider understood what the caller said. Both are in the strict provider's form of `seen`.

use serde_json::{Value, json};

/// Members that are compared only where the caller said them.
const GIVEN: [&str; 12] = [
    "schema",
    "stop",
    "max_tokens",
    "reasoning",
    "temperature",
    "top_p",
    "tool_choice",
    "inputs",
    "dimensions",
    "query",
    "documents",
    "top_n",
];

/// Fails with the first member that differs.
pub(super) fn understood(said: &Value, seen: &Value) -> Result<(), String> {
    let turns = (plain(&said["turns"]), plain(&seen["turns"]));
    let same = |name: &str, said: &Value, seen: &Value| {
        if said == seen { Ok(()) } else { Err(format!("{name}: said {said}, understood {seen}")) }
    };
    same("turns", &turns.0, &turns.1)?;
    same("system", &said["system"], &seen["system"])?;
    same("tools", &said["tools"], &seen["tools"])?;
    GIVEN
        .iter()
        .filter(|name| !said[*name].is_null())
        .try_for_each(|name| same(name, &said[*name], &seen[*name]))
}

/// Turns without ids, which differ by dialect, and with neighbouring pieces of text or of thoughts joined.
fn plain(turns: &Value) -> Value {
    let turns = turns.as_array().into_iter().flatten();
    turns.map(|turn| json!({ "role": turn["role"], "parts": joined(&turn["parts"]) })).collect()
}

fn joined(parts: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for part in parts.as_array().into_iter().flatten() {
        let mut part = part.clone();
        for kind in ["call", "result"] {
            if let Some(fields) = part.get_mut(kind).and_then(Value::as_object_mut) {
                fields.remove("id");
            }
        }
        let last = all.last_mut().and_then(Value::as_object_mut).and_then(|last| last.iter_mut().next());
        let next = part.as_object().and_then(|part| part.iter().next());
        match (last, next) {
            (Some((kind, Value::String(text))), Some((same, Value::String(more)))) if kind == same => {
                text.push_str(more);
            }
            _ => all.push(part.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(parts: &Value) -> Value {
        json!({ "system": "", "tools": [], "turns": [{ "role": "assistant", "parts": parts }] })
    }

    #[test]
    fn ids_and_cuts_make_no_difference_and_words_do() {
        let whole =
            said(&json!([{ "reasoning": "ab" }, { "call": { "name": "f", "args": {} } }, { "text": "c" }]));
        let cut = said(&json!([{ "reasoning": "a" }, { "reasoning": "b" },
            { "call": { "id": "1", "name": "f", "args": {} } }, { "text": "c" }]));
        assert_eq!(understood(&whole, &cut), Ok(()));
        for other in [
            json!([{ "reasoning": "ab" }, { "text": "c" }, { "call": { "name": "f", "args": {} } }]),
            json!([{ "reasoning": "ab" }, { "call": { "name": "f", "args": { "x": 1 } } }, { "text": "c" }]),
            json!([{ "text": "ab" }, { "call": { "name": "f", "args": {} } }, { "text": "c" }]),
        ] {
            assert!(understood(&whole, &said(&other)).is_err(), "{other}");
        }
    }

    #[test]
    fn what_was_not_said_is_not_compared_and_what_was_is() {
        let mut one = said(&json!([]));
        let mut other = one.clone();
        other["max_tokens"] = json!(5);
        assert_eq!(understood(&one, &other), Ok(()));
        one["max_tokens"] = json!(4);
        assert!(understood(&one, &other).is_err());
    }
}
