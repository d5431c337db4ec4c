//! Gemini's `:embedContent` and `:batchEmbedContents`, as the official SDK writes them; targets get the batch, as from the
//! SDK. Vertex has its own form (`:predict`), which is none of this dialect.

use super::super::Response;
use super::{Form, Input, Piece, Request, Task, Vectors, counted, left, told, vector};
use crate::canon::Source;
use crate::codec::{Envelope, Target};
use crate::gemini::camel_fields;
use crate::json::{Json, Malformed, Value};
use crate::losses::{Losses, Unsupported};
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Dialect;
use std::borrow::Cow;

/// A model as bodies name it.
pub(in super::super) fn model(name: &str) -> Cow<'_, str> {
    if name.contains('/') { Cow::Borrowed(name) } else { Cow::Owned(format!("models/{name}")) }
}

pub(super) fn decode(body: &[u8], _: &Envelope<'_>) -> Result<Request, Malformed> {
    let mut fields = camel_fields(Value::parse(body)?)?;
    let Some(list) = fields.take("requests") else {
        return one(Value::parse(body)?, "content", None).map(|request| Request { single: true, ..request });
    };
    let beside: Vec<String> = left(fields, "").collect();
    let each = list.each(|at, value| one(value, "requests", Some(at)));
    let mut each = each.map_err(|bad| bad.within("requests"))?.into_iter();
    let mut all = each.next().ok_or_else(|| Malformed::missing("requests"))?;
    all.beside.extend(beside);
    for next in each {
        let task = |of: &Request| of.task.as_ref().map(|(task, _)| *task);
        // One request elsewhere says these once.
        if all.dimensions != next.dimensions || task(&all) != task(&next) {
            let what = "must have one taskType and one outputDimensionality in all requests";
            return Err(Malformed::new(what).within("requests"));
        }
        all.inputs.extend(next.inputs);
        for path in next.beside {
            // Named once, where it stands first.
            let name = |path: &str| path.rsplit("].").next().map(str::to_owned);
            if !all.beside.iter().any(|told| name(told) == name(&path)) {
                all.beside.push(path);
            }
        }
    }
    Ok(all)
}

fn one(value: Value<'_>, list: &'static str, at: Option<usize>) -> Result<Request, Malformed> {
    let mut fields = camel_fields(value)?;
    let within = at.map(|at| format!("{list}[{at}].")).unwrap_or_default();
    // The path says it.
    fields.take("model");
    let pieces = fields.need("content", |content| {
        let mut content = camel_fields(content)?;
        content.need("parts", |parts| parts.each(|_, part| piece(part)))
    })?;
    let mut request = Request::new(vec![Input { pieces, list, at }]);
    // Some versions hold these in an object of their own.
    let mut config = fields.with("embedContentConfig", camel_fields)?;
    let mut of_both = |name: &str| fields.take(name).or_else(|| config.as_mut()?.take(name));
    let place = |name: &str| format!("{within}{name}");
    if let Some(word) = of_both("taskType") {
        let word = word.text().map_err(|bad| bad.within("taskType"))?;
        request.task = (word != "TASK_TYPE_UNSPECIFIED").then(|| (task(&word), place("taskType")));
    }
    if let Some(count) = of_both("outputDimensionality") {
        let count = count.count().map_err(|bad| bad.within("outputDimensionality"))?;
        request.dimensions = Some(count);
    }
    request.forms = vec![Form::Float];
    request.beside = left(fields, &within).collect();
    if let Some(config) = config {
        request.beside.extend(left(config, &place("embedContentConfig.")));
    }
    Ok(request)
}

fn piece(value: Value<'_>) -> Result<Piece, Malformed> {
    let mut part = camel_fields(value)?;
    if let Some(text) = part.text("text")? {
        return Ok(Piece::Text(text));
    }
    let Some(mut inline) = part.with("inlineData", camel_fields)? else { return Ok(Piece::Other) };
    let media_type = inline.need("mimeType", Value::text)?;
    let data = inline.need("data", Value::text)?;
    let image = media_type.starts_with("image/");
    Ok(if image { Piece::Image(Source::Inline { media_type, data }) } else { Piece::Other })
}

fn task(word: &str) -> Task {
    match word {
        "RETRIEVAL_QUERY" => Task::Query,
        "RETRIEVAL_DOCUMENT" => Task::Document,
        "CLASSIFICATION" => Task::Classification,
        "CLUSTERING" => Task::Clustering,
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
    request.untruncated(losses)?;
    request.no_user(losses)?;
    let word = match request.task.as_ref() {
        None => None,
        Some((task, at)) => match task {
            Task::Query => Some("RETRIEVAL_QUERY"),
            Task::Document => Some("RETRIEVAL_DOCUMENT"),
            Task::Classification => Some("CLASSIFICATION"),
            Task::Clustering => Some("CLUSTERING"),
            Task::Other => {
                losses.report_path(crate::losses::Thing::Task, at.clone())?;
                None
            }
        },
    };
    let model = model(target.model);
    json.open_object().key("requests").open_list();
    for input in &request.inputs {
        json.open_object().member("model", &model).key("content").open_object().key("parts").open_list();
        for piece in &input.pieces {
            write(json, input, piece, losses)?;
        }
        json.close_list().close_object().maybe("taskType", word);
        json.maybe_number("outputDimensionality", request.dimensions).close_object();
    }
    json.close_list().close_object();
    Ok(())
}

fn write(json: &mut Json<'_>, input: &Input, piece: &Piece, losses: &mut Losses) -> Result<(), Unsupported> {
    match piece {
        Piece::Text(text) => {
            json.open_object().member("text", text).close_object();
        }
        Piece::Image(Source::Inline { media_type, data }) => {
            json.open_object().key("inlineData").open_object();
            json.member("mimeType", media_type).member("data", data).close_object().close_object();
        }
        other => losses.report_path(other.thing(), input.path())?,
    }
    Ok(())
}

pub(super) fn decode_response(body: &[u8]) -> Result<(Response, Vectors), Malformed> {
    let mut fields = camel_fields(Value::parse(body)?)?;
    let values = |value: Value<'_>| camel_fields(value)?.need("values", vector::read).map(|(_, raw)| raw);
    let each = match fields.with("embedding", values)? {
        Some(one) => vec![one],
        None => fields.need("embeddings", |list| list.each(|_, one| values(one)))?,
    };
    let usage = counted(Dialect::Gemini, &mut fields, "usageMetadata");
    Ok((told(None, None, usage), Vectors { forms: vec![(Form::Float, each)] }))
}

pub(super) fn encode_response(
    json: &mut Json<'_>,
    request: &Request,
    vectors: &Vectors,
    usage: Option<&Usage>,
) -> Result<(), Malformed> {
    let all = vectors.get(Form::Float)?;
    json.open_object().key(if request.single { "embedding" } else { "embeddings" });
    if !request.single {
        json.open_list();
    }
    for raw in all.iter() {
        json.open_object().key("values").raw(raw).close_object();
    }
    if !request.single {
        json.close_list();
    }
    if let Some(usage) = usage {
        json.key("usageMetadata")
            .open_object()
            .key("promptTokenCount")
            .count(usage.input_total())
            .close_object();
    }
    json.close_object();
    Ok(())
}
