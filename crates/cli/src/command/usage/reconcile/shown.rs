//! A comparison as people and programs get it.

use serde_json::{Map, Value, json};

use super::Finding;
use super::compare::{Billed, Booked, Row, Verdict};
use crate::print::{self, Columns, Rank, aligned, thousands, usd};

pub(super) fn json(finding: &Finding) {
    let row = |row: &Row| {
        let mut fields = Map::from_iter(dimensions(row));
        let (bill, books) = (row.bill.map(Billed::json), row.books.map(Booked::json));
        fields.insert("verdict".into(), row.verdict.name().into());
        fields.insert("bill".into(), bill.unwrap_or_default());
        fields.insert("books".into(), books.unwrap_or_default());
        fields.insert("difference_nanodollars".into(), row.difference().into());
        Value::Object(fields)
    };
    print::json(&json!({
        "provider": finding.provider,
        "since": finding.stretch.since.to_string(),
        "until": finding.stretch.until.to_string(),
        "agrees": finding.comparison.apart() == 0,
        "rows": finding.comparison.rows.iter().map(row).collect::<Vec<_>>(),
        "total": row(&finding.comparison.total),
        "outside": finding.outside,
    }));
}

fn dimensions(row: &Row) -> impl Iterator<Item = (String, Value)> {
    let day = row.day.map(|day| ("day".to_owned(), day.to_string().into()));
    day.into_iter().chain(row.model.clone().map(|model| ("model".to_owned(), model.into())))
}

pub(super) fn csv(finding: &Finding) {
    let heading = "day,model,verdict,bill_nanodollars,books_nanodollars,difference_nanodollars,bill_requests,\
                   books_requests,bill_input_tokens,books_input_tokens,bill_output_tokens,books_output_tokens,\
                   unpriced,estimated";
    let rows = finding.comparison.rows.iter().map(line);
    for line in std::iter::once(heading.to_owned()).chain(rows) {
        if !print::is_read(&line) {
            return;
        }
    }
}

fn line(row: &Row) -> String {
    fn number<T: ToString>(number: Option<T>) -> String {
        number.map_or_else(String::new, |number| number.to_string())
    }
    let (bill, books) = (row.bill.unwrap_or_default(), row.books.as_ref());
    let fields = [
        number(row.day),
        super::super::csv::quoted(row.model.as_deref().unwrap_or_default()),
        row.verdict.name().to_owned(),
        number(bill.nano),
        number(books.map(|books| books.nano)),
        number(row.difference()),
        number(bill.requests),
        number(books.map(|books| books.requests)),
        number(bill.input_tokens),
        number(books.map(|books| books.input_tokens)),
        number(bill.output_tokens),
        number(books.map(|books| books.output_tokens)),
        number(books.map(|books| books.unpriced)),
        number(books.map(|books| books.estimated)),
    ];
    fields.join(",")
}

pub(super) fn table(finding: &Finding) {
    if finding.comparison.rows.is_empty() {
        print::line("neither the bill nor the books have anything there");
    } else {
        print::line(&text(finding, print::width()));
    }
    for note in notes(finding) {
        print::note(&note);
    }
}

pub(super) fn text(finding: &Finding, width: usize) -> String {
    let rows = || finding.comparison.rows.iter().chain([&finding.comparison.total]);
    let mut columns = Columns::default();
    let days: Vec<_> = rows().map(|row| row.day.map(|day| day.to_string())).collect();
    let models: Vec<_> = rows().map(|row| row.model.clone()).collect();
    let mut sums = "total";
    for (heading, cells) in [("DAY", days), ("MODEL", models)] {
        if cells.iter().any(Option::is_some) {
            let mut cells: Vec<String> =
                cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())).collect();
            cells.pop();
            cells.push(std::mem::take(&mut sums).to_owned());
            columns.words(heading, Rank::Always, cells);
        }
    }
    if finding.comparison.total.difference().is_some() {
        let bill = |row: &Row| row.bill.and_then(|bill| bill.nano);
        let books = |row: &Row| row.books.map(|books| books.nano);
        columns.numbers("BILL USD", Rank::Always, money(rows().map(bill)));
        columns.numbers("BOOKS USD", Rank::Always, money(rows().map(books)));
        columns.numbers("DIFFERENCE", Rank::Always, money(rows().map(Row::difference)));
    }
    tokens(
        &mut columns,
        finding,
        ["BILL IN", "BOOKS IN"],
        |bill| bill.input_tokens,
        |books| books.input_tokens,
    );
    tokens(
        &mut columns,
        finding,
        ["BILL OUT", "BOOKS OUT"],
        |bill| bill.output_tokens,
        |books| books.output_tokens,
    );
    let unpriced = rows().map(|row| cell(row.books.map(|books| books.unpriced)));
    columns.numbers("UNPRICED", Rank::IfRoom(0), unpriced.collect());
    let estimated = rows().map(|row| cell(row.books.map(|books| books.estimated)));
    columns.numbers("ESTIMATED", Rank::IfRoom(0), estimated.collect());
    columns.words("VERDICT", Rank::Always, rows().map(|row| row.verdict.words().to_owned()).collect());
    columns.text(width)
}

