//! The search itself: all parts of all markers in all forms, in one pass over the bytes.

use std::collections::{BTreeSet, HashMap};

use super::Marker;

/// Bytes of a secret that count as it: nobody guesses the rest, and no text holds them by chance.
const PART: usize = 8;
/// Bits of the first look.
const SIEVE: usize = 1 << 20;

/// How a part of a secret was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Raw,
    /// At any place in a text that was encoded, in either alphabet.
    Base64,
    /// In either case.
    Hex,
    /// As in URLs: all of it, or what has to be.
    Percent,
    /// As `Debug` writes bytes, or JSON an array.
    Decimal,
    /// With what JSON or `Debug` put a backslash before.
    Escaped,
}

/// A part of a secret that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Name of the marker.
    pub marker: String,
    /// How it was written.
    pub form: Form,
    /// Where the first such part begins.
    pub at: usize,
}

/// Finds markers.
#[derive(Debug, Default)]
pub struct Scanner {
    names: Vec<String>,
    /// By the first eight bytes.
    forms: HashMap<[u8; PART], Vec<Written>>,
    /// False where no form begins with bytes of this hash.
    sieve: Vec<bool>,
}

/// The bytes, of which marker, in which form.
type Written = (Vec<u8>, usize, Form);

// === impl Scanner ===

impl Scanner {
    /// For these markers.
    #[must_use]
    pub fn new(markers: &[Marker]) -> Self {
        let mut scanner = Self { sieve: vec![false; SIEVE], ..Self::default() };
        for marker in markers {
            let number = scanner.names.len();
            scanner.names.push(marker.name.clone());
            for part in marker.random.windows(PART) {
                for (form, bytes) in forms(part) {
                    scanner.add(bytes, number, form);
                }
            }
        }
        scanner
    }

    /// For these markers as they are, and in no other form: what a memory is searched for.
    #[must_use]
    pub fn raw(markers: &[Marker]) -> Self {
        let mut scanner = Self { sieve: vec![false; SIEVE], ..Self::default() };
        for (number, marker) in markers.iter().enumerate() {
            scanner.names.push(marker.name.clone());
            marker.random.windows(PART).for_each(|part| scanner.add(part.to_vec(), number, Form::Raw));
        }
        scanner
    }

    fn add(&mut self, bytes: Vec<u8>, marker: usize, form: Form) {
        let Some(first) = bytes.first_chunk::<PART>().copied() else { return };
        if let Some(place) = self.sieve.get_mut(place(first)) {
            *place = true;
        }
        let same = self.forms.entry(first).or_default();
        if !same.iter().any(|(known, of, _)| *known == bytes && *of == marker) {
            same.push((bytes, marker, form));
        }
    }

    /// The first hit of each marker and form.
    #[must_use]
    pub fn scan(&self, bytes: &[u8]) -> Vec<Hit> {
        let (mut hits, mut known) = (Vec::new(), BTreeSet::new());
        for (at, window) in bytes.windows(PART).enumerate() {
            let Ok(first) = <[u8; PART]>::try_from(window) else { continue };
            if self.sieve.get(place(first)) != Some(&true) {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let found = self.forms.get(&first).into_iter().flatten();
            for (_, marker, form) in found.filter(|(form, ..)| rest.starts_with(form)) {
                if known.insert((*marker, *form)) {
                    let marker = self.names.get(*marker).cloned().unwrap_or_default();
                    hits.push(Hit { marker, form: *form, at });
                }
            }
        }
        hits
    }
}

/// A bit of the sieve.
fn place(first: [u8; PART]) -> usize {
    let hash = u64::from_le_bytes(first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 44).unwrap_or_default() % SIEVE
}

/// All that a part may be written as.
fn forms(part: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let each = |form: Form, write: &dyn Fn(&u8) -> String| {
        (form, part.iter().map(write).collect::<String>().into_bytes())
    };
    let decimal: Vec<String> = part.iter().map(u8::to_string).collect();
    let mut all = vec![
        (Form::Raw, part.to_vec()),
        each(Form::Hex, &|byte| format!("{byte:02x}")),
        each(Form::Hex, &|byte| format!("{byte:02X}")),
        each(Form::Percent, &|byte| format!("%{byte:02x}")),
        each(Form::Percent, &|byte| format!("%{byte:02X}")),
        each(Form::Percent, &|byte| {
            if is_plain(*byte) { char::from(*byte).into() } else { format!("%{byte:02X}") }
        }),
        each(Form::Percent, &|byte| {
            if is_plain(*byte) { char::from(*byte).into() } else { format!("%{byte:02x}") }
        }),
        each(Form::Escaped, &|byte| std::ascii::escape_default(*byte).to_string()),
        each(Form::Escaped, &|byte| if *byte == b'/' { "\\/".to_owned() } else { char::from(*byte).into() }),
        (Form::Decimal, decimal.join(",").into_bytes()),
        (Form::Decimal, decimal.join(", ").into_bytes()),
    ];
    for alphabet in [b"+/", b"-_"] {
        all.extend((0..3).map(|before| (Form::Base64, base64(part, before, *alphabet))));
    }
    all
}

/// Stands in a URL as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The characters of base64 that this part alone decides, with so many other bytes before it (modulo three).
fn base64(part: &[u8], before: usize, last_two: [u8; 2]) -> Vec<u8> {
    let letters: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last_two).collect();
    let (first, end) = ((before * 8).div_ceil(6), (before + part.len()) * 8 / 6);
    let bit = |at: usize| {
        let byte = (at / 8).checked_sub(before).and_then(|byte| part.get(byte)).copied().unwrap_or(0);
        usize::from(byte >> (7 - at % 8) & 1)
    };
    let letter = |place: usize| (0..6).fold(0, |value, at| value << 1 | bit(place * 6 + at));
    (first..end).filter_map(|place| letters.get(letter(place)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_others_write_at_every_place() {
        // `printf 'aSECRET++xyz' | base64`, and one and two bytes more before it.
        for (text, before) in [("U0VDUkVUKy94", 0), ("YVNFQ1JFVCsveA==", 1), ("YWFTRUNSRVQrL3g=", 2)] {
            let form = base64(b"SECRET+/", before, *b"+/");
            let form = std::str::from_utf8(&form).unwrap();
            assert!(text.contains(form) && form.len() == 10, "{form} in {text}");
        }
    }

    #[test]
    fn what_is_shorter_than_a_part_is_no_secret() {
        let marker = Marker::found("one", b"0123456789abcdef");
        let scanner = Scanner::new(&[marker]);
        assert!(scanner.scan(b"9abcdef and 0123456").is_empty());
        assert_eq!(scanner.scan(b"..23456789.."), [Hit { marker: "one".into(), form: Form::Raw, at: 2 }]);
    }
}
