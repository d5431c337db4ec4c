//! The few fields that routing needs, from a JSON body or a form.

use super::Called;
use crate::refusal::Refusal;
use bytes::Bytes;
use http::{HeaderMap, header};
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
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let shape = match multipart::boundary(content_type) {
        _ if called.model.is_some() => scan::named(body, called.dialect).map(Shape::Named),
        Some(boundary) => multipart::scan(body, boundary).map(Shape::Form),
        None => scan::request(body).map(Shape::Json),
    };
    let shape = shape.map_err(|malformed| refuse(&malformed))?;
    shape.check()?;
    Ok(shape)
}

fn refuse(malformed: &Malformed) -> Refusal {
    let reason = match malformed.reason {
        Reason::WrongType(_) => "invalid_type",
        Reason::RepeatedKey => "duplicate_key",
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
