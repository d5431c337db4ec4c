//! Tables: how many replicas try, what is worse, and every end of a stage.

use super::*;
use crate::resource::{KeyState, Stage, Step, Verb};
use keyway_snapshot::Version;

const FROM: Version = Version { epoch: 1, counter: 9 };
const STEP: u64 = 60_000;

fn fleet(replicas: usize) -> Vec<Evidence> {
    (0..replicas).map(|n| Evidence::serving(&format!("r{n:04}"), true, FROM)).collect()
}

fn of(started: u64, errors: u64) -> Trials {
    Trials { started, errors }
}

fn rollout(level: usize, replicas: &[String]) -> Rollout {
    let stage = Stage {
        level,
        replicas: replicas.len() as u64,
        of: 10,
        from: (1, 9),
        begun: 1,
        ended: 0,
        new: Trials::default(),
        old: Trials::default(),
        end: StageEnd::Running,
    };
    let trial = Trial {
        step_ms: STEP,
        step_requests: 50,
        replicas: replicas.to_vec(),
        stages: vec![stage],
        undone: false,
    };
    Rollout {
        id: "r".to_owned(),
        verb: Verb::Rotate,
        to: Some(2),
        leaving: vec![1],
        ends_as: KeyState::Retired,
        probe: true,
        hold: false,
        overlap_ms: 0,
        ack_timeout_ms: 2000,
        trial: Some(trial),
        step: Step::Trial,
        begun: 0,
        activated: 0,
        active_in: None,
        trace: String::new(),
        actor: String::new(),
        probed: None,
        failure: None,
        figures: None,
    }
}

fn due_of(rollout: &Rollout, fleet: &[Evidence], watched: Watched) -> Next {
    due(rollout, rollout.trial.as_ref().unwrap(), fleet, &watched, 1000)
}

#[test]
fn one_then_a_tenth_then_half_then_all() {
    for (replicas, sizes) in [
        (1, &[1][..]),
        (2, &[1]),
        (3, &[1, 2]),
        (10, &[1, 5]),
        (11, &[1, 2, 6]),
        (100, &[1, 10, 50]),
        (1000, &[1, 100, 500]),
    ] {
        let fleet = fleet(replicas);
        let (mut tried, mut level, mut seen) = (Vec::new(), 0, Vec::new());
        while let Some(stage) = next_stage(level, &tried, &usable(&fleet)) {
            assert!(stage.replicas.starts_with(&tried), "who tries goes on with it");
            (seen, level, tried) =
                ([seen, vec![stage.replicas.len()]].concat(), stage.level + 1, stage.replicas);
        }
        assert_eq!(seen, sizes, "{replicas}");
    }
    assert_eq!(first(&[]), None);
}

#[test]
fn what_is_worse_beyond_chance() {
    for (new, old, worse) in [
        ((20, 6), (180, 0), true),
        ((50, 15), (500, 5), true),
        ((50, 2), (500, 0), false),
        ((50, 50), (50, 50), false),
        ((50, 5), (50, 5), false),
        ((50, 5), (5000, 500), false),
        ((50, 0), (500, 250), false),
        ((100_000, 990), (1_000_000, 100), false),
        ((100_000, 1200), (1_000_000, 100), true),
        ((1 << 40, 1 << 39), (1 << 41, 1 << 30), true),
        ((10, 20), (10, 0), true),
        ((0, 0), (0, 0), false),
    ] {
        assert_eq!(is_worse(of(new.0, new.1), of(old.0, old.1)), worse, "{new:?} {old:?}");
    }
    assert!(is_worse(of(20, 12), baseline(of(0, 0), 50)), "of an unknown old one the best is believed");
    assert!(!is_worse(of(20, 3), baseline(of(30, 20), 50)));
}

/// A rate that is the same on both sides must not roll back, however often it is looked at.
#[test]
fn chance_alone_rarely_looks_worse() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % 100
    };
    let mut alarms = 0;
    for _ in 0..200 {
        let (mut new, mut old) = (of(0, 0), of(0, 0));
        let mut alarm = false;
        for _ in 0..60 {
            for _ in 0..10 {
                new = of(new.started + 1, new.errors + u64::from(random() < 5));
            }
            for _ in 0..90 {
                old = of(old.started + 1, old.errors + u64::from(random() < 5));
            }
            alarm |= is_worse(new, baseline(old, 50));
        }
        alarms += u32::from(alarm);
    }
    assert!(alarms <= 4, "{alarms} of 200 good rotations of 60 looks each were rolled back");
}

#[test]
fn every_end_of_a_stage() {
    let (fleet, tried) = (fleet(10), vec!["r0000".to_owned()]);
    let rollout = rollout(0, &tried);
    let at = |elapsed, new: (u64, u64)| Watched { elapsed, new: of(new.0, new.1), old: of(900, 0) };
    let wait = |until| Next::Wait(Some(1000 + until));
    assert_eq!(due_of(&rollout, &fleet, at(0, (0, 0))), wait(3 * STEP), "nothing was counted yet");
    assert_eq!(due_of(&rollout, &fleet, at(1, (50, 0))), wait(STEP - 1), "each stage takes its time");
    assert!(matches!(due_of(&rollout, &fleet, at(1, (20, 6))), Next::Undo(..)), "but not a bad one");
    let end = |next: Next| match next {
        Next::Try(stage, Some(closed)) => Some((stage.replicas.len(), closed.end)),
        _ => None,
    };
    assert_eq!(end(due_of(&rollout, &fleet, at(STEP, (50, 0)))), Some((5, StageEnd::Proven)));
    assert_eq!(due_of(&rollout, &fleet, at(STEP, (49, 0))), wait(2 * STEP));
    assert_eq!(end(due_of(&rollout, &fleet, at(3 * STEP, (49, 0)))), Some((5, StageEnd::Unproven)));
}

