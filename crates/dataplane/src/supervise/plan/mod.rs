//! What a host's replicas are to do next. Pure: time and endings come in, acts go out.
//!
//! A place has a number, which is its replica's name and directory. It is given again only once its process is gone.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Replicas on one host at most.
pub const REPLICA_LIMIT: u32 = 64;
/// Places at most: while a host is upgraded, old replicas finish beside new ones.
pub(super) const PLACES: u32 = 2 * REPLICA_LIMIT;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(10);
/// A replica that ran so long was well; its next failure is a new story.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// What a replica gets beyond its own grace to end, before it is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// By then a replica of a newer program has acknowledged a state, or the upgrade stops.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Old replicas that finish at one time during an upgrade; the next waits.
const FINISHING: usize = 4;
const KILLED: Phase = Phase::Finishing { until: None, how: Finish::Stop };

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Start a process in this place, of the program of that generation.
    Start { place: u32, generation: u32 },
    /// Let it finish what is in flight and what is idle on its connections.
    Drain(u32),
    /// Let it finish what is in flight and end.
    Stop(u32),
    /// End it now.
    Kill(u32),
}

/// What one place is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Has not acknowledged a state yet.
    Starting,
    Ready,
    /// Ends; killed after that.
    Finishing {
        until: Option<Instant>,
        how: Finish,
    },
    /// Failed; starts again then.
    Waiting {
        until: Instant,
    },
    /// An operator drained it.
    Away,
}

/// What a replica that ends was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// To wait for what is idle on its connections too.
    Drain,
    /// To wait for what is in flight and nothing else; nothing more can be told to it.
    Stop,
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) phase: Phase,
    pub(super) generation: u32,
    pub(super) restarts: u32,
    since: Instant,
    backoff: Duration,
}

/// What is wanted of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Stop,
    Kill,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// In order, as it was told to.
    InOrder,
    Failed,
}

/// All places of a host.
#[derive(Debug)]
pub(super) struct Plan {
    wanted: u32,
    /// Of the program that every replica is to run.
    generation: u32,
    newest: u32,
    places: BTreeMap<u32, Place>,
    wish: Wish,
    grace: Duration,
    fault: Option<&'static str>,
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(wanted: u32, grace: Duration) -> Self {
        let wanted = wanted.clamp(1, REPLICA_LIMIT);
        let places = BTreeMap::new();
        Self { wanted, generation: 0, newest: 0, places, wish: Wish::Run, grace, fault: None }
    }

    /// A process that this supervisor started before it replaced itself: finishing, or ready.
    pub(super) fn adopt(&mut self, number: u32, (finishes, restarts): (bool, u32), now: Instant) {
        let finishing = Phase::Finishing { until: Some(now + self.grace + KILL_AFTER), how: Finish::Drain };
        let phase = if finishes { finishing } else { Phase::Ready };
        let place = Place { phase, generation: 0, restarts, since: now, backoff: BACKOFF_FIRST };
        self.places.insert(number, place);
    }

    /// As `adopt` takes it.
    pub(super) fn left(&self, number: u32) -> (bool, u32) {
        let of = |place: &Place| (matches!(place.phase, Phase::Finishing { .. }), place.restarts);
        self.places.get(&number).map_or((true, 0), of)
    }

