//! Where a reply's body ends (RFC 9112, section 6.3).

use super::{BadReply, chunks::Chunks};

/// How the rest of a body is marked off.
#[derive(Debug, Clone)]
pub(in crate::upstream) struct Framing(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// What was found at the front of a buffer: `length` bytes of the body from `start` on. `consumed` bytes are done with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Taken {
    pub(in crate::upstream) start: usize,
    pub(in crate::upstream) length: usize,
    pub(in crate::upstream) consumed: usize,
}

// === impl Framing ===

impl Framing {
    pub(in crate::upstream) const NOTHING: Self = Self::length(0);

    pub(super) const fn length(bytes: u64) -> Self {
        Self(Kind::Length(bytes))
    }

    pub(super) fn chunked() -> Self {
        Self(Kind::Chunked(Chunks::new()))
    }

    pub(super) const fn until_close() -> Self {
        Self(Kind::UntilClose)
    }

    /// Nothing more is to come.
    pub(in crate::upstream) fn is_over(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunks) => chunks.is_over(),
            Kind::UntilClose => false,
        }
    }

    pub(in crate::upstream) fn is_until_close(&self) -> bool {
        matches!(self.0, Kind::UntilClose)
    }

    /// Bytes to come, where the provider said so.
    pub(in crate::upstream) fn left(&self) -> Option<u64> {
        match &self.0 {
            Kind::Length(left) => Some(*left),
            Kind::Chunked(_) | Kind::UntilClose => None,
        }
    }

    /// Finds what of `bytes` is the body's, and brings it together where it lies apart. What is not consumed comes
    /// after the body.
    ///
    /// # Errors
    /// What cannot be a body.
    pub(in crate::upstream) fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, BadReply> {
        let length = match &mut self.0 {
            Kind::Chunked(chunks) => return chunks.take(bytes),
            Kind::UntilClose => bytes.len(),
            Kind::Length(left) => {
                let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                length
            }
        };
        Ok(Taken { start: 0, length, consumed: length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All of `wire`, cut as `cuts` say: the body, and what came after it.
    fn read(mut framing: Framing, wire: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, usize, bool), BadReply> {
        let (mut body, mut consumed) = (Vec::new(), 0);
        let mut ends: Vec<usize> =
            cuts.iter().map(|cut| cut % (wire.len() + 1)).chain([wire.len()]).collect();
        ends.sort_unstable();
        for end in ends {
            let mut bytes = wire[consumed..end].to_vec();
            let taken = framing.take(&mut bytes)?;
            body.extend_from_slice(&bytes[taken.start..taken.start + taken.length]);
            consumed += taken.consumed;
        }
        Ok((body, wire.len() - consumed, framing.is_over()))
    }

    #[test]
    fn a_body_ends_where_it_says() {
        let length = |bytes| Framing::length(bytes);
        assert_eq!(read(length(3), b"abcdef", &[]).unwrap(), (b"abc".to_vec(), 3, true));
        assert_eq!(read(length(9), b"abcdef", &[2]).unwrap(), (b"abcdef".to_vec(), 0, false));
        assert_eq!(read(Framing::until_close(), b"abc", &[1]).unwrap(), (b"abc".to_vec(), 0, false));
        for (wire, body, after) in [
            ("3\r\nabc\r\n0\r\n\r\n", "abc", 0),
            ("3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\nHTTP/1.1", "abc0123456789", 8),
            ("0003 \t;a\r\nabc\r\n000\r\nx: y\r\nz: \r\n\r\n", "abc", 0),
            ("0\r\n\r\n", "", 0),
        ] {
            let read = read(Framing::chunked(), wire.as_bytes(), &[]).unwrap();
            assert_eq!(read, (body.as_bytes().to_vec(), after, true), "{wire:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\na", "x".repeat(20_000));
        let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(4_000));
        for wire in [
            "\r\n",
            "g\r\n",
            ";\r\n",
            " 3\r\nabc",
            "-1\r\n",
            "0x3\r\nabc",
            "3\nabc\r\n",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3 3\r\n",
            "1;a\nb\r\n",
            "0\r\n\n",
            "0\r\nx: y\n",
            "0\r\n\rx",
            "10000000000000000\r\n",
            &long,
            &trailers,
        ] {
            // Looked at twice, as what came before the fault is given first.
            assert!(read(Framing::chunked(), wire.as_bytes(), &[wire.len()]).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn what_came_before_a_fault_is_given_first() {
        let mut framing = Framing::chunked();
        let mut bytes = b"3\r\nabc\r\nno chunk".to_vec();
        let taken = framing.take(&mut bytes).unwrap();
        assert_eq!(&bytes[taken.start..taken.start + taken.length], b"abc");
        assert!(framing.take(&mut bytes[taken.consumed..]).is_err());
    }

    proptest! {
        /// Whichever way the network cuts it, and all that one read brought is one piece.
        #[test]
        fn cuts_change_nothing(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..20),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nx-trailer: 1\r\n\r\nrest");
            let read = read(Framing::chunked(), &wire, &cuts);
            prop_assert_eq!(read, Ok((pieces.concat(), 4, true)));
        }

        /// Whatever comes: it ends, and never claims more than was there.
        #[test]
        fn any_bytes_are_borne(wire in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = wire.clone();
            if let Ok(taken) = Framing::chunked().take(&mut bytes) {
                prop_assert!(taken.start + taken.length <= taken.consumed && taken.consumed <= wire.len());
            }
        }
    }
}
