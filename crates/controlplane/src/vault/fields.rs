//! Fields one after another, each with its length before it: what is sealed, what is authenticated and what lies on
//! disk are written like this and no other way, so that two different things never have the same bytes.

use zeroize::Zeroizing;

/// Bytes of a length.
const LENGTH: usize = 4;

/// Writes fields. Wiped on drop, as some hold keys.
pub(super) struct Fields(Zeroizing<Vec<u8>>);

/// Reads fields back, from the front.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

// === impl Fields ===

impl Fields {
    /// Room for that many bytes. Who writes secrets asks for enough: a buffer that grows leaves a copy behind.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    /// A field. One beyond 4 GiB would be cut to nothing a reader takes; limits of this room lie far below.
    pub(super) fn put(&mut self, field: &[u8]) -> &mut Self {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// A number, as eight bytes.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_be_bytes())
    }

    /// How many, then each.
    pub(super) fn all<'a>(&mut self, fields: impl ExactSizeIterator<Item = &'a str>) -> &mut Self {
        self.number(u64::try_from(fields.len()).unwrap_or(u64::MAX));
        fields.for_each(|field| {
            self.put(field.as_bytes());
        });
        self
    }

    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// From the front.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field; `None` if there is none, or only a part of one.
    pub(super) fn take(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// The next field, of exactly that many bytes.
    pub(super) fn exact<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take()?.try_into().ok()
    }

    /// The next field as text.
    pub(super) fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.take()?).ok().map(str::to_owned)
    }

    /// The next field as a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.exact().copied().map(u64::from_be_bytes)
    }

    /// The next field as a version.
    pub(super) fn version(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    /// Whether nothing is left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_parts() {
        let mut fields = Fields::with_room(0);
        fields.put(b"ab").number(7).all(["x", ""].into_iter());
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let head = (reader.take()?.to_vec(), reader.version()?, reader.number()?);
            let tail = (reader.text()?, reader.text()?);
            reader.end().map(|()| (head, tail))
        };
        let whole = read(fields.bytes()).unwrap();
        assert_eq!(whole, ((b"ab".to_vec(), 7, 2), ("x".to_owned(), String::new())));
        for cut in 0..fields.bytes().len() {
            assert!(read(&fields.bytes()[..cut]).is_none(), "{cut}");
        }
        assert!(read(&[fields.bytes(), b"x"].concat()).is_none());
    }

    #[test]
    fn borders_count() {
        let of = |fields: &[&[u8]]| {
            let mut all = Fields::with_room(0);
            for field in fields {
                all.put(field);
            }
            all.bytes().to_vec()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
    }
}
