//! Which orders of events are legal:
//! `Start (Open Delta* Close | Logprobs | Stop | Usage | Tier)* (End | Fault)`. Blocks are numbered from 0 as they open;
//! of one choice at most one is open; a choice stops once, with nothing open, and nothing of it follows; `End` needs
//! every choice stopped and at least one. After `End` or `Fault` nothing comes. `Fault` may be the first.

use crate::canon::{CHOICES_LIMIT, Delta, Event, Head};

/// Checks a stream, event by event, in memory that is small and bounded.
#[derive(Debug, Default)]
pub struct Grammar {
    place: Place,
    next: u32,
    choices: Vec<Choice>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Within,
    Over,
}

#[derive(Debug)]
struct Choice {
    number: u32,
    open: Option<(u32, Kind)>,
    stopped: bool,
}

/// What deltas a block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Plain,
    Reasoning,
    Sound,
    Whole,
}

/// An event that may not come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Anything but `Start` or `Fault` came first, or `Start` came later.
    #[error("a stream has one start, first of all")]
    Start,
    /// Something came after the end.
    #[error("nothing follows the end")]
    Over,
    /// A block whose number is not the next.
    #[error("blocks are numbered as they open")]
    Number,
    /// A block opened, or a choice stopped, inside an open block.
    #[error("blocks of one choice do not overlap")]
    Overlap,
    /// A piece or the end of a block that is not open.
    #[error("the block is not open")]
    NotOpen,
    /// A piece that this kind of block does not have.
    #[error("the block has no such pieces")]
    Piece,
    /// Something of a choice that has stopped.
    #[error("the choice has stopped")]
    Stopped,
    /// The stream ended, and an answer has not.
    #[error("every choice stops before the end")]
    NotStopped,
    /// More choices than are allowed.
    #[error("at most {CHOICES_LIMIT} choices")]
    Choices,
}

// === impl Grammar ===

impl Grammar {
    /// A stream that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next event.
    ///
    /// # Errors
    /// It may not come here.
    pub fn admit(&mut self, event: &Event) -> Result<(), Illegal> {
        match (self.place, event) {
            (Place::Over, _) => return Err(Illegal::Over),
            (_, Event::Fault(_)) => self.place = Place::Over,
            (Place::Before, Event::Start { .. }) => self.place = Place::Within,
            (Place::Before, _) | (Place::Within, Event::Start { .. }) => return Err(Illegal::Start),
            (Place::Within, event) => return self.within(event),
        }
        Ok(())
    }

    /// True once nothing more may come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    fn within(&mut self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::Open { choice, block, head } => self.open(*choice, *block, head),
            Event::Delta { block, delta } => {
                let (_, kind) = self.opened(*block)?.open.ok_or(Illegal::NotOpen)?;
                if kind.takes(delta) { Ok(()) } else { Err(Illegal::Piece) }
            }
            Event::Close { block } => {
                self.opened(*block)?.open = None;
                Ok(())
            }
            Event::Logprobs { choice, .. } => self.going(*choice).map(|_| ()),
            Event::Stop { choice, .. } => {
                let choice = self.going(*choice)?;
                if choice.open.is_some() {
                    return Err(Illegal::Overlap);
                }
                choice.stopped = true;
                Ok(())
            }
            Event::End => {
                if self.choices.is_empty() || self.choices.iter().any(|choice| !choice.stopped) {
                    return Err(Illegal::NotStopped);
                }
                self.place = Place::Over;
                Ok(())
            }
            Event::Usage(_) | Event::Tier(_) | Event::Start { .. } | Event::Fault(_) => Ok(()),
        }
    }

    fn open(&mut self, choice: u32, block: u32, head: &Head) -> Result<(), Illegal> {
        if block != self.next {
            return Err(Illegal::Number);
        }
        let choice = self.going(choice)?;
        if choice.open.is_some() {
            return Err(Illegal::Overlap);
        }
        choice.open = Some((block, Kind::of(head)));
        self.next += 1;
        Ok(())
    }

    /// The choice that has this block open.
    fn opened(&mut self, block: u32) -> Result<&mut Choice, Illegal> {
        let open = |choice: &&mut Choice| choice.open.is_some_and(|(open, _)| open == block);
        self.choices.iter_mut().find(open).ok_or(Illegal::NotOpen)
    }

    /// A choice that has not stopped.
    fn going(&mut self, number: u32) -> Result<&mut Choice, Illegal> {
        if number >= CHOICES_LIMIT {
            return Err(Illegal::Choices);
        }
        if !self.choices.iter().any(|choice| choice.number == number) {
            self.choices.push(Choice { number, open: None, stopped: false });
        }
        let choice = self.choices.iter_mut().find(|choice| choice.number == number);
        choice.filter(|choice| !choice.stopped).ok_or(Illegal::Stopped)
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) fn of(head: &Head) -> Self {
        match head {
            Head::Text => Self::Text,
            Head::Refusal | Head::Call { .. } | Head::Image { .. } => Self::Plain,
            Head::Reasoning { .. } => Self::Reasoning,
            Head::Sound { .. } => Self::Sound,
            Head::Other { .. } => Self::Whole,
        }
    }

    pub(crate) fn takes(self, delta: &Delta) -> bool {
        match delta {
            Delta::Text(_) => self != Self::Whole,
            Delta::Seal(_) => self == Self::Reasoning,
            Delta::Citation(_) => self == Self::Text,
            Delta::Transcript(_) | Delta::Expires(_) => self == Self::Sound,
        }
    }
}
