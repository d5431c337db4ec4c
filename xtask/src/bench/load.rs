//! One run of `bench-load`.

use super::{Outcome, body::Body, case::CHUNKS, process, stage::Stage, subject::Subject};
use keyway_bench::Report;

/// How much load, and where it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) body: Body,
    pub(super) connections: usize,
    /// Connections start spread over this many seconds.
    pub(super) spread: f64,
    pub(super) amount: Amount,
    pub(super) core: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    Seconds(f64),
    Replies(u64),
}

impl Load {
    /// Puts the load on `subject`. Errors: if a single reply is missing or wrong.
    pub(super) fn run(self, subject: &Subject, stage: &Stage) -> Outcome<Report> {
        let mut command = process::pinned(self.core, &stage.binary("bench-load"));
        command.args(["--addr", &subject.addr.to_string()]).arg("--body").arg(stage.body(self.body)?);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--spread", &self.spread.to_string()]);
        for header in &subject.headers {
            command.args(["--header", header]);
        }
        match self.amount {
            Amount::Seconds(seconds) => command.args(["--seconds", &seconds.to_string()]),
            Amount::Replies(replies) => command.args(["--requests", &replies.to_string()]),
        };
        if self.body.is_stream() {
            command.args(["--events", &(CHUNKS + 1).to_string(), "--end", "data: [DONE]"]);
        }
        let done = command.output()?;
        if !done.status.success() {
            return Err(format!("bench-load: {}", String::from_utf8(done.stderr)?.trim()).into());
        }
        let report: Report = serde_json::from_slice(&done.stdout)?;
        if report.bad > 0 || report.good == 0 {
            let faults = report.faults.join("; ");
            return Err(format!(
                "{} of {} replies were wrong: {faults}",
                report.bad,
                report.good + report.bad
            )
            .into());
        }
        Ok(report)
    }
}
