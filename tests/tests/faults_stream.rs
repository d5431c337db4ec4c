//! What providers can do inside a stream: U7, U9, U10 and U15 of the list of faults.

use std::time::Duration;

use bytes::Bytes;
use keyway_e2e::expect::{assert_no_secret, openai_error, stream_error};
use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, RESPONSES, TOKEN, streamed, yaml};
use keyway_e2e::inspect::{forget_peak, peak_kib, resident_kib};
use keyway_testkit::caller::{Answer, post};
use keyway_testkit::provider::{
    End, Ending, Framing, LineEnd, Provider, Reply, Seen, Stream, Surface, events,
};

/// Each dialect's path, the provider that speaks it, and its surface.
const DIALECTS: [(&str, &str, Surface); 3] = [
    (CHAT, "sim", Surface::Chat),
    (MESSAGES, "claude", Surface::Messages),
    (RESPONSES, "resp", Surface::Responses),
];

fn start() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    Ok((provider, gateway))
}

/// Asks for a stream and asserts afterwards that the gateway goes on. Asks for usage, so that nothing is withheld.
async fn ask(gateway: &Gateway, path: &str, model: &str) -> Outcome<Answer> {
    let mut body = streamed(model);
    if path == CHAT {
        body = body.replace(r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#);
    }
    gateway.ask_and_go_on(&post(path, TOKEN, "", body.as_bytes())).await
}

fn whole(surface: Surface, form: &Stream) -> Bytes {
    Bytes::from(events(surface, "m", form, surface == Surface::Chat).concat())
}

/// Asserts that what stands before the error event is a beginning of what the provider sent, in whole events.
#[track_caller]
fn assert_prefix(before: &[u8], sent: &[u8], what: &str) {
    assert!(sent.starts_with(before), "{what}: not what was sent");
    assert!(before.is_empty() || before.ends_with(b"\n\n"), "{what}: the error event joins half an event");
}

// === U7 ===

#[tokio::test]
async fn u7_a_cut_in_mid_stream_ends_with_the_dialects_error_event_and_no_end_marker() -> Outcome {
    let (provider, gateway) = start()?;
    for (path, name, surface) in DIALECTS {
        let sent = whole(surface, &Stream::default());
        for end in [
            End::Cut { events: 3, ending: Ending::Close },
            End::Cut { events: 3, ending: Ending::Reset },
            End::CutAt { bytes: sent.len() / 2, ending: Ending::Close },
            End::CutAt { bytes: sent.len() / 2, ending: Ending::Reset },
            // All but the last event, which holds the end marker.
            End::CutAt { bytes: sent.len() - 10, ending: Ending::Close },
        ] {
            provider.script("m").reply(Reply::Stream(Stream { end, ..Stream::default() }));
            let answer = ask(&gateway, path, &format!("{name}/m")).await?;
            let before = stream_error(&answer, path, "upstream_stream_cut");
            assert_prefix(before, &sent, &format!("{path} {end:?}"));
            if matches!(end, End::Cut { ending: Ending::Close, .. }) {
                let three = events(surface, "m", &Stream::default(), surface == Surface::Chat)[..3].concat();
                assert!(before == three, "{path}: whole events were lost");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn u7_a_clean_end_without_the_end_marker_is_a_cut_too() -> Outcome {
    let (provider, gateway) = start()?;
    for (path, name, surface) in DIALECTS {
        for framing in [Framing::Chunked, Framing::Length, Framing::UntilClose] {
            let form = Stream { end: End::NoMarker, framing, ..Stream::default() };
            provider.script("m").reply(Reply::Stream(form));
            let answer = ask(&gateway, path, &format!("{name}/m")).await?;
            let before = stream_error(&answer, path, "upstream_stream_cut");
            assert_prefix(before, &whole(surface, &Stream::default()), &format!("{path} {framing:?}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn u7_a_length_that_promises_more_than_comes_is_a_cut() -> Outcome {
    let (provider, gateway) = start()?;
    for (path, name, _) in DIALECTS {
        // The end marker came: whether the rest was lost cannot be known, so either ending is honest.
        let form = Stream { framing: Framing::LengthOff(100), ..Stream::default() };
        provider.script("m").reply(Reply::Stream(form));
        let answer = ask(&gateway, path, &format!("{name}/m")).await?;
        assert!(answer.complete && answer.status == 200, "{path}: {}", answer.text());
        // It did not come.
        let form = Stream { framing: Framing::LengthOff(100), end: End::NoMarker, ..Stream::default() };
        provider.script("m").reply(Reply::Stream(form));
        stream_error(&ask(&gateway, path, &format!("{name}/m")).await?, path, "upstream_stream_cut");
    }
    Ok(())
}

// === U9 ===

/// Asserts that this form of a complete stream arrives byte for byte.
async fn unchanged(provider: &Provider, gateway: &Gateway, form: &Stream) -> Outcome {
    for (path, name, surface) in DIALECTS {
        provider.script("m").reply(Reply::Stream(form.clone()));
        let answer = ask(gateway, path, &format!("{name}/m")).await?;
        let mut sent = if form.bom { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        let pieces = events(surface, "m", form, surface == Surface::Chat);
        let (first, rest) = pieces.split_at(1);
        sent.extend([first.concat(), form.amid.to_vec(), rest.concat()].concat());
        assert!(answer.complete && answer.status == 200, "{path} {form:?}");
        assert!(answer.body == sent, "{path} {form:?}: other bytes: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn u9_every_line_end_a_bom_and_every_split_arrive_unchanged() -> Outcome {
    let (provider, gateway) = start()?;
    for line_end in [LineEnd::Lf, LineEnd::CrLf, LineEnd::Cr] {
        for split in [0, 1, 7] {
            for bom in [false, true] {
                unchanged(&provider, &gateway, &Stream { line_end, split, bom, ..Stream::default() }).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn u9_comments_unknown_fields_and_events_without_data_pass() -> Outcome {
    let (provider, gateway) = start()?;
    for amid in [
        ": a comment\n\n",
        ":\n:\n:\n\n",
        "id: 7\nretry: 10\n\n",
        "event: ping\n\n",
        "x-unknown: 1\n\n",
        "\n\n\n",
    ] {
        unchanged(&provider, &gateway, &Stream { amid: amid.into(), ..Stream::default() }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn u9_sixteen_junk_lines_are_borne_and_more_end_the_stream() -> Outcome {
    let (provider, gateway) = start()?;
    for (path, name, surface) in DIALECTS {
        let junk = "this is no field of an event stream\n".repeat(400) + "\n";
        provider.script("m").reply(Reply::Stream(Stream { amid: junk.into(), ..Stream::default() }));
        let answer = ask(&gateway, path, &format!("{name}/m")).await?;
        let before = stream_error(&answer, path, "upstream_malformed");
        let first = events(surface, "m", &Stream::default(), surface == Surface::Chat)[0].clone();
        assert!(before.starts_with(&first), "{path}: the good event before was lost");

        let little = "this is no field of an event stream\n".repeat(3) + "\n";
        provider.script("m").reply(Reply::Stream(Stream { amid: little.into(), ..Stream::default() }));
        let answer = ask(&gateway, path, &format!("{name}/m")).await?;
        let last =
            events(surface, "m", &Stream::default(), surface == Surface::Chat).pop().unwrap_or_default();
        assert!(answer.complete && answer.body.ends_with(&last), "{path}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn u9_a_flood_of_comments_is_bounded_in_memory_and_valid_events_pass() -> Outcome {
    const COMMENTS: u64 = 1 << 19;
    let (provider, gateway) = start()?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    // Before the first event nothing may go out yet; after it everything must.
    for after in [0, 1] {
        forget_peak(pid)?;
        let before = resident_kib(pid)?;
        provider.script("m").clear().always(Reply::CommentFlood { after, comments: COMMENTS });
        let answer = ask(&gateway, CHAT, "sim/m").await?;
        let grown = peak_kib(pid)?.saturating_sub(before);
        println!("32 MiB of comments after {after} events: {grown} KiB more, status {}", answer.status);
        assert!(grown < 24 << 10, "after {after} events: {grown} KiB");
        assert!(answer.complete);
        if after == 0 && answer.status != 200 {
            openai_error(&answer, 502, "upstream_error");
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        if after == 1 {
            assert!(answer.body.len() as u64 > COMMENTS * 64, "comments were dropped");
        }
    }
    Ok(())
}

// === U10 ===

#[tokio::test]
async fn u10_a_line_of_100_mib_ends_the_stream_with_bounded_memory() -> Outcome {
    let (provider, gateway) = start()?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    for (path, name, surface) in DIALECTS {
        forget_peak(pid)?;
        let before = resident_kib(pid)?;
        provider.script("m").reply(Reply::LongLine { bytes: 100 << 20 });
        let answer = ask(&gateway, path, &format!("{name}/m")).await?;
        let grown = peak_kib(pid)?.saturating_sub(before);
        println!("{path}: {grown} KiB more at the peak");
        let sent = stream_error(&answer, path, "upstream_line_too_long");
        let first = &events(surface, "m", &Stream::default(), surface == Surface::Chat)[0];
        assert!(sent == first, "{path}: {} bytes before the error event", sent.len());
        // 8 MiB are held. A buffer that grows is copied, and all of it is wiped when it is freed, its unused half too.
        assert!(grown < 32 << 10, "{path}: {grown} KiB");
    }
    let given_up =
        |seen: &[Seen]| seen.iter().filter(|seen| seen.model() == "m").all(|seen| seen.left_at().is_some());
    let seen = provider.until(Duration::from_secs(2), given_up).await;
    assert!(seen.is_ok(), "the rest of the line was read to its end");
    Ok(())
}

// === U15 ===

#[tokio::test]
async fn u15_letters_split_over_chunks_are_rejoined_and_bad_bytes_pass_untouched() -> Outcome {
    let (provider, gateway) = start()?;
    let word = "köln 東京 🦀 ".to_owned();
    for split in [1, 2, 3, 5] {
        unchanged(&provider, &gateway, &Stream { word: word.clone(), split, ..Stream::default() }).await?;
    }
    for split in [0, 1, 3] {
        let bad = Bytes::from_static(b"data: {\"id\":\"x\",\"choices\":[],\"bad\":\"\xff\xfe\xe6\x9d\"}\n\n");
        let form = Stream { amid: bad, split, ..Stream::default() };
        for (path, name, surface) in DIALECTS {
            provider.script("m").reply(Reply::Stream(form.clone()));
            let answer = ask(&gateway, path, &format!("{name}/m")).await?;
            let pieces = events(surface, "m", &form, surface == Surface::Chat);
            let sent = [&pieces[0][..], &form.amid[..], &pieces[1..].concat()[..]].concat();
            assert!(answer.body == sent, "{path} split {split}: other bytes");
            assert!(!answer.body.windows(3).any(|three| three == "\u{fffd}".as_bytes()), "a U+FFFD of ours");
            assert_no_secret(&answer);
        }
    }
    Ok(())
}
