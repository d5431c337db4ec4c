//! The few fields that routing needs, from a JSON body or a form.

use super::Called;
use crate::refusal::Refusal;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use keyway_dialect::{
    multipart::{self, Form},
    rewrite::{self, Segments},
    scan::{self, Malformed, Named, Reason, Scan},
};
use std::borrow::Cow;

/// A scanned body.
#[derive(Debug)]
pub(crate) enum Shape {
    Json(Scan),
    Form(Form),
    /// JSON of a call whose path names the model.
    Named(Named),
}

/// Scans the body.
///
/// # Errors
/// 400, naming the field or the byte.
pub(crate) fn shape(headers: &HeaderMap, body: &[u8], called: &Called) -> Result<Shape, Refusal> {
    let shape = scanned(content_type(headers)?, body, called).map_err(|malformed| refuse(&malformed))?;
    shape.check()?;
    Ok(shape)
}

/// What the target reads the body by, so that it reads what was scanned. None at all is JSON's.
fn content_type(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let only = lines.next().map_or(Ok(""), HeaderValue::to_str);
    only.ok().filter(|_| lines.next().is_none()).ok_or_else(|| {
        Refusal::invalid("`content-type` must stand once, in plain ASCII", "invalid_content_type", None)
    })
}

fn scanned(content_type: &str, body: &[u8], called: &Called) -> Result<Shape, Malformed> {
    match (multipart::boundary(content_type)?, &called.model) {
        (None, None) => scan::request(body).map(Shape::Json),
        (None, Some(_)) => scan::named(body, called.dialect).map(Shape::Named),
        (Some(boundary), None) => multipart::scan(body, boundary).map(Shape::Form),
        // No dialect whose paths name the model takes forms.
        (Some(_), Some(_)) => Err(Malformed { offset: 0, reason: Reason::BadFormType, param: None }),
    }
}

fn refuse(malformed: &Malformed) -> Refusal {
    let reason = match malformed.reason {
        Reason::WrongType(_) => "invalid_type",
        Reason::RepeatedKey => "duplicate_key",
        Reason::BadFormType => "invalid_content_type",
        _ => "invalid_json",
    };
    Refusal::invalid(malformed.to_string(), reason, malformed.param.clone())
}

// === impl Shape ===

impl Shape {
    fn check(&self) -> Result<(), Refusal> {
        let (forbidden, state) = match self {
            Shape::Json(scan) => (scan.forbidden, scan.state),
            Shape::Form(form) => (form.forbidden, None),
            Shape::Named(named) => (None, named.state),
        };
        if let Some(field) = forbidden {
            let message = format!("`{field}` is not taken: where requests go is the gateway's to say");
            return Err(Refusal::invalid(message, "unsupported_parameter", Some(field.to_owned())));
        }
        if let Some(field) = state {
            let message = format!(
                "`{field}` names state stored at a provider, which Keyway does not keep apart by client yet"
            );
            return Err(Refusal::unsupported(message, Some(field)));
        }
        Ok(())
    }

    /// The model that the body asks for.
    ///
    /// # Errors
    /// 400 if there is none.
    pub(crate) fn model<'a>(&self, body: &'a [u8]) -> Result<Cow<'a, str>, Refusal> {
        let found = match self {
            Shape::Json(scan) => scan.model.as_ref().map(|text| text.value(body)),
            Shape::Form(form) => form
                .model
                .clone()
                .and_then(|span| body.get(span))
                .and_then(|raw| std::str::from_utf8(raw).ok())
                .map(Cow::Borrowed),
            Shape::Named(_) => None,
        };
        found.filter(|model| !model.is_empty()).ok_or_else(|| {
            Refusal::invalid("the body names no model", "missing_model", Some("model".to_owned()))
        })
    }

    pub(crate) fn is_stream(&self) -> bool {
        match self {
            Shape::Json(scan) => scan.stream,
            Shape::Form(form) => form.stream,
            Shape::Named(_) => None,
        }
        .unwrap_or(false)
    }

    /// Whether the caller asked for the usage of a stream.
    pub(crate) fn wants_usage(&self) -> bool {
        match self {
            Shape::Json(scan) => {
                scan.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
            }
            Shape::Form(_) | Shape::Named(_) => true,
        }
    }

    /// The body as it goes to a target whose address names the model.
    pub(crate) fn versioned(&self, body: Bytes, version: &str) -> Segments {
        match self {
            Shape::Json(scan) => rewrite::versioned(body, scan, version),
            Shape::Form(_) | Shape::Named(_) => body.into(),
        }
    }

    /// The body as it goes to a target.
    pub(crate) fn rewritten(&self, body: Bytes, model: &str, merge_usage: bool) -> Segments {
        match self {
            Shape::Json(scan) => rewrite::request(body, scan, Some(model), merge_usage),
            Shape::Form(form) => multipart::rewrite(body, form, model),
            Shape::Named(named) => rewrite::named(body, named, model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Called, Shape, shape};
    use http::{HeaderMap, HeaderValue, header};
    use keyway_snapshot::{Dialect, Endpoint};

    const JSON: &[u8] = br#"{"model":"m"}"#;
    const FORM: &[u8] = b"--a\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--a--\r\n";

    /// The body's model, or the status that refuses it, with these lines of `content-type`.
    fn model(lines: &[&str], body: &[u8], named: bool) -> Result<String, u16> {
        let called = Called {
            endpoint: Endpoint::ChatCompletions,
            dialect: if named { Dialect::Gemini } else { Dialect::OpenaiChat },
            model: named.then(|| "n".into()),
            stream: None,
        };
        let mut headers = HeaderMap::new();
        for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line.as_bytes()).ok()) {
            headers.append(header::CONTENT_TYPE, line);
        }
        let shape = shape(&headers, body, &called).map_err(|refusal| refusal.0.status)?;
        match shape {
            Shape::Named(_) => Ok("n".to_owned()),
            shape => shape.model(body).map(Into::into).map_err(|refusal| refusal.0.status),
        }
    }

    #[test]
    fn a_body_is_read_as_its_type_says() {
        for lines in [&[][..], &["application/json"], &["application/json; charset=utf-8"], &["text/plain"]] {
            assert_eq!(model(lines, JSON, false), Ok("m".to_owned()), "{lines:?}");
            assert_eq!(model(lines, b"{}", true), Ok("n".to_owned()), "{lines:?}");
        }
        assert_eq!(model(&["multipart/form-data; boundary=a"], FORM, false), Ok("m".to_owned()));
    }

    #[test]
    fn what_a_target_may_read_as_a_form_is_no_json() {
        for lines in [
            &["application/x-www-form-urlencoded"][..],
            &["multipart/form-data"],
            &["multipart/form-data; boundary=\"a b\""],
            &["multipart/mixed; boundary=a"],
            &["multipart/form-data; boundary=a; x=\u{e9}"],
            &["application/json", "application/json"],
            &["application/json", "multipart/form-data; boundary=a"],
        ] {
            assert_eq!(model(lines, JSON, false), Err(400), "{lines:?}");
            assert_eq!(model(lines, b"{}", true), Err(400), "{lines:?}");
        }
        assert_eq!(model(&["multipart/form-data; boundary=a"], b"{}", true), Err(400));
        assert_eq!(model(&["multipart/form-data; boundary=b; boundary=a"], FORM, false), Err(400));
    }
}
