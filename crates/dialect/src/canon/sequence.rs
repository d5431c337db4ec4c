//! Puts the pieces of an interleaving stream in order, so that blocks of one choice never overlap. A piece goes on at once
//! where it can; only pieces of a block whose predecessor is an unfinished call wait, up to a bound.
//! A call of free text shows no end: it is finished where its dialect says so, or where no more can wait.

use super::{CallKind, Delta, Event, Head, Stop};
use crate::codec::Broken;
use crate::grammar::Kind;

/// Bytes that wait for unfinished calls before the stream is given up.
pub const HELD_LIMIT: usize = 48 * 1024;
/// Answers that one stream may hold.
pub const CHOICES_LIMIT: u32 = 128;
/// Blocks that one answer may have.
pub const BLOCKS_LIMIT: u32 = 16 * 1024;

/// Blocks by the key that their dialect tells them apart by.
#[derive(Debug)]
pub(crate) struct Sequence<K> {
    next: u32,
    held: usize,
    tracks: Vec<Track<K>>,
}

/// One choice.
#[derive(Debug)]
struct Track<K> {
    choice: u32,
    open: Option<Opened<K>>,
    waiting: Vec<Waiting<K>>,
    stopped: bool,
}

#[derive(Debug)]
struct Opened<K> {
    key: K,
    block: u32,
    kind: Kind,
    until: Until,
}

/// How long a block lasts when others wait for it.
#[derive(Debug)]
enum Until {
    Other,
    /// The end of a call's JSON.
    Json(Depth),
    /// What its dialect says: text that is free has no end of its own.
    Close,
}

#[derive(Debug)]
struct Waiting<K> {
    key: K,
    head: Head,
    deltas: Vec<Delta>,
    /// Its end has come already.
    over: bool,
}

/// Follows a call's arguments to where their JSON ends.
#[derive(Clone, Copy, Debug, Default)]
struct Depth {
    open: u32,
    begun: bool,
    text: bool,
    escape: bool,
}

// === impl Sequence ===

impl<K: PartialEq> Sequence<K> {
    pub(crate) fn new() -> Self {
        Self { next: 0, held: 0, tracks: Vec::new() }
    }

    /// True if the choice's open or waiting blocks hold this one.
    pub(crate) fn knows(&self, choice: u32, key: &K) -> bool {
        self.tracks.iter().any(|track| {
            let open = track.open.as_ref().is_some_and(|open| open.key == *key);
            track.choice == choice && (open || track.waiting.iter().any(|waiting| waiting.is(key)))
        })
    }

    /// A piece of a choice's block `key`, which begins with `head` if it is new. Pieces of a stopped choice are dropped.
    pub(crate) fn piece(
        &mut self,
        (choice, key): (u32, K),
        head: impl FnOnce() -> Head,
        delta: Option<Delta>,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let Some(at) = self.track(choice)? else { return Ok(()) };
        let Self { next, held, tracks } = self;
        let Some(track) = tracks.get_mut(at) else { return Ok(()) };
        if let Some(open) = track.open.as_mut().filter(|open| open.key == key) {
            return open.more(delta, out);
        }
        if let Some(waiting) = track.waiting.iter_mut().find(|waiting| waiting.is(&key)) {
            waiting.take(delta, held);
        } else if track.waiting.is_empty() && track.gives_way(*held) {
            track.close(out);
            let deltas = Vec::from_iter(delta);
            return track.begin(Waiting { key, head: head(), deltas, over: false }, next, out);
        } else {
            let mut waiting = Waiting { key, head: head(), deltas: Vec::new(), over: false };
            *held += std::mem::size_of::<Waiting<K>>();
            waiting.take(delta, held);
            track.waiting.push(waiting);
        }
        track.advance(next, held, out)?;
        if *held > HELD_LIMIT { Err(Broken::Interleaved) } else { Ok(()) }
    }

    /// Ends a block of a choice, open or waiting, for dialects that say so.
    pub(crate) fn close(&mut self, choice: u32, key: &K, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Self { next, held, tracks } = self;
        let Some(track) = tracks.iter_mut().find(|track| track.choice == choice) else { return Ok(()) };
        if track.open.as_ref().is_some_and(|open| open.key == *key) {
            track.close(out);
            return track.advance(next, held, out);
        }
        if let Some(waiting) = track.waiting.iter_mut().find(|waiting| waiting.is(key)) {
            waiting.over = true;
        }
        Ok(())
    }

    /// Ends a choice: whatever is open or waits comes first. A second stop is dropped.
    pub(crate) fn stop(&mut self, choice: u32, stop: Stop, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Some(at) = self.track(choice)? else { return Ok(()) };
        let Self { next, held, tracks } = self;
        let Some(track) = tracks.get_mut(at) else { return Ok(()) };
        track.close(out);
        for waiting in std::mem::take(&mut track.waiting) {
            *held = held.saturating_sub(waiting.size());
            track.begin(waiting, next, out)?;
            track.close(out);
        }
        track.stopped = true;
        out.push(Event::Stop { choice, stop });
        Ok(())
    }

