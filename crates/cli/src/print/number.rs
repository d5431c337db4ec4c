//! Numbers as people read them. Exact: nothing is rounded that is money.

/// Nano-dollars of a dollar.
const NANO: u64 = 1_000_000_000;
/// Digits after the point that an amount has at least.
const CENTS: usize = 2;

/// `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Dollars with as many digits as the amount has: `12.50`, `0.000000075`.
pub(crate) fn usd(nano: u64) -> String {
    let fraction = format!("{:09}", nano % NANO);
    let kept = fraction.trim_end_matches('0').len().max(CENTS);
    format!("{}.{}", thousands(nano / NANO), fraction.get(..kept).unwrap_or(&fraction))
}

/// The same amounts with their points below each other.
pub(crate) fn aligned(amounts: &mut [String]) {
    let places = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len() + 1);
    let widest = amounts.iter().map(|text| places(text)).max().unwrap_or_default();
    for text in amounts {
        let missing = widest - places(text);
        text.push_str(&" ".repeat(missing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_no_nano_dollar_is_lost() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
        let cases = [
            (0, "0.00"),
            (1, "0.000000001"),
            (10, "0.00000001"),
            (500_000_000, "0.50"),
            (123_456_789, "0.123456789"),
            (1_234_000_000_000, "1,234.00"),
            (u64::MAX, "18,446,744,073.709551615"),
        ];
        for (nano, text) in cases {
            assert_eq!(usd(nano), text);
        }
    }

    #[test]
    fn points_stand_below_each_other() {
        let mut amounts = [1_500_000_000, 75, 0].map(usd);
        aligned(&mut amounts);
        assert_eq!(amounts, ["1.50       ", "0.000000075", "0.00       "]);
        let mut none = ["-".to_owned(), "0.50".to_owned()];
        aligned(&mut none);
        assert_eq!(none, ["-   ", "0.50"]);
    }
}
