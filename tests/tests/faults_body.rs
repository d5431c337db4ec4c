//! Bodies that are too large, compressed to explode, or hostile JSON: C10, C11 and C12 of the list of faults.

use std::time::{Duration, Instant};

use keyway_e2e::expect::{anthropic_error, openai_error, openai_reason};
use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, TOKEN, chat, yaml};
use keyway_e2e::inspect::{cpu, forget_peak, peak_kib, resident_kib};
use keyway_testkit::caller::post;
use keyway_testkit::provider::Provider;

/// Bytes that a body may have by default.
const BODY_LIMIT: usize = 32 << 20;

// === C10 ===

#[tokio::test]
async fn c10_a_declared_body_over_the_limit_is_refused_at_once() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    for path in [CHAT, MESSAGES] {
        let mut caller = gateway.connect().await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            BODY_LIMIT + 1
        );
        let asked = Instant::now();
        let answer = caller.ask(head.as_bytes()).await?;
        assert!(asked.elapsed() < Duration::from_secs(1), "not at once: {:?}", asked.elapsed());
        if path == CHAT {
            openai_error(&answer, 413, "request_too_large");
        } else {
            anthropic_error(&answer, 413, "request_too_large");
        }
        assert!(answer.closes() && caller.closed().await?, "the body is still to come: it must close");
        gateway.goes_on(None).await?;
    }
    Ok(())
}

#[tokio::test]
async fn c10_a_chunked_body_over_the_limit_is_refused_and_memory_stays_bounded() -> Outcome {
    const PIECE: usize = 64 << 10;
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    forget_peak(pid)?;
    let before = resident_kib(pid)?;
    let mut caller = gateway.connect().await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    caller.send(head.as_bytes()).await?;
    let piece = [format!("{PIECE:x}\r\n").as_bytes(), &vec![b' '; PIECE], b"\r\n"].concat();
    for _ in 0..BODY_LIMIT / PIECE {
        caller.send(&piece).await?;
    }
    let answer = caller.ask(&piece).await?;
    openai_error(&answer, 413, "request_too_large");
    let grown = peak_kib(pid)?.saturating_sub(before);
    println!("a body of 32 MiB and 64 KiB: {grown} KiB more at the peak");
    assert!(grown < (BODY_LIMIT as u64 >> 10) * 3 / 2, "{grown} KiB for a limit of 32 MiB");
    gateway.goes_on(None).await?;
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

// === C11 ===

fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// A gzip stream of a JSON body with so many MiB of blanks in it, built from one compressed MiB.
fn bomb(mebibytes: usize) -> Outcome<Vec<u8>> {
    use flate2::{Compress, Compression, FlushCompress};
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    let mut block = |bytes: &[u8], times: usize| -> Outcome {
        // Flushed in full, a block stands alone and can be repeated.
        let mut compressed = Vec::with_capacity(bytes.len() + 1024);
        let mut one = Compress::new(Compression::best(), false);
        one.compress_vec(bytes, &mut compressed, FlushCompress::Full)?;
        (0..times).for_each(|_| out.extend_from_slice(&compressed));
        Ok(())
    };
    block(br#"{"model":"sim/m","messages":[]"#, 1)?;
    block(&vec![b' '; 1 << 20], mebibytes)?;
    block(b"}", 1)?;
    out.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Ok(out)
}

#[tokio::test]
async fn c11_a_gzip_body_is_decoded_and_goes_on_as_identity() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let body = gzip(chat("sim/m").as_bytes())?;
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "content-encoding: gzip\r\n", &body)).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = provider.seen().remove(0);
    assert_eq!(seen.body, chat("m"));
    assert_eq!(seen.header("content-encoding"), None);
    assert_eq!(seen.header("content-length"), Some(&*chat("m").len().to_string()));
    Ok(())
}

