//! A shallow scan of a JSON request: what routing needs from the top level, in one pass, with offsets instead of
//! values. It checks what decides where a request goes (UTF-8, balance, repeated keys) and leaves the rest to the
//! provider.

mod keys;
mod malformed;
mod named;
mod nested;
mod text;
mod walk;

#[cfg(test)]
mod tests;

use keys::Keys;
use std::ops::Range;
use walk::Shape;

pub use keys::{KEY_LENGTH_LIMIT, KEYS_LIMIT};
pub use malformed::{Malformed, Reason};
pub use named::{MODELS_LIMIT, Named, named, plain_name};
pub use text::Text;
pub use walk::DEPTH_LIMIT;
pub(crate) use walk::{Items, Member, Members, member, next_mark, skip_blank, skip_string};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Length of the longest key that is also looked for in other cases.
const LONGEST_NAME: usize = "previous_response_id".len();

/// What the top level of a request says. All offsets are into the body that was scanned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The model asked for.
    pub model: Option<Text>,
    /// `stream`; `null` counts as absent.
    pub stream: Option<bool>,
    /// `stream_options`, also where it is `null`.
    pub stream_options: Option<StreamOptions>,
    /// A field that names state stored at the provider, present and not null.
    pub state: Option<&'static str>,
    /// A field that would choose the destination; present at all is enough.
    pub forbidden: Option<&'static str>,
    /// The largest of `max_tokens`, `max_completion_tokens` and `max_output_tokens` that is a whole number.
    pub output_limit: Option<u64>,
    /// Offset of the closing brace: where a member can be put in.
    pub object_end: usize,
    /// True if the object has no members.
    pub empty: bool,
}

/// The top-level member `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Offsets of the value: an object, or `null`.
    pub span: Range<usize>,
    /// `include_usage` inside it; `null` counts as absent.
    pub include_usage: Option<bool>,
    /// True if the value is an object without members, or `null`.
    pub is_empty: bool,
    /// Offsets of the value of `include_usage`, if it is there at all.
    pub(crate) include_usage_span: Option<Range<usize>>,
}

/// Scans a request body.
///
/// # Errors
/// What is wrong and where; the request must be refused with 400.
pub fn request(body: &[u8]) -> Result<Scan, Malformed> {
    let mut scan = Scan { empty: true, ..Scan::default() };
    scan.object_end = top_level(body, |key, member| {
        scan.empty = false;
        scan.take(body, key, member)
    })?;
    Ok(scan)
}

/// Gives each member of the one object that a body must be to `take`; the offset of its closing brace.
fn top_level(
    body: &[u8],
    mut take: impl FnMut(&[u8], Member) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    check_text(body)?;
    let mut members = Members::open(body, skip_blank(body, 0))?;
    let mut keys = Keys::new();
    while let Some(member) = members.next()? {
        take(keys.admit(&member.key, body)?, member)?;
    }
    let end = members.end();
    let rest = skip_blank(body, end + 1);
    if rest < body.len() {
        return Err(Malformed::at(rest, Reason::Trailing));
    }
    Ok(end)
}

/// UTF-8 without a byte order mark.
fn check_text(body: &[u8]) -> Result<(), Malformed> {
    // The quick check first; the one that can tell the offset only when needed.
    if simdutf8::basic::from_utf8(body).is_err() {
        let offset = simdutf8::compat::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(Malformed::at(offset, Reason::NotUtf8));
    }
    if body.starts_with(BYTE_ORDER_MARK) {
        return Err(Malformed::at(0, Reason::ByteOrderMark));
    }
    Ok(())
}

// === impl Scan ===

impl Scan {
    fn take(&mut self, body: &[u8], key: &[u8], member: Member) -> Result<(), Malformed> {
        match key {
            b"model" => self.model = Some(model(body, &member)?),
            b"stream" => self.stream = flag(&member, "stream")?,
            b"stream_options" => self.stream_options = Some(stream_options(body, member)?),
            b"previous_response_id" => self.refers("previous_response_id", member.shape),
            b"conversation" => self.refers("conversation", member.shape),
            b"api_base" => self.forbidden = Some("api_base"),
            b"base_url" => self.forbidden = Some("base_url"),
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" => {
                self.output_limit = self.output_limit.max(whole_number(body, &member));
            }
            _ => return self.take_folded(key, &member),
        }
        Ok(())
    }

    /// Some servers (those on Go's standard library) read keys in any case, so `Model` could override `model` there.
    fn take_folded(&mut self, key: &[u8], member: &Member) -> Result<(), Malformed> {
        if key.len() > LONGEST_NAME || !key.iter().any(u8::is_ascii_uppercase) {
            return Ok(());
        }
        match key.to_ascii_lowercase().as_slice() {
            b"model" => {
                let name = std::str::from_utf8(key).unwrap_or_default();
                return Err(Malformed::of(member.key.span().start, Reason::OtherCase("model"), name));
            }
            b"previous_response_id" => self.refers("previous_response_id", member.shape),
            b"conversation" => self.refers("conversation", member.shape),
            b"api_base" => self.forbidden = Some("api_base"),
            b"base_url" => self.forbidden = Some("base_url"),
            _ => {}
        }
        Ok(())
    }

    fn refers(&mut self, name: &'static str, shape: Shape) {
        if shape != Shape::Null {
            self.state = Some(name);
        }
    }
}

fn model(body: &[u8], member: &Member) -> Result<Text, Malformed> {
    let at = member.value.start;
    if member.shape != Shape::String {
        return Err(Malformed::of(at, Reason::WrongType("a string"), "model"));
    }
    let text = Text::new(body, member.value.clone());
    if text.is_escaped() && text.checked(body).is_none() {
        return Err(Malformed::of(at, Reason::BadEscape, "model"));
    }
    Ok(text)
}

fn flag(member: &Member, param: &str) -> Result<Option<bool>, Malformed> {
    match member.shape {
        Shape::True => Ok(Some(true)),
        Shape::False => Ok(Some(false)),
        Shape::Null => Ok(None),
        Shape::Object | Shape::Array | Shape::String | Shape::Number => {
            Err(Malformed::of(member.value.start, Reason::WrongType("a boolean"), param))
        }
    }
}

fn whole_number(body: &[u8], member: &Member) -> Option<u64> {
    std::str::from_utf8(body.get(member.value.clone())?).ok()?.parse().ok()
}

fn stream_options(body: &[u8], member: Member) -> Result<StreamOptions, Malformed> {
    const PARAM: &str = "stream_options.include_usage";
    let span = member.value;
    let mut options = StreamOptions { span, include_usage: None, is_empty: true, include_usage_span: None };
    match member.shape {
        Shape::Null => return Ok(options),
        Shape::Object => {}
        Shape::Array | Shape::String | Shape::Number | Shape::True | Shape::False => {
            let reason = Reason::WrongType("an object");
            return Err(Malformed::of(options.span.start, reason, "stream_options"));
        }
    }
    let mut members = Members::open(body, options.span.start)?;
    while let Some(member) = members.next()? {
        options.is_empty = false;
        if member.key.checked(body).as_deref() != Some("include_usage") {
            continue;
        }
        if options.include_usage_span.is_some() {
            return Err(Malformed::of(member.key.span().start, Reason::RepeatedKey, PARAM));
        }
        options.include_usage = flag(&member, PARAM)?;
        options.include_usage_span = Some(member.value);
    }
    Ok(options)
}
