//! What callers do, well and badly.

use keyway_e2e::gateway::{CHAT, Outcome, chat, streamed};
use keyway_e2e::leaks::{Operator, Secrets};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::provider::{Failure, Provider, Reply};

pub(super) async fn callers(
    base_url: &str,
    provider: &Provider,
    operator: &mut Operator,
    secrets: &mut Secrets,
) -> Outcome {
    let text = |name: &str| secrets.0.iter().find(|one| one.name == name).map(|one| one.text.clone());
    let (token, echoed) = (text("file/tester").ok_or("no token")?, text("file/echoed").ok_or("no key")?);
    for (model, status) in
        [("unauthorised", 401), ("forbidden", 403), ("broken", 500), ("bad", 400), ("limited", 429)]
    {
        let headers =
            vec![("x-echo".to_owned(), echoed.clone()), ("x-request-id".to_owned(), format!("for {echoed}"))];
        provider.script(model).always(Reply::Error(Failure { status, headers, ..Failure::default() }));
    }
    let wrong = secrets.key("caller/wrong")?;
    let in_url = secrets.key("caller/in-url")?;
    let in_model = secrets.key("caller/in-model")?;
    let in_body = secrets.key("caller/in-body")?;
    let to = base_url.trim_start_matches("http://").parse()?;
    let mut requests = vec![
        post(CHAT, &wrong, "", chat("sim/m").as_bytes()),
        post(&format!("{CHAT}?key={in_url}"), &token, "", chat("sim/m").as_bytes()),
        post(&format!("/v1/files/{in_url}"), &token, "", b"{}"),
        post(CHAT, &token, &format!("x-api-key: {wrong}\r\n"), chat("sim/m").as_bytes()),
        post(CHAT, &token, &format!("x-keyway-route: {in_url}\r\n"), chat("sim/m").as_bytes()),
        post(CHAT, &token, "", chat(&in_model).as_bytes()),
        post(CHAT, &token, "", format!(r#"{{"model":"sim/m","{in_body}":1,"{in_body}":2}}"#).as_bytes()),
        post(CHAT, &token, "", format!(r#"{{"model":"sim/m"}} {in_body}"#).as_bytes()),
        post(CHAT, &token, "", format!(r#"{{"model":{{"{in_body}":1}}}}"#).as_bytes()),
        format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes(),
        format!("GET /v1/models?key={token} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(),
        format!("GET /v1/models?key={wrong} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(),
    ];
    for model in [
        "sim/m",
        "alias-m",
        "odd/m",
        "echo/bad",
        "echo/limited",
        "echo/broken",
        "echo/forbidden",
        "echo/unauthorised",
    ] {
        requests.push(post(CHAT, &token, "", chat(model).as_bytes()));
        requests.push(post(CHAT, &token, "", streamed(model).as_bytes()));
    }
    for (number, request) in requests.iter().enumerate() {
        let answer = Caller::connect(to).await?.ask(request).await?;
        operator.keep(&format!("caller/{number}"), &answer);
    }
    let seen = provider.seen();
    assert!(seen.iter().any(|one| one.credential() == echoed), "the key that is echoed was never sent");
    Ok(())
}
