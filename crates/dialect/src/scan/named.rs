//! A shallow scan of a request whose path names the model (Gemini, Bedrock): where the body names it once more, and
//! what state at the provider it refers to.

use super::malformed::{Malformed, Reason};
use super::text::Text;
use super::walk::{Items, Member, Members, Shape};
use keyway_proto::snapshot::v1::Dialect;

/// Times that a body may name its model: once for each of its requests.
pub const MODELS_LIMIT: usize = 4096;

/// What such a body says. All offsets are into the body that was scanned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Where it names the model, in order.
    pub(crate) models: Vec<Text>,
    /// A field that names state stored at the provider, present and not null.
    pub state: Option<&'static str>,
}

/// Scans a request body. Gemini's fields are known under both of their spellings.
///
/// # Errors
/// What is wrong and where; the request must be refused with 400.
pub fn named(body: &[u8], dialect: Dialect) -> Result<Named, Malformed> {
    let mut named = Named::default();
    super::top_level(body, |key, member| match key {
        _ if dialect != Dialect::Gemini => Ok(()),
        b"requests" => {
            Items::open(body, member.value.start).try_for_each(|item| named.within(body, item.start))
        }
        b"generateContentRequest" | b"generate_content_request" => named.within(body, member.value.start),
        key => named.take(body, key, &member),
    })?;
    Ok(named)
}

/// A model's name without what Gemini's callers put before it.
#[must_use]
pub fn plain_name(name: &str) -> &str {
    let name = name.strip_prefix("publishers/google/").unwrap_or(name);
    name.strip_prefix("models/").unwrap_or(name)
}

// === impl Named ===

impl Named {
    /// A request inside the body. What is no object is the provider's to refuse.
    fn within(&mut self, body: &[u8], open: usize) -> Result<(), Malformed> {
        let Ok(mut members) = Members::open(body, open) else { return Ok(()) };
        while let Some(member) = members.next()? {
            let key = member.key.value(body);
            self.take(body, key.as_bytes(), &member)?;
        }
        Ok(())
    }

    fn take(&mut self, body: &[u8], key: &[u8], member: &Member) -> Result<(), Malformed> {
        match (key, member.shape) {
            (b"model", Shape::String) if self.models.len() == MODELS_LIMIT => {
                return Err(Malformed::at(member.value.start, Reason::TooManyModels));
            }
            (b"model", Shape::String) => {
                let text = Text::new(body, member.value.clone());
                text.checked(body)
                    .ok_or_else(|| Malformed::of(member.value.start, Reason::BadEscape, "model"))?;
                self.models.push(text);
            }
            (b"cachedContent" | b"cached_content", shape) if shape != Shape::Null => {
                self.state = Some("cachedContent");
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(body: &str) -> (Vec<String>, Option<&'static str>) {
        let named = named(body.as_bytes(), Dialect::Gemini).unwrap();
        let models = named.models.iter().map(|text| text.value(body.as_bytes()).into_owned());
        (models.collect(), named.state)
    }

    #[test]
    fn models_and_state_where_gemini_has_them() {
        for (body, models, state) in [
            ("{}", &[][..], None),
            (r#"{"contents":[{"parts":[{"text":"\"model\":\"x\""}]}]}"#, &[], None),
            (r#"{"model":"models/a","content":{"model":"no"}}"#, &["models/a"], None),
            (
                r#"{"requests":[{"model":"models/a"},1,{"content":{}},{"mod\u0065l":"b"}]}"#,
                &["models/a", "b"],
                None,
            ),
            (
                r#"{"generateContentRequest":{"model":"a","cachedContent":"c"}}"#,
                &["a"],
                Some("cachedContent"),
            ),
            (r#"{"generate_content_request":{"model":null}}"#, &[], None),
            (r#"{"cachedContent":null}"#, &[], None),
            (r#"{"cached_content":"cachedContents/x"}"#, &[], Some("cachedContent")),
        ] {
            assert_eq!(
                scanned(body),
                (models.iter().map(|name| (*name).to_owned()).collect(), state),
                "{body}"
            );
        }
        let bedrock = named(br#"{"model":"x","cachedContent":"y"}"#, Dialect::BedrockConverse);
        assert_eq!(bedrock, Ok(Named::default()));
    }

    #[test]
    fn what_is_refused() {
        let many = format!("{{\"requests\":[{}{{}}]}}", r#"{"model":"m"},"#.repeat(MODELS_LIMIT + 1));
        for (body, reason) in [
            ("[]", Reason::NotAnObject),
            ("{} x", Reason::Trailing),
            (r#"{"contents":[],"contents":[]}"#, Reason::RepeatedKey),
            (r#"{"model":"\ud800"}"#, Reason::BadEscape),
            (&many, Reason::TooManyModels),
        ] {
            assert_eq!(named(body.as_bytes(), Dialect::Gemini).unwrap_err().reason, reason);
        }
    }

    #[test]
    fn prefixes_are_no_part_of_the_name() {
        for (name, plain) in [
            ("models/gemini-3", "gemini-3"),
            ("publishers/google/models/gemini-3", "gemini-3"),
            ("openai/gpt-4o", "openai/gpt-4o"),
        ] {
            assert_eq!(plain_name(name), plain);
        }
    }
}