    /// True if there is a choice and every one has stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.tracks.is_empty() && self.tracks.iter().all(|track| track.stopped)
    }

    /// True if the choice has stopped.
    pub(crate) fn has_stopped(&self, choice: u32) -> bool {
        self.tracks.iter().any(|track| track.choice == choice && track.stopped)
    }

    /// The choices that have not stopped.
    pub(crate) fn going(&self) -> Vec<u32> {
        self.tracks.iter().filter(|track| !track.stopped).map(|track| track.choice).collect()
    }

    /// Where the choice's track is; none if the choice has stopped.
    fn track(&mut self, choice: u32) -> Result<Option<usize>, Broken> {
        if let Some(at) = self.tracks.iter().position(|track| track.choice == choice) {
            return Ok(self.tracks.get(at).filter(|track| !track.stopped).map(|_| at));
        }
        if choice >= CHOICES_LIMIT {
            return Err(Broken::Event(crate::json::Malformed::new("has more than 128 choices")));
        }
        self.tracks.push(Track { choice, open: None, waiting: Vec::new(), stopped: false });
        Ok(Some(self.tracks.len() - 1))
    }
}

// === impl Track ===

impl<K> Track<K> {
    /// Lets waiting blocks go on for as long as nothing unfinished is before them.
    fn advance(&mut self, next: &mut u32, held: &mut usize, out: &mut Vec<Event>) -> Result<(), Broken> {
        while !self.waiting.is_empty() && self.gives_way(*held) {
            self.close(out);
            let waiting = self.waiting.remove(0);
            let over = waiting.over;
            *held = held.saturating_sub(waiting.size());
            self.begin(waiting, next, out)?;
            if over {
                self.close(out);
            }
        }
        Ok(())
    }

    /// True if the next block may begin, with so many bytes that wait.
    fn gives_way(&self, held: usize) -> bool {
        match self.open.as_ref().map(|open| &open.until) {
            None | Some(Until::Other) => true,
            Some(Until::Json(depth)) => depth.begun && depth.open == 0,
            Some(Until::Close) => held > HELD_LIMIT,
        }
    }

    fn begin(&mut self, waiting: Waiting<K>, next: &mut u32, out: &mut Vec<Event>) -> Result<(), Broken> {
        let block = *next;
        if block == BLOCKS_LIMIT {
            return Err(Broken::Event(crate::json::Malformed::new("has more than 16384 blocks")));
        }
        *next += 1;
        let until = match waiting.head {
            Head::Call { kind: CallKind::Function, .. } => Until::Json(Depth::default()),
            Head::Call { kind: CallKind::Custom, .. } => Until::Close,
            _ => Until::Other,
        };
        let kind = Kind::of(&waiting.head);
        out.push(Event::Open { choice: self.choice, block, head: waiting.head });
        let mut open = Opened { key: waiting.key, block, kind, until };
        let done = waiting.deltas.into_iter().try_for_each(|delta| open.more(Some(delta), out));
        self.open = Some(open);
        done
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some(open) = self.open.take() {
            out.push(Event::Close { block: open.block });
        }
    }
}

// === impl Opened ===

impl<K> Opened<K> {
    fn more(&mut self, delta: Option<Delta>, out: &mut Vec<Event>) -> Result<(), Broken> {
        // A piece that the block cannot have is passed over, such as the input of a hosted tool's call.
        let Some(delta) = delta.filter(|delta| self.kind.takes(delta)) else { return Ok(()) };
        if let (Until::Json(depth), Delta::Text(text)) = (&mut self.until, &delta) {
            depth.read(text);
        }
        out.push(Event::Delta { block: self.block, delta });
        Ok(())
    }
}

// === impl Waiting ===

impl<K: PartialEq> Waiting<K> {
    /// True if it is the block of this key that goes on.
    fn is(&self, key: &K) -> bool {
        !self.over && self.key == *key
    }
}

impl<K> Waiting<K> {
    fn take(&mut self, delta: Option<Delta>, held: &mut usize) {
        *held += delta.as_ref().map_or(0, size);
        self.deltas.extend(delta);
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.deltas.iter().map(size).sum::<usize>()
    }
}

fn size(delta: &Delta) -> usize {
    let text = match delta {
        Delta::Text(text) | Delta::Transcript(text) => text.len(),
        Delta::Seal(seal) => seal.value.len(),
        Delta::Citation(_) | Delta::Expires(_) => 0,
    };
    std::mem::size_of::<Delta>() + text
}

// === impl Depth ===

impl Depth {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escape => self.escape = false,
                b'\\' if self.text => self.escape = true,
                b'"' => self.text = !self.text,
                _ if self.text => {}
                b'{' | b'[' => {
                    self.open += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        }
    }
}
