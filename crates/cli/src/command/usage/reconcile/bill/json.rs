//! Answers of `GET /v1/organization/costs` and `/usage/*` of OpenAI, and of `GET /v1/organizations/cost_report` and
//! `/usage_report/messages` of Anthropic: pages of buckets of time; one page after the other in one file is well.

use serde::Deserialize;
use serde_json::{Deserializer, value::RawValue};

use super::{Amount, Day, Entry, Page, Unreadable, is_usd, model_of};

#[derive(Deserialize)]
struct Answer<'b> {
    #[serde(borrow)]
    data: Vec<Bucket<'b>>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Bucket<'b> {
    /// OpenAI: seconds since 1970.
    start_time: Option<u64>,
    /// Anthropic: RFC 3339.
    starting_at: Option<String>,
    #[serde(borrow, alias = "result")]
    results: Vec<Item<'b>>,
}

#[derive(Deserialize)]
struct Item<'b> {
    /// OpenAI: an object of dollars. Anthropic: cents as text.
    #[serde(borrow)]
    amount: Option<&'b RawValue>,
    /// Anthropic's; OpenAI's stands in the amount.
    currency: Option<String>,
    model: Option<String>,
    line_item: Option<String>,
    description: Option<String>,
    num_model_requests: Option<u64>,
    input_tokens: Option<u64>,
    uncached_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<Written>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Dollars<'b> {
    #[serde(borrow)]
    value: &'b RawValue,
    #[serde(default)]
    currency: String,
}

/// Tokens that were written to a cache, by how long they last.
#[derive(Clone, Copy, Deserialize)]
struct Written {
    #[serde(default)]
    ephemeral_5m_input_tokens: u64,
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

pub(super) fn read(text: &str) -> Result<(Vec<Entry>, Vec<Page>), Unreadable> {
    let (mut entries, mut pages) = (Vec::new(), Vec::new());
    for answer in Deserializer::from_str(text).into_iter::<Answer<'_>>() {
        let Answer { data, has_more } = answer?;
        let money = data.iter().flat_map(|bucket| &bucket.results).any(|item| item.amount.is_some());
        pages.push(Page { money, more: has_more });
        for bucket in &data {
            for item in &bucket.results {
                let entry = item.entry(bucket.day(entries.len() + 1)?, entries.len() + 1)?;
                entries.push(entry);
            }
        }
    }
    Ok((entries, pages))
}

// === impl Bucket ===

impl Bucket<'_> {
    fn day(&self, entry: usize) -> Result<Option<Day>, Unreadable> {
        let start = self.starting_at.as_deref();
        let read = start.map(|text| {
            Day::parse(text).ok_or_else(|| Unreadable::Value { entry, wanted: "day", text: text.to_owned() })
        });
        Ok(read.transpose()?.or(self.start_time.map(Day::of)))
    }
}

// === impl Item ===

impl Item<'_> {
    fn entry(&self, day: Option<Day>, entry: usize) -> Result<Entry, Unreadable> {
        let name = self.model.clone().or_else(|| self.line_item.as_deref().and_then(model_of));
        Ok(Entry {
            day,
            // What is no model's is told by its description: `Web Search Usage`.
            name: name.or_else(|| self.description.clone()),
            amount: self.amount.map(|amount| self.money(amount.get(), entry)).transpose()?.flatten(),
            requests: self.num_model_requests,
            input_tokens: self.prompt(),
            output_tokens: self.output_tokens,
        })
    }

    fn money(&self, raw: &str, entry: usize) -> Result<Option<Amount>, Unreadable> {
        let wrong = || Unreadable::Value { entry, wanted: "amount of money", text: raw.to_owned() };
        let currency = |currency: &str| match is_usd(currency) {
            true => Ok(()),
            false => Err(Unreadable::Currency { entry, currency: currency.to_owned() }),
        };
        if raw == "null" {
            return Ok(None);
        }
        if raw.starts_with('{') {
            let dollars: Dollars<'_> = serde_json::from_str(raw)?;
            currency(&dollars.currency)?;
            return Amount::dollars(dollars.value.get().trim_matches('"')).map(Some).ok_or_else(wrong);
        }
        currency(self.currency.as_deref().unwrap_or_default())?;
        Amount::cents(raw.trim_matches('"')).map(Some).ok_or_else(wrong)
    }

    /// OpenAI's `input_tokens` are all of them; Anthropic counts what a cache gave or got apart.
    fn prompt(&self) -> Option<u64> {
        let written = self.cache_creation.map(Written::tokens);
        let parts = [self.input_tokens, self.uncached_input_tokens, self.cache_read_input_tokens, written];
        parts.into_iter().flatten().reduce(u64::saturating_add)
    }
}

// === impl Written ===

impl Written {
    fn tokens(self) -> u64 {
        self.ephemeral_5m_input_tokens.saturating_add(self.ephemeral_1h_input_tokens)
    }
}
