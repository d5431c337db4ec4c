//! What places do, by stories: each is told what happens and says what it does.

use super::*;

const GRACE: Duration = Duration::from_secs(120);

struct Told {
    plan: Plan,
    now: Instant,
}

impl Told {
    fn new(wanted: u32) -> Self {
        Self { plan: Plan::new(wanted, GRACE), now: Instant::now() }
    }

    fn acts(&mut self) -> Vec<Act> {
        self.plan.acts(self.now, |_| true)
    }

    fn all_ready(wanted: u32) -> Self {
        let mut told = Self::new(wanted);
        assert_eq!(told.acts(), (1..=wanted).map(|place| start(place, 0)).collect::<Vec<_>>());
        (1..=wanted).for_each(|place| told.plan.ready(place));
        assert_eq!(told.acts(), []);
        told
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
    }

    fn ends(&mut self, place: u32, how: Ended) {
        self.plan.ended(place, how, self.now);
    }
}

fn start(place: u32, generation: u32) -> Act {
    Act::Start { place, generation }
}

#[test]
fn what_fails_starts_again_in_its_place_and_waits_longer_each_time() {
    let mut told = Told::all_ready(3);
    for (wait, restarts) in
        [(100, 1), (200, 2), (400, 3), (800, 4), (1600, 5), (3200, 6), (6400, 7), (10_000, 8)]
    {
        told.ends(2, Ended::Failed);
        let wait = Duration::from_millis(wait);
        assert_eq!((told.acts(), told.plan.due()), (vec![], Some(told.now + wait)));
        told.later(wait);
        assert_eq!(told.acts(), [start(2, 0)]);
        assert_eq!(told.plan.places().nth(1).map(|(_, place)| place.restarts), Some(restarts));
    }
    told.later(WELL_AFTER);
    told.ends(2, Ended::Failed);
    assert_eq!(told.plan.due(), Some(told.now + BACKOFF_FIRST), "it was well for a while");
}

#[test]
fn what_an_operator_drained_stays_away_until_the_host_is_scaled() {
    let mut told = Told::all_ready(2);
    told.ends(1, Ended::InOrder);
    assert_eq!((told.acts(), told.plan.is_over()), (vec![], false));
    told.plan.scale(2);
    assert_eq!(told.acts(), [start(1, 0)]);
    told.ends(1, Ended::InOrder);
    told.ends(2, Ended::InOrder);
    assert!(told.acts().is_empty() && told.plan.is_over());
}

#[test]
fn scaling_drains_the_highest_and_fills_the_lowest_that_is_free() {
    let mut told = Told::all_ready(3);
    told.plan.scale(1);
    assert_eq!(told.acts(), [Act::Drain(3), Act::Drain(2)]);
    told.ends(3, Ended::InOrder);
    told.plan.scale(3);
    assert_eq!(told.acts(), [start(3, 0), start(4, 0)], "2 still finishes");
    told.ends(2, Ended::Failed);
    assert_eq!(told.acts(), [], "it was to end anyway");
    told.plan.scale(0);
    assert_eq!(told.plan.wanted(), 1);
    told.plan.scale(10_000);
    assert_eq!(told.plan.wanted(), REPLICA_LIMIT);
}

#[test]
fn a_place_whose_directory_somebody_holds_is_passed_over() {
    let mut told = Told::new(2);
    assert_eq!(told.plan.acts(told.now, |number| number != 1), [start(2, 0), start(3, 0)]);
}

#[test]
fn what_does_not_end_in_its_grace_is_killed_once() {
    let mut told = Told::all_ready(1);
    told.plan.stop();
    assert_eq!(told.acts(), [Act::Stop(1)]);
    assert_eq!(told.plan.due(), Some(told.now + GRACE + KILL_AFTER));
    told.later(GRACE + KILL_AFTER);
    assert_eq!((told.acts(), told.acts(), told.plan.due()), (vec![Act::Kill(1)], vec![], None));
    assert!(!told.plan.is_over());
    told.ends(1, Ended::Failed);
    assert!(told.plan.is_over());
}

#[test]
fn what_is_drained_already_is_hurried_once_when_all_are_to_stop() {
    let mut told = Told::all_ready(3);
    told.plan.scale(1);
    assert_eq!(told.acts(), [Act::Drain(3), Act::Drain(2)]);
    let due = told.plan.due();
    told.later(Duration::from_secs(10));
    told.plan.stop();
    assert_eq!((told.acts(), told.acts()), ((1..=3).map(Act::Stop).collect(), vec![]));
    assert_eq!(told.plan.due(), due, "no grace begins anew");
    told.later(GRACE + KILL_AFTER - Duration::from_secs(10));
    assert_eq!(told.acts(), [Act::Kill(2), Act::Kill(3)]);
    assert_eq!(told.acts(), []);
}

