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
/// Types of bodies that are no JSON, whatever else stands there.
const FORMS: [&str; 2] = ["multipart/", "application/x-www-form-urlencoded"];

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

/// The boundary that a `content-type` header names; none if it names no form.
///
/// # Errors
/// It names a form whose boundary is missing, cannot be used, or could be read in two ways.
pub fn boundary(content_type: &str) -> Result<Option<&str>, Malformed> {
    // Wherever it stands: servers differ in what they make of a header with more than one type.
    if !FORMS.iter().any(|form| holds(content_type, form)) {
        return Ok(None);
    }
    let bad = || Malformed::at(0, Reason::BadFormType);
    let (kind, parameters) = content_type.split_once(';').ok_or_else(bad)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(bad());
    }
    let mut boundary = None;
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_boundary = is_named(name, "boundary").map_err(|Twofold| bad())?;
        if is_boundary && boundary.replace(value.trim()).is_some() {
            return Err(bad());
        }
    }
    boundary.and_then(usable).map(Some).ok_or_else(bad)
}

/// A boundary without its quotes; none if it is not one that every server reads in the same way.
fn usable(value: &str) -> Option<&str> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    ((1..=BOUNDARY_LIMIT).contains(&value.len()) && value.bytes().all(plain)).then_some(value)
}

fn holds(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// A name that some servers take for another, such as `name*` for `name`.
struct Twofold;

/// Whether a parameter has this name.
fn is_named(parameter: &str, name: &str) -> Result<bool, Twofold> {
    let (plain, extended) = parameter.trim().split_once('*').map_or((parameter, None), |(a, b)| (a, Some(b)));
    match plain.trim().eq_ignore_ascii_case(name) {
        true if extended.is_some() => Err(Twofold),
        is => Ok(is),
    }
}

/// Scans a form.
///
/// # Errors
/// What is wrong and where; the request must be refused with 400.
pub fn scan(body: &[u8], boundary: &str) -> Result<Form, Malformed> {
    let delimiter = format!("--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let bad = |at| Malformed::at(at, Reason::BadForm);
    let mut form = Form::default();
    // Nothing may stand before the first one: servers differ in where they look for it.
    let mut at = if body.starts_with(delimiter.as_bytes()) { delimiter.len() } else { return Err(bad(0)) };
    for _ in 0..=PARTS_LIMIT {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"--") {
            return if behind.trim_ascii().is_empty() { Ok(form) } else { Err(bad(at)) };
        }
        // White space may follow a boundary on its line.
        let padding = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        let head = rest.get(padding..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or_else(|| bad(at))?;
        let head_at = at + padding + 2;
        let window = head.get(..HEADERS_LIMIT.min(head.len())).unwrap_or_default();
        let blank = memmem::find(window, b"\r\n\r\n").ok_or_else(|| bad(head_at))?;
        let start = head_at + blank + 4;
        let content = body.get(start..).unwrap_or_default();
        let length = content_length(content, &finder)
            .map_err(|Twofold| bad(start))?
            .ok_or_else(|| Malformed::at(body.len(), Reason::Truncated))?;
        let name = part_name(window.get(..blank).unwrap_or_default()).ok_or_else(|| bad(head_at))?;
        form.take(body, &name, start..start + length)?;
        at = start + length + 2 + delimiter.len();
    }
    Err(Malformed::at(at, Reason::TooManyParts))
}

/// Bytes before the line break that the next delimiter stands behind; none if there is no delimiter. Some servers find one
/// behind half a line break, or at once.
fn content_length(content: &[u8], finder: &memmem::Finder<'_>) -> Result<Option<usize>, Twofold> {
    for found in finder.find_iter(content) {
        let before = content.get(..found).unwrap_or_default();
        match before.strip_suffix(b"\r\n") {
            Some(value) => return Ok(Some(value.len())),
            None if before.last().is_none_or(|byte| matches!(byte, b'\r' | b'\n')) => return Err(Twofold),
            None => {}
        }
    }
    Ok(None)
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

/// The name in a part's `content-disposition`; none if there is not one such header with one name, or if a line could be
/// read in two ways.
fn part_name(headers: &[u8]) -> Option<String> {
    let headers = std::str::from_utf8(headers).ok()?;
    let mut disposition = None;
    for line in headers.split("\r\n") {
        // Half a line break ends a line for some servers, and a blank at its start goes on with the last one.
        let (name, value) = line.split_once(':').filter(|_| !line.contains(['\r', '\n', '\0']))?;
        if line.starts_with([' ', '\t']) {
            return None;
        }
        let is = name.trim().eq_ignore_ascii_case("content-disposition");
        if is && disposition.replace(value).is_some() {
            return None;
        }
    }
    let (kind, parameters) = disposition?.split_once(';')?;
    if kind.trim().eq_ignore_ascii_case("form-data") { only_name(parameters) } else { None }
}

/// The value of the one parameter `name`. It has no backslash, which some servers read as itself.
fn only_name(mut rest: &str) -> Option<String> {
    let mut only = None;
    loop {
        let (name, value) = rest.split_once('=')?;
        let (read, after) = parameter_value(value.trim_start())?;
        let raw = value.get(..value.len() - after.len())?;
        if name.contains([';', '"']) {
            return None;
        }
        let is = is_named(name, "name").ok()?;
        if is && (raw.contains('\\') || only.replace(read).is_some()) {
            return None;
        }
        rest = after.trim();
        if rest.is_empty() || rest == ";" {
            return only;
        }
        rest = rest.strip_prefix(';')?;
    }
}

/// A token or a quoted string with backslash escapes, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return (!token.contains('"')).then(|| (token.trim_end().to_owned(), rest));
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
