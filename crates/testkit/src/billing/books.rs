//! The books: from what the provider saw to what each request cost and to sums.

use std::collections::BTreeMap;

use super::order::{Kind, Order, Told};
use super::price::{Prices, Tokens};
use crate::provider::{Outcome, Seen};

/// How a request ended at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer was written to its end.
    Served,
    /// Its last attempt was answered with this status.
    Refused(u16),
    /// The connection broke after the answer began.
    Broken,
    /// Its caller left.
    Left,
    /// It goes on.
    Open,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Charge {
    /// What it asked for.
    pub order: Order,
    /// The model of its last attempt, as it came.
    pub model: String,
    /// The key of its last attempt: `provider/name`.
    pub key: String,
    /// How many came.
    pub attempts: usize,
    /// Of the last one.
    pub ending: Ending,
    /// Its sums.
    pub account: Account,
}

/// Sums, named as the gateway's reports name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `keyway usage`")]
pub struct Account {
    pub requests: u64,
    pub errors: u64,
    pub cancelled: u64,
    pub unpriced: u64,
    pub estimated: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub reasoning_tokens: u64,
    pub cost_nanodollars: u64,
}

/// Accounts by whatever they are kept by.
pub type Books = BTreeMap<Vec<String>, Account>;

// === impl Account ===

impl Account {
    /// Adds another.
    pub fn add(&mut self, more: &Self) {
        for ((_, sum), (_, count)) in self.fields_mut().into_iter().zip(more.fields()) {
            *sum += count;
        }
    }

    /// Each with its name.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 10] {
        let mut copy = *self;
        copy.fields_mut().map(|(name, count)| (name, *count))
    }

    fn fields_mut(&mut self) -> [(&'static str, &mut u64); 10] {
        [
            ("requests", &mut self.requests),
            ("errors", &mut self.errors),
            ("cancelled", &mut self.cancelled),
            ("unpriced", &mut self.unpriced),
            ("estimated", &mut self.estimated),
            ("input_tokens", &mut self.input_tokens),
            ("output_tokens", &mut self.output_tokens),
            ("cache_read_tokens", &mut self.cache_read_tokens),
            ("reasoning_tokens", &mut self.reasoning_tokens),
            ("cost_nanodollars", &mut self.cost_nanodollars),
        ]
    }
}

/// Every request that was seen, by name.
pub(super) fn charges(seen: &[Seen], prices: &Prices) -> BTreeMap<String, Charge> {
    let mut charges = BTreeMap::<String, Charge>::new();
    for one in seen {
        let Some((kind, order)) = Order::of(one) else { continue };
        let attempts = charges.get(&order.request).map_or(0, |charge| charge.attempts) + 1;
        let ending = ending(one, &order, attempts);
        let key = prices.keys.get(one.credential());
        let charge = Charge {
            model: one.model(),
            key: key.map_or_else(String::new, |key| key.name.to_owned()),
            attempts,
            ending,
            account: account(kind, &order, ending, |tokens, tier| {
                let price = prices.models.get(one.model().as_str())?;
                price.cost(tokens, tier, key.map_or(0, |key| key.discount))
            }),
            order,
        };
        charges.insert(charge.order.request.clone(), charge);
    }
    charges
}

fn ending(seen: &Seen, order: &Order, attempts: usize) -> Ending {
    match seen.outcome {
        None => Ending::Open,
        Some(Outcome::CallerLeft(_)) => Ending::Left,
        Some(Outcome::Ended(_)) => Ending::Broken,
        Some(Outcome::Answered(_)) => {
            order.fails.get(attempts - 1).map_or(Ending::Served, |status| Ending::Refused(*status))
        }
    }
}

fn account(
    kind: Kind,
    order: &Order,
    ending: Ending,
    cost: impl FnOnce(&Tokens, Option<&str>) -> Option<u64>,
) -> Account {
    let mut account = Account { requests: 1, ..Account::default() };
    account.errors = u64::from(matches!(ending, Ending::Refused(_) | Ending::Broken));
    account.cancelled = u64::from(ending == Ending::Left);
    if matches!(ending, Ending::Refused(_)) {
        return account;
    }
    let (tokens, estimated) = used(kind, order, ending);
    account.estimated = u64::from(estimated);
    account.input_tokens = tokens.prompt();
    account.output_tokens = tokens.output;
    account.cache_read_tokens = tokens.cached;
    account.reasoning_tokens = if estimated { 0 } else { order.reasoning };
    match cost(&tokens, order.tier.as_deref()) {
        Some(nano) => account.cost_nanodollars = nano,
        None => account.unpriced = 1,
    }
    account
}

/// What is billed, and whether it is an estimate: where the provider told nothing that can be, bytes / 4.
fn used(kind: Kind, order: &Order, ending: Ending) -> (Tokens, bool) {
    let told = Tokens {
        input: order.input,
        cached: order.cached,
        written: order.written,
        written_1h: order.written_1h,
        images: order.images,
        output: order.output,
    };
    let text: usize = order.sent().iter().map(String::len).sum();
    let guessed = (text as u64).div_ceil(4);
    if order.told != Told::Truth {
        return (Tokens { input: body_tokens(order), output: guessed, ..Tokens::default() }, true);
    }
    match (ending, kind) {
        (Ending::Served, _) => (told, false),
        // Messages tell the prompt before the answer.
        (_, Kind::Messages) => (Tokens { output: guessed, ..told }, true),
        _ => (Tokens { input: body_tokens(order), output: guessed, ..Tokens::default() }, true),
    }
}

fn body_tokens(order: &Order) -> u64 {
    order.body_bytes.parse::<u64>().unwrap_or_default().div_ceil(4)
}
