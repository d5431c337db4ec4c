//! Forms of vectors: floats as a list and as base64 are made of each other; whole numbers and bits are not.

use super::{Form, Vectors};
use crate::canon::Raw;
use crate::json::{Json, Malformed, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// A list of numbers, or base64.
pub(super) fn read(value: Value<'_>) -> Result<(Form, Raw), Malformed> {
    match (value.is_list(), value.is_text()) {
        (true, _) => Ok((Form::Float, value.raw())),
        (_, true) => Ok((Form::Base64, value.raw())),
        _ => Err(Malformed::new("must be a list or a string")),
    }
}

/// Vectors of one form: a list of lists, or of strings.
pub(super) fn read_all(value: Value<'_>) -> Result<Vec<Raw>, Malformed> {
    value.each(|_, one| read(one).map(|(_, raw)| raw))
}

fn packed(list: &Raw) -> Result<Raw, Malformed> {
    let floats: Vec<f32> = serde_json::from_str(list.as_str())
        .map_err(|_| Malformed::new("has a vector that is not of numbers"))?;
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    written(|json| {
        json.text(&STANDARD.encode(&bytes));
    })
}

fn unpacked(text: &Raw) -> Result<Raw, Malformed> {
    let bad = || Malformed::new("has a vector that is not base64 of 32-bit floats");
    let text: Cow<'_, str> = serde_json::from_str(text.as_str()).map_err(|_| bad())?;
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| bad())?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(bad());
    }
    written(|json| {
        json.open_list();
        floats.iter().for_each(|float| {
            json.number(f32::from_le_bytes(*float));
        });
        json.close_list();
    })
}

fn written(write: impl FnOnce(&mut Json<'_>)) -> Result<Raw, Malformed> {
    let mut bytes = Vec::new();
    write(&mut Json::new(&mut bytes));
    let text = std::str::from_utf8(&bytes).ok();
    text.and_then(Raw::parse).ok_or_else(|| Malformed::new("has a vector that cannot be written"))
}

// === impl Vectors ===

impl Vectors {
    /// The vectors in this form, made of another if need be.
    pub(super) fn get(&self, form: Form) -> Result<Cow<'_, [Raw]>, Malformed> {
        let find = |form| self.forms.iter().find(|(own, _)| *own == form).map(|(_, each)| each);
        if let Some(each) = find(form) {
            return Ok(Cow::Borrowed(each));
        }
        let made = match form {
            Form::Base64 => find(Form::Float).map(|each| each.iter().map(packed).collect()),
            Form::Float => find(Form::Base64).map(|each| each.iter().map(unpacked).collect()),
            Form::Int8 | Form::Uint8 | Form::Binary | Form::Ubinary => None,
        };
        made.unwrap_or_else(|| Err(Malformed::new("has no vectors of the form that was asked for")))
            .map(Cow::Owned)
    }
}
