//! A second as signatures write it: `20150830T123600Z`.

const DAY: u64 = 86_400;

/// Seconds since 1970, and their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    unix: u64,
    text: [u8; 16],
}

// === impl Instant ===

impl Instant {
    /// Years after 9999 have no text; nobody signs there.
    #[must_use]
    pub fn at(unix: u64) -> Self {
        let (year, month, day) = civil(unix / DAY);
        let second = unix % DAY;
        let fields =
            [(year, 4), (month, 2), (day, 2), (second / 3600, 2), (second / 60 % 60, 2), (second % 60, 2)];
        let mut text = *b"00000000T000000Z";
        let mut place = 0;
        for (value, width) in fields {
            place += usize::from(place == 8);
            for digit in (0..width).rev() {
                let digit = u8::try_from(value / 10_u64.pow(digit) % 10).unwrap_or_default();
                if let Some(byte) = text.get_mut(place) {
                    *byte = b'0' + digit;
                }
                place += 1;
            }
        }
        Self { unix, text }
    }

    /// From its text; `None` for anything that is not exactly such a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits =
                text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse::<u64>().ok()
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
        let days = days(year, month, day)?;
        let found = Self::at(days * DAY + hour * 3600 + minute * 60 + second);
        // What is out of range (a 31st of June, a 25th hour) comes back as something else.
        (found.text() == text).then_some(found)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn unix(&self) -> u64 {
        self.unix
    }

    /// `20150830T123600Z`.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `20150830`.
    #[must_use]
    pub fn date(&self) -> &str {
        self.text().get(..8).unwrap_or_default()
    }
}

/// Days of the years from March on, so that the leap day comes last: the usual arithmetic of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let year = year - u64::from(month < 3);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(EPOCH)
}

/// Days from 1 March of the year 0 to 1 January 1970.
const EPOCH: u64 = 719_468;

fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (unix, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            assert_eq!(Instant::at(unix).text(), text);
            assert_eq!(Instant::parse(text).map(|at| at.unix()), Some(unix));
        }
        assert_eq!(Instant::at(1_440_938_160).date(), "20150830");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "20150830",
            "20150830T123600",
            "20150830 123600Z",
            "20150230T123600Z",
            "20151330T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "2015083éT123600Z",
            "19690830T123600Z",
            "20150830T123600ZZ",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(unix in 0_u64..253_402_300_800) {
            let at = Instant::at(unix);
            prop_assert_eq!(Instant::parse(at.text()), Some(at));
        }
    }
}
