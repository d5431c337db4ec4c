//! One frame as it lies in a segment: length, checksum, the numbers that it stands for, then the frame. Pure.
//!
//! A crash can leave half an entry at the end, or zeros; reading ends at the first that is not what was written.

use keyway_proto::BATCH_LIMIT;

/// Bytes before the frame: length and CRC-32 of what follows it (u32 each), first and last number (u64 each), all in
/// little endian.
pub(crate) const HEAD: usize = 24;
/// What the checksum does not cover: itself and the length, which it would not be found without.
const UNCHECKED: usize = 8;

/// One entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Encoded.
    pub(crate) frame: &'a [u8],
}

/// An entry to write.
pub(crate) fn encode(first: u64, last: u64, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let mut entry = Vec::with_capacity(HEAD + frame.len());
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&[0; 4]);
    entry.extend_from_slice(&first.to_le_bytes());
    entry.extend_from_slice(&last.to_le_bytes());
    entry.extend_from_slice(frame);
    let checksum = crc32fast::hash(entry.get(UNCHECKED..).unwrap_or_default());
    if let Some(place) = entry.get_mut(4..UNCHECKED) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    entry
}

/// The entry that these bytes begin with; `None` if they do not hold a whole one.
pub(crate) fn read(bytes: &[u8]) -> Option<Entry<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, checked) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= BATCH_LIMIT)?;
    let checked = checked.get(..HEAD - UNCHECKED + length)?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (first, rest) = checked.split_first_chunk::<8>()?;
    let (last, frame) = rest.split_first_chunk::<8>()?;
    let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    (0 < first && first <= last).then_some(Entry { first, last, frame })
}

// === impl Entry ===

impl Entry<'_> {
    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        HEAD + self.frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_anywhere_or_changed_anywhere_it_is_no_entry() {
        let whole = encode(3, 7, b"a frame");
        let read_back = read(&whole).unwrap();
        assert_eq!(read_back, Entry { first: 3, last: 7, frame: b"a frame" });
        assert_eq!(read_back.size(), whole.len());
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(read(&changed), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(read(&[0; 64]), None, "zeros, as some file systems leave them");
        assert_eq!(read(&encode(0, 0, b"")), None, "no frame has number 0");
        let followed = [whole.clone(), vec![9; 5]].concat();
        assert_eq!(read(&followed).unwrap().size(), whole.len());
    }
}
