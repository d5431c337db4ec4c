//! The table, as Markdown: printed row by row as it comes, and kept for the file.

use super::row::Row;
use crate::bench::machine::Machine;

#[derive(Debug)]
pub(super) struct Page(String);

const INTRODUCTION: &str = "# The fleet's figures

Written by `cargo xtask bench fleet --markdown docs/benchmarks-fleet.md`, which measures everything again with release
builds and real processes on this one machine: replicas, control plane, simulated provider and callers share its cores.

- `activation` is the commit that makes a new key version active; the last ACK is counted by the control plane
  (`ack_micros` of `keyway key rotate --output json`).
- A simulated replica (`tests/sim`) has a stream of its own, checks and builds every state as a data plane does, and
  answers; it serves nobody. All of them run in one process.
- `last refusal`: from the moment when the admin API was asked to disable a client, or to revoke all of a provider's only key, to the last
  request, on any of 30 kept connections over ten replicas, that was sent and still admitted.
- Two replicas serve four callers while one of many clients is disabled and enabled, one change each 200 ms: requests that overlap the first
  100 ms of a change stand beside those that overlap the 100 ms after it.
- Of the million requests half are streams. Each second one key is rotated with `--overlap 0s --wait retired`; every ten
  seconds one replica is drained and its host starts another.
- `cold start`: the replica's process is started without a control plane; it is ready when `/readyz` answers 200.
";

// === impl Page ===

impl Page {
    pub(super) fn new(machine: &Machine) -> Self {
        let mut page = Self(format!("{INTRODUCTION}\n"));
        page.say(&format!(
            "{}, {} cores, Linux {}. Commit {}. {}; load average {}.\n",
            machine.cpu, machine.cores, machine.kernel, machine.commit, machine.time, machine.load
        ));
        page.say("| what | reach | measured | | command: `cargo xtask bench fleet …` |");
        page.say("| --- | --- | --- | --- | --- |");
        page
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn row(&mut self, row: Row) {
        let Row { what, reach, measured, reached, command } = row;
        let verdict = match reached {
            Some(true) => "ok",
            Some(false) => "**short**",
            None => "-",
        };
        let command = if command.is_empty() { "-".to_owned() } else { format!("`{command}`") };
        self.say(&format!("| {what} | {reach} | {measured} | {verdict} | {command} |"));
    }

    pub(super) fn end(&mut self, machine: &Machine) {
        self.say(&format!("\nEnd: {}; load average {}.", machine.time, machine.load));
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.0.push_str(text);
        self.0.push('\n');
    }
}
