//! Money as bills write it: decimal text of any length, read digit by digit and never as a float.

/// Decimals of a dollar that are kept: a billionth of a nano-dollar. What is finer is cut off.
const DECIMALS: i32 = 18;
/// Digits at most: a billion dollars in one entry.
const DIGITS: usize = 27;
/// Units of a nano-dollar.
const NANO: i128 = 1_000_000_000;

/// An amount in units of 1e-18 US dollars; credits are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Amount(i128);

// === impl Amount ===

impl Amount {
    /// Dollars: `0.06`, `-1`, `$12.50`, `6.1e-05`.
    pub(in super::super) fn dollars(text: &str) -> Option<Self> {
        Self::read(text, 0)
    }

    /// Cents: `123.78912` is $1.2378912.
    pub(super) fn cents(text: &str) -> Option<Self> {
        Self::read(text, -2)
    }

    /// That text times ten to the power.
    fn read(text: &str, power: i32) -> Option<Self> {
        let text = text.trim();
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let text = text.strip_prefix('$').unwrap_or(text);
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // How many units the last digit stands for, as a power of ten.
        let last = DECIMALS.saturating_add(power).saturating_add(exponent);
        let last = last.saturating_sub(i32::try_from(fraction.len()).ok()?);
        Some(Self(sign * units(digits.trim_start_matches('0'), last)?))
    }

    /// Both.
    pub(in super::super) fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// In nano-dollars, halves to the even one, as requests are booked.
    pub(in super::super) fn nano(self) -> i64 {
        let (whole, rest) = (self.0.div_euclid(NANO), self.0.rem_euclid(NANO));
        let up = rest * 2 > NANO || rest * 2 == NANO && whole % 2 != 0;
        i64::try_from(whole + i128::from(up)).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The digits with so many zeros behind them, or so many cut off. `None`: no bill is that high.
fn units(digits: &str, last: i32) -> Option<i128> {
    if digits.is_empty() {
        return Some(0);
    }
    let places = usize::try_from(last.unsigned_abs()).ok()?;
    let all = if last < 0 {
        digits.get(..digits.len().saturating_sub(places))?.to_owned()
    } else if digits.len().saturating_add(places) <= DIGITS {
        format!("{digits}{}", "0".repeat(places))
    } else {
        return None;
    };
    match all.len() {
        0 => Some(0),
        length if length <= DIGITS => all.parse().ok(),
        _ => None,
    }
}
