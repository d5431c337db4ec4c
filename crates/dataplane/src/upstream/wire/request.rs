//! A request as it goes out: its head, and with it a body that is small. What the head shows of a key is wiped as soon
//! as it has been written.

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, header};
use keyway_dialect::rewrite::Segments;
use std::{
    collections::VecDeque,
    fmt,
    io::{IoSlice, Write},
    ops::Range,
};
use zeroize::Zeroize;

/// Bytes of a body that is copied behind its head, so that both leave as one.
const JOIN_LIMIT: usize = 16 * 1024;
/// Bytes that a head has besides its target and fields: method, version, `content-length`, line ends.
const REST_OF_HEAD: usize = 64;
/// Slices that are written at once.
pub(in crate::upstream) const SLICES: usize = 4;

/// What of a request has not been written yet.
pub(in crate::upstream) struct Outgoing {
    joined: Vec<u8>,
    /// Bytes of `joined` that are written.
    written: usize,
    /// Where `joined` shows a secret.
    secrets: Vec<Range<usize>>,
    /// A large body.
    slices: VecDeque<Bytes>,
}

// === impl Outgoing ===

impl Outgoing {
    pub(in crate::upstream) fn new(request: &Request<Segments>) -> Self {
        let (headers, body) = (request.headers(), request.body());
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let is_small = body.len() <= JOIN_LIMIT;
        let with_it = if is_small { body.len() } else { 0 };
        // Set aside whole: a buffer that grew would leave a key behind.
        let mut joined = Vec::with_capacity(target.len() + fields + REST_OF_HEAD + with_it);
        let mut secrets = Vec::with_capacity(2);

        joined.extend_from_slice(request.method().as_str().as_bytes());
        joined.push(b' ');
        // A provider may take its key in the query.
        show(&mut joined, &mut secrets, target.as_bytes());
        joined.extend_from_slice(b" HTTP/1.1\r\n");
        fields_of(headers, &mut joined, &mut secrets);
        if !body.is_empty() || *request.method() == Method::POST {
            // Writing to memory does not fail.
            let _ = write!(joined, "content-length: {}\r\n", body.len());
        }
        joined.extend_from_slice(b"\r\n");
        let slices = body.parts().iter();
        let slices = if is_small {
            slices.for_each(|slice| joined.extend_from_slice(slice));
            VecDeque::new()
        } else {
            slices.filter(|slice| !slice.is_empty()).cloned().collect()
        };
        Self { joined, written: 0, secrets, slices }
    }

    pub(in crate::upstream) fn is_written(&self) -> bool {
        self.written == self.joined.len() && self.slices.is_empty()
    }

    /// What is to be written next, in order.
    pub(in crate::upstream) fn next<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let joined = self.joined.get(self.written..).filter(|left| !left.is_empty());
        let left = joined.into_iter().chain(self.slices.iter().map(AsRef::as_ref));
        let mut count = 0;
        for (slice, left) in slices.iter_mut().zip(left) {
            *slice = IoSlice::new(left);
            count += 1;
        }
        count
    }

    /// `written` bytes of it are on their way.
    pub(in crate::upstream) fn advance(&mut self, mut written: usize) {
        let head = written.min(self.joined.len() - self.written);
        self.written += head;
        written -= head;
        if head > 0 && self.written == self.joined.len() {
            self.wipe();
        }
        while let Some(slice) = self.slices.front_mut() {
            let here = written.min(slice.len());
            slice.advance(here);
            written -= here;
            if slice.has_remaining() {
                break;
            }
            self.slices.pop_front();
        }
    }

    fn wipe(&mut self) {
        for range in self.secrets.drain(..) {
            if let Some(secret) = self.joined.get_mut(range) {
                secret.zeroize();
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing")
    }
}

/// The length is told by the body alone, whatever stands in the fields.
fn fields_of(headers: &HeaderMap, joined: &mut Vec<u8>, secrets: &mut Vec<Range<usize>>) {
    for (name, value) in headers {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            continue;
        }
        joined.extend_from_slice(name.as_str().as_bytes());
        joined.extend_from_slice(b": ");
        if value.is_sensitive() {
            show(joined, secrets, value.as_bytes());
        } else {
            joined.extend_from_slice(value.as_bytes());
        }
        joined.extend_from_slice(b"\r\n");
    }
}

fn show(joined: &mut Vec<u8>, secrets: &mut Vec<Range<usize>>, secret: &[u8]) {
    let start = joined.len();
    joined.extend_from_slice(secret);
    secrets.push(start..joined.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn request(method: Method, body: &[u8]) -> Request<Segments> {
        let mut request = Request::new(Segments::from(Bytes::copy_from_slice(body)));
        *request.method_mut() = method;
        *request.uri_mut() = "/v1/x?key=the-key".parse().unwrap();
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_static("a.example"));
        headers.insert("content-length", HeaderValue::from_static("999"));
        let mut key = HeaderValue::from_static("Bearer the-key");
        key.set_sensitive(true);
        headers.insert("authorization", key);
        headers.append("via", HeaderValue::from_static("1.1 a"));
        headers.append("via", HeaderValue::from_static("1.1 b"));
        request
    }

    /// What goes out if at most `step` bytes are taken at once, and what is left in memory of the head.
    fn written(mut outgoing: Outgoing, step: usize) -> (Vec<u8>, Vec<u8>) {
        let mut wire = Vec::new();
        while !outgoing.is_written() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outgoing.next(&mut slices);
            let before = wire.len();
            wire.extend(slices[..count].iter().flat_map(|slice| slice.iter()).take(step));
            let taken = wire.len() - before;
            outgoing.advance(taken);
        }
        (wire, outgoing.joined.clone())
    }

    #[test]
    fn head_and_body_go_out_whole_however_the_socket_takes_them() {
        let head = "POST /v1/x?key=the-key HTTP/1.1\r\nhost: a.example\r\nauthorization: Bearer the-key\r\n\
                    via: 1.1 a\r\nvia: 1.1 b\r\n";
        for body in [0, 5, JOIN_LIMIT, JOIN_LIMIT + 1, 200_000] {
            let body = vec![b'x'; body];
            let expected = format!("{head}content-length: {}\r\n\r\n", body.len());
            for step in [7, 1000, usize::MAX] {
                let (wire, _) = written(Outgoing::new(&request(Method::POST, &body)), step);
                assert_eq!(wire, [expected.as_bytes(), &body].concat());
            }
        }
        let (wire, _) = written(Outgoing::new(&request(Method::GET, b"")), 9);
        assert!(wire.ends_with(b"via: 1.1 b\r\n\r\n"), "no length where there is no body");
    }

    #[test]
    fn what_was_written_is_wiped_and_never_moved() {
        for body in [&b""[..], &[b'x'; 20_000]] {
            let outgoing = Outgoing::new(&request(Method::POST, body));
            let capacity = outgoing.joined.capacity();
            assert!(outgoing.joined.len() <= capacity && !outgoing.secrets.is_empty());
            assert_eq!(capacity, Vec::<u8>::with_capacity(capacity).capacity());
            let (_, left) = written(outgoing, 100);
            assert!(!left.windows(7).any(|bytes| bytes == b"the-key"), "{}", left.escape_ascii());
        }
    }
}
