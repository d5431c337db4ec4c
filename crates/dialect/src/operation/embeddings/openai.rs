//! OpenAI's `/v1/embeddings` and the many that speak it, as the official SDK's types have it. The SDK asks for base64
//! unless its caller says otherwise.

use super::super::Response;
use super::{Form, Input, Piece, Request, Vectors, counted, left, told, vector};
use crate::canon::Raw;
use crate::codec::Target;
use crate::json::{Json, Malformed, Value};
use crate::losses::{Losses, Unsupported};
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Dialect;

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut request = Request::new(fields.need("input", inputs)?);
    fields.take("model");
    request.dimensions = fields.count("dimensions")?;
    let form = fields.with("encoding_format", |word| match word.text()?.as_str() {
        "float" => Ok(Form::Float),
        "base64" => Ok(Form::Base64),
        _ => Err(Malformed::new("must be float or base64")),
    })?;
    request.forms = vec![form.unwrap_or(Form::Float)];
    request.user = fields.text("user")?;
    request.beside = left(fields, "").collect();
    Ok(request)
}

/// A text or its tokens, or a list of either.
fn inputs(value: Value<'_>) -> Result<Vec<Input>, Malformed> {
    if value.is_text() {
        return Ok(vec![Input::text(value.text()?, "input", None)]);
    }
    let mut ids = false;
    let list = value.each(|at, item| {
        if item.is_text() {
            return Ok(Input::text(item.text()?, "input", Some(at)));
        }
        // Numbers in the list itself are the tokens of one text.
        ids |= !item.is_list();
        Ok(Input { pieces: vec![Piece::Tokens], list: "input", at: Some(at) })
    })?;
    match (list.is_empty(), ids) {
        (true, _) => Err(Malformed::new("must not be empty")),
        (_, true) => Ok(vec![Input { pieces: vec![Piece::Tokens], list: "input", at: None }]),
        (_, false) => Ok(list),
    }
}

pub(super) fn encode(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    request.floats(losses)?;
    request.taskless(losses)?;
    request.untruncated(losses)?;
    json.open_object().member("model", target.model).key("input").open_list();
    for input in &request.inputs {
        json.text(&request.text(input, losses)?);
    }
    json.close_list().maybe_number("dimensions", request.dimensions);
    json.member("encoding_format", "float").maybe("user", request.user.as_deref()).close_object();
    Ok(())
}

pub(super) fn decode_response(body: &[u8]) -> Result<(Response, Vectors), Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut each = fields.need("data", |list| list.each(one))?;
    each.sort_by_key(|(index, ..)| *index);
    let form = each.first().map_or(Form::Float, |(_, form, _)| *form);
    if each.iter().any(|(_, other, _)| *other != form) {
        return Err(Malformed::new("mixes forms of vectors").within("data"));
    }
    let vectors = Vectors { forms: vec![(form, each.into_iter().map(|(.., raw)| raw).collect())] };
    let usage = counted(Dialect::OpenaiChat, &mut fields, "usage");
    Ok((told(fields.text("id")?, fields.text("model")?, usage), vectors))
}

fn one(at: usize, value: Value<'_>) -> Result<(u64, Form, Raw), Malformed> {
    let mut fields = value.fields()?;
    // Some servers number none of them.
    let index = fields.count("index")?.unwrap_or(at as u64);
    let (form, raw) = fields.need("embedding", vector::read)?;
    Ok((index, form, raw))
}

pub(super) fn encode_response(
    json: &mut Json<'_>,
    request: &Request,
    vectors: &Vectors,
    (model, usage): (&str, Option<&Usage>),
) -> Result<(), Malformed> {
    let form = request.forms.first().copied().unwrap_or(Form::Float);
    json.open_object().member("object", "list").key("data").open_list();
    for (index, raw) in vectors.get(form)?.iter().enumerate() {
        json.open_object().member("object", "embedding").key("index").count(index as u64);
        json.key("embedding").raw(raw).close_object();
    }
    // The dialect has no reply without counts: 0 is what is known.
    let count = usage.map_or(0, Usage::input_total);
    json.close_list().member("model", model).key("usage").open_object();
    json.key("prompt_tokens").count(count).key("total_tokens").count(count).close_object().close_object();
    Ok(())
}
