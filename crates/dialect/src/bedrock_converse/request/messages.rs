//! Turns as `system` and `messages`: roles alternate, results of tools come first in their message, thoughts go back to
//! their maker only.

use super::super::part::{write_input, write_reasoning, write_text};
use super::super::wire::{DIALECT, cache_ttl, call_id};
use super::media;
use crate::canon::{
    Block, CacheMark, Call, CallKind, Format, Part, Reasoning, Request, Role, ToolResult, Turn,
};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use std::borrow::Cow;
use std::collections::HashSet;

/// Asks in words for what the dialect has no field for.
const JSON_IN_WORDS: &str =
    "Answer with one JSON object and nothing else: no words around it, no code fence.";

/// What writing a part needs.
pub(super) struct Pen<'w, 'b, 't> {
    pub(super) json: &'w mut Json<'b>,
    pub(super) losses: &'w mut Losses,
    pub(super) target: &'w Target<'t>,
    /// Names of documents that were written: each may come once.
    pub(super) names: HashSet<String>,
}

/// A message to be written: the turns of one role that follow each other.
struct Message<'r> {
    role: Role,
    turn: &'r Turn,
    pieces: Vec<Piece<'r>>,
}

/// A block, and where it stood.
pub(super) struct Piece<'r> {
    block: Cow<'r, Block>,
    spot: Spot,
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let leading = request.turns.iter().take_while(|turn| is_leading(turn, losses.is_same())).count();
    let (system, turns) = request.turns.split_at_checked(leading).unwrap_or_default();
    let mut pen = Pen { json, losses, target, names: HashSet::new() };
    pen.json.key("messages").open_list();
    let mut messages = pen.messages(turns)?;
    pen.prefill(messages.last())?;
    pen.mark_all(request.cache.as_ref(), messages.last_mut())?;
    messages.iter().try_for_each(|message| pen.message(message))?;
    pen.json.close_list();
    pen.system(system, request.format == Format::Object)
}

/// True of system text that goes to `system`: all of it before the conversation, or what stood there already.
fn is_leading(turn: &Turn, same: bool) -> bool {
    is_system(turn.role) && (!same || turn.at.is_none())
}

