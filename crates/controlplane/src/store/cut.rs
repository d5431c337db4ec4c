//! Takes little-endian pieces off the front of bytes. Answers `None` where there are too few, never panics.

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a>(pub(crate) &'a [u8]);

// === impl Cut ===

impl<'a> Cut<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length of four bytes, then so many bytes.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The counterpart of [`Cut::sized`]; `None` = too long for its length to be written.
pub(crate) fn put_sized(into: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    into.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
    into.extend_from_slice(bytes);
    Some(())
}
