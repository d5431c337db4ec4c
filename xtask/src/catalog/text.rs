//! TOML as we write it: one key a line, absent things absent, prices as strings.

use std::{collections::BTreeMap, fmt::Display};

#[derive(Default)]
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn heading(&mut self, name: &str) {
        self.0 += &format!("\n[[{name}]]\n");
    }

    pub(crate) fn raw(&mut self, key: &str, value: impl Display) {
        self.0 += &format!("{key} = {value}\n");
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, quoted(value));
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(crate) fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.raw(key, value);
        }
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.raw(key, "true");
        }
    }

    pub(crate) fn list<S: AsRef<str>>(&mut self, key: &str, values: &[S]) {
        if !values.is_empty() {
            self.raw(key, array(values.iter().map(|value| quoted(value.as_ref()))));
        }
    }

    pub(crate) fn map(&mut self, key: &str, values: &BTreeMap<String, String>) {
        if !values.is_empty() {
            self.raw(key, inline(values.iter().map(|(name, value)| (name.as_str(), quoted(value)))));
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// `{ a = 1, b = 2 }`; the values are TOML already.
pub(crate) fn inline<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{} = {value}", key_text(key))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// `[1, 2]`; the values are TOML already.
pub(crate) fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(", "))
}

/// A basic string: JSON's escapes are all TOML's too.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn key_text(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}
