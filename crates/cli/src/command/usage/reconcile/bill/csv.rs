//! Bills as comma-separated values (RFC 4180) with a line of headings, as consoles export them and people make them.

use super::{Amount, Day, Entry, Unreadable, is_usd, model_of};

/// What a column may be called; of several that are there the first one counts.
const DAY: &[&str] = &["day", "date", "usage_date_utc", "start_time_iso", "start_time", "starting_at"];
const NAME: &[&str] = &["model", "model_version", "line_item", "description"];
const DOLLARS: &[&str] = &["cost_usd", "amount_value", "amount_usd", "amount", "cost"];
const CURRENCY: &[&str] = &["amount_currency", "currency"];
const REQUESTS: &[&str] = &["num_model_requests", "requests"];
/// Of these all that are there are added up.
const INPUT: &[&str] = &[
    "input_tokens",
    "usage_input_tokens_no_cache",
    "usage_input_tokens_cache_read",
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
];
const OUTPUT: &[&str] = &["output_tokens", "usage_output_tokens"];

/// Where each column stands.
struct Columns {
    day: Option<usize>,
    name: Option<usize>,
    dollars: Option<usize>,
    currency: Option<usize>,
    requests: Option<usize>,
    input: Vec<usize>,
    output: Vec<usize>,
}

pub(super) fn read(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let mut records = records(text)?.into_iter();
    let columns = Columns::of(&records.next().unwrap_or_default())?;
    let mut entries = Vec::new();
    for (place, record) in records.enumerate() {
        let entry = columns.entry(&record, place + 1)?;
        if entry.says_something() {
            entries.push(entry);
        }
    }
    Ok(entries)
}

// === impl Columns ===

impl Columns {
    fn of(headings: &[String]) -> Result<Self, Unreadable> {
        let headings: Vec<String> =
            headings.iter().map(|heading| heading.trim().to_lowercase().replace(' ', "_")).collect();
        let one = |known: &[&str]| {
            known.iter().find_map(|name| headings.iter().position(|heading| heading == name))
        };
        let all = |known: &[&str]| {
            let places = headings.iter().enumerate();
            places.filter(|(_, heading)| known.contains(&heading.as_str())).map(|(place, _)| place).collect()
        };
        let (input, output): (Vec<_>, Vec<_>) = (all(INPUT), all(OUTPUT));
        let dollars = one(DOLLARS);
        if dollars.is_none() && input.is_empty() && output.is_empty() {
            let known = [DOLLARS, INPUT, OUTPUT].concat();
            return Err(Unreadable::NoColumn { wanted: "money or tokens", known });
        }
        let (day, name, requests) = (one(DAY), one(NAME), one(REQUESTS));
        Ok(Self { day, name, dollars, currency: one(CURRENCY), requests, input, output })
    }

    fn entry(&self, record: &[String], entry: usize) -> Result<Entry, Unreadable> {
        let cell = |place: Option<usize>| {
            place.and_then(|place| record.get(place)).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
        };
        let wrong = |wanted, text: &str| Unreadable::Value { entry, wanted, text: text.to_owned() };
        let count = |place: usize| {
            let text = cell(Some(place));
            text.map(|text| text.parse::<u64>().map_err(|_| wrong("count", text))).transpose()
        };
        let sum = |places: &[usize]| -> Result<Option<u64>, Unreadable> {
            let counts = places.iter().map(|place| count(*place)).collect::<Result<Vec<_>, _>>()?;
            Ok(counts.into_iter().flatten().reduce(u64::saturating_add))
        };
        let amount = cell(self.dollars)
            .map(|text| Amount::dollars(text).ok_or_else(|| wrong("amount of money", text)))
            .transpose()?;
        if let Some(currency) = cell(self.currency).filter(|currency| !is_usd(currency)) {
            return Err(Unreadable::Currency { entry, currency: currency.to_owned() });
        }
        let day = cell(self.day).map(|text| Day::parse(text).ok_or_else(|| wrong("day", text)));
        Ok(Entry {
            day: day.transpose()?,
            name: cell(self.name).and_then(model_of),
            amount,
            requests: self.requests.map(count).transpose()?.flatten(),
            input_tokens: sum(&self.input)?,
            output_tokens: sum(&self.output)?,
        })
    }
}

/// Lines as their fields; a quoted field may hold commas, doubled quotes and ends of lines. Empty lines are none.
fn records(text: &str) -> Result<Vec<Vec<String>>, Unreadable> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut quoted_since) = (1, None);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\n' {
            line += 1;
        }
        match (character, quoted_since) {
            ('"', Some(_)) if characters.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', Some(_)) => quoted_since = None,
            (other, Some(_)) => field.push(other),
            ('"', None) if field.is_empty() => quoted_since = Some(line),
            (',', None) => record.push(std::mem::take(&mut field)),
            ('\r', None) => {}
            ('\n', None) => end(&mut records, &mut record, &mut field),
            (other, None) => field.push(other),
        }
    }
    end(&mut records, &mut record, &mut field);
    quoted_since.map_or(Ok(records), |line| Err(Unreadable::Quote { line }))
}

fn end(records: &mut Vec<Vec<String>>, record: &mut Vec<String>, field: &mut String) {
    if !record.is_empty() || !field.is_empty() {
        record.push(std::mem::take(field));
        records.push(std::mem::take(record));
    }
}
