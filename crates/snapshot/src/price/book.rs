//! Rates that hold together, with those of longer prompts; and the hours in which a book holds.

use super::rules::Clock;
use super::{Charge, Used};
use keyway_proto::snapshot::v1::{self as wire, Meter};

const MINUTES_PER_DAY: u32 = 24 * 60;
const SECONDS_PER_DAY: u64 = 86_400;
/// 1 January 1970 was a Thursday, the fourth day of its week.
const FIRST_WEEKDAY: u64 = 3;

/// Femto-dollars by meter: few, so they are searched in order.
pub(super) type Rates = Vec<(Meter, u64)>;

/// Rates by the length of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Book {
    rates: Rates,
    /// Ascending by the number of input tokens above which they hold.
    tiers: Vec<(u64, Rates)>,
    /// Meters that cost something of their own elsewhere in the price, and of which this book says nothing.
    unsaid: Vec<Meter>,
    /// The longest prompt that these rates are for.
    limit: u64,
}

/// Tokens of the prompt, by all of which a tier is chosen.
const PROMPT: [Meter; 9] = [
    Meter::Input,
    Meter::CacheRead,
    Meter::CacheReadAudio,
    Meter::CacheReadImage,
    Meter::CacheWrite5m,
    Meter::CacheWrite1h,
    Meter::CacheWrite12h,
    Meter::AudioInput,
    Meter::ImageInput,
];

/// Tokens of the answer. Reasoning is part of output.
const ANSWER: [Meter; 4] = [Meter::Output, Meter::AudioOutput, Meter::ImageOutput, Meter::Citation];

/// Other measures of the same work: what counts where tokens are not told, or not priced.
const MEASURES: [Meter; 3] = [Meter::Images, Meter::Characters, Meter::AudioMilliseconds];

// === impl Book ===