fn is_system(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

/// A cache point behind what it marks.
pub(super) fn cache_point(
    json: &mut Json<'_>,
    mark: Option<&CacheMark>,
    target: &Target<'_>,
    (thing, spot): (Thing, Spot),
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let Some(mark) = mark else { return Ok(()) };
    if target.quirks.no_cache_points {
        return losses.report(thing, spot);
    }
    let (ttl, exact) = cache_ttl(mark);
    losses.report_if(!exact, Thing::CacheTtl, spot)?;
    json.open_object().key("cachePoint").open_object().member("type", "default").maybe("ttl", ttl);
    json.close_object().close_object();
    Ok(())
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn system(&mut self, turns: &[Turn], wants_json: bool) -> Result<(), Unsupported> {
        let mut pieces = Vec::new();
        for turn in turns {
            self.of_turn(turn)?;
            pieces.extend(self.pieces(turn)?);
        }
        if pieces.is_empty() && !wants_json {
            return Ok(());
        }
        self.json.key("system").open_list();
        pieces.iter().try_for_each(|piece| self.piece(piece))?;
        if wants_json {
            self.json.open_object().member("text", JSON_IN_WORDS).close_object();
        }
        self.json.close_list();
        Ok(())
    }

    /// The messages that turns make. To callers of this dialect their own are left as they are.
    fn messages<'r>(&mut self, turns: &'r [Turn]) -> Result<Vec<Message<'r>>, Unsupported> {
        let same = self.losses.is_same();
        let mut messages: Vec<Message<'r>> = Vec::new();
        for turn in turns {
            let mut pieces = self.pieces(turn)?;
            let mut role = if is_system(turn.role) { Role::System } else { turn.role };
            if role == Role::System && !same && !self.target.quirks.late_system {
                self.losses.report(Thing::LateSystem, Spot::Turn(turn.at))?;
                pieces.iter_mut().for_each(Piece::mark_as_system);
                role = Role::User;
            }
            match messages.last_mut() {
                Some(last) if last.role == role && !same => last.pieces.append(&mut pieces),
                _ if pieces.is_empty() && !same => {}
                _ => messages.push(Message { role, turn, pieces }),
            }
            if !same {
                self.of_turn(turn)?;
            }
        }
        // The sort is stable: only results move.
        let is_result = |piece: &Piece<'_>| matches!(piece.block.part, Part::Result(_));
        if !same {
            messages.iter_mut().for_each(|message| message.pieces.sort_by_key(|piece| !is_result(piece)));
        }
        Ok(messages)
    }

    /// What of a turn is not in its blocks; it is lost on callers of other dialects.
    fn of_turn(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        self.losses.report_if(turn.name.is_some(), Thing::Name, Spot::Turn(turn.at))?;
        if self.losses.is_same() {
            return Ok(());
        }
        self.losses.extras(&turn.extra, Spot::Turn(turn.at), &mut Json::new(&mut Vec::new()))
    }

    /// The blocks of a turn that go out: no blank texts, which are refused, and no thoughts that others made.
    fn pieces<'r>(&mut self, turn: &'r Turn) -> Result<Vec<Piece<'r>>, Unsupported> {
        let mut pieces = Vec::new();
        for block in &turn.blocks {
            let spot = Spot::Block(turn.at, block.at);
            let goes = match &block.part {
                Part::Text { text, .. } => self.losses.is_same() || !text.trim().is_empty(),
                Part::Reasoning(thought) => {
                    let own = self.is_own(thought);
                    self.losses.report_if(!own, Thing::Reasoning, spot)?;
                    own
                }
                _ => true,
            };
            if goes {
                pieces.push(Piece { block: Cow::Borrowed(block), spot });
            }
        }
        Ok(pieces)
    }

    fn is_own(&self, thought: &Reasoning) -> bool {
        match &thought.seal {
            Some(seal) => seal.is_of(DIALECT, self.target.provider),
            None => self.losses.is_same(),
        }
    }

    /// An answer that has begun, for the model to go on with.
    fn prefill(&mut self, last: Option<&Message<'_>>) -> Result<(), Unsupported> {
        let is_call = |piece: &Piece<'_>| matches!(piece.block.part, Part::Call(_));
        let Some(last) = last.filter(|last| last.role == Role::Assistant) else { return Ok(()) };
        let begun = self.target.quirks.no_prefill && !last.pieces.iter().any(is_call);
        self.losses.report_if(begun, Thing::Prefill, Spot::Turn(last.turn.at))
    }

    /// A mark on everything is one behind the last block.
    fn mark_all(
        &mut self,
        mark: Option<&CacheMark>,
        last: Option<&mut Message<'_>>,
    ) -> Result<(), Unsupported> {
        if self.target.quirks.no_cache_points {
            return self.losses.report_if(mark.is_some(), Thing::Cache, Spot::Request);
        }
        let block = last.and_then(|last| last.pieces.last_mut()).filter(|piece| piece.block.cache.is_none());
        if let (Some(mark), Some(piece)) = (mark, block) {
            piece.block.to_mut().cache = Some(mark.clone());
        }
        Ok(())
    }

    fn message(&mut self, message: &Message<'_>) -> Result<(), Unsupported> {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System | Role::Developer => "system",
        };
        self.json.open_object().member("role", role).key("content").open_list();
        message.pieces.iter().try_for_each(|piece| self.piece(piece))?;
        self.json.close_list();
        if self.losses.is_same() {
            self.losses.extras(&message.turn.extra, Spot::Turn(message.turn.at), self.json)?;
        }
        self.json.close_object();
        Ok(())
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<(), Unsupported> {
        let (block, spot) = (&*piece.block, piece.spot);
        self.block(block, spot)?;
        let thing = (Thing::BlockCache, spot);
        cache_point(self.json, block.cache.as_ref(), self.target, thing, self.losses)
    }

    fn block(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        if let Part::Other { raw, .. } = &block.part {
            self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
            self.json.raw(raw);
            return Ok(());
        }
        self.json.open_object();
        match &block.part {
            Part::Text { text, citations } => {
                write_text(self.json, text, citations);
            }
            Part::Refusal(words) => {
                self.losses.report(Thing::Refusal, spot)?;
                self.json.member("text", words);
            }
            Part::Reasoning(thought) => write_reasoning(self.json, thought),
            Part::Call(call) => self.call(call, block, spot)?,
            Part::Result(result) => self.result(result, block, spot)?,
            Part::Sound(_) => return self.losses.report(Thing::PastSound, spot),
            Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Document(_) | Part::Other { .. } => {
                media::write(self, block, spot)?;
            }
        }
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn call(&mut self, call: &Call, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.losses.report_if(call.kind == CallKind::Custom, Thing::CustomCall, spot)?;
        self.json
            .key("toolUse")
            .open_object()
            .member("toolUseId", &call_id(&call.id))
            .member("name", &call.name);
        write_input(self.json.key("input"), &call.arguments);
        self.losses.nested(&block.extra, "toolUse", self.json);
        self.json.close_object();
        Ok(())
    }

    fn result(&mut self, result: &ToolResult, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.json.key("toolResult").open_object().member("toolUseId", &call_id(&result.call));
        self.json.key("content").open_list();
        let is_blank =
            |block: &Block| matches!(&block.part, Part::Text { text, .. } if text.trim().is_empty());
        let same = self.losses.is_same();
        for inner in result.content.iter().filter(|inner| same || !is_blank(inner)) {
            match &inner.part {
                Part::Text { .. } | Part::Refusal(_) | Part::Other { .. } => self.block(inner, spot)?,
                Part::Image(_) | Part::Document(_) | Part::Video(_) => self.block(inner, spot)?,
                _ => self.losses.report(Thing::ResultMedia, spot)?,
            }
            self.losses.report_if(inner.cache.is_some(), Thing::BlockCache, spot)?;
        }
        self.json.close_list();
        let status = result.is_error.map(|failed| if failed { "error" } else { "success" });
        self.json.maybe("status", status);
        self.losses.nested(&block.extra, "toolResult", self.json);
        self.json.close_object();
        Ok(())
    }
}

// === impl Piece ===

impl Piece<'_> {
    /// Text that the system said, in a message of the user's.
    fn mark_as_system(&mut self) {
        if let Part::Text { text, .. } = &mut self.block.to_mut().part {
            *text = format!("<system>\n{text}\n</system>");
        }
    }
}
