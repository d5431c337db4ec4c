//! Bedrock has no operation for embeddings: `InvokeModel` takes the body of the model's maker. Titan embeds one text for
//! each request.

use super::super::{Response, maker, nowhere, sensible};
use super::{Form, Request, Vectors, cohere, told, vector};
use crate::codec::Target;
use crate::json::{Json, Malformed, Value};
use crate::losses::{Losses, Thing, Unsupported};
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Meter;

pub(super) fn encode(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    match maker(target.model, "embed") {
        Some("cohere") => {
            json.open_object();
            let small = request.forms.iter().any(|form| !matches!(form, Form::Float | Form::Base64));
            // Whole numbers and bits are what its own callers know of.
            let forms = if small { request.forms.as_slice() } else { &[Form::Float] };
            cohere::write(json, request, forms, losses)?;
            json.close_object();
            Ok(())
        }
        Some(_) if target.model.contains("titan-embed-text") => titan(json, request, losses),
        _ => nowhere(losses),
    }
}

fn titan(json: &mut Json<'_>, request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    request.floats(losses)?;
    request.taskless(losses)?;
    request.untruncated(losses)?;
    request.no_user(losses)?;
    if let Some(second) = request.inputs.get(1) {
        losses.report_path(Thing::ManyInputs, second.path())?;
    }
    json.open_object();
    if let Some(input) = request.inputs.first() {
        json.member("inputText", &request.text(input, losses)?);
    }
    json.maybe_number("dimensions", request.dimensions).close_object();
    Ok(())
}

pub(super) fn decode_response(body: &[u8]) -> Result<(Response, Vectors), Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let Some((form, raw)) = fields.with("embedding", vector::read)? else {
        return cohere::decode_response(body);
    };
    let count = fields.take("inputTextTokenCount").and_then(sensible);
    let usage = count.map(|count| Usage::of(&[(Meter::Input, count)], 0));
    Ok((told(None, None, usage), Vectors { forms: vec![(form, vec![raw])] }))
}
