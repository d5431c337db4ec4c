//! `keyway model price`: every rule of a price, and what a request would cost by it.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::Server;

#[derive(Debug, Args)]
pub(crate) struct Price {
    /// An alias, PROVIDER/MODEL, or MODEL where one configured provider offers it
    name: String,
    /// The key that it would be served with, where keys have prices of their own
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// When the request would begin: 2027-01-31 or 2027-01-31T18:00:00Z; now if left out
    #[arg(long, value_name = "T")]
    at: Option<String>,
    /// The service tier that the reply would name, like flex or priority
    #[arg(long, value_name = "TIER")]
    service_tier: Option<String>,
    /// The whole prompt, cached parts included
    #[arg(long, value_name = "N")]
    input_tokens: Option<u64>,
    /// The whole answer, reasoning included
    #[arg(long, value_name = "N")]
    output_tokens: Option<u64>,
    /// Of the prompt, what the cache held
    #[arg(long, value_name = "N")]
    cache_read_tokens: Option<u64>,
    /// Of the prompt, what was written to the cache for minutes
    #[arg(long, value_name = "N")]
    cache_write_tokens: Option<u64>,
    /// Of the prompt, what was written to the cache for an hour
    #[arg(long, value_name = "N")]
    cache_write_1h_tokens: Option<u64>,
    /// Of the answer, reasoning
    #[arg(long, value_name = "N")]
    reasoning_tokens: Option<u64>,
    /// Of the prompt, sound
    #[arg(long, value_name = "N")]
    audio_input_tokens: Option<u64>,
    /// Of the answer, sound
    #[arg(long, value_name = "N")]
    audio_output_tokens: Option<u64>,
    /// Of the prompt, images
    #[arg(long, value_name = "N")]
    image_input_tokens: Option<u64>,
    /// Of the answer, images
    #[arg(long, value_name = "N")]
    image_output_tokens: Option<u64>,
    /// Images made
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Characters to be spoken
    #[arg(long, value_name = "N")]
    characters: Option<u64>,
    /// Sound to be listened to
    #[arg(long, value_name = "N")]
    milliseconds: Option<u64>,
    /// Searches that the provider makes
    #[arg(long, value_name = "N")]
    web_searches: Option<u64>,
}

pub(super) async fn run(server: &Server, output: Output, verb: &Price) -> Result<(), Failure> {
    let answer = server.post("/price", &verb.question()).await?;
    if output == Output::Json {
        print::json(&answer);
        return Ok(());
    }
    for (place, model) in print::list(&answer).enumerate() {
        if place > 0 {
            print::line("");
        }
        print::line(&heading(model));
        if model.get("rates").map(print::list).into_iter().flatten().next().is_some() {
            print::line(&rates(model).fitted());
        }
        let Some(estimate) = model.get("estimate").filter(|estimate| !estimate.is_null()) else { continue };
        let rules = match cell(estimate, "price_rules") {
            none if none == "-" => String::new(),
            rules => format!(" ({rules})"),
        };
        print::line(&format!("\nsuch a request: {}{rules}", cost(estimate)));
        for line in estimate.get("lines").map(print::list).into_iter().flatten() {
            print::line(&format!("  {}", line.as_str().unwrap_or_default()));
        }
    }
    Ok(())
}

/// A cost in USD, or that it is not known.
pub(crate) fn cost(estimate: &Value) -> String {
    match estimate.get("cost_usd").and_then(Value::as_str) {
        Some(usd) => format!("{usd} USD"),
        None => "unpriced".to_owned(),
    }
}

/// The model, who says its price, and what is to be said where there are no rates.
fn heading(model: &Value) -> String {
    let name = cell(model, "name");
    match (model.get("price"), model.get("discount").and_then(Value::as_str)) {
        (None | Some(Value::Null), _) => {
            format!("{name}: unknown; requests are counted as unpriced until a file gives `prices`")
        }
        (Some(Value::String(free)), _) => format!("{name}: {free}, by the {}", cell(model, "price_from")),
        (Some(_), Some(percent)) => format!("{name}, by the {}, less {percent}%", cell(model, "price_from")),
        (Some(_), None) => format!("{name}, by the {}", cell(model, "price_from")),
    }
}

fn rates(model: &Value) -> Table {
    let mut table = Table::new(&["WHAT", "USD", "PER", "WHEN"], "no rates");
    for rate in model.get("rates").map(print::list).into_iter().flatten() {
        let what = cell(rate, "meter").replace('_', " ");
        table.row([what, cell(rate, "usd"), cell(rate, "per"), cell(rate, "rule")]);
    }
    table
}

// === impl Price ===

impl Price {
    fn question(&self) -> Value {
        let counts = [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cache_read_tokens", self.cache_read_tokens),
            ("cache_write_tokens", self.cache_write_tokens),
            ("cache_write_1h_tokens", self.cache_write_1h_tokens),
            ("reasoning_tokens", self.reasoning_tokens),
            ("audio_input_tokens", self.audio_input_tokens),
            ("audio_output_tokens", self.audio_output_tokens),
            ("image_input_tokens", self.image_input_tokens),
            ("image_output_tokens", self.image_output_tokens),
            ("images", self.images),
            ("characters", self.characters),
            ("milliseconds", self.milliseconds),
            ("web_searches", self.web_searches),
        ];
        let usage: Map<String, Value> =
            counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), json!(count?)))).collect();
        let mut question = Map::from_iter([("model".to_owned(), json!(self.name))]);
        let words = [("key", &self.key), ("at", &self.at), ("service_tier", &self.service_tier)];
        question.extend(
            words.into_iter().filter_map(|(name, word)| Some((name.to_owned(), json!(word.as_ref()?)))),
        );
        if !usage.is_empty() {
            question.insert("usage".to_owned(), Value::Object(usage));
        }
        Value::Object(question)
    }
}