#[test]
fn what_waits_for_its_next_start_does_not_start_once_all_are_to_stop() {
    let mut told = Told::all_ready(2);
    told.ends(1, Ended::Failed);
    told.plan.stop();
    told.later(BACKOFF_MOST);
    assert_eq!(told.acts(), [Act::Stop(2)]);
    told.plan.kill();
    assert_eq!((told.acts(), told.acts()), (vec![Act::Kill(2)], vec![]), "once");
}

#[test]
fn an_upgrade_begins_one_waits_until_it_serves_and_lets_one_old_go() {
    let mut told = Told::all_ready(3);
    told.plan.upgrade();
    for (fresh, old) in [(4, 3), (5, 2), (6, 1)] {
        assert!(!told.plan.is_renewed());
        assert_eq!((told.acts(), told.acts()), (vec![start(fresh, 1)], vec![]));
        told.plan.ready(fresh);
        assert_eq!(told.acts(), [Act::Drain(old)]);
    }
    assert!(told.acts().is_empty() && told.plan.is_renewed() && !told.plan.is_rolling());
    (1..=3).for_each(|old| told.ends(old, Ended::InOrder));
    told.ends(5, Ended::Failed);
    told.later(BACKOFF_FIRST);
    assert_eq!(told.acts(), [start(5, 1)], "the new program stays");
}

#[test]
fn no_more_old_replicas_finish_at_one_time_than_the_bound() {
    let mut told = Told::all_ready(6);
    told.plan.upgrade();
    for fresh in 7..=10 {
        assert_eq!(told.acts(), [start(fresh, 1)]);
        told.plan.ready(fresh);
        assert_eq!(told.acts().len(), 1);
    }
    assert_eq!(told.acts(), []);
    told.ends(6, Ended::InOrder);
    assert_eq!(told.acts(), [start(6, 1)]);
}

#[test]
fn an_upgrade_whose_first_replica_fails_or_is_late_stops_and_the_old_ones_stay() {
    for late in [false, true] {
        let mut told = Told::all_ready(2);
        told.plan.upgrade();
        assert_eq!(told.acts(), [start(3, 1)]);
        if late {
            assert_eq!(told.plan.due(), Some(told.now + READY_LIMIT));
            told.later(READY_LIMIT);
            assert_eq!(told.acts(), [Act::Stop(3)]);
        }
        told.ends(3, Ended::Failed);
        assert!(told.plan.fault().is_some() && !told.plan.is_rolling() && !told.plan.is_renewed());
        assert_eq!(told.acts(), []);
        told.ends(1, Ended::Failed);
        told.later(BACKOFF_FIRST);
        assert_eq!(told.acts(), [start(1, 0)], "by the old program");
        told.plan.upgrade();
        assert!(told.plan.fault().is_none());
        assert_eq!(told.acts(), [start(3, 2)]);
    }
}

#[test]
fn the_supervisor_does_not_follow_while_one_that_was_late_is_being_stopped() {
    let mut told = Told::all_ready(1);
    told.plan.upgrade();
    assert_eq!(told.acts(), [start(2, 1)]);
    told.later(READY_LIMIT);
    assert_eq!(told.acts(), [Act::Stop(2)]);
    told.plan.upgrade();
    assert_eq!(told.acts(), [start(3, 2)]);
    told.plan.ready(3);
    assert_eq!(told.acts(), [Act::Drain(1)]);
    assert!(!told.plan.is_renewed(), "2 would be left behind");
    told.later(KILL_AFTER);
    assert_eq!(told.acts(), [Act::Kill(2)]);
    assert!(!told.plan.is_renewed());
    told.ends(2, Ended::Failed);
    assert!(told.plan.is_renewed(), "one that was only drained is handed over");
}

#[test]
fn a_replica_that_was_drained_or_fails_is_the_first_that_an_upgrade_replaces() {
    let mut told = Told::all_ready(3);
    told.ends(1, Ended::InOrder);
    told.plan.upgrade();
    assert_eq!(told.acts(), [start(4, 1)]);
    told.plan.ready(4);
    assert_eq!(told.acts(), [], "nothing is to be drained for it");
    assert_eq!(told.acts(), [start(1, 1)]);
}
