//! Bills as providers document them. JSON: developers.openai.com/api/reference (organization costs, usage/completions) and
//! platform.claude.com/docs/en/api/admin (cost_report, usage_report/messages). CSV: the headings of the exports of
//! platform.openai.com/usage and platform.claude.com/usage and /cost. Figures are made up.

use super::{Amount, Bill, Day, Entry, Unreadable};

fn read(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let mut bill = Bill::default();
    bill.read(text)?;
    bill.whole()
}

fn day(text: &str) -> Option<Day> {
    Some(Day::parse(text).expect("a day"))
}

fn paid(at: &str, name: &str, dollars: &str) -> Entry {
    let (amount, name) = (Amount::dollars(dollars), (!name.is_empty()).then(|| name.to_owned()));
    Entry { day: day(at), name, amount, ..Entry::default() }
}

fn used(at: &str, name: &str, requests: Option<u64>, (input, output): (u64, u64)) -> Entry {
    let (input_tokens, output_tokens) = (Some(input), Some(output));
    Entry { day: day(at), name: Some(name.to_owned()), amount: None, requests, input_tokens, output_tokens }
}

#[test]
fn money_is_read_to_the_last_digit() {
    let cases = [
        ("0.06", 60_000_000),
        ("0", 0),
        ("-1.5", -1_500_000_000),
        ("$12.50", 12_500_000_000),
        ("6.1e-05", 61_000),
        ("1E3", 1_000_000_000_000),
        ("0E-6176", 0),
        ("0.003835980000000000000000000000", 3_835_980),
        (".5", 500_000_000),
        ("7.", 7_000_000_000),
        ("0.0000000004", 0),
        // Halves go to the even one.
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("-0.0000000015", -2),
        ("0.00000000050000000000000001", 0),
        ("0.000000000500000001", 1),
        ("999999999", 999_999_999_000_000_000),
    ];
    for (text, nano) in cases {
        assert_eq!(Amount::dollars(text).map(Amount::nano), Some(nano), "{text}");
    }
    for text in ["", "-", ".", "1,5", "1.2.3", "NaN", "0x1", "1e", "1e400", "9999999999", "--1", "1 000"] {
        assert_eq!(Amount::dollars(text), None, "{text}");
    }
    assert_eq!(Amount::cents("123.78912").map(Amount::nano), Some(1_237_891_200));
    let many = (0..10).fold(Amount::default(), |sum, _| sum.plus(Amount::dollars("0.0000000001").unwrap()));
    assert_eq!(many.nano(), 1, "what is finer than a nano-dollar adds up");
}

#[test]
fn days_are_utc() {
    for text in [
        "2026-11-25",
        "2026-11-25T23:59:59Z",
        "2026-11-25T00:00:00+00:00",
        "2026-11-25 10:00:00 UTC",
        "1795564800",
    ] {
        assert_eq!(Day::parse(text).map(|day| day.to_string()).as_deref(), Some("2026-11-25"), "{text}");
    }
    for text in ["", "2026-13-01", "25/11/2026", "2026-11-25T00:00:00-08:00", "Nov 25", "total"] {
        assert_eq!(Day::parse(text), None, "{text}");
    }
    assert_eq!(day("2026-12-31").map(|last| last.next().to_string()).as_deref(), Some("2027-01-01"));
}

#[test]
fn openais_costs_by_line_item() {
    let entries = read(
        r#"{ "object": "page", "data": [ { "object": "bucket", "start_time": 1795564800, "end_time": 1795651200, "results": [
            { "object": "organization.costs.result", "amount": { "value": 0.13080438, "currency": "usd" },
              "line_item": "gpt-4o-2024-08-06, input", "project_id": null, "api_key_id": null, "quantity": null },
            { "object": "organization.costs.result", "amount": { "value": "0.0000123000000000", "currency": "usd" },
              "line_item": "gpt-4o-2024-08-06, output", "project_id": "proj_abc" },
            { "object": "organization.costs.result", "amount": { "value": 6.0e-05, "currency": "usd" }, "line_item": null } ] },
          { "object": "bucket", "start_time": 1795651200, "end_time": 1795737600, "results": [] } ],
          "has_more": false, "next_page": null }"#,
    );
    let expected = [
        paid("2026-11-25", "gpt-4o-2024-08-06", "0.13080438"),
        paid("2026-11-25", "gpt-4o-2024-08-06", "0.0000123"),
        paid("2026-11-25", "", "0.00006"),
    ];
    assert_eq!(entries.expect("a bill"), expected);
}

#[test]
fn openais_usage_of_completions() {
    let entries = read(
        r#"{ "object": "page", "data": [ { "object": "bucket", "start_time": 1795564800, "end_time": 1795651200, "results": [
            { "object": "organization.usage.completions.result", "input_tokens": 5000, "output_tokens": 1000,
              "input_cached_tokens": 4000, "num_model_requests": 5, "project_id": null, "user_id": null, "api_key_id": null,
              "model": "gpt-4o-mini-2024-07-18", "batch": false, "service_tier": "default" } ] } ],
          "has_more": false, "next_page": null }"#,
    );
    assert_eq!(
        entries.expect("a bill"),
        [used("2026-11-25", "gpt-4o-mini-2024-07-18", Some(5), (5000, 1000))]
    );
}

