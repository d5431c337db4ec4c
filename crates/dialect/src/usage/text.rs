//! How long the text of a JSON string is, without decoding it.

use memchr::memchr_iter;

/// Bytes that the inside of a JSON string stands for in UTF-8.
pub(crate) fn unescaped_len(inside: &[u8]) -> u64 {
    let mut length = inside.len();
    let mut behind = 0;
    for at in memchr_iter(b'\\', inside) {
        if at < behind {
            continue;
        }
        let escape = inside.get(at + 1..).unwrap_or_default();
        let (written, stands_for) = match escape {
            [b'u', digits @ ..] => (6, utf8_len(digits)),
            _ => (2, 1),
        };
        behind = at + written;
        length = length.saturating_sub(written - stands_for);
    }
    length as u64
}

/// Bytes of the character with these four digits. A pair of surrogates is four bytes, so each is two.
fn utf8_len(digits: &[u8]) -> usize {
    match digits {
        [b'0', b'0', b'0'..=b'7', ..] => 1,
        [b'0', b'0'..=b'7', ..] => 2,
        [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => 2,
        _ => 3,
    }
}

/// Characters of a JSON string, quotes and all.
pub(super) fn characters(quoted: &[u8]) -> Option<u64> {
    let text: std::borrow::Cow<'_, str> = serde_json::from_slice(quoted).ok()?;
    Some(text.chars().count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_are_not_bytes() {
        assert_eq!(characters(r#""Grüße \u00e9\n""#.as_bytes()), Some(8));
        assert_eq!(characters(b"7"), None);
        assert_eq!(characters(b"[\"a\"]"), None);
    }

    proptest! {
        #[test]
        fn escapes_do_not_change_the_length(text in ".*") {
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped_len(&quoted.as_bytes()[1..quoted.len() - 1]), text.len() as u64);
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(unescaped_len(ascii.as_bytes()), text.len() as u64);
        }
    }
}
