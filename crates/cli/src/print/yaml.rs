//! JSON as YAML that people would write and `keyway apply` reads back as the same.

use serde_json::Value;

/// Characters of a list that is written on one line.
const SHORT_LIST: usize = 80;

/// The value as a YAML document.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, value, 0),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

fn mapping(text: &mut String, value: &Value, indent: usize) {
    for (name, value) in value.as_object().into_iter().flatten() {
        text.push_str(&" ".repeat(indent));
        text.push_str(&key(name));
        text.push(':');
        below(text, value, indent + 2);
    }
}

/// What follows a key's colon or a list's dash.
fn below(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            mapping(text, value, indent);
        }
        Value::Array(items) if !items.is_empty() => match short(items) {
            Some(line) => text.push_str(&format!(" {line}\n")),
            None => {
                text.push('\n');
                sequence(text, items, indent);
            }
        },
        other => text.push_str(&format!(" {}\n", scalar(other))),
    }
}

fn sequence(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push('-');
        // The first field stands beside the dash, the others below it.
        let mut inner = String::new();
        below(&mut inner, item, indent + 2);
        text.push(' ');
        text.push_str(inner.trim_start());
    }
}

/// A short list of scalars, on one line.
fn short(items: &[Value]) -> Option<String> {
    if items.iter().any(|item| item.is_object() || item.is_array()) {
        return None;
    }
    let line = format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", "));
    (line.len() <= SHORT_LIST).then_some(line)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(&text.replace("${", "$${")),
        Value::Array(_) => "[]".into(),
        Value::Object(_) => "{}".into(),
        other => other.to_string(),
    }
}

/// Names are not looked through for variables.
fn key(name: &str) -> String {
    quoted(name)
}

/// Plain where no reader could take it for anything but this text; else a JSON string, which YAML reads alike.
fn quoted(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./@+".contains(&b));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    let url = text.starts_with("http")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b))
        && !text.ends_with(':');
    // `60s` and `1m`, but not `1e3` or `0x1f`, which are numbers.
    let measured = plain
        && text.starts_with(|c: char| ('1'..='9').contains(&c))
        && text.ends_with(|c: char| c.is_ascii_lowercase())
        && text.parse::<f64>().is_err();
    if (begins && plain && !word) || url || measured {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