#[test]
fn anthropics_cost_report_is_in_cents() {
    let entries = read(
        r#"{ "data": [ { "starting_at": "2026-11-25T00:00:00Z", "ending_at": "2026-11-26T00:00:00Z", "results": [
            { "currency": "USD", "amount": "123.78912", "workspace_id": null, "description": "Claude Haiku 4.5 Usage - Input Tokens",
              "cost_type": "tokens", "context_window": "0-200k", "model": "claude-haiku-4-5-20251001", "service_tier": "standard",
              "token_type": "uncached_input_tokens", "inference_geo": "global" },
            { "currency": "USD", "amount": "50", "description": "Web Search Usage", "cost_type": "web_search", "model": null } ] } ],
          "has_more": false, "next_page": null }"#,
    );
    let expected = [
        paid("2026-11-25", "claude-haiku-4-5-20251001", "1.2378912"),
        paid("2026-11-25", "Web Search Usage", "0.5"),
    ];
    assert_eq!(entries.expect("a bill"), expected);
}

#[test]
fn anthropics_usage_report_counts_what_a_cache_gave_and_got_apart() {
    let entries = read(
        r#"{ "data": [ { "starting_at": "2026-11-25T00:00:00Z", "ending_at": "2026-11-26T00:00:00Z", "results": [
            { "uncached_input_tokens": 1500, "cache_creation": { "ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500 },
              "cache_read_input_tokens": 200, "output_tokens": 500, "server_tool_use": { "web_search_requests": 10 },
              "api_key_id": null, "workspace_id": null, "model": "claude-haiku-4-5", "service_tier": "standard", "context_window": "0-200k" } ] } ],
          "has_more": false, "next_page": null }"#,
    );
    assert_eq!(entries.expect("a bill"), [used("2026-11-25", "claude-haiku-4-5", None, (3200, 500))]);
}

#[test]
fn consoles_exports() {
    let openai = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,api_key_id\n\
                  1795478400,1795564800,2026-11-24T00:00:00+00:00,2026-11-25T00:00:00+00:00,,,,,,,\n\
                  1795564800,1795651200,2026-11-25T00:00:00+00:00,2026-11-26T00:00:00+00:00,0.003835980000000000000000000000,usd,,,\"gpt-4.1, input\",,\n";
    assert_eq!(read(openai).expect("a bill"), [paid("2026-11-25", "gpt-4.1", "0.00383598")]);
    let cost = "\u{feff}usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\r\n\
                2026-11-25,Claude Haiku 4.5,Default,\"a, \"\"b\"\"\",message,\u{2264} 200k,input_no_cache,0.05,0.07,token\r\n\r\n";
    assert_eq!(read(cost).expect("a bill"), [paid("2026-11-25", "Claude Haiku 4.5", "0.05")]);
    let usage = "usage_date_utc,model_version,api_key,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,\
                 usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count\n\
                 2026-11-25,claude-haiku-4-5-20251001,main,10,500,200,1000,20,0\n";
    assert_eq!(
        read(usage).expect("a bill"),
        [used("2026-11-25", "claude-haiku-4-5-20251001", None, (1710, 20))]
    );
}

#[test]
fn what_people_make_and_what_keyway_prints() {
    let own = "day,model,requests,errors,input_tokens,output_tokens,cost_nanodollars,cost_usd\n\
               2026-11-25T00:00:00Z,openai/gpt-4.1,3,0,30,9,132000,0.000132000\n";
    let amount = Amount::dollars("0.000132");
    let entry = Entry { amount, ..used("2026-11-25", "openai/gpt-4.1", Some(3), (30, 9)) };
    assert_eq!(read(own).expect("a bill"), [entry]);
    let total = read("Model,Cost USD\nhouse,1\n").expect("a bill");
    assert_eq!(total, [Entry { day: None, ..paid("2026-11-25", "house", "1") }]);
}

#[test]
fn what_cannot_be_right_is_refused_with_its_place() {
    let page = |more: bool| {
        format!(r#"{{"data":[{{"start_time":0,"results":[{{"amount":{{"value":1}}}}]}}],"has_more":{more}}}"#)
    };
    let tokens = r#"{"data":[{"start_time":0,"results":[{"output_tokens":1}]}],"has_more":true}"#;
    let euro = r#"{"data":[{"start_time":0,"results":[{"amount":{"value":1,"currency":"eur"}}]}]}"#;
    let cases = [
        (page(true), "has_more"),
        (page(false) + tokens, "has_more"),
        (euro.to_owned(), "entry 1 is in eur"),
        (page(false).replace(":1}", ":true}"), "entry 1: `{\"value\":true}`"),
        (
            page(false).replace("\"start_time\":0", "\"starting_at\":\"yesterday\""),
            "entry 1: `yesterday` is no day",
        ),
        (r#"{"error":{"message":"no"}}"#.to_owned(), "missing field `data`"),
        ("day,model\n2026-11-25,m\n".to_owned(), "no column of money or tokens"),
        ("day,cost\n2026-11-25,1\n2026-11-26,many\n".to_owned(), "entry 2: `many` is no amount of money"),
        ("day,cost\n11/25/2026,1\n".to_owned(), "entry 1: `11/25/2026` is no day"),
        ("day,output_tokens\n2026-11-25,1.5\n".to_owned(), "entry 1: `1.5` is no count"),
        ("day,cost,currency\n2026-11-25,1,EUR\n".to_owned(), "entry 1 is in EUR"),
        ("day,cost\n2026-11-25,1\n,1\n".to_owned(), "lines of sums"),
        ("day,cost\n\"2026-11-25,1\n".to_owned(), "begins in line 2"),
        (String::new(), "no column"),
    ];
    for (text, why) in cases {
        let said = read(&text).expect_err(&text).to_string();
        assert!(said.contains(why), "{text}: {said}");
    }
    assert_eq!(read(&(page(true) + "\n" + &page(false))).expect("pages, the last one too").len(), 2);
}
