//! The simulator against plain callers: what it books is what was written down by hand.

use std::time::Duration;

use super::{Account, Biller, Ending, Key, Kind, Order, Price, Prices, Rates, Told, per_million};
use crate::caller::{Caller, post};

const KEY: &str = "sk-biller-0123456789";

fn prices() -> Prices {
    let rates = Rates {
        input: per_million(1000),
        cached: per_million(100),
        output: per_million(5000),
        ..Rates::default()
    };
    Prices {
        models: [("m", Price { rates, ..Price::default() })].into(),
        keys: [(KEY, Key { name: "sim/main", discount: 0 })].into(),
    }
}

fn order(request: &str) -> Order {
    Order {
        request: request.to_owned(),
        client: "bot".to_owned(),
        input: 100,
        cached: 10,
        output: 7,
        reasoning: 3,
        words: vec!["w0 ".to_owned(), "w1 ".to_owned(), "wörd2".to_owned()],
        ..Order::default()
    }
}

async fn ask(biller: &Biller, kind: Kind, order: &Order) -> Caller {
    let mut caller = Caller::connect(biller.provider.address()).await.expect("a connection");
    let body = order.body(kind, "m");
    caller.send(&post(kind.path(), KEY, "", body.as_bytes())).await.expect("sent");
    caller
}

async fn quiet(biller: &Biller) {
    let ended = biller
        .provider
        .until(Duration::from_secs(10), |seen| seen.iter().all(|one| one.outcome.is_some()))
        .await;
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn what_is_answered_whole_costs_what_it_says() {
    let biller = Biller::start(prices()).expect("starts");
    for (kind, stream) in [
        (Kind::Chat, false),
        (Kind::Chat, true),
        (Kind::Responses, false),
        (Kind::Responses, true),
        (Kind::Messages, false),
        (Kind::Messages, true),
    ] {
        let name = format!("{kind:?}-{stream}");
        let order = Order { stream, ..order(&name) };
        let answer = ask(&biller, kind, &order).await.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert!(
            answer.complete
                && answer.text().contains("wörd2")
                && answer.text().contains("service_tier") == (kind == Kind::Messages),
            "{}",
            answer.text()
        );
        quiet(&biller).await;
        let charge = &biller.charges()[&name];
        assert_eq!((charge.ending, charge.attempts, charge.key.as_str()), (Ending::Served, 1, "sim/main"));
        let expected = Account {
            requests: 1,
            input_tokens: 110,
            output_tokens: 7,
            cache_read_tokens: 10,
            reasoning_tokens: 3,
            cost_nanodollars: 100_000 + 1_000 + 35_000,
            ..Account::default()
        };
        assert_eq!(charge.account, expected);
    }
}

#[tokio::test]
async fn the_length_that_travels_is_the_bodys() {
    for kind in [Kind::Chat, Kind::Responses, Kind::Messages, Kind::Embeddings, Kind::Images] {
        let body = order("x").body(kind, "m");
        assert!(body.contains(&format!("body_bytes\\\":\\\"{:05}\\\"", body.len())), "{body}");
    }
}

#[tokio::test]
async fn failures_cost_nothing_and_what_follows_does() {
    let biller = Biller::start(prices()).expect("starts");
    let order = Order { fails: vec![503, 500], ..order("again") };
    for (status, errors) in [(503, 1), (500, 1), (200, 0)] {
        let answer = ask(&biller, Kind::Chat, &order).await.answer().await.expect("an answer");
        assert_eq!(answer.status, status);
        quiet(&biller).await;
        let charge = &biller.charges()["again"];
        assert_eq!((charge.account.requests, charge.account.errors), (1, errors));
        assert_eq!(charge.account.cost_nanodollars > 0, status == 200);
    }
    assert_eq!(biller.charges()["again"].attempts, 3);
}

#[tokio::test]
async fn a_stream_that_was_left_costs_what_was_delivered() {
    let biller = Biller::start(prices()).expect("starts");
    for (kind, input) in [(Kind::Chat, None), (Kind::Messages, Some(110))] {
        let name = format!("{kind:?}");
        let order = Order { stream: true, leave_after: Some(2), ..order(&name) };
        let mut caller = ask(&biller, kind, &order).await;
        caller.head().await.expect("a head");
        caller.wait_for(b"w1 ").await.expect("two words");
        assert_eq!(biller.charges()[&name].ending, Ending::Open);
        drop(caller);
        quiet(&biller).await;
        let charge = &biller.charges()[&name];
        let body = order.body(kind, "m").len() as u64;
        let input = input.unwrap_or(body.div_ceil(4));
        assert_eq!(charge.ending, Ending::Left);
        // "w0 w1 " are 6 bytes.
        assert_eq!((charge.account.input_tokens, charge.account.output_tokens), (input, 2));
        assert_eq!((charge.account.cancelled, charge.account.estimated, charge.account.errors), (1, 1, 0));
    }
}

#[tokio::test]
async fn what_is_told_wrongly_is_estimated_and_what_breaks_is_an_error() {
    let biller = Biller::start(prices()).expect("starts");
    for told in [Told::Nothing, Told::Negative, Told::Absurd] {
        let name = format!("{told:?}");
        let order = Order { told, ..order(&name) };
        ask(&biller, Kind::Chat, &order).await.answer().await.expect("an answer");
        quiet(&biller).await;
        let account = biller.charges()[&name].account;
        // "w0 w1 wörd2" are 12 bytes.
        assert_eq!((account.output_tokens, account.estimated, account.cache_read_tokens), (3, 1, 0));
    }
    let order = Order { stream: true, break_after: Some(1), ..order("broken") };
    let answer = ask(&biller, Kind::Chat, &order).await.answer().await.expect("a head");
    assert!(!answer.complete);
    quiet(&biller).await;
    let charge = &biller.charges()["broken"];
    assert_eq!((charge.ending, charge.account.errors, charge.account.output_tokens), (Ending::Broken, 1, 1));
}

#[tokio::test]
async fn a_model_without_a_price_is_unpriced() {
    let biller = Biller::start(Prices::default()).expect("starts");
    ask(&biller, Kind::Chat, &order("free")).await.answer().await.expect("an answer");
    quiet(&biller).await;
    let account = biller.charges()["free"].account;
    assert_eq!((account.unpriced, account.cost_nanodollars, account.input_tokens), (1, 0, 110));
}
