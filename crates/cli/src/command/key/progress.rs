//! What is seen while a rollout is followed: a bar for people, a JSON line per change for programs, or nothing.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::figures;
use super::view::{Step, View};
use crate::args::Output;
use crate::print;

/// The bar's clock moves so often.
const TICK: Duration = Duration::from_millis(100);
const BAR: &str = "{spinner} {msg} [{bar:12}] {pos}/{len} acknowledged, {elapsed}";

/// How progress and result are shown.
pub(super) enum Progress {
    Bar(ProgressBar),
    /// The last one that was printed, without what every moment changes.
    Lines(Option<Value>),
    Nothing,
}

// === impl Progress ===

impl Progress {
    /// `watched`: somebody asked to wait.
    pub(super) fn new(output: Output, watched: bool) -> Self {
        match output {
            Output::Json => Self::Lines(None),
            Output::Table if !watched => Self::Nothing,
            Output::Table if !std::io::stdout().is_terminal() => Self::Lines(None),
            Output::Table => Self::Bar(bar()),
        }
    }

    /// It goes on.
    pub(super) fn saw(&mut self, view: &Value, read: &View) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(read.replicas);
                bar.set_position(read.acknowledged);
                bar.set_message(message(read));
            }
            Self::Lines(before) => {
                let lasting = lasting(view);
                if before.as_ref() != Some(&lasting) {
                    print::line(&view.to_string());
                    *before = Some(lasting);
                }
            }
            Self::Nothing => {}
        }
    }

    /// It is over: the result, for whoever reads it.
    pub(super) fn ended(self, output: Output, view: &Value, read: &View) {
        let table = || figures::table(read).fitted();
        match self {
            Self::Bar(bar) => {
                bar.finish_and_clear();
                print::line(&table());
            }
            Self::Lines(_) => {
                print::line(&view.to_string());
                if output == Output::Table {
                    print::note(&table());
                }
            }
            Self::Nothing => print::line(&table()),
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(TICK);
    bar
}

fn message(view: &View) -> String {
    let doing = match view.step {
        Step::Staged => "probing",
        Step::Verified => "activating",
        Step::Trial => "on trial",
        Step::Active => "in use",
        Step::Withdrawn => "confirming",
        Step::Done | Step::Failed | Step::Superseded => "ended",
    };
    let stage =
        view.trial.as_ref().and_then(|trial| trial.stages.last()).filter(|_| view.step == Step::Trial);
    if let Some(stage) = stage {
        return stage.line();
    }
    format!("{doing}, {} in flight on old", view.in_flight_old)
}

/// Without the time, which is always new.
fn lasting(view: &Value) -> Value {
    let mut lasting = view.clone();
    if let Some(fields) = lasting.as_object_mut() {
        fields.shift_remove("total_ms");
    }
    lasting
}
