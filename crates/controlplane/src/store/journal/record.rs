//! One record as bytes, both ways, and the rule that joins records to a chain. Touches no file.
//!
//! Magic and format (4), payload length (4), seq (8), epoch (8), time (8), hash of the record before (32), payload,
//! BLAKE3 of all of that (32). Numbers are little-endian.

use crate::store::{cut::Cut, documents::Hash};
use std::{
    fmt,
    io::{self, Read},
};

/// The first byte stands in no UTF-8 text, so a document never looks like a record; the last is the format.
pub(crate) const MAGIC: [u8; 4] = [0xF5, b'K', b'W', 1];
/// Bytes before the payload.
pub(crate) const HEAD_BYTES: usize = 64;
/// Bytes after it.
const HASH_BYTES: usize = 32;
/// Bytes of one record's payload: the largest batch with documents of 1.3 KB.
pub(crate) const PAYLOAD_LIMIT: usize = 256 << 20;

/// A record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// 0 = the genesis record; else the revision.
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    /// Milliseconds since 1970, for people.
    pub(crate) time: u64,
    /// Hash of the record before; zeros before the first.
    pub(crate) before: Hash,
}

/// A record whose own hash is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) link: Link,
    pub(crate) payload: Vec<u8>,
    pub(crate) hash: Hash,
}

/// The last record of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) hash: Hash,
}

/// What is wrong with bytes that should be a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is cut short")]
    Short,
    #[error("no record of a known format begins there")]
    Foreign,
    #[error("it claims {0} bytes")]
    TooLong(u32),
    #[error("its hash is {found}, computed {expected}")]
    Hash { expected: Hex, found: Hex },
    #[error("it follows hash {found}, the record before it has {expected}")]
    Chain { expected: Hex, found: Hex },
    #[error("its number is {found}, expected {expected}")]
    Order { expected: u64, found: u64 },
    #[error("its epoch is {found}, after {before}")]
    Epoch { before: u64, found: u64 },
    #[error("its payload is not readable")]
    Payload,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A hash as people compare it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Hash);

/// Bytes of the whole record.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    (HEAD_BYTES + HASH_BYTES + payload) as u64
}

// === impl Link ===

impl Link {
    /// The record as it stands in the file, and its hash; `None` = the payload is over the limit.
    pub(crate) fn seal(&self, payload: &[u8]) -> Option<(Vec<u8>, Hash)> {
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_LIMIT)?;
        let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len() + HASH_BYTES);
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&length.to_le_bytes());
        for number in [self.seq, self.epoch, self.time] {
            frame.extend_from_slice(&number.to_le_bytes());
        }
        frame.extend_from_slice(&self.before);
        frame.extend_from_slice(payload);
        let hash = *blake3::hash(&frame).as_bytes();
        frame.extend_from_slice(&hash);
        Some((frame, hash))
    }

    /// What stands before a payload, and the payload's length.
    pub(crate) fn parse(head: &[u8; HEAD_BYTES]) -> Result<(Self, usize), Fault> {
        let mut cut = Cut(head);
        if cut.array() != Some(MAGIC) {
            return Err(Fault::Foreign);
        }
        let length = cut.u32().ok_or(Fault::Short)?;
        let payload = usize::try_from(length).ok().filter(|bytes| *bytes <= PAYLOAD_LIMIT);
        let payload = payload.ok_or(Fault::TooLong(length))?;
        let mut number = || cut.u64().ok_or(Fault::Short);
        let (seq, epoch, time) = (number()?, number()?, number()?);
        let before = cut.array().ok_or(Fault::Short)?;
        Ok((Self { seq, epoch, time, before }, payload))
    }
}

// === impl Sealed ===