    /// What went wrong with an upgrade, for people.
    pub(super) fn fail(&mut self, why: &'static str) {
        self.fault = Some(why);
    }

    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &Place)> {
        self.places.iter().map(|(number, place)| (*number, place))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.wish != Wish::Run
    }

    pub(super) fn is_starting(&self, number: u32) -> bool {
        self.places.get(&number).is_some_and(|place| place.phase == Phase::Starting)
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.wish == Wish::Run && self.kept().any(|(_, place)| place.generation < self.generation)
    }

    /// Every replica that is kept runs the newest program, and has acknowledged a state. One that was told to stop is waited
    /// for, since it cannot be handed over: it is killed soon.
    pub(super) fn is_renewed(&self) -> bool {
        let stops = |place: &Place| matches!(place.phase, Phase::Finishing { how: Finish::Stop, .. });
        self.generation > 0
            && !self.places.values().any(stops)
            && self
                .kept()
                .all(|(_, place)| place.generation == self.generation && place.phase == Phase::Ready)
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Nothing runs, and nothing will.
    pub(super) fn is_over(&self) -> bool {
        self.places.values().all(|place| place.phase == Phase::Away)
    }

    /// From now on so many; places of drained replicas are filled again.
    pub(super) fn scale(&mut self, wanted: u32) {
        self.wanted = wanted.clamp(1, REPLICA_LIMIT);
        self.places.retain(|_, place| place.phase != Phase::Away);
    }

    /// From now on all of the program that is on disk.
    pub(super) fn upgrade(&mut self) {
        self.newest += 1;
        (self.generation, self.fault) = (self.newest, None);
    }

    pub(super) fn stop(&mut self) {
        self.wish = Wish::Stop;
    }

    pub(super) fn kill(&mut self) {
        self.wish = Wish::Kill;
    }

    /// It acknowledged a state.
    pub(super) fn ready(&mut self, number: u32) {
        if let Some(place) = self.places.get_mut(&number).filter(|place| place.phase == Phase::Starting) {
            place.phase = Phase::Ready;
        }
    }

    /// Its process is gone, or could not be started.
    pub(super) fn ended(&mut self, number: u32, how: Ended, now: Instant) {
        let is_new = self.is_of_a_roll(number);
        let Some(place) = self.places.get_mut(&number) else { return };
        match (place.phase, how) {
            (Phase::Finishing { .. }, _) => drop(self.places.remove(&number)),
            (_, Ended::InOrder) => place.phase = Phase::Away,
            (_, Ended::Failed) if is_new => {
                self.places.remove(&number);
                self.give_up("a replica of the new program ended before it was ready");
            }
            (_, Ended::Failed) => {
                if now.saturating_duration_since(place.since) >= WELL_AFTER {
                    place.backoff = BACKOFF_FIRST;
                }
                place.phase = Phase::Waiting { until: now + place.backoff };
                place.backoff = (place.backoff * 2).min(BACKOFF_MOST);
                place.restarts = place.restarts.saturating_add(1);
            }
        }
    }

    /// What is to be done now. `is_free` says whether nobody holds a place's directory.
    pub(super) fn acts(&mut self, now: Instant, is_free: impl Fn(u32) -> bool) -> Vec<Act> {
        let mut acts = Vec::new();
        match self.wish {
            Wish::Run => self.balance(now, is_free, &mut acts),
            Wish::Stop => self.finish_all(now, &mut acts),
            Wish::Kill => self.kill_all(&mut acts),
        }
        for (number, place) in &mut self.places {
            if let Phase::Finishing { until: Some(until), .. } = place.phase
                && until <= now
            {
                place.phase = KILLED;
                acts.push(Act::Kill(*number));
            }
        }
        acts
    }

    /// When `acts` is to be asked again though nothing happened.
    pub(super) fn due(&self) -> Option<Instant> {
        let rolling = self.is_rolling();
        let of = |place: &Place| match place.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Finishing { until, .. } => until,
            Phase::Starting if rolling && place.generation == self.generation => {
                Some(place.since + READY_LIMIT)
            }
            _ => None,
        };
        self.places.values().filter_map(of).min()
    }

    fn finish_all(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let until = Some(now + self.grace + KILL_AFTER);
        self.places.retain(|_, place| place.has_process());
        for (number, place) in &mut self.places {
            let until = match place.phase {
                Phase::Finishing { how: Finish::Stop, .. } => continue,
                // Its grace began when it was drained.
                Phase::Finishing { until, how: Finish::Drain } => until,
                _ => until,
            };
            place.phase = Phase::Finishing { until, how: Finish::Stop };
            acts.push(Act::Stop(*number));
        }
    }

    fn kill_all(&mut self, acts: &mut Vec<Act>) {
        self.places.retain(|_, place| place.has_process());
        for (number, place) in self.places.iter_mut().filter(|(_, place)| place.phase != KILLED) {
            place.phase = KILLED;
            acts.push(Act::Kill(*number));
        }
    }

    fn balance(&mut self, now: Instant, is_free: impl Fn(u32) -> bool, acts: &mut Vec<Act>) {
        self.start_again(now, acts);
        self.look_at_roll(now, acts);
        let rolling = self.is_rolling();
        let room = usize::try_from(self.wanted + u32::from(rolling)).unwrap_or(usize::MAX);
        while self.kept().count() > room {
            self.let_go(now, acts);
        }
        let wanted = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        if rolling {
            let coming = self.kept().any(|(_, place)| {
                place.generation == self.generation && !matches!(place.phase, Phase::Ready | Phase::Away)
            });
            let finishing =
                self.places.values().filter(|place| matches!(place.phase, Phase::Finishing { .. })).count();
            if coming || finishing >= FINISHING {
                return;
            }
            match self.kept().count() > wanted {
                true => self.let_go(now, acts),
                false => self.begin(now, &is_free, acts),
            }
            return;
        }
        for _ in self.kept().count()..wanted {
            self.begin(now, &is_free, acts);
        }
    }

    fn start_again(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for (number, place) in &mut self.places {
            if let Phase::Waiting { until } = place.phase
                && until <= now
            {
                (place.phase, place.since) = (Phase::Starting, now);
                acts.push(Act::Start { place: *number, generation: place.generation });
            }
        }
    }

    fn look_at_roll(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let late = |place: &Place| {
            place.phase == Phase::Starting && now.saturating_duration_since(place.since) >= READY_LIMIT
        };
        let late = self.places().find(|(number, place)| self.is_of_a_roll(*number) && late(place));
        let Some((number, _)) = late else { return };
        if let Some(place) = self.places.get_mut(&number) {
            place.phase = Phase::Finishing { until: Some(now + KILL_AFTER), how: Finish::Stop };
            acts.push(Act::Stop(number));
        }
        self.give_up("a replica of the new program acknowledged no state in time");
    }

    /// Replicas that are new stay, those that are old too.
    fn give_up(&mut self, why: &'static str) {
        self.fault = Some(why);
        let oldest = self.kept().map(|(_, place)| place.generation).min();
        self.generation = oldest.unwrap_or(self.generation);
    }

    fn is_of_a_roll(&self, number: u32) -> bool {
        let is_new = |place: &Place| place.phase == Phase::Starting && place.generation == self.generation;
        self.is_rolling() && self.places.get(&number).is_some_and(is_new)
    }

    /// Whom it costs least: what does not run, then what is old, then the highest number.
    fn let_go(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let rank = |place: &Place| match place.phase {
            Phase::Away => 0,
            Phase::Waiting { .. } => 1,
            _ if place.generation < self.generation => 2,
            Phase::Starting => 3,
            _ => 4,
        };
        let Some(number) = self
            .kept()
            .min_by_key(|(number, place)| (rank(place), u32::MAX - number))
            .map(|(number, _)| number)
        else {
            return;
        };
        let until = Some(now + self.grace + KILL_AFTER);
        match self.places.get_mut(&number) {
            Some(place) if place.has_process() => {
                place.phase = Phase::Finishing { until, how: Finish::Drain };
                acts.push(Act::Drain(number));
            }
            _ => drop(self.places.remove(&number)),
        }
    }

    fn begin(&mut self, now: Instant, is_free: impl Fn(u32) -> bool, acts: &mut Vec<Act>) {
        let free = |number: &u32| !self.places.contains_key(number) && is_free(*number);
        let Some(number) = (1..=PLACES).find(free) else { return };
        let (generation, backoff) = (self.generation, BACKOFF_FIRST);
        let place = Place { phase: Phase::Starting, generation, restarts: 0, since: now, backoff };
        self.places.insert(number, place);
        acts.push(Act::Start { place: number, generation });
    }

    /// What counts towards what is wanted.
    fn kept(&self) -> impl Iterator<Item = (u32, &Place)> {
        self.places().filter(|(_, place)| !matches!(place.phase, Phase::Finishing { .. }))
    }
}

// === impl Place ===

impl Place {
    fn has_process(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. } | Phase::Away)
    }
}
