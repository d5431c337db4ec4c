//! C13: floods of HTTP/2 frames end their own connection with ENHANCE_YOUR_CALM, or cost nothing.

use super::{OnThisThread, http2_bounds};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{cell::Cell, convert::Infallible, future::pending, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::LocalSet,
    time::timeout,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// The same with `:method: POST`.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'a'];
/// A flood that is not ended by then is borne.
const PATIENCE: Duration = Duration::from_secs(20);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What became of a flood.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// GOAWAY with this code.
    GoAway(u32),
    /// Requests that were begun; the connection lives.
    Borne(u32),
}

/// Sends all of `flood` to a connection with the bounds that callers get, whose requests are never answered.
async fn end_of(flood: Vec<Vec<u8>>) -> End {
    LocalSet::new()
        .run_until(async {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let begun = Rc::new(Cell::new(0));
            let count = Rc::clone(&begun);
            let service = service_fn(move |request: Request<Incoming>| {
                count.set(count.get() + 1);
                async move {
                    let _held = request;
                    pending::<Result<Response<http_body_util::Empty<bytes::Bytes>>, Infallible>>().await
                }
            });
            let serving = http2_bounds_without_timer().serve_connection(TokioIo::new(theirs), service);
            tokio::task::spawn_local(async move { drop(serving.await) });
            let (mut from, mut to) = tokio::io::split(ours);
            let writing = tokio::task::spawn_local(async move {
                to.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
                to.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
                for frame in flood {
                    // Ended under way is what is hoped for.
                    if to.write_all(&frame).await.is_err() {
                        return to;
                    }
                }
                // A mark at the end: whoever answers this ping has taken in everything.
                let _ = to.write_all(&frame(6, 0, 0, b"all said")).await;
                to
            });
            let end = timeout(PATIENCE, read_end(&mut from, &begun)).await.expect("no end in time");
            writing.abort();
            end
        })
        .await
}

/// The timer is for life signs alone, which no test here waits for.
fn http2_bounds_without_timer() -> hyper::server::conn::http2::Builder<OnThisThread> {
    let mut bounds = http2_bounds();
    bounds.keep_alive_interval(None);
    bounds
}

async fn read_end(from: &mut tokio::io::ReadHalf<DuplexStream>, begun: &Cell<u32>) -> End {
    loop {
        let mut head = [0; 9];
        from.read_exact(&mut head).await.expect("it ended without GOAWAY");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload).await.unwrap();
        match head[3] {
            GOAWAY => return End::GoAway(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            6 if payload == b"all said" => return End::Borne(begun.get()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn c13_rapid_reset_ends_the_connection() {
    let pair = |n: u32| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    assert_eq!(end_of(vec![(0..10_000).flat_map(pair).collect()]).await, End::GoAway(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn c13_a_flood_of_continuations_ends_the_connection() {
    let first = frame(HEADERS, END_STREAM, 1, GET);
    // A header of its own in each: `x: ` and 100 letters.
    let more = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let rest = (0..10_000).map(|_| frame(CONTINUATION, 0, 1, &more));
    let end = end_of([first].into_iter().chain(rest).collect()).await;
    assert_eq!(end, End::GoAway(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn c13_streams_beyond_the_bound_are_refused_and_10_000_of_them_end_the_connection() {
    let open = |n: u32| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, GET);
    assert_eq!(end_of((0..300).map(open).collect()).await, End::Borne(super::STREAMS));
    assert_eq!(end_of((0..10_000).map(open).collect()).await, End::GoAway(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn c13_empty_data_is_borne_or_ends_the_connection() {
    let open = frame(HEADERS, END_HEADERS, 1, POST);
    let empty = (0..200_000).map(|_| frame(DATA, 0, 1, &[]));
    let end = end_of([open].into_iter().chain(empty).collect()).await;
    assert!(matches!(end, End::Borne(1) | End::GoAway(ENHANCE_YOUR_CALM)), "{end:?}");
}
