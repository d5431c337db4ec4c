//! The tables, as Markdown: printed as they come, and kept for the file.

use super::{
    case::Case,
    figures::{Figure, Found, Measured, Turn, median, middle_half, of},
    footprint::Footprint,
    machine::Machine,
    process::Memory,
    reach::Goal,
    subject::Kind,
};

#[derive(Debug)]
pub(super) struct Page(String);

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench --markdown docs/benchmarks.md`, which runs everything again.

- The subject runs alone on one core; the load and the simulated provider share the other; all on loopback.
- Subjects take turns in every round. Figures are medians over the rounds; ratios are medians of each round's ratio
  to the bare proxy of that round. Absolute figures drift with the machine and its load: trust the ratios.
- CPU is user and system time of the subject's whole process tree, by the scheduler's own count, per good reply.
  Every reply is checked (status, end, and number of events); one wrong reply fails the subject's case.
- `direct` is the load on the simulated provider with nothing between. `bare` is the plainest reverse proxy on hyper
  (`bench/src/bin/bench-bare.rs`): no auth, no routing, no look at the body. `keyway` is the data plane alone with
  auth, routing, usage scan and totals on; `keyway-up` is both planes in one process.
- Where a subject's core is not fully busy, load, provider or other work on the machine were the limit, and its
  requests per second could be higher.
- `--quick` takes under two minutes; `--case` and `--subject` choose; `--memory` adds the last columns of memory;
  `--clients N` adds that many clients to the snapshot; `--priority` keeps other work on the machine out of the way; `--url` measures a proxy that runs already;
  `--before FOLDER` measures the programs of an earlier build by turns with these: short turns and many rounds
  (`--rounds 60 --seconds 0.3`) tell a change of a few per cent even on a machine that is not quiet.";

// === impl Page ===

impl Page {
    pub(super) fn new(machine: &Machine, rounds: usize, seconds: f64) -> Self {
        let mut page = Self(format!("{INTRODUCTION}\n"));
        page.say(&format!(
            "\n{}, {} cores, Linux {}. Commit {}. {}: {rounds} rounds of {seconds} s; load average {}.",
            machine.cpu, machine.cores, machine.kernel, machine.commit, machine.time, machine.load
        ));
        page
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn case(&mut self, case: &Case, measured: &[Measured]) {
        self.say(&format!("\n## {}\n\n{}.\n", case.name, capitalized(case.about)));
        let mut head = vec![
            "subject",
            "CPU us/reply",
            "x bare",
            "replies/s",
            "x bare",
            "core busy",
            "p50 us",
            "p99 us",
            "p99.9 us",
        ];
        if case.body.is_stream() {
            head.extend(["first byte p50 us", "p99 us"]);
        }
        let bare = of(measured, Kind::Bare);
        let rows = measured.iter().map(|one| row(one, bare, case.body.is_stream())).collect();
        self.table(&head, rows);
        for (one, fault) in measured.iter().filter_map(|one| Some((one, one.fault.as_ref()?))) {
            self.say(&format!("\n**{} failed:** {fault}", one.kind.name()));
        }
    }

    pub(super) fn footprints(&mut self, footprints: &[Footprint]) {
        self.say("\n## Memory and start\n\nMB resident (in brackets: the most that ever was).\n");
        let head = [
            "subject",
            "first answer ms",
            "idle",
            "256 connections, 100,000 requests",
            "1,000,000 more",
            "another 1,000,000",
        ];
        let megabytes = |memory: &Memory| {
            format!("{:.1} ({:.1})", memory.resident as f64 / 1e6, memory.peak as f64 / 1e6)
        };
        let row = |print: &Footprint| {
            vec![
                print.kind.name().to_owned(),
                format!("{:.1}", print.first_answer_ms),
                megabytes(&print.idle),
                megabytes(&print.loaded),
                print.millions.as_ref().map_or("-".to_owned(), |(first, _)| megabytes(first)),
                print.millions.as_ref().map_or("-".to_owned(), |(_, second)| megabytes(second)),
            ]
        };
        self.table(&head, footprints.iter().map(row).collect());
    }

    /// What changed since the build that `before` is of; nothing without one.
    pub(super) fn change(&mut self, found: &Found) {
        let row = |(case, measured): &(&str, Vec<Measured>)| {
            let (now, before) = (of(measured, Kind::Keyway)?, of(measured, Kind::Before)?);
            let cpu = now.ratios(before, Turn::cpu_per_reply);
            let half = middle_half(cpu.clone());
            Some(vec![
                (*case).to_owned(),
                shown(median(cpu), 3),
                half.map_or("-".to_owned(), |(from, to)| format!("{from:.3} to {to:.3}")),
                shown(now.ratio(before, Turn::per_second), 3),
                shown(now.difference(before, Turn::p50), 1),
            ])
        };
        let rows: Vec<_> = found.cases.iter().filter_map(row).collect();
        if rows.is_empty() {
            return;
        }
        self.say("\n## Change\n\n`keyway` against `before`, of each round: the median, and between what half of the rounds lie.\n");
        self.table(
            &["case", "CPU x before", "half of the rounds", "replies/s x before", "p50 later us"],
            rows,
        );
    }

    pub(super) fn reach(&mut self, goals: &[Goal]) {
        self.say("\n## Reach\n\nKeyway's data plane against its goals.\n");
        let row = |goal: &Goal| {
            let verdict = match goal.reached {
                Some(true) => "ok",
                Some(false) => "**short**",
                None => "not measured",
            };
            vec![goal.what.clone(), goal.limit.clone(), goal.measured.clone(), verdict.to_owned()]
        };
        self.table(&["goal", "limit", "measured", ""], goals.iter().map(row).collect());
    }

    pub(super) fn end(&mut self, machine: &Machine) {
        self.say(&format!("\nEnd: {}; load average {}.", machine.time, machine.load));
    }

    fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(column, width)| match column {
            0 => "-".repeat(*width),
            _ => format!("{}:", "-".repeat(width - 1)),
        });
        self.say(&line(&head));
        self.say(&format!("| {} |", rule.collect::<Vec<_>>().join(" | ")));
        for row in &rows {
            self.say(&line(row));
        }
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.0.push_str(text);
        self.0.push('\n');
    }
}

fn row(one: &Measured, bare: Option<&Measured>, stream: bool) -> Vec<String> {
    let figure = |figure: Figure, digits: usize| shown(one.median(figure), digits);
    let ratio = |figure: Figure| shown(bare.and_then(|bare| one.ratio(bare, figure)), 2);
    let mut cells = vec![
        one.kind.name().to_owned(),
        figure(Turn::cpu_per_reply, 1),
        ratio(Turn::cpu_per_reply),
        figure(Turn::per_second, 0),
        ratio(Turn::per_second),
        one.median(Turn::busy).map_or("-".to_owned(), |busy| format!("{:.0} %", busy * 100.0)),
        figure(Turn::p50, 0),
        figure(Turn::p99, 0),
        figure(Turn::p999, 0),
    ];
    if stream {
        cells.extend([figure(Turn::first_p50, 0), figure(Turn::first_p99, 0)]);
    }
    cells
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
