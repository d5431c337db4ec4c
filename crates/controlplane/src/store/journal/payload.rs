//! What a record says, as bytes: the entry as JSON, then the writes. A value that is much like the one before it is written
//! as what changed, so that a step of one key does not copy its provider's other keys. Touches no file.

use crate::store::{BATCH_LIMIT, Entry, Key, Versioned, Write, cut, documents::Documents};
use bytes::Bytes;

/// Tells a deletion from a value, and that from what changed in one.
const DELETED: u8 = 0;
const WRITTEN: u8 = 1;
const CHANGED: u8 = 2;
/// Bytes of a hash of the value before, by which a change knows that it is for that one.
const BASE: usize = 8;
/// A value is written whole unless what changed is smaller by this factor.
const WORTH: usize = 2;
/// Larger values are always whole: a store that keeps them in the record alone reads them without the ones before.
const LARGE: usize = 256 << 10;

/// One write as a record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) key: Key,
    expected: u64,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Deleted,
    Whole(Bytes),
    Changed { base: [u8; BASE], before: usize, after: usize, middle: Bytes },
}

/// Entry and writes; `before`: the values that they take the place of, in their order, as far as any are known. `None` = something in it is over four
/// gigabytes.
pub(crate) fn encode(entry: &Entry, writes: &[Write], before: &[Option<Bytes>]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    cut::put_sized(&mut payload, &serde_json::to_vec(entry).ok()?)?;
    payload.extend_from_slice(&u32::try_from(writes.len()).ok()?.to_le_bytes());
    for (place, write) in writes.iter().enumerate() {
        cut::put_sized(&mut payload, write.key.as_str().as_bytes())?;
        payload.extend_from_slice(&write.expected.to_le_bytes());
        match &write.value {
            Some(value) => put(&mut payload, value, before.get(place).and_then(Option::as_deref))?,
            None => payload.push(DELETED),
        }
    }
    Some(payload)
}

/// As what changed, where that is much smaller.
fn put(payload: &mut Vec<u8>, value: &[u8], old: Option<&[u8]>) -> Option<()> {
    if let Some(old) = old.filter(|_| value.len() <= LARGE) {
        let same = |(a, b): &(&u8, &u8)| a == b;
        let before = old.iter().zip(value).take_while(same).count();
        let (old_rest, rest) = (old.get(before..)?, value.get(before..)?);
        let after = old_rest.iter().rev().zip(rest.iter().rev()).take_while(same).count();
        let middle = rest.get(..rest.len() - after)?;
        if middle.len().saturating_mul(WORTH) < value.len() {
            payload.push(CHANGED);
            payload.extend_from_slice(&base(old));
            for length in [before, after] {
                payload.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
            }
            return cut::put_sized(payload, middle);
        }
    }
    payload.push(WRITTEN);
    cut::put_sized(payload, value)
}

fn base(value: &[u8]) -> [u8; BASE] {
    blake3::hash(value).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The counterpart; `None` = no such thing was encoded.
pub(crate) fn decode(payload: &[u8]) -> Option<(Entry, Vec<Written>)> {
    let mut cut = cut::Cut(payload);
    let entry = serde_json::from_slice(cut.sized()?).ok()?;
    let count = usize::try_from(cut.u32()?).ok().filter(|count| *count <= BATCH_LIMIT)?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let key = Key(std::str::from_utf8(cut.sized()?).ok()?.into());
        let expected = cut.u64()?;
        let value = match cut.u8()? {
            DELETED => Value::Deleted,
            WRITTEN => Value::Whole(Bytes::copy_from_slice(cut.sized()?)),
            CHANGED => Value::Changed {
                base: cut.array()?,
                before: usize::try_from(cut.u32()?).ok()?,
                after: usize::try_from(cut.u32()?).ok()?,
                middle: Bytes::copy_from_slice(cut.sized()?),
            },
            _ => return None,
        };
        writes.push(Written { key, expected, value });
    }
    cut.is_empty().then_some((entry, writes))
}

