//! Bills of providers, as their consoles and their APIs give them. Pure: text in, entries out; what it does not
//! understand it refuses with the place, since a bill that is read half would look like a difference.

mod amount;
mod csv;
mod day;
mod json;
#[cfg(test)]
mod tests;

pub(super) use amount::Amount;
pub(super) use day::Day;

/// One entry: what was paid for, or used, on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None`: the bill does not say when.
    pub(super) day: Option<Day>,
    /// A model as the bill calls it, or what else is paid for. `None`: the bill does not say what for.
    pub(super) name: Option<String>,
    /// `None`: it tells what was used, not what it costs. The others likewise.
    pub(super) amount: Option<Amount>,
    pub(super) requests: Option<u64>,
    /// The whole prompt, what a cache was read from or written to included.
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
}

/// Entries of one or more files.
#[derive(Debug, Default)]
pub(super) struct Bill {
    pub(super) entries: Vec<Entry>,
    pages: Vec<Page>,
}

/// One page of an API's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    /// Of amounts, not of what was used: these are answers of two different calls.
    money: bool,
    more: bool,
}

/// Why a bill cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is no JSON of a costs or usage API that is known here: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has no column of {wanted}; known headings are {}", known.join(", "))]
    NoColumn {
        /// What for.
        wanted: &'static str,
        /// What such a column may be called.
        known: Vec<&'static str>,
    },
    #[error("a quoted field that begins in line {line} never ends")]
    Quote { line: usize },
    #[error("entry {entry}: `{text}` is no {wanted}")]
    Value { entry: usize, wanted: &'static str, text: String },
    #[error("entry {entry} is in {currency}; the books are in USD")]
    Currency { entry: usize, currency: String },
    #[error("it says that there are more pages (`has_more`), and none is the last one; add the others")]
    Pages,
    #[error("some of its entries have a day and some have none; leave lines of sums out")]
    Days,
}

// === impl Bill ===

impl Bill {
    /// Adds what a file says.
    pub(super) fn read(&mut self, text: &str) -> Result<(), Unreadable> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('{') {
            let (entries, pages) = json::read(text)?;
            self.entries.extend(entries);
            self.pages.extend(pages);
        } else {
            self.entries.extend(csv::read(text)?);
        }
        Ok(())
    }

    /// Nothing more is added: of each kind of pages one has to be the last one, and either all entries have a day or none.
    pub(super) fn whole(self) -> Result<Vec<Entry>, Unreadable> {
        let is_cut = |money| {
            let mut pages = self.pages.iter().filter(|page| page.money == money).peekable();
            pages.peek().is_some() && pages.all(|page| page.more)
        };
        if is_cut(true) || is_cut(false) {
            return Err(Unreadable::Pages);
        }
        let dated = self.entries.iter().filter(|entry| entry.day.is_some()).count();
        if dated > 0 && dated < self.entries.len() { Err(Unreadable::Days) } else { Ok(self.entries) }
    }
}

// === impl Entry ===

impl Entry {
    /// Consoles list days on which nothing was used too.
    fn says_something(&self) -> bool {
        self.amount.is_some() || [self.requests, self.input_tokens, self.output_tokens] != [None; 3]
    }
}

/// The model of a line item: `gpt-4o-2024-08-06, cached input`.
fn model_of(line_item: &str) -> Option<String> {
    let model = line_item.split(',').next().unwrap_or_default().trim();
    (!model.is_empty()).then(|| model.to_owned())
}

fn is_usd(currency: &str) -> bool {
    currency.is_empty() || currency.eq_ignore_ascii_case("usd")
}