impl Book {
    /// Reads rates; with a base, those that hold instead of it: what has a price of its own there and none here is not
    /// known.
    pub(super) fn read(
        rates: &[wire::Rate],
        tiers: &[wire::PriceTier],
        base: Option<&Book>,
    ) -> Result<Self, &'static str> {
        let mut all: Vec<(u64, Rates)> = Vec::with_capacity(tiers.len());
        for tier in tiers {
            if all.last().is_some_and(|(above, _)| *above >= tier.above_input_tokens) {
                return Err("tiers are not in ascending order");
            }
            all.push((tier.above_input_tokens, read(&tier.rates)?));
        }
        let mut rates = read(rates)?;
        let listed = rates.clone();
        let own = base.into_iter().flat_map(|base| &base.rates).map(|(meter, _)| *meter);
        // By what was listed: a rate that goes with its plain kind was said too.
        let unsaid = own.filter(|meter| find(&listed, *meter).is_none()).collect();
        // What costs as much as its plain kind goes with it where that has another price.
        rates.retain(|(meter, rate)| {
            plain(*meter) == *meter || resolve(&listed, plain(*meter)) != Some(*rate)
        });
        Ok(Self { rates, tiers: all, unsaid, limit: u64::MAX })
    }

    /// Nor is what longer prompts cost, where the base has a price for those and this has none.
    pub(super) fn no_longer_than(mut self, base: &Book) -> Self {
        if let (true, Some((above, _))) = (self.tiers.is_empty(), base.tiers.first()) {
            self.limit = *above;
        }
        self
    }

    /// Its rates, each with the number of input tokens above which they hold.
    pub(super) fn by_length(&self) -> impl Iterator<Item = (u64, &Rates)> {
        std::iter::once((0, &self.rates)).chain(self.tiers.iter().map(|(above, rates)| (*above, rates)))
    }

    /// How the hours of this book are called beside the base.
    pub(super) fn against(&self, base: &Book) -> Clock {
        let rate = |book: &Book| find(&book.rates, Meter::Input).or_else(|| find(&book.rates, Meter::Output));
        match rate(self).cmp(&rate(base)) {
            std::cmp::Ordering::Less => Clock::OffPeak,
            std::cmp::Ordering::Equal => Clock::Base,
            std::cmp::Ordering::Greater => Clock::Peak,
        }
    }

    /// Gives every line of the bill, and above how many input tokens its rates hold (0 = any); `None` if something has
    /// no known price.
    pub(super) fn charge(&self, used: &Used<'_>, each: &mut impl FnMut(Charge)) -> Option<u64> {
        let count = |meter: Meter| used.counts.get(meter as usize).copied().unwrap_or_default();
        let prompt: u64 = PROMPT.iter().map(|meter| count(*meter)).sum();
        if prompt > self.limit {
            return None;
        }
        let tier = self.tiers.iter().rev().find(|(above, _)| prompt > *above);
        let longer = tier.map(|(_, rates)| rates);
        let rate = |meter: Meter| self.rate(longer, meter);
        let mut charge = |meter: Meter, count: u64| {
            // Most meters count nothing: their rates are not looked for.
            if count == 0 {
                return true;
            }
            let Some(femto_dollars) = rate(meter) else { return false };
            each(Charge { meter, count, femto_dollars });
            true
        };
        let told = PROMPT.iter().chain(&ANSWER).any(|meter| count(*meter) > 0);
        let by_tokens = PROMPT.iter().chain(&ANSWER).any(|meter| find(&self.rates, *meter).is_some());
        let mut known = true;
        if told && by_tokens {
            for meter in PROMPT {
                known &= charge(meter, count(meter));
            }
            let apart = match self.sets_apart(longer, Meter::Reasoning) {
                true => used.reasoning.min(count(Meter::Output)),
                false => 0,
            };
            known &= charge(Meter::Output, count(Meter::Output) - apart);
            known &= charge(Meter::Reasoning, apart);
            for meter in ANSWER.into_iter().filter(|meter| *meter != Meter::Output) {
                known &= charge(meter, count(meter));
            }
        } else {
            known &= !told || MEASURES.iter().any(|meter| count(*meter) > 0);
            MEASURES.iter().for_each(|meter| known &= charge(*meter, count(*meter)));
        }
        known &= charge(Meter::WebSearches, count(Meter::WebSearches));
        // Counting the tokens of a prompt uses nothing, and is no request that is charged.
        let nothing = used.counts.iter().all(|count| *count == 0);
        let searched = count(Meter::SearchUnits);
        // What is charged by them and does not tell them is not free.
        known &= nothing || rate(Meter::SearchUnits).is_none_or(|_| searched > 0);
        known &= charge(Meter::SearchUnits, searched);
        known &= nothing || rate(Meter::Requests).is_none() || charge(Meter::Requests, 1);
        known.then(|| tier.map_or(0, |(above, _)| *above))
    }

    /// A meter without a price of its own costs what its plain kind costs: cached input what input does.
    pub(super) fn rate(&self, tier: Option<&Rates>, meter: Meter) -> Option<u64> {
        let own = |meter: Meter| {
            let said = tier.and_then(|rates| find(rates, meter)).or_else(|| find(&self.rates, meter));
            // One that is not known ends the search too: a plainer kind's would be a guess.
            (said.is_some() || self.unsaid.contains(&meter)).then_some(said)
        };
        chain(meter).find_map(own).flatten()
    }

    /// Whether a meter has a price of its own, be it one that is not known.
    fn sets_apart(&self, tier: Option<&Rates>, meter: Meter) -> bool {
        tier.is_some_and(|rates| find(rates, meter).is_some())
            || find(&self.rates, meter).is_some()
            || self.unsaid.contains(&meter)
    }
}

fn read(rates: &[wire::Rate]) -> Result<Rates, &'static str> {
    let mut all = Rates::with_capacity(rates.len());
    for rate in rates {
        let meter = Meter::try_from(rate.meter).ok().filter(|meter| *meter != Meter::Unspecified);
        let meter = meter.ok_or("unknown meter")?;
        if find(&all, meter).is_some() {
            return Err("a meter stands twice");
        }
        all.push((meter, rate.femto_dollars));
    }
    Ok(all)
}

