//! A bill beside the books, row by row. Pure.

use std::collections::BTreeMap;

use super::bill::{Amount, Day, Entry};
use super::name::folded;
use super::tolerance::Tolerance;

/// What rows are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grain {
    pub(super) day: bool,
    pub(super) model: bool,
}

/// What a bill says of one row. What it does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Billed {
    pub(super) nano: Option<i64>,
    pub(super) requests: Option<u64>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
}

/// What the books say of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Booked {
    pub(super) nano: i64,
    pub(super) requests: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Requests that are in no sum of money.
    pub(super) unpriced: u64,
    /// Requests whose tokens are reckoned.
    pub(super) estimated: u64,
}

/// A row of the books as it was reported.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) day: Option<Day>,
    /// Without the provider.
    pub(super) model: String,
    pub(super) booked: Booked,
}

/// How a row came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Agrees,
    Differs,
    /// It differs, and the books have nothing of it.
    OnlyBill,
    /// It differs, and the bill has nothing of it.
    OnlyBooks,
}

/// One row, or the sum of all.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) day: Option<Day>,
    /// As the books call it, else as the bill does.
    pub(super) model: Option<String>,
    pub(super) bill: Option<Billed>,
    pub(super) books: Option<Booked>,
    pub(super) verdict: Verdict,
}

/// All rows, by day and name, and their sum.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) rows: Vec<Row>,
    pub(super) total: Row,
}

/// What a row is put together from.
#[derive(Debug, Default)]
struct Pair {
    name: Option<String>,
    amount: Option<Amount>,
    bill: Option<Billed>,
    books: Option<Booked>,
}

/// Compares; `renamed` says what the books call what the bill calls otherwise.
pub(super) fn compare(
    entries: &[Entry],
    accounts: &[Account],
    grain: Grain,
    renamed: &BTreeMap<String, String>,
    tolerance: Tolerance,
) -> Comparison {
    let mut pairs = BTreeMap::<(Option<Day>, Option<String>), Pair>::new();
    let key = |day: Option<Day>, name: Option<&str>| {
        (day.filter(|_| grain.day), name.filter(|_| grain.model).map(folded))
    };
    let mut total = Pair::default();
    for account in accounts {
        let pair = pairs.entry(key(account.day, Some(&account.model))).or_default();
        pair.name.get_or_insert_with(|| account.model.clone());
        pair.add_books(&account.booked);
        total.add_books(&account.booked);
    }
    for entry in entries {
        let name = entry.name.as_deref();
        let name = name.map(|name| renamed.get(&folded(name)).map_or(name, String::as_str));
        // What a bill does not say what for stands beside what it does.
        let pair = pairs.entry(key(entry.day, name.or(Some("")))).or_default();
        pair.name = pair.name.take().or_else(|| name.map(str::to_owned));
        pair.add_bill(entry);
        total.add_bill(entry);
    }
    let in_money = total.amount.is_some();
    let row = |day, named, pair: Pair| {
        let (bill, books) = (pair.bill(), pair.books);
        let verdict = verdict(bill, books, in_money, tolerance);
        Row { day, model: pair.name.filter(|name| named && !name.is_empty()), bill, books, verdict }
    };
    let rows = pairs.into_iter().map(|((day, _), pair)| row(day, grain.model, pair)).collect();
    Comparison { rows, total: row(None, false, total) }
}

/// By money; by tokens where the bill tells of no money at all.
fn verdict(bill: Option<Billed>, books: Option<Booked>, in_money: bool, tolerance: Tolerance) -> Verdict {
    let (billed, booked) = (bill.unwrap_or_default(), books.unwrap_or_default());
    let counts = |billed: Option<u64>, booked| match bill {
        Some(_) => billed.is_none_or(|billed| tolerance.admits_count(billed, booked)),
        None => tolerance.admits_count(0, booked),
    };
    let agrees = if in_money {
        tolerance.admits(billed.nano.unwrap_or_default(), booked.nano)
    } else {
        counts(billed.input_tokens, booked.input_tokens) && counts(billed.output_tokens, booked.output_tokens)
    };
    match (agrees, bill, books) {
        (true, ..) => Verdict::Agrees,
        (false, Some(_), None) => Verdict::OnlyBill,
        (false, None, Some(_)) => Verdict::OnlyBooks,
        (false, ..) => Verdict::Differs,
    }
}

// === impl Comparison ===

impl Comparison {
    /// Rows that do not agree.
    pub(super) fn apart(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict != Verdict::Agrees).count()
    }
}

// === impl Row ===

impl Row {
    /// What was billed beyond what was booked; `None` where the bill tells of no money.
    pub(super) fn difference(&self) -> Option<i64> {
        let booked = self.books.map_or(0, |books| books.nano);
        match self.bill {
            Some(bill) => bill.nano.map(|nano| nano.saturating_sub(booked)),
            None => Some(0_i64.saturating_sub(booked)),
        }
    }
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::OnlyBill => "only_bill",
            Self::OnlyBooks => "only_books",
        }
    }
}

// === impl Pair ===

impl Pair {
    fn add_bill(&mut self, entry: &Entry) {
        if let Some(amount) = entry.amount {
            self.amount = Some(self.amount.unwrap_or_default().plus(amount));
        }
        let bill = self.bill.get_or_insert_default();
        add(&mut bill.requests, entry.requests);
        add(&mut bill.input_tokens, entry.input_tokens);
        add(&mut bill.output_tokens, entry.output_tokens);
    }

    /// Rounded once, when all is added up.
    fn bill(&self) -> Option<Billed> {
        self.bill.map(|bill| Billed { nano: self.amount.map(Amount::nano), ..bill })
    }

    fn add_books(&mut self, more: &Booked) {
        let sum = self.books.get_or_insert_default();
        sum.nano = sum.nano.saturating_add(more.nano);
        sum.requests = sum.requests.saturating_add(more.requests);
        sum.input_tokens = sum.input_tokens.saturating_add(more.input_tokens);
        sum.output_tokens = sum.output_tokens.saturating_add(more.output_tokens);
        sum.unpriced = sum.unpriced.saturating_add(more.unpriced);
        sum.estimated = sum.estimated.saturating_add(more.estimated);
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default().saturating_add(more));
    }
}
