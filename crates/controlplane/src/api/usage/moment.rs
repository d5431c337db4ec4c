//! Moments of a query and of an answer. Pure: the present comes in.

use keyway_config::{Expiry, Span};

const DAY_MILLIS: u64 = 86_400_000;
/// Characters of `2027-01-31T18:00:00`.
const TO_SECONDS: usize = 19;

/// What a moment may be written as.
pub(super) const FORMS: &str = "milliseconds since 1970, a time like 2027-01-31T18:00:00Z, a date, `today`, `now`, or so long ago: 24h, 7d";

/// Milliseconds since 1970; `None` if it is written in none of the [`FORMS`].
pub(super) fn parse(text: &str, now: u64) -> Option<u64> {
    let text = text.trim();
    match text {
        "now" => return Some(now),
        "today" => return Some(now - now % DAY_MILLIS),
        _ => {}
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let ago = || Span::parse(text).map(|span| now.saturating_sub(span.millis()));
    rfc3339(text).or_else(ago)
}

/// `2027-01-31T18:00:00.123Z`.
pub(super) fn show(millis: u64) -> String {
    let whole = show_second(millis);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), millis % 1_000)
}

/// `2027-01-31T18:00:00Z`.
pub(super) fn show_second(millis: u64) -> String {
    Expiry::from_unix(millis / 1_000).to_string()
}

fn rfc3339(text: &str) -> Option<u64> {
    let Some((seconds, rest)) = text.split_at_checked(TO_SECONDS) else {
        return Some(Expiry::parse(text)?.unix() * 1_000);
    };
    let seconds = Expiry::parse(&format!("{}Z", seconds.replacen(['t', ' '], "T", 1)))?.unix();
    let digits = rest.strip_prefix('.').map_or("", |rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    let zone = rest.get(if digits.is_empty() { 0 } else { digits.len() + 1 }..)?;
    let millis = format!("{digits:0<3}").get(..3)?.parse::<u64>().ok()?;
    let at = seconds.checked_mul(1_000)?.checked_add(millis)?;
    match zone {
        "Z" | "z" => Some(at),
        _ => {
            let (ahead, zone) = (zone.starts_with('+'), zone.strip_prefix(['+', '-'])?);
            let (hours, minutes) = zone.split_once(':')?;
            let part = |text: &str, limit| {
                text.parse::<u64>().ok().filter(|number| text.len() == 2 && *number < limit)
            };
            let offset = (part(hours, 24)? * 60 + part(minutes, 60)?) * 60_000;
            if ahead { at.checked_sub(offset) } else { at.checked_add(offset) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_123;

    #[test]
    fn every_form_is_read_exactly() {
        let cases = [
            ("1700000000001", Some(1_700_000_000_001)),
            ("2027-01-15T08:00:00Z", Some(1_800_000_000_000)),
            ("2027-01-15T08:00:00.5Z", Some(1_800_000_000_500)),
            ("2027-01-15 08:00:00.123456789z", Some(NOW)),
            ("2027-01-15T10:30:00+02:30", Some(1_800_000_000_000)),
            ("2027-01-15T00:00:00-08:00", Some(1_800_000_000_000)),
            ("2027-01-15", Some(1_800_000_000_000 - 8 * 3_600_000)),
            ("today", Some(1_800_000_000_000 - 8 * 3_600_000)),
            ("now", Some(NOW)),
            ("24h", Some(NOW - 86_400_000)),
            ("1.5s", Some(NOW - 1_500)),
            ("yesterday", None),
            ("2027-13-01", None),
            ("2027-01-15T08:00:00", None),
            ("2027-01-15T08:00:00+2:00", None),
            ("2027-01-15T08:00:00.Z", None),
            ("-5", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text, NOW), millis, "{text}");
        }
        assert_eq!(
            (show(NOW), show_second(NOW)),
            ("2027-01-15T08:00:00.123Z".to_owned(), "2027-01-15T08:00:00Z".to_owned())
        );
        assert_eq!(parse(&show(NOW), 0), Some(NOW));
    }
}