fn find(rates: &Rates, meter: Meter) -> Option<u64> {
    rates.iter().find(|(known, _)| *known == meter).map(|(_, rate)| *rate)
}

fn resolve(rates: &Rates, meter: Meter) -> Option<u64> {
    chain(meter).find_map(|meter| find(rates, meter))
}

/// A meter, then ever plainer kinds of it.
fn chain(meter: Meter) -> impl Iterator<Item = Meter> {
    std::iter::successors(Some(meter), |meter| Some(plain(*meter)).filter(|plainer| plainer != meter))
}

/// As what a meter is billed that has no price of its own; itself where there is nothing else.
fn plain(meter: Meter) -> Meter {
    match meter {
        Meter::Output | Meter::AudioOutput | Meter::ImageOutput | Meter::Reasoning | Meter::Citation => {
            Meter::Output
        }
        Meter::CacheWrite12h => Meter::CacheWrite1h,
        Meter::CacheWrite1h => Meter::CacheWrite5m,
        Meter::CacheReadAudio | Meter::CacheReadImage => Meter::CacheRead,
        Meter::Input | Meter::CacheRead | Meter::CacheWrite5m | Meter::AudioInput | Meter::ImageInput => {
            Meter::Input
        }
        Meter::Unspecified
        | Meter::Images
        | Meter::Characters
        | Meter::AudioMilliseconds
        | Meter::WebSearches
        | Meter::SearchUnits
        | Meter::Requests => meter,
    }
}

/// When a book holds, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hours {
    /// Bit 1 = Monday; none = every day.
    weekdays: u8,
    /// Minutes of the day, the end not included; none = the whole day.
    windows: Vec<(u32, u32)>,
}

// === impl Hours ===

impl Hours {
    pub(super) fn read(timed: &wire::TimedPrice) -> Result<Self, &'static str> {
        let mut weekdays = 0;
        for day in &timed.weekdays {
            if !(1..=7).contains(day) {
                return Err("a weekday is 1 to 7");
            }
            weekdays |= 1 << day;
        }
        let windows = timed.windows.iter().map(|window| (window.from_minute, window.until_minute));
        let windows: Vec<_> = windows.collect();
        if windows.iter().any(|(from, until)| *from >= MINUTES_PER_DAY || *until > MINUTES_PER_DAY) {
            return Err("a window is within a day");
        }
        Ok(Self { weekdays, windows })
    }

    pub(super) fn hold(&self, unix_seconds: u64) -> bool {
        let weekday = (unix_seconds / SECONDS_PER_DAY + FIRST_WEEKDAY) % 7 + 1;
        let minute = (unix_seconds % SECONDS_PER_DAY) / 60;
        let within = |(from, until): &(u32, u32)| {
            let (from, until) = (u64::from(*from), u64::from(*until));
            if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until }
        };
        (self.weekdays == 0 || self.weekdays & (1 << weekday) != 0)
            && (self.windows.is_empty() || self.windows.iter().any(within))
    }
}

impl std::fmt::Display for Hours {
    /// `Mon-Fri 00:00-01:00, 04:00-06:00 UTC`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let holds = |day: usize| self.weekdays & (2 << day) != 0;
        let mut days: Vec<String> = Vec::new();
        for (day, name) in NAMES.iter().enumerate().filter(|(day, _)| holds(*day)) {
            match days.last_mut().filter(|_| day > 0 && holds(day - 1)) {
                Some(run) => *run = format!("{}-{name}", run.split('-').next().unwrap_or_default()),
                None => days.push((*name).to_owned()),
            }
        }
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let windows = self.windows.iter().map(|(from, until)| format!("{}-{}", time(*from), time(*until)));
        let windows = windows.collect::<Vec<_>>().join(", ");
        match (days.is_empty(), windows.is_empty()) {
            (true, true) => f.write_str("at other times"),
            (true, false) => write!(f, "{windows} UTC"),
            (false, true) => write!(f, "{} UTC", days.join(", ")),
            (false, false) => write!(f, "{} {windows} UTC", days.join(", ")),
        }
    }
}
