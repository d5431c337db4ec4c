//! Cohere's `/v2/embed`, as the official SDK's types have it; its models at Bedrock take nearly the same.

use super::super::Response;
use super::{Form, Input, Piece, Request, Task, Vectors, counted, left, told, vector};
use crate::canon::Source;
use crate::codec::Target;
use crate::json::{Json, Malformed, Value};
use crate::losses::{Losses, Thing, Unsupported};
use crate::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let texts = fields
        .with("texts", |list| list.each(|at, text| Ok(Input::text(text.text()?, "texts", Some(at)))))?;
    let images = fields.with("images", |list| {
        list.each(|at, url| {
            let pieces = vec![Piece::Image(Source::of_url(url.text()?))];
            Ok(Input { pieces, list: "images", at: Some(at) })
        })
    })?;
    let mixed = fields.with("inputs", |list| list.each(input))?;
    let inputs: Vec<Input> = [texts, images, mixed].into_iter().flatten().flatten().collect();
    if inputs.is_empty() {
        return Err(Malformed::missing("texts"));
    }
    let mut request = Request::new(inputs);
    fields.take("model");
    // That a picture is one is seen.
    let word = fields.text("input_type")?.filter(|word| word != "image");
    request.task = word.map(|word| (task(&word), "input_type".to_owned()));
    request.dimensions = fields.count("output_dimension")?;
    let forms = fields.with("embedding_types", |list| {
        list.each(|_, word| {
            Form::parse(&word.text()?).ok_or_else(|| Malformed::new("is not a type of embeddings"))
        })
    })?;
    for form in forms.unwrap_or_default() {
        // Each is written once, as a member of its name.
        if !request.forms.contains(&form) {
            request.forms.push(form);
        }
    }
    if request.forms.is_empty() {
        request.forms.push(Form::Float);
    }
    request.truncate = fields.text("truncate")?;
    request.beside = left(fields, "").collect();
    Ok(request)
}

fn input(at: usize, value: Value<'_>) -> Result<Input, Malformed> {
    let pieces = value.fields()?.need("content", |list| {
        list.each(|_, part| {
            let mut part = part.fields()?;
            Ok(match part.need("type", Value::text)?.as_str() {
                "text" => Piece::Text(part.need("text", Value::text)?),
                "image_url" => {
                    let url = part.need("image_url", |image| image.fields()?.need("url", Value::text))?;
                    Piece::Image(Source::of_url(url))
                }
                _ => Piece::Other,
            })
        })
    })?;
    Ok(Input { pieces, list: "inputs", at: Some(at) })
}

fn task(word: &str) -> Task {
    match word {
        "search_query" => Task::Query,
        "search_document" => Task::Document,
        "classification" => Task::Classification,
        "clustering" => Task::Clustering,
        _ => Task::Other,
    }
}

pub(super) fn encode(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    request.floats(losses)?;
    json.open_object().member("model", target.model);
    write(json, request, &[Form::Float], losses)?;
    json.close_object();
    Ok(())
}

/// What its models take wherever they run.
pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    forms: &[Form],
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    request.no_user(losses)?;
    let single = |input: &Input, image: bool| match input.pieces.as_slice() {
        [Piece::Image(_)] => image,
        pieces => !image && pieces.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Tokens)),
    };
    let images = request.inputs.iter().all(|input| single(input, true));
    let texts = request.inputs.iter().all(|input| single(input, false));
    let word = match request.task.as_ref() {
        _ if images => "image",
        // It must be said; what is stored to be found is the usual.
        None => "search_document",
        Some((task, at)) => match task {
            Task::Query => "search_query",
            Task::Classification => "classification",
            Task::Clustering => "clustering",
            Task::Document => "search_document",
            Task::Other => {
                losses.report_path(Thing::Task, at.clone())?;
                "search_document"
            }
        },
    };
    json.member("input_type", word).key(match (texts, images) {
        (true, _) => "texts",
        (_, true) => "images",
        _ => "inputs",
    });
    json.open_list();
    for input in &request.inputs {
        if texts {
            json.text(&request.text(input, losses)?);
        } else if images {
            url(json, input, &input.pieces, losses)?;
        } else {
            content(json, input, losses)?;
        }
    }
    json.close_list().key("embedding_types").open_list();
    for form in forms {
        json.text(form.as_str());
    }
    json.close_list().maybe_number("output_dimension", request.dimensions);
    json.maybe("truncate", request.truncate.as_deref());
    Ok(())
}

fn content(json: &mut Json<'_>, input: &Input, losses: &mut Losses) -> Result<(), Unsupported> {
    json.open_object().key("content").open_list();
    for piece in &input.pieces {
        match piece {
            Piece::Text(text) => {
                json.open_object().member("type", "text").member("text", text).close_object();
            }
            Piece::Image(_) => {
                json.open_object().member("type", "image_url").key("image_url").open_object().key("url");
                url(json, input, std::slice::from_ref(piece), losses)?;
                json.close_object().close_object();
            }
            Piece::Tokens | Piece::Other => losses.report_path(piece.thing(), input.path())?,
        }
    }
    json.close_list().close_object();
    Ok(())
}

/// Pictures stand in the body: addresses are not fetched.
fn url(json: &mut Json<'_>, input: &Input, pieces: &[Piece], losses: &mut Losses) -> Result<(), Unsupported> {
    match pieces {
        [Piece::Image(Source::Inline { media_type, data })] => {
            json.text(&format!("data:{media_type};base64,{data}"));
            Ok(())
        }
        pieces => pieces.iter().try_for_each(|piece| losses.report_path(piece.thing(), input.path())),
    }
}

pub(super) fn decode_response(body: &[u8]) -> Result<(Response, Vectors), Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let forms = fields.need("embeddings", |value| {
        // Without types asked for, its models at Bedrock give a bare list.
        if value.is_list() {
            return Ok(vec![(Form::Float, vector::read_all(value)?)]);
        }
        let mut by_form = value.fields()?;
        let mut forms = Vec::new();
        for (form, word) in Form::ALL {
            forms.extend(by_form.with(word, vector::read_all)?.map(|each| (form, each)));
        }
        Ok(forms)
    })?;
    let usage = counted(Dialect::CohereChat, &mut fields, "meta");
    Ok((told(fields.text("id")?, None, usage), Vectors { forms }))
}

pub(super) fn encode_response(
    json: &mut Json<'_>,
    request: &Request,
    vectors: &Vectors,
    (id, usage): (&str, Option<&Usage>),
) -> Result<(), Malformed> {
    json.open_object().member("response_type", "embeddings_by_type").member("id", id);
    json.key("embeddings").open_object();
    for form in &request.forms {
        json.key(form.as_str()).open_list();
        for raw in vectors.get(*form)?.iter() {
            json.raw(raw);
        }
        json.close_list();
    }
    json.close_object().key("texts").open_list();
    for input in request.inputs.iter().filter(|input| input.list == "texts") {
        for piece in &input.pieces {
            if let Piece::Text(text) = piece {
                json.text(text);
            }
        }
    }
    json.close_list().key("meta").open_object();
    json.key("api_version").open_object().member("version", "2").close_object();
    if let Some(usage) = usage {
        let images = usage.get(Meter::ImageInput);
        json.key("billed_units").open_object().key("input_tokens").count(usage.input_total() - images);
        json.maybe_number("image_tokens", Some(images).filter(|images| *images > 0)).close_object();
    }
    json.close_object().close_object();
    Ok(())
}
