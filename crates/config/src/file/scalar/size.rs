//! A number of bytes.

use std::fmt;

/// Units, largest first.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// A number of bytes: `4GiB`, `500MB`, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    bytes: u64,
}

// === impl Size ===

impl Size {
    /// Bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// From bytes.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// Reads `4GiB`, `512 MiB`, `10GB` or a number of bytes; `None` if it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(split)?;
        let of_unit = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
        let size = match unit {
            "" | "B" => 1,
            _ => UNITS.iter().find(of_unit)?.1,
        };
        super::decimal(number.trim(), 0)?.checked_mul(size).map(|bytes| Self { bytes })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, size)| self.bytes != 0 && self.bytes.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", self.bytes / size),
            None => write!(f, "{}", self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly_and_shown_as_they_are_read() {
        let cases = [
            ("4GiB", 4 << 30, "4GiB"),
            ("512 MiB", 512 << 20, "512MiB"),
            ("1gb", 1_000_000_000, "1GB"),
            ("4096", 4096, "4KiB"),
            ("0", 0, "0"),
            ("17B", 17, "17"),
        ];
        for (text, bytes, shown) in cases {
            let size = Size::parse(text).unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown));
            assert_eq!(Size::parse(shown), Some(size));
        }
        for text in ["", "GiB", "-1", "1.5GiB", "4 parsecs", "99999999999TiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
