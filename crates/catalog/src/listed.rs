//! A row's price as the snapshot carries it. Of units only those are taken that a data plane can count from request or
//! reply; where something is charged that it cannot count, the row has no price for billing: never a part of one.

use crate::model::{Mode, Model, Scheduled, Timed, UnitPrice};
use crate::price::{Money, Price};
use keyway_proto::snapshot::v1::{self as wire, Meter};

const SECONDS_PER_DAY: u64 = 86_400;
const MINUTES_PER_DAY: u32 = 24 * 60;

/// What a unit of a row is to billing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Charged beside tokens.
    Fee(Meter, Money),
    /// Another measure of the same work.
    Measure(Meter, Money),
    /// A fee of unknown height: a request that uses it has no cost, others have.
    UnknownFee,
    /// Not to be counted.
    Uncounted,
}

// === impl Model ===

impl Model {
    /// The price that requests are billed by; `None` = unknown. `has_variants`: the catalogue has prices by size or
    /// quality of this model, which requests are not told apart by.
    #[must_use]
    pub fn to_proto(&self, has_variants: bool) -> Option<wire::Price> {
        let charged = self.units.iter().filter(|(_, price)| one(price) != Some(Money(0)));
        let units: Vec<Unit> = charged.map(|(name, price)| self.unit(name, price, has_variants)).collect();
        let fees: Vec<wire::Rate> = units.iter().filter_map(Unit::fee).collect();
        let mut measures: Vec<wire::Rate> = units.iter().filter_map(Unit::measure).collect();
        measures.dedup();
        let mut all_counted = !units.contains(&Unit::Uncounted);
        // Two figures for one measure: neither is known to hold.
        if measures.windows(2).any(|pair| matches!(pair, [a, b] if a.meter == b.meter)) {
            (measures, all_counted) = (Vec::new(), false);
        }
        match (&self.price, &self.partial_price) {
            (Some(price), _) => Some(self.with_rules(price, &[fees, measures].concat())),
            (None, Some(partial)) => {
                let covers = all_counted && measures.is_empty() && !fees.is_empty();
                covers.then(|| self.with_rules(partial, &fees))
            }
            (None, None) => {
                let rates = [fees, measures.clone()].concat();
                let known = all_counted && !measures.is_empty();
                known.then(|| wire::Price { rates, ..wire::Price::default() })
            }
        }
    }

    fn with_rules(&self, price: &Price, units: &[wire::Rate]) -> wire::Price {
        let rates = |price: &Price| [price.rates.to_proto(), units.to_vec()].concat();
        let service = |(name, price): (&String, &Price)| wire::ServicePrice {
            tier: keyway_snapshot::service_tier_by_name(name).into(),
            rates: rates(price),
            tiers: price.tiers_to_proto(),
        };
        let timed = |timed: &Timed| wire::TimedPrice {
            weekdays: timed.weekdays.iter().map(|day| u32::from(*day)).collect(),
            windows: timed.hours.iter().filter_map(|hours| window(hours)).collect(),
            rates: rates(&timed.price),
            tiers: timed.price.tiers_to_proto(),
        };
        let scheduled = |later: &Scheduled| {
            Some(wire::ScheduledPrice {
                from_unix_seconds: unix_day(&later.from)? * SECONDS_PER_DAY,
                rates: rates(&later.price),
                tiers: later.price.tiers_to_proto(),
            })
        };
        wire::Price {
            rates: rates(price),
            tiers: price.tiers_to_proto(),
            services: self.service_tiers.iter().map(service).collect(),
            by_time: self.by_time.iter().map(timed).collect(),
            scheduled: self.scheduled.iter().filter_map(scheduled).collect(),
            ..wire::Price::default()
        }
    }

    fn unit(&self, name: &str, price: &UnitPrice, has_variants: bool) -> Unit {
        let Some(money) = one(price) else {
            return if name == "web_search_per_query" { Unit::UnknownFee } else { Unit::Uncounted };
        };
        match (name, self.mode) {
            ("web_search_per_query", _) => Unit::Fee(Meter::WebSearches, money),
            ("per_request", _) => Unit::Fee(Meter::Requests, money),
            ("per_query", Mode::Rerank) => Unit::Fee(Meter::SearchUnits, money),
            ("output_per_image", Mode::Image | Mode::ImageEdit) if !has_variants => {
                Unit::Measure(Meter::Images, money)
            }
            // Sources repeat the same figure under both names.
            ("input_per_second" | "output_per_second", Mode::Transcription) => {
                Unit::Measure(Meter::AudioMilliseconds, money)
            }
            ("input_per_character", Mode::Speech) => Unit::Measure(Meter::Characters, money),
            _ => Unit::Uncounted,
        }
    }
}

// === impl Unit ===

impl Unit {
    fn fee(&self) -> Option<wire::Rate> {
        if let Self::Fee(meter, money) = self { Some(rate(*meter, *money)) } else { None }
    }

    fn measure(&self) -> Option<wire::Rate> {
        if let Self::Measure(meter, money) = self { Some(rate(*meter, *money)) } else { None }
    }
}

fn rate(meter: Meter, money: Money) -> wire::Rate {
    wire::Rate { meter: meter.into(), femto_dollars: money.0 }
}

/// The one figure; none where it differs by size.
fn one(price: &UnitPrice) -> Option<Money> {
    match price {
        UnitPrice::One(money) => Some(*money),
        UnitPrice::Each(all) => {
            let first = all.values().next()?.0;
            all.values().all(|unit| unit.0 == first).then_some(first)
        }
    }
}

