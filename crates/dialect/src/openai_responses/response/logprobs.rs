//! Probabilities of tokens. Parts of messages tell the bytes of each token, events do not.

use crate::canon::Raw;
use crate::json::{Json, Malformed, Value};

/// Writes a list of probabilities without its brackets, as it stands in a part (`with_bytes`) or in an event. Bytes that
/// were not told are the token's own. Of a list that cannot be read nothing is written.
pub(crate) fn write_logprobs(list: &Raw, with_bytes: bool) -> String {
    let mut out = Vec::new();
    let written = Value::parse(list.as_str().as_bytes()).and_then(|list| {
        let mut json = Json::new(&mut out);
        list.each(|_, entry| token(&mut json, entry, with_bytes, true)).map(|_| ())
    });
    match written {
        Ok(()) => String::from_utf8(out).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// One token; `top` if the likeliest others at its place belong to it.
fn token(json: &mut Json<'_>, entry: Value<'_>, with_bytes: bool, top: bool) -> Result<(), Malformed> {
    let mut fields = entry.fields()?;
    let token = fields.need("token", Value::text)?;
    let logprob = fields.need("logprob", |value| Ok(value.raw()))?;
    json.open_object().member("token", &token);
    if with_bytes {
        json.key("bytes");
        match fields.raw("bytes") {
            Some(bytes) => {
                json.raw(&bytes);
            }
            None => {
                json.open_list();
                token.bytes().for_each(|byte| {
                    json.count(byte.into());
                });
                json.close_list();
            }
        }
    }
    json.key("logprob").raw(&logprob);
    if top {
        json.key("top_logprobs").open_list();
        fields
            .with("top_logprobs", |list| list.each(|_, other| self::token(json, other, with_bytes, false)))?;
        json.close_list();
    }
    json.close_object();
    Ok(())
}
