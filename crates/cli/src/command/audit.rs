//! `keyway audit …`: who changed what, and whether the log of it is whole; of a backup without any server.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keyway_config::Expiry;
use keyway_controlplane::attest::{Attestation, Check, Statement};
use keyway_controlplane::store::attested_backup;
use serde_json::{Value, json};

use crate::args::Output;
use crate::command::report;
use crate::failure::Failure;

use crate::print::{self, Table, cell, moment};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Who did what, the newest last
    List(List),
    /// Read the whole log and check that nothing in it was changed
    Verify(Verify),
    /// Sign how far the log is, in the log itself, and print what was signed: kept elsewhere, it shows later whether anything up to
    /// there was changed or cut off
    Sign,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Read the log in this backup, and ask no server
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kept: Kept,
}

/// What is known of the log from elsewhere.
#[derive(Debug, Args)]
pub(crate) struct Kept {
    /// The control plane's public key, from `keyway report public-key`: without it any one key may have signed the statements
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// What `keyway audit sign` printed at some time: the log has to hold that record still
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Begin after this revision [default: the newest]
    #[arg(long, value_name = "REV")]
    since: Option<u64>,
    /// Records at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Only what was done to this: client/NAME, provider/NAME…
    #[arg(long, value_name = "S")]
    subject: Option<String>,
    /// Only what this one did: operator/NAME, bootstrap, system…
    #[arg(long, value_name = "A")]
    actor: Option<String>,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Audit) -> Result<(), Failure> {
    match verb {
        Audit::List(list) => {
            let page = server.get(&path(&list)).await?;
            print::result(output, &page, table);
            if output == Output::Table && page.get("more") == Some(&Value::Bool(true)) {
                print::note(&format!("There is more: go on with --since {}.", cell(&page, "next")));
            }
        }
        Audit::Verify(Verify { kept, .. }) => {
            let sound = server.post("/audit/verify", &json!({})).await?;
            let said = kept.read()?;
            if said.key.is_some() {
                is_signed_by(server, said.key.as_deref()).await?;
            }
            if let Some(said) = said.wanted {
                holds(server, &said).await?;
            }
            show(output, &sound);
        }
        Audit::Sign => print::json(&server.post("/audit/attest", &json!({})).await?),
    }
    Ok(())
}

/// The log in a backup.
pub(crate) fn verify_backup(output: Output, file: &Path, kept: &Kept) -> Result<(), Failure> {
    let Said { key, wanted } = kept.read()?;
    let opened = File::open(file).map_err(|error| Failure::read(file, error))?;
    let mut check = Check::new("", key).wanting(wanted);
    let found = attested_backup(BufReader::new(opened), &mut check)
        .map_err(|error| Failure::Other(format!("NOT whole: {error}")))?;
    if let Some(said) = check.is_met() {
        return Err(cut_off(said, found.revision));
    }
    let attested = check.attested();
    let sound = json!({
        "records": found.revision, "revision": found.revision, "cluster": found.cluster, "epoch": found.epoch,
        "attested": attested.statements, "attested_revision": attested.revision, "attested_at": attested.at,
        "public_key": attested.public_key,
    });
    show(output, &sound);
    if kept.public_key.is_none() && attested.statements > 0 {
        print::note(&format!(
            "Signed with the key {}; whether that is your control plane's says --public-key.",
            attested.public_key
        ));
    }
    Ok(())
}

fn show(output: Output, sound: &Value) {
    let number = |name: &str| sound.get(name).and_then(Value::as_u64).unwrap_or_default();
    if output == Output::Json {
        return print::json(sound);
    }
    let head = sound.get("head").map(|_| format!(", head {}", cell(sound, "head"))).unwrap_or_default();
    print::line(&format!(
        "The audit log is whole: {} records up to revision {}{head}",
        cell(sound, "records"),
        cell(sound, "revision"),
    ));
    let (statements, signed) = (number("attested"), number("attested_revision"));
    print::line(&match statements {
        0 => "No signed statement stands in it yet.".to_owned(),
        _ => format!(
            "{statements} signed statements hold, the last up to revision {signed} at {}; {} records came later.",
            moment(number("attested_at")),
            number("revision").saturating_sub(signed)
        ),
    });
}

/// Statements were checked by the control plane with its own key: it has to be the one that is known.
async fn is_signed_by(server: &Server, key: Option<&[u8]>) -> Result<(), Failure> {
    let answer = server.get("/public-key").await?;
    if report::read_public_key(cell(&answer, "public_key").as_str()).ok().as_ref().map(|key| key.as_slice())
        == key
    {
        return Ok(());
    }
    Err(Failure::Other("NOT that control plane: it signs with another key".into()))
}

/// Whether the log of a control plane still has what was said of it.
async fn holds(server: &Server, said: &Statement) -> Result<(), Failure> {
    let before = said.revision.saturating_sub(1);
    let page = server.get(&format!("/audit?after={before}&limit=1")).await?;
    let found = page.get("records").into_iter().flat_map(print::list).next();
    match found.filter(|record| record.get("revision").and_then(Value::as_u64) == Some(said.revision)) {
        None => Err(cut_off(said, before)),
        Some(record) if record.get("hash").and_then(Value::as_str) == Some(said.head.as_str()) => Ok(()),
        Some(_) => Err(Failure::Other(format!(
            "NOT the same log: record {} is another than was signed; it was written anew, or a backup was restored over it",
            said.revision
        ))),
    }
}

fn cut_off(said: &Statement, end: u64) -> Failure {
    Failure::Other(format!(
        "NOT the whole log: record {} was signed, and it ends at {end}; its end was cut off, or this is an older copy",
        said.revision
    ))
}

/// What files say of the log.
struct Said {
    key: Option<Vec<u8>>,
    wanted: Option<Statement>,
}

impl Kept {
    fn read(&self) -> Result<Said, Failure> {
        let key = self.public_key.as_ref().map(|path| report::read_public_key(&report::read(path)?));
        let key = key.transpose()?.map(Vec::from);
        let wanted = self.against.as_ref().map(|path| {
            let none =
                |_| Failure::Usage(format!("{} is not what `keyway audit sign` prints", path.display()));
            let attestation: Attestation = serde_json::from_str(&report::read(path)?).map_err(none)?;
            let said = attestation.read(key.as_deref());
            said.map_err(|why| Failure::Other(format!("{}: {why}", path.display())))
        });
        let wanted = wanted.transpose()?;
        Ok(Said { key, wanted })
    }
}

fn path(list: &List) -> String {
    let mut path = format!("/audit?limit={}", list.limit);
    if let Some(since) = list.since {
        path.push_str(&format!("&after={since}"));
    }
    for (name, value) in [("subject", &list.subject), ("actor", &list.actor)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    path
}

fn table(page: &Value) -> Table {
    let headings = &["REVISION", "TIME", "ACTOR", "ACTION", "SUBJECT", "DETAIL"];
    let mut table = Table::new(headings, "nothing was done there");
    for record in page.get("records").into_iter().flat_map(print::list) {
        let at = record.get("at").and_then(Value::as_u64).unwrap_or_default();
        table.row([
            cell(record, "revision"),
            Expiry::from_unix(at / 1000).to_string(),
            cell(record, "actor"),
            cell(record, "action"),
            cell(record, "subject"),
            cell(record, "detail"),
        ]);
    }
    table
}
