//! A call of the admin API that another control plane has to answer goes there as it came, with its caller's own token, and
//! its answer comes back as it is. Nothing is tried twice: whether a change was made is the caller's to find out.

use super::{
    Peers, TOKEN, Whose,
    door::{ADMIN, Forwarded},
    home::home,
};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use tower::{Service, ServiceExt};

/// Of one connection, not of the call.
const HOP: [HeaderName; 5] =
    [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];

/// Answers a call to that route, by `here` or at another control plane. `fault` makes this API's own refusal.
pub(crate) async fn answer<F>(
    peers: &Peers,
    (path, changes): (&str, bool),
    request: Request,
    here: impl FnOnce(Request) -> F,
    fault: impl Fn(StatusCode, &'static str, String) -> Response,
) -> Response
where
    F: Future<Output = Response>,
{
    let unavailable = |code, message| fault(StatusCode::SERVICE_UNAVAILABLE, code, message);
    match peers.whose(home(path, changes)).await {
        Whose::Ours => here(request).await,
        Whose::Nobody => {
            let contact =
                peers.plane.store().shared().is_none_or(|shared| shared.standing().borrow().contact);
            if !contact && !changes {
                // Cut off from the store it says what it knows itself.
                return here(request).await;
            }
            if contact {
                unavailable(
                    "not_leader",
                    "no control plane leads at the moment; try again in some seconds".to_owned(),
                )
            } else {
                let message = "the store does not answer; what is served goes on, try again later";
                unavailable("store_unavailable", message.to_owned())
            }
        }
        Whose::Away(name) => {
            let message = format!(
                "the books of usage are kept by `{name}`, which is not there; replicas keep what they count until it is"
            );
            unavailable("books_away", message)
        }
        Whose::Others(member) if request.extensions().get::<Forwarded>().is_some() => {
            unavailable("not_leader", format!("this control plane does not lead, {} does", member.admin))
        }
        Whose::Others(member) => match forward(peers, &member, request).await {
            Ok(response) => response,
            Err(why) => {
                let message = format!(
                    "{} does not answer ({why}); whether it did anything is not known, look before you repeat it",
                    member.admin
                );
                unavailable("not_leader", message)
            }
        },
    }
}

async fn forward(peers: &Peers, to: &crate::lead::Member, request: Request) -> Result<Response, String> {
    let mut channel = peers.connect(to).await?;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("{ADMIN}{path}").parse().map_err(|_| "its path".to_owned())?;
    let mut onward = http::Request::new(tonic::body::Body::new(body));
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = uri;
    *onward.headers_mut() = end_to_end(parts.headers);
    let token = peers.token.parse().map_err(|_| "the token".to_owned())?;
    onward.headers_mut().insert(TOKEN, token);
    let ready = ServiceExt::<http::Request<tonic::body::Body>>::ready(&mut channel).await;
    let answer = ready.map_err(|error| error.to_string())?.call(onward).await;
    let answer = answer.map_err(|error| error.to_string())?;
    Ok(answer.map(Body::new).into_response())
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for hop in HOP {
        headers.remove(hop);
    }
    headers.remove(TOKEN);
    headers
}
