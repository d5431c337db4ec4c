//! The rounds of one case: every subject in turn, so that what slows the machine down slows all of them down.

use super::{
    Outcome,
    case::{Case, Cores},
    figures::{Measured, Turn},
    load::{Amount, Load},
    process::{CpuTime, OTHER_CORE, SUBJECT_CORE},
    stage::Stage,
    subject::Subject,
};

/// Before the first round, uncounted: pools fill and code is paged in.
const WARM_UP_SECONDS: f64 = 0.3;

pub(super) fn measure(
    case: &Case,
    subjects: &[Subject],
    stage: &Stage,
    rounds: usize,
    seconds: f64,
) -> Outcome<Vec<Measured>> {
    let core = match case.cores {
        Cores::Apart => OTHER_CORE,
        Cores::Together => SUBJECT_CORE,
    };
    stage.upstream_to(core)?;
    stage.pace(case.pace_ms)?;
    let load = Load {
        body: case.body,
        connections: case.connections,
        spread: case.spread(),
        amount: Amount::Seconds(seconds * case.length()),
        core,
    };
    let warm_up = Load { amount: Amount::Seconds(WARM_UP_SECONDS), ..load };
    let mut measured: Vec<Measured> =
        subjects.iter().map(|subject| Measured::none_yet(subject.kind)).collect();
    for round in 0..=rounds {
        for (subject, found) in subjects.iter().zip(&mut measured) {
            if found.fault.is_some() {
                continue;
            }
            match turn(if round == 0 { warm_up } else { load }, subject, stage) {
                Ok(turn) if round > 0 => found.turns.push(turn),
                Ok(_) => {}
                Err(why) => found.fault = Some(why.to_string()),
            }
        }
    }
    Ok(measured)
}

fn turn(load: Load, subject: &Subject, stage: &Stage) -> Outcome<Turn> {
    let time = || subject.root.map(CpuTime::of).transpose();
    let before = time()?;
    let report = load.run(subject, stage)?;
    let after = time()?;
    let cpu = before.zip(after).map(|(before, after)| after.since(&before));
    Ok(Turn { report, cpu })
}

// === impl Measured ===

impl Measured {
    fn none_yet(kind: super::subject::Kind) -> Self {
        Self { kind, turns: Vec::new(), fault: None }
    }
}
