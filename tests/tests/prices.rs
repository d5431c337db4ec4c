//! What Keyway says that requests cost, beside what genai-prices says: equal to the nano-dollar, or listed with the reason
//! in `tests/prices/differences.toml`. Keyway's side is its own way from the catalogue to a bill, asked over REST.

use keyway_e2e::admin::Admin;
use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Keyway, root};
use keyway_testkit::sdk;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// Cases that must agree for the comparison to say anything.
const ENOUGH: usize = 1000;
/// Decimal places of a nano-dollar.
const PLACES: usize = 9;

/// A model and a shape of request.
type Case = (String, String);

fn script(arg: Option<&str>, input: &Value) -> Outcome<Value> {
    let mut script = Command::new(sdk::python()?);
    script.arg(root().join("tests/prices/cases.py")).args(arg);
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut stdin = script.stdin.take().ok_or("no standard input")?;
    stdin.write_all(input.to_string().as_bytes())?;
    drop(stdin);
    let done = script.wait_with_output()?;
    assert!(done.status.success(), "the script failed");
    Ok(serde_json::from_slice(&done.stdout)?)
}

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}

fn texts(of: &Value) -> impl Iterator<Item = String> {
    of.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned))
}

/// Every listed difference with its reason.
fn differences() -> Outcome<BTreeMap<Case, String>> {
    let listed = std::fs::read_to_string(root().join("tests/prices/differences.toml"))?;
    let listed: Value = toml::from_str(&listed)?;
    let groups = listed.get("differences").and_then(Value::as_array).ok_or("no differences")?;
    let mut all = BTreeMap::new();
    for group in groups {
        let reason = text(group, "reason");
        assert!(!reason.is_empty(), "{group}");
        for model in texts(&group["models"]) {
            for shape in texts(&group["shapes"]) {
                let twice = all.insert((model.clone(), shape.clone()), reason.clone());
                assert!(twice.is_none(), "{model} ({shape}) is listed twice");
            }
        }
    }
    Ok(all)
}

/// An exact decimal of US dollars in nano-dollars, half to even.
fn nano(usd: &str) -> Outcome<u64> {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(PLACES).collect();
    let rest = fraction.get(PLACES..).unwrap_or_default().trim_end_matches('0');
    let down: u64 = format!("{whole}{kept}").parse()?;
    let up = match rest.strip_prefix('5') {
        Some("") => down % 2 == 1,
        Some(_) => true,
        None => rest > "5",
    };
    Ok(down + u64::from(up))
}

#[test]
fn decimals_round_half_to_even() -> Outcome {
    for (usd, expected) in [
        ("0", 0),
        ("1.5", 1_500_000_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000250001", 3),
        ("0.00000000249", 2),
        ("0.0000000026", 3),
    ] {
        assert_eq!(nano(usd)?, expected, "{usd}");
    }
    Ok(())
}

#[tokio::test]
async fn costs_are_those_of_genai_prices_to_the_nano_dollar() -> Outcome {
    let keyway = Keyway::up().start()?;
    let admin = Admin::new(keyway.admin_url(), &keyway.admin_token()?)?;
    let mut known = BTreeMap::new();
    for provider in texts(&script(Some("--providers"), &Value::Null)?) {
        let rows = admin.get(&format!("/catalog/models?provider={provider}&limit=20000")).await?;
        let ids: Vec<String> = rows.as_array().ok_or("no rows")?.iter().map(|row| text(row, "id")).collect();
        known.insert(provider, ids);
    }
    let cases = script(None, &json!(known))?;
    let listed = differences()?;
    let (mut equal, mut different, mut wrong) =
        (BTreeMap::<String, usize>::new(), BTreeSet::new(), Vec::new());
    for case in cases.as_array().ok_or("no cases")? {
        let question = json!({ "model": case["model"], "at": case["at"], "usage": case["usage"] });
        let ours = admin.post("/price", question).await?[0]["estimate"]["cost_nanodollars"].as_u64();
        let theirs = nano(&text(case, "usd"))?;
        let name = (text(case, "model"), text(case, "shape"));
        match (ours == Some(theirs), listed.contains_key(&name)) {
            (true, false) => *equal.entry(name.1).or_default() += 1,
            (false, true) => drop(different.insert(name)),
            (true, true) => wrong.push(format!("{name:?} is listed as different and is equal: {theirs}")),
            (false, false) => wrong.push(format!("{name:?}: {theirs} by genai-prices, {ours:?} by Keyway")),
        }
    }
    let stale = listed.keys().filter(|case| !different.contains(*case));
    wrong.extend(stale.map(|case| format!("{case:?} is listed and no case (any more)")));
    for (shape, count) in &equal {
        println!("{shape:<12}{count:>6} equal");
    }
    let mut reasons = BTreeMap::<&str, usize>::new();
    listed.values().for_each(|reason| *reasons.entry(reason).or_default() += 1);
    reasons.iter().for_each(|(reason, count)| println!("{count:>6} different: {reason}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(equal.values().sum::<usize>() >= ENOUGH, "{equal:?}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_says_the_same() -> Outcome {
    let keyway = Keyway::up().start()?;
    let price = ["model", "price", "openai/gpt-4o-mini", "--input-tokens", "1237", "--output-tokens", "419"];
    let said = keyway.cli(&[["--output", "json"].as_slice(), &price].concat())?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said: Value = serde_json::from_str(&said.stdout)?;
    // 1237 x 150 + 419 x 600 nano-dollars a thousand tokens.
    assert_eq!(said[0]["estimate"]["cost_nanodollars"], 436_950);
    let shown = keyway.cli(&price)?.stdout;
    assert!(shown.contains("0.000436950 USD (list)") && shown.contains("priority"), "{shown}");
    Ok(())
}
