//! What a record says, as bytes: the entry as JSON, then the writes with their values as they are. Touches no file.

use crate::store::{BATCH_LIMIT, Entry, Key, Write, cut};
use bytes::Bytes;

/// Tells a deletion from a value.
const DELETED: u8 = 0;
const WRITTEN: u8 = 1;

/// Entry and writes; `None` = something in it is over four gigabytes.
pub(crate) fn encode(entry: &Entry, writes: &[Write]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    cut::put_sized(&mut payload, &serde_json::to_vec(entry).ok()?)?;
    payload.extend_from_slice(&u32::try_from(writes.len()).ok()?.to_le_bytes());
    for write in writes {
        cut::put_sized(&mut payload, write.key.as_str().as_bytes())?;
        payload.extend_from_slice(&write.expected.to_le_bytes());
        match &write.value {
            Some(value) => {
                payload.push(WRITTEN);
                cut::put_sized(&mut payload, value)?;
            }
            None => payload.push(DELETED),
        }
    }
    Some(payload)
}

/// The counterpart; `None` = no such thing was encoded.
pub(crate) fn decode(payload: &[u8]) -> Option<(Entry, Vec<Write>)> {
    let mut cut = cut::Cut(payload);
    let entry = serde_json::from_slice(cut.sized()?).ok()?;
    let count = usize::try_from(cut.u32()?).ok().filter(|count| *count <= BATCH_LIMIT)?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let key = Key(std::str::from_utf8(cut.sized()?).ok()?.into());
        let expected = cut.u64()?;
        let value = match cut.u8()? {
            DELETED => None,
            WRITTEN => Some(Bytes::copy_from_slice(cut.sized()?)),
            _ => return None,
        };
        writes.push(Write { key, expected, value });
    }
    cut.is_empty().then_some((entry, writes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let payload = encode(&entry, &writes).unwrap();
            prop_assert_eq!(decode(&payload), Some((entry, writes)));
            prop_assert_eq!(decode(&payload[..payload.len() - 1]), None);
        }

        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
