//! Probabilities of tokens, between `logprobsResult` and the model's array.

use super::wire;
use crate::canon::Raw;
use crate::json::{Json, Malformed, Value};

/// A `logprobsResult` as the model's array.
pub(super) fn read(value: Value<'_>) -> Result<Option<Raw>, Malformed> {
    let mut fields = wire::fields(value)?;
    let chosen = fields.with("chosenCandidates", |list| list.each(|_, token| candidate(token)))?;
    let top = fields.with("topCandidates", |list| {
        list.each(|_, step| {
            wire::fields(step)?.with("candidates", |list| list.each(|_, token| candidate(token)))
        })
    })?;
    let Some(chosen) = chosen else { return Ok(None) };
    let mut top = top.unwrap_or_default().into_iter().map(Option::unwrap_or_default);
    let mut out = Vec::new();
    let json = &mut Json::new(&mut out);
    json.open_list();
    for token in chosen {
        json.open_object();
        write_token(json, &token).key("top_logprobs").open_list();
        for likely in top.next().unwrap_or_default() {
            write_token(json.open_object(), &likely).close_object();
        }
        json.close_list().close_object();
    }
    json.close_list();
    Ok(std::str::from_utf8(&out).ok().and_then(Raw::parse))
}

type Token = (String, f64);

fn candidate(value: Value<'_>) -> Result<Token, Malformed> {
    let mut fields = wire::fields(value)?;
    let probability = fields.number("logProbability")?.unwrap_or_default();
    Ok((fields.text("token")?.unwrap_or_default(), probability))
}

fn write_token<'j, 'b>(json: &'j mut Json<'b>, (token, probability): &Token) -> &'j mut Json<'b> {
    json.member("token", token).key("logprob").number(probability).key("bytes").null()
}

/// Writes the model's arrays as a `logprobsResult`; what is no such array is left out.
pub(super) fn write(json: &mut Json<'_>, pieces: &[Raw]) {
    let tokens = pieces.iter().filter_map(|piece| model(piece).ok()).flatten();
    let (chosen, top): (Vec<Token>, Vec<Vec<Token>>) = tokens.unzip();
    json.open_object().key("topCandidates").open_list();
    for likely in &top {
        json.open_object().key("candidates").open_list();
        likely.iter().for_each(|token| write_candidate(json, token));
        json.close_list().close_object();
    }
    json.close_list().key("chosenCandidates").open_list();
    chosen.iter().for_each(|token| write_candidate(json, token));
    json.close_list().close_object();
}

fn write_candidate(json: &mut Json<'_>, (token, probability): &Token) {
    json.open_object().member("token", token).key("logProbability").number(probability).close_object();
}

fn model(piece: &Raw) -> Result<Vec<(Token, Vec<Token>)>, Malformed> {
    Value::parse(piece.as_str().as_bytes())?.each(|_, value| {
        let mut fields = value.fields()?;
        let top = fields.with("top_logprobs", |list| {
            list.each(|_, likely| {
                let mut likely = likely.fields()?;
                Ok((likely.text("token")?.unwrap_or_default(), likely.number("logprob")?.unwrap_or_default()))
            })
        })?;
        let token = fields.text("token")?.unwrap_or_default();
        Ok(((token, fields.number("logprob")?.unwrap_or_default()), top.unwrap_or_default()))
    })
}