/// `HH:MM-HH:MM`; `00:00` as an end is midnight.
fn window(hours: &str) -> Option<wire::Window> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        Some(hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?)
    };
    let (from, until) = hours.split_once('-')?;
    let until = minute(until)?;
    let until_minute = if until == 0 { MINUTES_PER_DAY } else { until };
    Some(wire::Window { from_minute: minute(from)?, until_minute })
}

/// Days since 1970 of a `YYYY-MM-DD`: years are counted from March, so that a leap day is the last of its year.
fn unix_day(date: &str) -> Option<u64> {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_windows() {
        for (date, day) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(11_016)),
            ("2000-03-01", Some(11_017)),
            ("2027-01-01", Some(20_819)),
            ("2027-13-01", None),
            ("soon", None),
        ] {
            assert_eq!(unix_day(date), day, "{date}");
        }
        let read = |hours| window(hours).map(|window| (window.from_minute, window.until_minute));
        assert_eq!(read("10:30-00:00"), Some((630, 1440)));
        assert_eq!(read("00:00-01:00"), Some((0, 60)));
        assert_eq!(read("noon"), None);
    }

    fn listed(row: &str) -> Option<Vec<(Meter, u64)>> {
        let model: Model = toml::from_str(&format!("id = \"m\"\n{row}")).unwrap();
        let price = model.to_proto(row.contains("variants"))?;
        Some(price.rates.iter().map(|rate| (rate.meter(), rate.femto_dollars)).collect())
    }

    #[test]
    fn units_that_cannot_be_counted_leave_no_price() {
        use Meter::{
            AudioMilliseconds, Characters, Images, Input, Output, Requests, SearchUnits, WebSearches,
        };
        const USD: u64 = 1_000_000_000_000_000;
        type Case<'a> = (&'a str, Option<&'a [(Meter, u64)]>);
        let table: [Case<'_>; 16] = [
            (
                "mode = 'speech'\nunits = { input_per_character = '0.000015' }",
                Some(&[(Characters, USD / 1_000_000 * 15)]),
            ),
            ("units = { input_per_character = '0.000015' }", None),
            (
                "mode = 'transcription'\nunits = { input_per_second = '0.0001', output_per_second = '0.0001' }",
                Some(&[(AudioMilliseconds, USD / 10_000)]),
            ),
            (
                "mode = 'transcription'\nunits = { input_per_second = '0.0001', output_per_second = '0.0002' }",
                None,
            ),
            ("mode = 'image'\nunits = { output_per_image = '0.04' }", Some(&[(Images, USD / 100 * 4)])),
            ("mode = 'image'\nunits = { output_per_image = '0.04' } # variants", None),
            ("mode = 'image'\nunits = { input_per_image = '0.04' }", None),
            (
                "partial_price = { output = '2' }\nunits = { per_request = '0.005' }",
                Some(&[(Output, 2_000_000_000), (Requests, USD / 1000 * 5)]),
            ),
            (
                "mode = 'rerank'\npartial_price = { input = '0' }\nunits = { per_query = '0.002' }",
                Some(&[(Input, 0), (SearchUnits, USD / 1000 * 2)]),
            ),
            ("mode = 'embedding'\npartial_price = { input = '0' }\nunits = { per_query = '0.002' }", None),
            ("mode = 'ocr'\npartial_price = { input = '1' }\nunits = { per_page = '0.005' }", None),
            ("partial_price = { input = '0' }\nunits = { per_page = '0' }", None),
            (
                "price = { input = '1' }\nunits = { web_search_per_query = { low = '0.01', high = '0.01' } }",
                Some(&[(Input, 1_000_000_000), (WebSearches, USD / 100)]),
            ),
            (
                "price = { input = '1' }\nunits = { web_search_per_query = { low = '0.01', high = '0.02' } }",
                Some(&[(Input, 1_000_000_000)]),
            ),
            ("price = { input = '1' }\nunits = { per_page = '0.01' }", Some(&[(Input, 1_000_000_000)])),
            ("units = { per_second_compute = '1' }", None),
        ];
        for (row, expected) in table {
            assert_eq!(listed(row).as_deref(), expected, "{row}");
        }
    }

    #[test]
    fn every_row_of_the_catalogue_compiles() {
        let catalog = crate::Catalog::embedded();
        let mut priced = 0;
        for provider in catalog.providers() {
            for row in catalog.models(&provider.id) {
                let name = format!("{}/{}", provider.id, row.id);
                for tier in row.service_tiers.keys() {
                    let tier = keyway_snapshot::service_tier_by_name(tier);
                    assert_ne!(tier, wire::ServiceTier::Other, "{name}");
                    assert_ne!(tier, wire::ServiceTier::Unspecified, "{name}");
                }
                for hours in row.by_time.iter().flat_map(|timed| &timed.hours) {
                    assert!(window(hours).is_some(), "{name}: {hours}");
                }
                for later in &row.scheduled {
                    assert!(unix_day(&later.from).is_some(), "{name}: {}", later.from);
                }
                let Some(price) = row.to_proto(false) else { continue };
                let built = keyway_snapshot::Price::build(&price, &provider.id, &row.id);
                assert!(built.is_ok(), "{name}: {built:?}");
                priced += 1;
            }
        }
        assert!(priced > 4_500, "{priced}");
    }
}
