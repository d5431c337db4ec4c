//! Lines of requests.

use serde_json::{Value, json};

use super::lines::Lines;

fn record(client: &str, cost: Value) -> Value {
    json!({
        "id": "01K0000000000000000000000A", "started": "2026-11-25T22:23:40.123Z", "client": client, "status": 200,
        "provider": "openai", "model": "gpt-4o-mini", "total_ms": 12.345, "first_token_ms": null, "cost_nanodollars": cost,
        "usage": { "input_tokens": 12345, "output_tokens": 7 }, "reason": "", "key": "openai/main/2",
    })
}

#[test]
fn a_line_has_80_columns_and_more_where_there_is_room() {
    let mut lines = Lines::new(80);
    let (heading, line) = (lines.heading(), lines.record(&record("bot", json!(1_500_000))));
    assert_eq!(heading.split_whitespace().collect::<Vec<_>>(), ["TIME", "STATUS", "CLIENT", "MODEL", "ID"]);
    assert!(line.starts_with("22:23:40  200 ") && line.chars().count() == 80, "{line}");
    let mut lines = Lines::new(200);
    let heading = lines.heading();
    for name in ["MS", "COST USD", "INPUT", "OUTPUT", "FIRST MS", "REASON", "KEY"] {
        assert!(heading.contains(name), "{heading}");
    }
    let line = lines.record(&record("bot", json!(1_500_000)));
    assert!(line.contains("0.0015") && line.contains("12,345") && line.contains(" 12.3 "), "{line}");
    assert!(lines.record(&record("bot", Value::Null)).contains("unpriced"));
}

#[test]
fn columns_grow_and_stay_below_each_other() {
    let mut lines = Lines::new(80);
    let long = lines.record(&record("a-client-with-a-long-name", json!(1)));
    let short = lines.record(&record("bot", json!(1)));
    let nobody = lines.record(&json!({ "client": "bot", "status": 404, "provider": "", "model": "" }));
    assert!(nobody.contains("404") && !nobody.contains('/'), "{nobody}");
    let place = |line: &str| line.find("openai/").expect("a model");
    assert_eq!(place(&long), place(&short));
}