/// Tokens of both sides, where the bill tells them; always where it tells nothing else.
fn tokens(
    columns: &mut Columns,
    finding: &Finding,
    [of_bill, of_books]: [&str; 2],
    billed: fn(Billed) -> Option<u64>,
    booked: fn(Booked) -> u64,
) {
    let rows = || finding.comparison.rows.iter().chain([&finding.comparison.total]);
    let total = finding.comparison.total.bill.unwrap_or_default();
    if billed(total).is_none() {
        return;
    }
    let rank = if total.nano.is_none() { Rank::Always } else { Rank::IfRoom(1) };
    columns.numbers(of_bill, rank, rows().map(|row| cell(row.bill.and_then(billed))).collect());
    columns.numbers(of_books, rank, rows().map(|row| cell(row.books.map(booked))).collect());
}

fn cell(count: Option<u64>) -> String {
    count.map_or_else(|| "-".into(), thousands)
}

fn money(amounts: impl Iterator<Item = Option<i64>>) -> Vec<String> {
    let mut cells: Vec<String> = amounts.map(|nano| nano.map_or_else(|| "-".into(), signed)).collect();
    aligned(&mut cells);
    cells
}

/// Dollars, those below nothing too.
pub(super) fn signed(nano: i64) -> String {
    format!("{}{}", if nano < 0 { "-" } else { "" }, usd(nano.unsigned_abs()))
}

/// What may explain differences.
pub(super) fn notes(finding: &Finding) -> Vec<String> {
    let books = finding.comparison.total.books.unwrap_or_default();
    let only = |side| finding.comparison.rows.iter().filter(|row| row.verdict == side).count();
    let provider = &finding.provider;
    let said = [
        (books.unpriced > 0).then(|| {
            let unpriced = thousands(books.unpriced);
            format!("{unpriced} requests in the books have no price and are in none of their sums: keyway usage --provider {provider} --by model")
        }),
        (books.estimated > 0).then(|| {
            let estimated = thousands(books.estimated);
            format!("{estimated} requests in the books are estimated: {provider} told no usage, their callers left or their connections broke")
        }),
        (only(Verdict::OnlyBill) > 0).then(|| {
            "What only the bill has did not go through Keyway, or is called otherwise there: --name BILLED=MODEL".to_owned()
        }),
        (only(Verdict::OnlyBooks) > 0).then(|| {
            "What only the books have is of another account, not billed yet, or called otherwise: --key, --name".to_owned()
        }),
        (finding.outside > 0).then(|| {
            format!("{} entries of the bill are of other days and were left out.", thousands(finding.outside as u64))
        }),
    ];
    said.into_iter().flatten().collect()
}

// === impl Verdict ===

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::OnlyBill => "only bill",
            Self::OnlyBooks => "only books",
        }
    }
}

// === impl Billed ===

impl Billed {
    fn json(self) -> Value {
        let told = [
            ("requests", self.requests),
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
        ];
        let told = told.into_iter().filter_map(|(name, count)| Some((name, count?.into())));
        let money = self.nano.map(|nano| ("cost_nanodollars", nano.into()));
        Value::from_iter::<Vec<(&str, Value)>>(told.chain(money).collect())
    }
}

// === impl Booked ===

impl Booked {
    fn json(self) -> Value {
        json!({
            "requests": self.requests, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
            "cost_nanodollars": self.nano, "unpriced": self.unpriced, "estimated": self.estimated,
        })
    }
}
