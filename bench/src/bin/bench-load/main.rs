//! Closed-loop load over HTTP/1.1: every connection sends, reads the reply to its end, checks it, and sends again.
//!
//! One thread and no HTTP library on the way out, so that it can keep a proxy busy from half a core.
//! Prints one line of JSON (`keyway_bench::Report`).

mod connection;
mod framing;
mod load;

use clap::Parser;
use load::{Amount, Asked, Wanted};
use std::{error::Error, net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Parser)]
struct Args {
    /// The proxy
    #[arg(long)]
    addr: SocketAddr,
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// File with the request's body
    #[arg(long)]
    body: PathBuf,
    /// A further request header, `name: value`
    #[arg(long = "header")]
    headers: Vec<String>,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How long to go on
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Stop after this many replies instead
    #[arg(long)]
    requests: Option<u64>,
    /// Connections start spread over this many seconds, so that their replies do not come in step
    #[arg(long, default_value_t = 0.01)]
    spread: f64,
    /// Events (lines that start with `data: `) that a reply must have; 0 = not a stream
    #[arg(long, default_value_t = 0)]
    events: usize,
    /// What a reply must end with, white space apart
    #[arg(long, default_value = "}")]
    end: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let body = std::fs::read(&args.body)?;
    let asked = Asked {
        addr: args.addr,
        request: request(&args, &body),
        connections: args.connections,
        spread: Duration::try_from_secs_f64(args.spread)?,
        amount: match args.requests {
            Some(replies) => Amount::Replies(replies),
            None => Amount::Time(Duration::try_from_secs_f64(args.seconds)?),
        },
        wanted: Wanted { events: args.events, end: args.end.into_bytes() },
    };
    let report = load::run(asked).await?;
    #[expect(clippy::print_stdout, reason = "its output is its purpose")]
    {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

/// The bytes of the one request that is sent again and again.
fn request(args: &Args, body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        args.path,
        args.addr,
        body.len()
    );
    for header in &args.headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
