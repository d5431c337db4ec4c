//! Header values of providers: what is left, and when it is whole again. Pure, and nothing is set aside for it.

use http::HeaderMap;
use keyway_sigv4::Instant;
use std::time::{Duration, UNIX_EPOCH};

/// A plain number from here on is a date in seconds since 1970, and from a thousand times that on in milliseconds.
const DATES: f64 = 1e9;
const MILLIS: f64 = 1e12;

/// A count: digits, perhaps with a fraction, which is left out.
pub(super) fn count(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let whole = text.split('.').next()?;
    whole.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
}

/// Milliseconds from now until a limit is whole: seconds, `6m0s`, RFC 3339, or seconds or milliseconds since 1970.
pub(super) fn reset(value: &[u8], unix_millis: u64) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            at if at >= MILLIS => Some((at as u64).saturating_sub(unix_millis)),
            at if at >= DATES => Some(((at * 1000.0) as u64).saturating_sub(unix_millis)),
            wait if wait >= 0.0 => Some((wait * 1000.0).ceil() as u64),
            _ => None,
        };
    }
    span(text).or_else(|| Some(moment(text)?.saturating_sub(unix_millis)))
}

/// `1h2m3.5s`, `250ms`, `1d`.
fn span(text: &str) -> Option<u64> {
    let (mut rest, mut millis) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let scale = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        millis += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty()).then_some(millis.ceil() as u64)
}

/// RFC 3339 in milliseconds since 1970; fractions of a second count as the second's beginning.
fn moment(text: &str) -> Option<u64> {
    let mut basic = *b"00000000T000000Z";
    let (mut from, mut to) = (0, 0);
    for (separator, width) in [(None, 4), (Some(b'-'), 2), (Some(b'-'), 2), (None, 1), (None, 2)]
        .into_iter()
        .chain([(Some(b':'), 2), (Some(b':'), 2)])
    {
        if let Some(separator) = separator {
            (text.as_bytes().get(from) == Some(&separator)).then_some(())?;
            from += 1;
        }
        basic.get_mut(to..to + width)?.copy_from_slice(text.as_bytes().get(from..from + width)?);
        (from, to) = (from + width, to + width);
    }
    let unix = Instant::parse(std::str::from_utf8(&basic).ok()?)?.unix();
    let zone = text.get(from..)?.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let east = match zone {
        "Z" | "z" => return Some(unix * 1000),
        _ => zone.strip_prefix('+'),
    };
    let (hours, minutes) = east.or_else(|| zone.strip_prefix('-'))?.split_once(':')?;
    let away = hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60;
    let unix = if east.is_some() { unix.checked_sub(away)? } else { unix + away };
    Some(unix * 1000)
}

/// The wait that a provider asks for from `now` on, which counts since 1970: milliseconds, seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn wait(headers: &HeaderMap, now: impl FnOnce() -> Duration) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let after = text("retry-after")?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(after).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn counts_are_whole_numbers() {
        for (text, found) in [
            ("0", Some(0)),
            (" 149984 ", Some(149_984)),
            ("12.5", Some(12)),
            ("-1", None),
            ("", None),
            ("many", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(count(text.as_bytes()), found, "{text}");
        }
    }

    #[test]
    fn every_form_of_a_reset_is_read() {
        const NOW: u64 = 1_764_142_200_000; // 2025-11-26T07:30:00Z
        for (text, found) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("2m59.56s", Some(179_560)),
            ("1h2m3s", Some(3_723_000)),
            ("250ms", Some(250)),
            ("7.66s", Some(7_660)),
            ("1d", Some(86_400_000)),
            ("0", Some(0)),
            ("12", Some(12_000)),
            ("0.5", Some(500)),
            ("2025-11-26T07:30:07Z", Some(7_000)),
            ("2025-11-26T07:30:07.123Z", Some(7_000)),
            ("2025-11-26T08:30:07+01:00", Some(7_000)),
            ("2025-11-26T02:30:07-05:00", Some(7_000)),
            ("2025-11-26T07:29:00Z", Some(0)),
            ("1764142230", Some(30_000)),
            ("1764142230500", Some(30_500)),
            ("-3", None),
            ("", None),
            ("soon", None),
            ("5 parsecs", None),
            ("2025-13-26T07:30:07Z", None),
            ("2025-11-26", None),
            ("NaN", None),
        ] {
            assert_eq!(reset(text.as_bytes(), NOW), found, "{text}");
        }
    }

    #[test]
    fn waits_are_read() {
        let of = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            wait(&headers, || Duration::from_secs(1_792_567_670)) // 2026-10-21T07:27:50Z
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("retry-after", "-1"), None);
    }
}
