//! The configuration as a whole: apply, diff, export, schema.

use super::{
    answer::{Answer, Fault},
    call::{Call, read},
    view::Done,
};
use crate::resource::Apply;
use keyway_config::File;
use schemars::JsonSchema;
use serde_json::Value;

/// A file as JSON, secrets included.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "read field by field; this is its form in the API's description")]
pub(super) struct ApplyBody {
    /// The file.
    file: File,
    /// Deletes what an earlier file made and this one does not name.
    #[schemars(default)]
    prune: bool,
    /// The file's name, for people.
    #[schemars(default)]
    origin: String,
}

pub(super) async fn apply(call: Call) -> Result<Answer, Fault> {
    let outcome = call.plane().apply(&call.author(""), wanted(&call)?).await?;
    Answer::json(&Done::from(&outcome))
}

pub(super) async fn diff(call: Call) -> Result<Answer, Fault> {
    let outcome = call.plane().diff(wanted(&call)?)?;
    Answer::json(&Done::from(&outcome))
}

pub(super) async fn export(call: Call) -> Result<Answer, Fault> {
    Answer::json(&call.plane().state().export())
}

pub(super) async fn schema(_: Call) -> Result<Answer, Fault> {
    Answer::json(&keyway_config::schema())
}

fn wanted(call: &Call) -> Result<Apply, Fault> {
    let value = call.value()?;
    let Value::Object(mut fields) = value else { return Err(Fault::malformed("the body is no JSON object")) };
    let file = fields.shift_remove("file").ok_or_else(|| Fault::malformed("`file` is missing"))?;
    let prune = match fields.shift_remove("prune") {
        None => false,
        Some(Value::Bool(prune)) => prune,
        Some(_) => return Err(Fault::malformed("`prune` is true or false")),
    };
    let origin = match fields.shift_remove("origin") {
        None => String::new(),
        Some(Value::String(origin)) => origin,
        Some(_) => return Err(Fault::malformed("`origin` is a text")),
    };
    if let Some(unknown) = fields.keys().next() {
        return Err(Fault::malformed(format!("`{unknown}` is no field; there are file, prune and origin")));
    }
    Ok(Apply { file: read(&file, "")?, prune, origin })
}
