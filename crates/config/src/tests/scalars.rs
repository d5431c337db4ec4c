//! Time, money and moments, exactly.

use proptest::prelude::*;

use crate::{Expiry, Percent, Span, Usd};

#[test]
fn spans_are_read_exactly_or_not_at_all() {
    let cases = [
        ("250ms", Some(250)),
        ("60s", Some(60_000)),
        ("10m", Some(600_000)),
        ("24h", Some(86_400_000)),
        ("7d", Some(604_800_000)),
        ("3600", Some(3_600_000)),
        ("1.5s", Some(1_500)),
        ("0.25", Some(250)),
        ("0", Some(0)),
        ("0.5ms", None),
        ("-1s", None),
        ("1w", None),
        ("s", None),
        ("", None),
        ("3653d", Some(315_619_200_000)),
        ("3654d", None),
        ("99999999999999999999", None),
    ];
    for (text, millis) in cases {
        assert_eq!(Span::parse(text).map(Span::millis), millis, "{text}");
    }
}

#[test]
fn money_is_exact_to_the_nano_dollar() {
    let cases = [
        ("0.15", Some(150_000_000)),
        ("0.075", Some(75_000_000)),
        ("50", Some(50_000_000_000)),
        ("1e-2", Some(10_000_000)),
        ("0.000000001", Some(1)),
        ("0.0000000001", None),
        ("0.1000000000", Some(100_000_000)),
        ("-1", None),
        ("1,5", None),
        ("0x10", None),
        (".", None),
        ("99999999999999", None),
    ];
    for (text, nanos) in cases {
        assert_eq!(Usd::parse(text).map(Usd::nanos), nanos, "{text}");
    }
}

#[test]
fn moments_are_utc() {
    let cases = [
        ("1970-01-01", Some(0)),
        ("2027-01-31T18:00:00Z", Some(1_801_418_400)),
        ("2024-02-29", Some(1_709_164_800)),
        ("2023-02-29", None),
        ("2027-01-31T18:00:00", None),
        ("2027-1-31", None),
        ("2027-01-31T24:00:00Z", None),
    ];
    for (text, unix) in cases {
        assert_eq!(Expiry::parse(text).map(Expiry::unix), unix, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_is_read_as_the_same(nanos in any::<u64>(), millis in 0_u64..=3_653 * 86_400_000, unix in 0_u64..253_402_300_800) {
        prop_assert_eq!(Usd::parse(&Usd::from_nanos(nanos).to_string()).map(Usd::nanos), Some(nanos));
        prop_assert_eq!(Span::parse(&Span::from_millis(millis).to_string()).map(Span::millis), Some(millis));
        prop_assert_eq!(Expiry::parse(&Expiry::from_unix(unix).to_string()).map(Expiry::unix), Some(unix));
    }
}

#[test]
fn percent_are_exact() {
    for (text, parts) in [
        ("0", Some(0)),
        ("12.5", Some(125_000)),
        ("12.5%", Some(125_000)),
        (" 33.3333 % ", Some(333_333)),
        ("100", Some(1_000_000)),
        ("100.0001", None),
        ("0.00001", None),
        ("-1", None),
        ("%", None),
        ("ten", None),
    ] {
        assert_eq!(Percent::parse(text).map(Percent::ten_thousandths), parts, "{text}");
        if let Some(percent) = Percent::parse(text) {
            assert_eq!(Percent::parse(&percent.to_string()), Some(percent));
        }
    }
}