#[tokio::test]
async fn c11_a_gzip_bomb_is_refused_while_it_is_being_decoded() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    forget_peak(pid)?;
    let before = resident_kib(pid)?;
    let body = bomb(1024)?;
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "content-encoding: gzip\r\n", &body)).await?;
    openai_reason(&answer, 413, "request_too_large", "decompressed_too_large");
    let grown = peak_kib(pid)?.saturating_sub(before);
    println!("{} KiB of gzip that hold 1 GiB: {grown} KiB more at the peak", body.len() >> 10);
    assert!(grown < (BODY_LIMIT as u64 >> 10) * 3 / 2, "{grown} KiB");
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

#[tokio::test]
async fn c11_other_codings_and_broken_gzip_are_refused() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let once = gzip(chat("sim/m").as_bytes())?;
    let twice = gzip(&once)?;
    for (coding, body, status) in [
        ("gzip, gzip", &twice, 415),
        ("br", &once, 415),
        ("zstd", &once, 415),
        ("gzip", &once[..once.len() / 2].to_vec(), 400),
        ("gzip", &chat("sim/m").into_bytes(), 400),
        ("gzip", &twice, 400),
    ] {
        let more = format!("content-encoding: {coding}\r\n");
        let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, &more, body)).await?;
        assert_eq!(answer.status, status, "{coding}: {}", answer.text());
        assert!(answer.json()["error"]["code"].is_string(), "{}", answer.text());
    }
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

// === C12 ===

/// CPU that one hostile body may cost; a build without optimisation needs more.
const HOSTILE_CPU: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

#[tokio::test]
async fn c12_hostile_json_is_refused_with_its_offset() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let deep = format!(r#"{{"model":"sim/m","x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!(r#"{{"model":"sim/m","x":{}1{}}}"#, r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let open = format!(r#"{{"model":"sim/m","x":{}"#, "[".repeat(1_000_000));
    let bodies: [&[u8]; 14] = [
        deep.as_bytes(),
        objects.as_bytes(),
        open.as_bytes(),
        br#"{"model":"sim/m","model":"sim/n"}"#,
        br#"{"model":"sim/m","mod\u0065l":"sim/n"}"#,
        br#"{"model":"sim/m","stream":true,"stream":false}"#,
        br#"{"model":"sim/m","other":1,"other":2}"#,
        b"{\"model\":\"sim/m\",\"x\":\"\xff\xfe\"}",
        b"\xff{\"model\":\"sim/m\"}",
        br#"[{"model":"sim/m"}]"#,
        br#""sim/m""#,
        br#"{"model":"sim/m"} {"model":"sim/n"}"#,
        br#"{"model":"sim/m","#,
        b"",
    ];
    for body in bodies {
        let shown = String::from_utf8(body.iter().take(60).copied().collect()).unwrap_or_default();
        let before = cpu(gateway.keyway.pid())?;
        let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", body)).await?;
        let spent = cpu(gateway.keyway.pid())? - before;
        let error = openai_error(&answer, 400, "invalid_request");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(body.is_empty() || message.contains("byte "), "no offset for {shown}: {message}");
        assert!(spent < HOSTILE_CPU, "{shown}: {spent:?}");
    }
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

#[tokio::test]
async fn c12_long_arrays_and_lone_surrogates_go_through_untouched() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let array = format!(r#"{{"model":"sim/m","x":[{}0]}}"#, "0,".repeat(1_000_000));
    for body in [&*array, r#"{"model":"sim/m","x":"\ud800 and \udc00\ud800"}"#] {
        let before = cpu(gateway.keyway.pid())?;
        let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", body.as_bytes())).await?;
        let spent = cpu(gateway.keyway.pid())? - before;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = provider.seen().iter().rev().nth(2).map(|seen| seen.body.clone()).unwrap_or_default();
        assert!(sent == body.replace("sim/m", "m"), "not the same bytes");
        assert!(spent < HOSTILE_CPU, "{spent:?}");
    }
    Ok(())
}