#[test]
fn after_half_of_them_come_all() {
    let fleet = fleet(10);
    let tried: Vec<String> = fleet.iter().take(5).map(|one| one.id.clone()).collect();
    let watched = Watched { elapsed: STEP, new: of(50, 0), old: of(50, 0) };
    let closed = Closed { new: watched.new, old: watched.old, end: StageEnd::Proven };
    assert_eq!(due_of(&rollout(2, &tried), &fleet, watched), Next::Activate(Some(closed)));
}

#[test]
fn no_stage_begins_while_replicas_may_be_back_at_once() {
    let mut fleet = fleet(3);
    let tried = vec!["r0000".to_owned()];
    let watched = Watched { elapsed: STEP, new: of(50, 0), old: of(50, 0) };
    (fleet[1].answers, fleet[1].may_return) = (false, true);
    let wait = Next::Wait(Some(1000 + RETURN));
    assert_eq!(due_of(&rollout(0, &tried), &fleet, watched), wait, "it would look like a fleet of two");
    fleet[1].may_return = false;
    let next = due_of(&rollout(0, &tried), &fleet, watched);
    assert!(matches!(next, Next::Activate(_)), "one that stays away is not waited for: {next:?}");
    fleet[1].may_return = true;
    let bad = Watched { elapsed: 1, new: of(20, 6), old: of(900, 0) };
    assert!(matches!(due_of(&rollout(0, &tried), &fleet, bad), Next::Undo(..)), "a bad one goes at once");
}

#[test]
fn replicas_that_fall_silent_or_come_later() {
    let mut fleet = fleet(10);
    let tried = vec!["r0000".to_owned()];
    let none = Watched::default();
    fleet[0].serves = None;
    let acks = Next::Wait(Some(1000 + 2000));
    assert_eq!(due_of(&rollout(0, &tried), &fleet, none), acks, "it has not acknowledged");
    fleet[0].answers = false;
    fleet[0].may_return = true;
    assert_eq!(
        due_of(&rollout(0, &tried), &fleet, none),
        Next::Wait(Some(1000 + RETURN)),
        "it may be back at once"
    );
    fleet[0].may_return = false;
    let Next::Try(stage, Some(closed)) = due_of(&rollout(0, &tried), &fleet, none) else { panic!() };
    assert_eq!((stage.level, closed.end), (0, StageEnd::Lost));
    assert_eq!(stage.replicas, ["r0000", "r0001"], "another takes over, and the silent one is not forgotten");
    for one in &mut fleet {
        one.answers = false;
    }
    assert_eq!(due_of(&rollout(0, &tried), &fleet, none), Next::Wait(None), "nobody answers");
    fleet.push(Evidence::serving("a-new-one", true, FROM));
    let Next::Try(stage, _) = due_of(&rollout(0, &tried), &fleet, none) else { panic!() };
    assert_eq!(stage.replicas, ["r0000", "a-new-one"]);
}

#[test]
fn a_stage_whose_replicas_do_not_take_the_state_is_lost() {
    let refuses = |one: &mut Evidence| {
        (one.serves, one.refused) = (None, Some(("client/a".to_owned(), "bad".to_owned())));
    };
    let late = Watched { elapsed: 2000, ..Watched::default() };
    let tried = vec!["r0000".to_owned()];
    let next = |fleet: &[Evidence], watched| due_of(&rollout(0, &tried), fleet, watched);
    let takes_over = |next: Next| match next {
        Next::Try(stage, Some(closed)) => (stage.level, stage.replicas.last().cloned(), closed.end),
        other => panic!("{other:?}"),
    };

    let mut fleet = fleet(3);
    refuses(&mut fleet[0]);
    let wait = Next::Wait(Some(1000 + 1));
    assert_eq!(next(&fleet, Watched { elapsed: 1999, ..late }), wait, "its time is not over");
    assert_eq!(takes_over(next(&fleet, late)), (0, Some("r0001".to_owned()), StageEnd::Lost));
    refuses(&mut fleet[1]);
    assert_eq!(takes_over(next(&fleet, late)), (0, Some("r0002".to_owned()), StageEnd::Lost));
    assert_eq!(first(&fleet).unwrap().replicas, ["r0002"], "who refuses is not asked to try");

    fleet[2].serves = None;
    let all: Vec<String> = fleet.iter().map(|one| one.id.clone()).collect();
    assert_eq!(due_of(&rollout(0, &all), &fleet, late), Next::Wait(None), "one has only not said so yet");
    fleet[2].serves = Some(FROM);
    assert!(
        matches!(due_of(&rollout(0, &all), &fleet, late), Next::Wait(Some(_))),
        "and one that takes it is enough"
    );
    refuses(&mut fleet[2]);
    let Next::Undo(why, closed) = due_of(&rollout(0, &all), &fleet, late) else { panic!("nobody takes it") };
    assert_eq!(closed.end, StageEnd::Lost);
    assert!(why.contains("client/a: bad"), "{why}");
    assert_eq!(first(&fleet), None);
}
