//! A change with an idempotency key is made once, whatever dies in between: what the store remembers of it decides. Only what
//! was refused may be sent again.

use super::{
    answer::{Answer, Fault},
    call::Call,
    idempotency::{RequestKey, other_body},
};
use crate::{
    plane::Known,
    resource::{Asked, Author, Kept, Kind, Way},
};
use http::StatusCode;
use std::sync::Arc;

/// Digits of a request's name.
const NAME: usize = 32;
/// What the audit log calls it that an answer was kept.
const ACTION: &str = "answer.keep";

/// Answers a change, or what it was answered with before.
pub(super) async fn once(key: RequestKey, mut call: Call) -> Result<Answer, Fault> {
    let (api, answer) = (Arc::clone(&call.api), call.route.answer);
    let name = key.to_hex().get(..NAME).unwrap_or_default().to_owned();
    let asked = Asked { name, body: api.plane.vault().fingerprint(&call.body) };
    let again = match api.plane.known(&asked) {
        Known::Nothing => false,
        Known::OtherBody => return Err(other_body()),
        Known::Kept(Kept::Made(_)) => true,
        Known::Kept(Kept::Answered { status, version, body }) => {
            return Answer::again(status, version, body).ok_or_else(lost);
        }
        Known::Kept(Kept::Done) => return Err(lost()),
    };
    call.asked = Some(asked.clone());
    // Not of the change's trace: that ends with what replicas got.
    let untraced = Author { trace: String::new(), asked: None, ..call.author("") };
    let author = Author { action: ACTION.to_owned(), by: Way::Hand, ..untraced };
    // What was begun again is not refused again: it was done.
    let answer = answer(call).await.map_err(|fault| if again { lost() } else { fault })?;
    if let Some(kept) = answer.kept() {
        let author = Author { subject: format!("{}/{}", Kind::Answer.word(), asked.name), ..author };
        if let Err(refusal) = api.plane.keep(&author, &asked, &kept).await {
            // What was done is done, and remembered as far as it was a change.
            tracing::warn!(%refusal, "an answer is not kept for who asks again");
        }
    }
    Ok(answer)
}

fn lost() -> Fault {
    let message = "this was done, before this control plane was started, and what there was to say of it is not known any more: look \
                   at what there is";
    Fault::new(StatusCode::CONFLICT, "idempotency_done", message)
}
