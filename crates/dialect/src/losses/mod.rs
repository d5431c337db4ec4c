//! What a target cannot express. Harmless things are dropped and named; anything else refuses the request, naming the
//! field in the caller's words. losses.toml lists every crossing, and a test holds the codecs to it.

mod thing;
mod untold;

pub use self::thing::Thing;
pub use self::untold::untold;

use crate::canon::{Extra, ToolChoice};
use crate::codec::codec;
use crate::json::Json;
use keyway_proto::snapshot::v1::Dialect;

/// Stands for a picture in answers of dialects that cannot hold one.
pub(crate) const PICTURE: &str = "[a picture, which this API cannot carry]";

/// Losses of one request that are named; the last of so many says that there are more.
pub const LOST_LIMIT: usize = 128;

/// Where a thing stood in the caller's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At the top.
    Request,
    /// In a message; none is the system text that stands outside of them.
    Turn(Option<u32>),
    /// In a block of a message.
    Block(Option<u32>, Option<u32>),
    /// In a tool.
    Tool(Option<u32>),
}

/// Something that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What.
    pub thing: Thing,
    /// Its JSON path in the caller's body.
    pub path: String,
}

/// Something that cannot be dropped. The request is refused with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be expressed in {}", target.as_str_name())]
pub struct Unsupported {
    /// What.
    pub thing: Thing,
    /// Its JSON path in the caller's body.
    pub path: String,
    /// The dialect that lacks it.
    pub target: Dialect,
}

/// The words of a dialect for the places of a request.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The list of messages.
    pub turns: &'static str,
    /// A message's content.
    pub blocks: &'static str,
    /// System text outside the messages.
    pub system: &'static str,
    /// The list of tools.
    pub tools: &'static str,
}

/// What one request loses on its way into one dialect.
#[derive(Debug)]
pub struct Losses {
    origin: Dialect,
    target: Dialect,
    lost: Vec<Lost>,
}

// === impl Losses ===

impl Losses {
    /// Begins a crossing.
    #[must_use]
    pub fn new(origin: Dialect, target: Dialect) -> Self {
        Self { origin, target, lost: Vec::new() }
    }

    /// True if caller and target speak one dialect.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.origin == self.target
    }

    /// `thing` cannot be expressed.
    ///
    /// # Errors
    /// It is not harmless: the request must be refused.
    pub fn report(&mut self, thing: Thing, spot: Spot) -> Result<(), Unsupported> {
        let field = codec(self.origin).map_or(thing.as_str(), |caller| caller.spelling(thing));
        self.report_at(thing, spot, field)
    }

    /// The target cannot be told whether to call. As it likes is what it does anyway.
    ///
    /// # Errors
    /// As `report`.
    pub(crate) fn untold(&mut self, choice: &ToolChoice) -> Result<(), Unsupported> {
        let thing = match choice {
            ToolChoice::Auto => return Ok(()),
            ToolChoice::None => Thing::ToolNone,
            ToolChoice::Required => Thing::ToolRequired,
            ToolChoice::Named(_) => Thing::ToolNamed,
            ToolChoice::Subset { .. } => Thing::ToolSubset,
            ToolChoice::Other(..) => Thing::OtherChoice,
        };
        self.report(thing, Spot::Request)
    }

    /// `thing` cannot be expressed, if it is there at all.
    ///
    /// # Errors
    /// As `report`.
    pub fn report_if(&mut self, there: bool, thing: Thing, spot: Spot) -> Result<(), Unsupported> {
        if there { self.report(thing, spot) } else { Ok(()) }
    }

    /// Writes a level's unknown members back where the dialect is the same, and reports them elsewhere, those of objects
    /// within it too.
    pub(crate) fn extras(
        &mut self,
        extra: &[Extra],
        spot: Spot,
        json: &mut Json<'_>,
    ) -> Result<(), Unsupported> {
        if self.is_same() {
            json.extras(extra, "");
            return Ok(());
        }
        let caller = codec(self.origin);
        let needed = caller.map_or(&[][..], |caller| caller.needed());
        let private = caller.map_or(&[][..], |caller| caller.private());
        // SDKs write members that were never set as null: nothing is lost with them.
        let says = |extra: &&Extra| extra.raw.as_str() != "null" && !private.contains(&extra.name.as_str());
        let mut told = extra.iter().filter(says);
        told.try_for_each(|Extra { name, within, .. }| {
            let thing = if needed.contains(&name.as_str()) { Thing::NeededExtra } else { Thing::Extra };
            let dot = if within.is_empty() { "" } else { "." };
            self.report_at(thing, spot, &format!("{within}{dot}{name}"))
        })
    }

    /// Writes the unknown members of an object within a level back where the dialect is the same; `extras` of the level
    /// has reported them elsewhere.
    pub(crate) fn nested(&self, extra: &[Extra], within: &'static str, json: &mut Json<'_>) {
        if self.is_same() {
            json.extras(extra, within);
        }
    }

    /// Everything that was dropped.
    #[must_use]
    pub fn into_lost(self) -> Vec<Lost> {
        self.lost
    }

    fn report_at(&mut self, thing: Thing, spot: Spot, field: &str) -> Result<(), Unsupported> {
        self.report_path(thing, self.path(spot, field))
    }

    /// `thing`, which stands at `path` of the caller's body, cannot be expressed.
    pub(crate) fn report_path(&mut self, thing: Thing, path: String) -> Result<(), Unsupported> {
        if !thing.is_harmless_to(self.target) {
            return Err(Unsupported { thing, path, target: self.target });
        }
        let lost = Lost { thing, path };
        match self.lost.len() {
            LOST_LIMIT.. => {}
            // That there is more is said, too.
            len if len + 1 == LOST_LIMIT => self.lost.push(Lost { thing, path: "...".to_owned() }),
            _ if self.lost.contains(&lost) => {}
            _ => self.lost.push(lost),
        }
        Ok(())
    }

    fn path(&self, spot: Spot, field: &str) -> String {
        let Some(words) = codec(self.origin).map(|caller| caller.words()) else {
            return field.to_owned();
        };
        let item =
            |name: &str, at: Option<u32>| at.map_or_else(|| name.to_owned(), |at| format!("{name}[{at}]"));
        let mut path = match spot {
            Spot::Request => String::new(),
            Spot::Tool(at) => item(words.tools, at),
            Spot::Turn(None) => words.system.to_owned(),
            Spot::Turn(turn) => item(words.turns, turn),
            Spot::Block(None, block) => item(words.system, block),
            Spot::Block(turn, Some(block)) => {
                format!("{}.{}[{block}]", item(words.turns, turn), words.blocks)
            }
            Spot::Block(turn, None) => item(words.turns, turn),
        };
        if !path.is_empty() && !field.is_empty() {
            path.push('.');
        }
        path.push_str(field);
        path
    }
}