/// The writes of a record, over the documents that were there before it; `None` = it was made over others.
pub(crate) fn over(writes: Vec<Written>, documents: &Documents) -> Option<Vec<Write>> {
    let over = |written: Written| {
        let there = documents.get(&written.key);
        written.over(there)
    };
    writes.into_iter().map(over).collect()
}

// === impl Written ===

impl Written {
    /// The write, over the document that is there; `None` = it was made over another one.
    pub(crate) fn over(self, there: Option<&Versioned>) -> Option<Write> {
        let Self { key, expected, value } = self;
        let value = match value {
            Value::Deleted => None,
            Value::Whole(value) => Some(value),
            Value::Changed { base: wanted, before, after, middle } => {
                let old =
                    &there.filter(|there| there.version == expected && base(&there.value) == wanted)?.value;
                let tail = old.len().checked_sub(after).filter(|tail| *tail >= before)?;
                Some([old.get(..before)?, &middle, old.get(tail..)?].concat().into())
            }
        };
        Some(Write { key, expected, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_change_of_a_large_value_is_small() {
        let old = Bytes::from(vec![b'a'; 100_000]);
        let mut new = old.to_vec();
        new[50_000] = b'b';
        let write = Write { key: Key::new("provider", "a"), expected: 1, value: Some(new.into()) };
        let bytes =
            |before: Option<Bytes>| encode(&Entry::default(), std::slice::from_ref(&write), &[before]);
        assert!(bytes(Some(old)).unwrap().len() < 300);
        assert!(bytes(None).unwrap().len() > 100_000);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            actor in any::<String>(), at in any::<u64>(),
            writes in proptest::collection::vec((any::<String>(), any::<u64>(), any::<Option<Vec<u8>>>()), 0..5)
        ) {
            let entry = Entry { at, actor, detail: serde_json::json!({"b": 1, "a": [null]}), ..Entry::default() };
            let write = |(name, expected, value): (String, u64, Option<Vec<u8>>)| Write {
                key: Key::new("client", &name), expected, value: value.map(Bytes::from),
            };
            let writes: Vec<Write> = writes.into_iter().map(write).collect();
            let payload = encode(&entry, &writes, &[]).unwrap();
            let (read, written) = decode(&payload).unwrap();
            let written: Option<Vec<Write>> = written.into_iter().map(|one| one.over(None)).collect();
            prop_assert_eq!((read, written), (entry, Some(writes)));
            prop_assert_eq!(decode(&payload[..payload.len() - 1]), None);
        }

        #[test]
        fn what_changed_is_enough_over_the_value_before_and_over_no_other(
            old in any::<Vec<u8>>(), cut in any::<(prop::sample::Index, prop::sample::Index)>(), middle in any::<Vec<u8>>()
        ) {
            let (a, b) = (cut.0.index(old.len() + 1), cut.1.index(old.len() + 1));
            let new = [&old[..a.min(b)], &middle, &old[a.max(b)..]].concat();
            let there = Versioned { version: 7, value: Bytes::from(old) };
            let write = Write { key: Key::new("provider", "a"), expected: 7, value: Some(Bytes::from(new)) };
            let payload = encode(&Entry::default(), std::slice::from_ref(&write), &[Some(there.value.clone())]).unwrap();
            let written = decode(&payload).unwrap().1.remove(0);
            prop_assert_eq!(written.clone().over(Some(&there)), Some(write.clone()));
            if let Value::Changed { .. } = written.value {
                prop_assert_eq!(written.clone().over(None), None);
                prop_assert_eq!(written.clone().over(Some(&Versioned { version: 6, ..there.clone() })), None);
                let other = Bytes::from([&there.value[..], b"x"].concat());
                prop_assert_eq!(written.over(Some(&Versioned { version: 7, value: other })), None);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
