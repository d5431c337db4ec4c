//! Bills beside books: what agrees, what differs and what only one of them has.

use std::collections::BTreeMap;

use super::bill::{Amount, Day, Entry};
use super::compare::{Account, Booked, Comparison, Grain, Verdict, compare};
use super::tolerance::Tolerance;
use super::{Finding, Stretch, shown};

const FINEST: Grain = Grain { day: true, model: true };

fn day(number: u8) -> Day {
    Day::parse(&format!("2026-11-{number:02}")).expect("a day")
}

fn billed(at: u8, name: &str, dollars: &str) -> Entry {
    Entry {
        day: Some(day(at)),
        name: Some(name.to_owned()),
        amount: Amount::dollars(dollars),
        ..Entry::default()
    }
}

fn account(at: u8, model: &str, nano: i64) -> Account {
    let booked = Booked { nano, requests: 2, input_tokens: 20, output_tokens: 4, unpriced: 1, estimated: 1 };
    Account { day: Some(day(at)), model: model.to_owned(), booked }
}

fn exact(entries: &[Entry], accounts: &[Account], grain: Grain) -> Comparison {
    compare(entries, accounts, grain, &BTreeMap::new(), Tolerance::Nano(0))
}

fn verdicts(comparison: &Comparison) -> Vec<(String, Verdict, Option<i64>)> {
    let row =
        |row: &super::compare::Row| (row.model.clone().unwrap_or_default(), row.verdict, row.difference());
    comparison.rows.iter().map(row).collect()
}

#[test]
fn each_row_says_how_it_came_out() {
    let entries = [
        billed(25, "gpt-4o-2024-08-06", "0.0000000004"),
        billed(25, "gpt-4o-2024-08-06", "0.0000000006"),
        billed(25, "gpt-4.1", "1"),
        billed(25, "Web Search Usage", "0.5"),
        billed(26, "gpt-4.1", "0"),
    ];
    let accounts = [account(25, "gpt-4o", 1), account(25, "gpt-4.1", 999_999_999), account(26, "o3", 7)];
    let comparison = exact(&entries, &accounts, FINEST);
    let expected = [
        ("gpt-4.1", Verdict::Differs, Some(1)),
        ("gpt-4o", Verdict::Agrees, Some(0)),
        ("Web Search Usage", Verdict::OnlyBill, Some(500_000_000)),
        ("gpt-4.1", Verdict::Agrees, Some(0)),
        ("o3", Verdict::OnlyBooks, Some(-7)),
    ];
    let expected: Vec<_> = expected.map(|(name, verdict, apart)| (name.to_owned(), verdict, apart)).into();
    assert_eq!((verdicts(&comparison), comparison.apart()), (expected, 3));
    assert_eq!(comparison.total.difference(), Some(499_999_994));
}

#[test]
fn a_day_that_ends_elsewhere_is_no_difference_of_a_model() {
    let entries = [billed(25, "a", "1"), billed(26, "a", "2")];
    let accounts = [account(25, "a", 2_000_000_000), account(26, "a", 1_000_000_000)];
    assert_eq!(exact(&entries, &accounts, FINEST).apart(), 2);
    assert_eq!(exact(&entries, &accounts, Grain { day: false, model: true }).apart(), 0);
    let other = [billed(25, "b", "2"), billed(26, "b", "1")];
    assert_eq!(exact(&other, &accounts, Grain { day: true, model: false }).apart(), 0);
}

#[test]
fn tolerance_is_of_a_row() {
    let apart = |tolerance: &str, dollars: &str, nano: i64| {
        let tolerance = tolerance.parse().expect("a tolerance");
        compare(&[billed(25, "a", dollars)], &[account(25, "a", nano)], FINEST, &BTreeMap::new(), tolerance)
            .apart()
    };
    let cases = [
        ("0", "1", 1_000_000_001, 1),
        ("0.000000001", "1", 1_000_000_001, 0),
        ("0.000000001", "1", 1_000_000_002, 1),
        ("1%", "1", 1_010_000_000, 0),
        ("1%", "1", 1_010_000_001, 1),
        ("0.5%", "-2", -1_990_000_000, 0),
        ("0.5%", "-2", -1_989_999_999, 1),
        ("100%", "0", 1, 1),
    ];
    for (tolerance, dollars, nano, expected) in cases {
        assert_eq!(apart(tolerance, dollars, nano), expected, "{tolerance} {dollars} {nano}");
    }
    for text in ["", "%", "-1", "a lot", "5 cents"] {
        assert!(text.parse::<Tolerance>().is_err(), "{text}");
    }
}

#[test]
fn a_bill_of_tokens_is_judged_by_tokens() {
    let entry = |input, output| Entry {
        amount: None,
        input_tokens: Some(input),
        output_tokens: Some(output),
        ..billed(25, "a", "0")
    };
    let accounts = [account(25, "a", 5)];
    let one = exact(&[entry(20, 4)], &accounts, FINEST);
    assert_eq!((one.apart(), one.total.difference()), (0, None));
    assert_eq!(exact(&[entry(21, 4)], &accounts, FINEST).apart(), 1);
    assert_eq!(exact(&[entry(20, 5)], &accounts, FINEST).apart(), 1);
    // With money beside it tokens are shown and money decides.
    let both = exact(&[entry(20, 5), billed(25, "a", "0.000000005")], &accounts, FINEST);
    assert_eq!(both.apart(), 0);
}

#[test]
fn other_names_are_said() {
    let names = [(super::name::folded("SKU 17"), "house".to_owned())].into();
    let (entries, accounts) = ([billed(25, "SKU 17", "0.000000005")], [account(25, "house", 5)]);
    assert_eq!(compare(&entries, &accounts, FINEST, &names, Tolerance::Nano(0)).apart(), 0);
}

fn finding(comparison: Comparison) -> Finding {
    let stretch = Stretch { since: day(25), until: day(27) };
    Finding { provider: "openai".into(), stretch, comparison, outside: 3 }
}

#[test]
fn people_see_both_sides_and_what_may_explain_them() {
    let entries = [billed(25, "gpt-4.1", "1.25"), billed(26, "Web Search Usage", "0.5")];
    let finding = finding(exact(&entries, &[account(25, "gpt-4.1", 1_250_000_001)], FINEST));
    assert_eq!(
        shown::text(&finding, 200),
        "DAY         MODEL             BILL USD    BOOKS USD    DIFFERENCE  UNPRICED  ESTIMATED  VERDICT\n\
         2026-11-25  gpt-4.1               1.25  1.250000001  -0.000000001         1          1  differs\n\
         2026-11-26  Web Search Usage      0.50  -             0.50                -          -  only bill\n\
         total                             1.75  1.250000001   0.499999999         1          1  differs"
    );
    let notes = shown::notes(&finding).join("\n");
    for part in ["1 requests in the books have no price", "estimated", "--name", "3 entries"] {
        assert!(notes.contains(part), "{notes}");
    }
    let said = finding.verdict().expect_err("they differ").to_string();
    assert!(said.contains("2 of 2 rows lie apart, by 0.499999999 USD"), "{said}");
}
