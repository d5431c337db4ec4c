//! The fields `model` and `stream` of a `multipart/form-data` request (audio, images), and the model's replacement.
//! Parts are found by their boundary; contents of files are not looked at.

use crate::rewrite::{Edit, Segments, apply};
use crate::scan::{Malformed, Reason};
use bytes::Bytes;
use memchr::memmem;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Parts that a form may have.
pub const PARTS_LIMIT: usize = 128;
/// Bytes that the headers of one part may have.
pub const HEADERS_LIMIT: usize = 8 * 1024;
/// Bytes that a boundary may have, after RFC 2046.
const BOUNDARY_LIMIT: usize = 70;

/// What routing needs from a form. Offsets are into the body that was scanned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Offsets of the model's name; checked to be UTF-8.
    pub model: Option<Range<usize>>,
    /// `stream`, where it is `true` or `false`.
    pub stream: Option<bool>,
    /// A field that would choose the destination.
    pub forbidden: Option<&'static str>,
}

/// The boundary that a `content-type` header names; none if it is not `multipart/form-data` or the boundary is not
/// usable.
#[must_use]
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let usable =
            (1..=BOUNDARY_LIMIT).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        (name.trim().eq_ignore_ascii_case("boundary") && usable).then_some(value)
    })
}

/// Scans a form.
///
/// # Errors
/// What is wrong and where; the request must be refused with 400.
pub fn scan(body: &[u8], boundary: &str) -> Result<Form, Malformed> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let bad = |at| Malformed::at(at, Reason::BadForm);
    let mut form = Form::default();
    // The first delimiter may stand at the very start, without the line break before it.
    let opening = delimiter.trim_start().as_bytes();
    let mut at = match body.starts_with(opening) {
        true => opening.len(),
        false => finder.find(body).ok_or_else(|| bad(0))? + delimiter.len(),
    };
    for _ in 0..=PARTS_LIMIT {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(form);
        }
        // White space may follow a boundary on its line.
        let padding = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        let head = rest.get(padding..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or_else(|| bad(at))?;
        let head_at = at + padding + 2;
        let window = head.get(..HEADERS_LIMIT.min(head.len())).unwrap_or_default();
        let blank = memmem::find(window, b"\r\n\r\n").ok_or_else(|| bad(head_at))?;
        let start = head_at + blank + 4;
        let content = body.get(start..).unwrap_or_default();
        let length = finder.find(content).ok_or_else(|| Malformed::at(body.len(), Reason::Truncated))?;
        let name = part_name(window.get(..blank).unwrap_or_default()).ok_or_else(|| bad(head_at))?;
        form.take(body, &name, start..start + length)?;
        at = start + length + delimiter.len();
    }
    Err(Malformed::at(at, Reason::TooManyParts))
}

/// The form with `model` as its model; the original alone if it names none or the same one.
#[must_use]
pub fn rewrite(body: Bytes, form: &Form, model: &str) -> Segments {
    let edit = form.model.clone().and_then(|span| {
        let same = body.get(span.clone()) == Some(model.as_bytes());
        (!same).then(|| Edit { span, with: model.as_bytes().into() })
    });
    apply(body, edit, None)
}

// === impl Form ===

impl Form {
    /// The model's name; `body` is the body that was scanned.
    #[must_use]
    pub fn model_name<'a>(&self, body: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(body.get(self.model.clone()?)?).ok()
    }

    fn take(&mut self, body: &[u8], name: &str, value: Range<usize>) -> Result<(), Malformed> {
        let text = body.get(value.clone()).unwrap_or_default();
        match name {
            "model" if self.model.is_some() => Err(Malformed::of(value.start, Reason::RepeatedKey, "model")),
            "model" if simdutf8::basic::from_utf8(text).is_err() => {
                Err(Malformed::of(value.start, Reason::NotUtf8, "model"))
            }
            "stream" if self.stream.is_some() => {
                Err(Malformed::of(value.start, Reason::RepeatedKey, "stream"))
            }
            "model" => {
                self.model = Some(value);
                Ok(())
            }
            "stream" => {
                self.stream =
                    Some(form_flag(text).ok_or_else(|| {
                        Malformed::of(value.start, Reason::WrongType("a boolean"), "stream")
                    })?);
                Ok(())
            }
            _ if name.eq_ignore_ascii_case("model") => {
                Err(Malformed::of(value.start, Reason::OtherCase("model"), name))
            }
            "api_base" | "base_url" => {
                self.forbidden = Some(if name == "api_base" { "api_base" } else { "base_url" });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Booleans as clients write them into forms.
fn form_flag(text: &[u8]) -> Option<bool> {
    match text.trim_ascii() {
        text if text.eq_ignore_ascii_case(b"true") || text == b"1" => Some(true),
        text if text.eq_ignore_ascii_case(b"false") || text == b"0" || text.is_empty() => Some(false),
        _ => None,
    }
}

/// The name in a part's `content-disposition`; none if there is no such header or no name.
fn part_name(headers: &[u8]) -> Option<String> {
    let headers = std::str::from_utf8(headers).ok()?;
    let disposition = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (kind, mut rest) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    loop {
        let (name, value) = rest.split_once('=')?;
        let (value, after) = parameter_value(value.trim_start())?;
        if name.trim().eq_ignore_ascii_case("name") {
            return Some(value);
        }
        rest = after.trim_start().strip_prefix(';')?;
    }
}

/// A token or a quoted string with backslash escapes, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return Some((token.trim_end().to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
}
