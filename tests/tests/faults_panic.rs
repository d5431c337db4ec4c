//! D9: a panic in one request is that request's fault alone.

use keyway_e2e::expect::openai_error;
use keyway_e2e::fleet::yaml;
use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat, streamed};
use keyway_testkit::caller::post;
use keyway_testkit::provider::{End, Provider, Reply, Stream};

#[tokio::test]
async fn d9_a_panic_is_500_for_its_own_request_and_nothing_for_the_others() -> Outcome {
    let provider = Provider::start()?;
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("held").always(Reply::Stream(held));
    let gateway = Gateway::start(&yaml(&provider, ""))?;
    let mut other = gateway.connect().await?;
    let body = streamed("sim/held");
    let asking = tokio::spawn(async move { other.ask(&post(CHAT, TOKEN, "", body.as_bytes())).await });
    let begun = provider.until(std::time::Duration::from_secs(10), |seen| !seen.is_empty()).await;
    assert!(begun.is_ok(), "the stream has not begun");
    let panics = chat("sandbox/echo").replacen('{', r#"{"sandbox_panic":true,"#, 1);
    for _ in 0..3 {
        let request = post(CHAT, TOKEN, "", panics.as_bytes());
        let answer = gateway.ask_and_go_on(&request).await?;
        openai_error(&answer, 500, "internal_error");
        assert!(!answer.text().contains("asked to fail"), "{}", answer.text());
    }
    provider.release();
    let streamed = asking.await??;
    assert!(streamed.complete && streamed.text().contains("[DONE]"), "{}", streamed.text());
    let log = gateway.keyway.log();
    assert!(!log.contains("asked to fail"), "a panic's text may hold anything: {log}");
    assert!(log.contains("sandbox/mod.rs"), "where it was stands in the log: {log}");
    let metrics = reqwest::get(format!("{}/metrics", gateway.keyway.ops_url())).await?.text().await?;
    assert!(metrics.contains("keyway_requests_in_flight 0\n"), "{metrics}");
    assert!(metrics.contains("keyway_refusals_total{code=\"internal_error\"} 3"), "{metrics}");
    Ok(())
}
