use super::{Frames, KEPT, Kind, write};
use crate::codec::Broken;
use crate::stream::{BadStream, EVENT_LIMIT};
use proptest::prelude::*;

/// Messages that botocore's `EventStreamBuffer` reads: an event, an exception, an error with a header of every type.
const EVENT: &str = "00000099000000574c3b5e5f0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a6d6573736167652d\
    747970650700056576656e740d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b22636f6e74656e74426c6f636b\
    496e646578223a20302c202264656c7461223a207b2274657874223a202268c3a9227d7dd3d4a482";
const EXCEPTION: &str = "00000084000000611bf198f50d3a6d6573736167652d74797065070009657863657074696f6e0f3a657863657074696f6e2d747970\
    650700137468726f74746c696e67457863657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b226d\
    657373616765223a2022736c6f77227d95d30eb4";
const ERROR: &str = "0000009e0000008e0114e83f016100016201016302050164030001016504000000010166050000000000000000016706000261620d3a6d\
    6573736167652d747970650700056572726f720169080000000000000000016a09000000000000000000000000000000000b3a6572726f722d636f\
    646507000d496e7465726e616c4572726f720e3a6572726f722d6d657373616765070004676f6e655d110291";

type Read = (Kind, String, String, Vec<u8>);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Read>, Broken> {
    let (mut frames, mut all) = (Frames::default(), Vec::new());
    for chunk in chunks {
        frames.push(chunk, &mut |message| {
            let (name, error) = (message.name.to_owned(), message.error.to_owned());
            all.push((message.kind, name, error, message.payload.to_vec()));
            Ok(())
        })?;
    }
    Ok(all)
}

#[test]
fn reads_what_botocore_reads_at_every_cut() {
    let whole = [bytes(EVENT), bytes(EXCEPTION), bytes(ERROR)].concat();
    let told = |kind, name: &str, error: &str, payload: &str| {
        (kind, name.to_owned(), error.to_owned(), payload.as_bytes().to_vec())
    };
    let expected = [
        told(Kind::Event, "contentBlockDelta", "", r#"{"contentBlockIndex": 0, "delta": {"text": "hé"}}"#),
        told(Kind::Exception, "throttlingException", "", r#"{"message": "slow"}"#),
        told(Kind::Error, "InternalError", "gone", ""),
    ];
    for cut in 0..=whole.len() {
        let (left, right) = whole.split_at(cut);
        assert_eq!(read([left, right]).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn writes_what_it_reads() {
    let mut out = Vec::new();
    write(Kind::Event, "metadata", b"{}", &mut out);
    write(Kind::Exception, "validationException", br#"{"message":"x"}"#, &mut out);
    let read = read([out.as_slice()]).unwrap();
    let names: Vec<_> = read.iter().map(|(kind, name, ..)| (*kind, name.as_str())).collect();
    assert_eq!(names, [(Kind::Event, "metadata"), (Kind::Exception, "validationException")]);
}

#[test]
fn any_flipped_bit_is_found() {
    let whole = bytes(EVENT);
    for at in 0..whole.len() * 8 {
        let mut broken = whole.clone();
        broken[at / 8] ^= 1 << (at % 8);
        // A length that became longer only waits for more: nothing of it is believed either.
        let found = read([broken.as_slice()]);
        assert!(found.is_err(), "bit {at}: {found:?}");
    }
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_held() {
    let mut prelude = u32::try_from(EVENT_LIMIT + 1).unwrap().to_be_bytes().to_vec();
    prelude.extend_from_slice(&[0; 4]);
    let sum = crc32fast::hash(&prelude);
    prelude.extend_from_slice(&sum.to_be_bytes());
    assert_eq!(read([prelude.as_slice()]), Err(Broken::Frame(BadStream::LineTooLong)));
}

#[test]
fn a_large_message_in_pieces_is_not_copied_with_each() {
    let mut whole = Vec::new();
    write(Kind::Event, "chunk", &vec![b'x'; 4 << 20], &mut whole);
    let (mut frames, mut grown, mut last, mut read) = (Frames::default(), 0, 0, 0);
    for piece in whole.chunks(1400) {
        frames
            .push(piece, &mut |_| {
                read += 1;
                Ok(())
            })
            .unwrap();
        assert!(read == 1 || frames.held.capacity() >= last, "shrunk to {}", frames.held.capacity());
        grown += usize::from(frames.held.capacity() > last);
        last = frames.held.capacity();
    }
    assert!(grown < 32, "grown {grown} times");
    assert_eq!((read, frames.held.capacity() <= KEPT), (1, true));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), headers in 0_u32..300) {
        let _ = read([bytes.as_slice()]);
        // The same behind a prelude that holds, so that headers are read.
        let mut message = u32::try_from(bytes.len() + 16).unwrap().to_be_bytes().to_vec();
        message.extend_from_slice(&headers.to_be_bytes());
        let sum = crc32fast::hash(&message);
        message.extend_from_slice(&sum.to_be_bytes());
        message.extend_from_slice(&bytes);
        let sum = crc32fast::hash(&message);
        message.extend_from_slice(&sum.to_be_bytes());
        let _ = read([message.as_slice()]);
    }
}
