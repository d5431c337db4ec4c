//! Connections over real sockets, with a provider that is a few lines of each test.

use super::{Broken, Link, connect::Stream};
use bytes::Bytes;
use http::{Method, Request};
use keyway_dialect::rewrite::Segments;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Both ends of a connection.
async fn connected() -> (Link, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Link::new(1, Stream::Plain(ours.unwrap())), theirs.unwrap().0)
}

fn request(body: usize) -> Request<Segments> {
    let mut request = Request::new(Segments::from(Bytes::from(vec![b'x'; body])));
    *request.method_mut() = Method::POST;
    request
}

async fn piece(link: &mut Link) -> Option<Result<Bytes, Broken>> {
    std::future::poll_fn(|cx| link.poll_piece(cx)).await
}

/// Waits until something has reached the socket.
async fn reached(link: &mut Link) {
    let Stream::Plain(socket) = link.stream() else { panic!("no TLS here") };
    socket.readable().await.unwrap();
}

#[tokio::test]
async fn what_one_read_brought_is_one_piece_and_the_connection_goes_on() {
    let (mut link, mut provider) = connected().await;
    for _ in 0..3 {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\
                       transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
        provider.write_all(answer).await.unwrap();
        let head = link.send(request(10)).await.unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(piece(&mut link).await.unwrap().unwrap(), "abcdefg");
        assert!(piece(&mut link).await.is_none());
        assert!(link.is_reusable());
        link.rest();
    }
}

#[tokio::test]
async fn an_answer_to_half_a_request_is_read_and_ends_the_connection() {
    let (mut link, mut provider) = connected().await;
    provider.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    // More than both sockets hold, and nobody reads it.
    let head = link.send(request(64 << 20)).await.unwrap();
    assert_eq!(head.status, 413);
    assert_eq!(piece(&mut link).await.unwrap().unwrap(), "no");
    assert!(piece(&mut link).await.is_none());
    assert!(!link.is_reusable(), "the rest of the request would be taken for another");
}

#[tokio::test]
async fn part_of_an_answer_says_that_the_request_arrived() {
    for (answer, heard) in [("", false), ("HTTP/1.1 2", true), ("HTTP/1.1 100 Continue\r\n\r\n", true)] {
        let (mut link, mut provider) = connected().await;
        provider.write_all(answer.as_bytes()).await.unwrap();
        provider.shutdown().await.unwrap();
        let error = link.send(request(1)).await.unwrap_err();
        assert!(matches!(error, Broken::Cut), "{answer:?}: {error}");
        assert_eq!(link.was_heard(), heard, "{answer:?}");
    }
}

#[tokio::test]
async fn a_large_request_arrives_whole() {
    let (mut link, mut provider) = connected().await;
    let sent = tokio::spawn(async move {
        let head = link.send(request(5_000_000)).await.unwrap();
        (head.status, link.is_reusable())
    });
    let mut whole = vec![0; b"POST / HTTP/1.1\r\ncontent-length: 5000000\r\n\r\n".len() + 5_000_000];
    provider.read_exact(&mut whole).await.unwrap();
    assert!(
        whole.ends_with(b"xxx") && whole.starts_with(b"POST / HTTP/1.1\r\ncontent-length: 5000000\r\n\r\nx")
    );
    provider.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(sent.await.unwrap(), (http::StatusCode::NO_CONTENT, true));
}

#[tokio::test]
async fn the_end_of_the_connection_is_an_end_only_where_nothing_else_says_one() {
    for (framing, is_end) in
        [("", true), ("content-length: 9\r\n", false), ("transfer-encoding: chunked\r\n", false)]
    {
        let (mut link, mut provider) = connected().await;
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n3\r\nabc\r\n");
        provider.write_all(answer.as_bytes()).await.unwrap();
        link.send(request(0)).await.unwrap();
        // Else its end would be a reset, since it has not read what it was sent.
        provider.read_exact(&mut [0; b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n".len()]).await.unwrap();
        assert!(piece(&mut link).await.unwrap().is_ok());
        drop(provider);
        match piece(&mut link).await {
            None => assert!(is_end, "{framing}"),
            Some(cut) => assert!(!is_end && matches!(cut, Err(Broken::Cut)), "{framing} {cut:?}"),
        }
        assert!(!link.is_reusable());
    }
}

#[tokio::test]
async fn what_is_said_unasked_ends_a_resting_connection() {
    for words in ["", "HTTP/1.1 408 Timeout\r\n\r\n"] {
        let (mut link, mut provider) = connected().await;
        assert!(link.is_reusable());
        provider.write_all(words.as_bytes()).await.unwrap();
        drop(provider);
        reached(&mut link).await;
        assert!(!link.is_reusable(), "{words:?}");
    }
}

#[tokio::test]
async fn announcements_without_end_are_no_answer() {
    let (mut link, mut provider) = connected().await;
    provider.write_all("HTTP/1.1 103 Hints\r\n\r\n".repeat(40).as_bytes()).await.unwrap();
    assert!(matches!(link.send(request(0)).await, Err(Broken::Framing(_))));
}