impl Sealed {
    /// The next record; `None` = nothing more is there.
    pub(crate) fn read(from: &mut impl Read) -> Result<Option<Self>, ReadError> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        from.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let head: [u8; HEAD_BYTES] = head.try_into().map_err(|_| Fault::Short)?;
        let (link, length) = Link::parse(&head)?;
        // Grows with what is there, not with what is claimed.
        let mut payload = Vec::new();
        from.by_ref().take(length as u64).read_to_end(&mut payload)?;
        let mut found = Vec::with_capacity(HASH_BYTES);
        from.by_ref().take(HASH_BYTES as u64).read_to_end(&mut found)?;
        let found: Hash = found.try_into().map_err(|_| Fault::Short)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head).update(&payload);
        let hash = *hasher.finalize().as_bytes();
        if hash != found {
            return Err(Fault::Hash { expected: Hex(hash), found: Hex(found) }.into());
        }
        Ok(Some(Self { link, payload, hash }))
    }

    pub(crate) fn head(&self) -> Head {
        Head { seq: self.link.seq, epoch: self.link.epoch, hash: self.hash }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload.len())
    }

    /// Whether it may come after that record; `None` = it is the first.
    pub(crate) fn follows(&self, head: Option<Head>) -> Result<(), Fault> {
        let link = self.link;
        let (expected, before) = head.map_or((0, [0; 32]), |head| (head.seq + 1, head.hash));
        if link.seq != expected {
            return Err(Fault::Order { expected, found: link.seq });
        }
        if link.before != before {
            return Err(Fault::Chain { expected: Hex(before), found: Hex(link.before) });
        }
        match head {
            Some(head) if link.epoch < head.epoch => {
                Err(Fault::Epoch { before: head.epoch, found: link.epoch })
            }
            _ => Ok(()),
        }
    }
}

// === impl Hex ===

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(seq: u64) -> Link {
        Link { seq, epoch: 1, time: 5, before: [9; 32] }
    }

    fn fault(bytes: &[u8]) -> Fault {
        match Sealed::read(&mut &*bytes).unwrap_err() {
            ReadError::Fault(fault) => fault,
            ReadError::Io(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let (frame, _) = link(3).seal(b"payload").unwrap();
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 0x20;
            fault(&changed);
        }
    }

    #[test]
    fn a_cut_record_is_short() {
        let (frame, _) = link(3).seal(b"payload").unwrap();
        assert!(Sealed::read(&mut &frame[..0]).unwrap().is_none());
        for length in 1..frame.len() {
            assert_eq!(fault(&frame[..length]), Fault::Short);
        }
    }

    #[test]
    fn no_length_is_believed() {
        let (mut frame, _) = link(3).seal(b"payload").unwrap();
        frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(fault(&frame), Fault::TooLong(u32::MAX));
        frame[0] = b'{';
        assert_eq!(fault(&frame), Fault::Foreign);
    }

    #[test]
    fn only_the_next_follows() {
        let head = Head { seq: 3, epoch: 2, hash: [9; 32] };
        let sealed = |link| Sealed { link, payload: Vec::new(), hash: [1; 32] };
        let good = Link { epoch: 2, ..link(4) };
        assert_eq!(sealed(good).follows(Some(head)), Ok(()));
        for bad in [
            Link { seq: 3, ..good },
            Link { seq: 5, ..good },
            Link { before: [8; 32], ..good },
            Link { epoch: 1, ..good },
        ] {
            sealed(bad).follows(Some(head)).unwrap_err();
        }
        assert_eq!(sealed(Link { seq: 0, before: [0; 32], ..good }).follows(None), Ok(()));
        sealed(good).follows(None).unwrap_err();
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read(
            numbers in any::<[u64; 3]>(), before in any::<[u8; 32]>(), payload in any::<Vec<u8>>(), rest in any::<Vec<u8>>()
        ) {
            let link = Link { seq: numbers[0], epoch: numbers[1], time: numbers[2], before };
            let (mut frame, hash) = link.seal(&payload).unwrap();
            prop_assert_eq!(frame.len() as u64, frame_bytes(payload.len()));
            frame.extend_from_slice(&rest);
            let mut from = frame.as_slice();
            let read = Sealed::read(&mut from).unwrap().unwrap();
            prop_assert_eq!(read, Sealed { link, payload, hash });
            prop_assert_eq!(from, rest.as_slice());
        }

        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            let _ = Sealed::read(&mut bytes.as_slice());
        }
    }
}
