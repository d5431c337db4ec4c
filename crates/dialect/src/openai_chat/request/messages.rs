//! Turns as messages: results of tools become messages of their own, thoughts go back to their maker only.

use super::super::wire::{CACHE_LIVES, DIALECT, write_detail};
use crate::canon::{
    Block, CacheMark, Call, CallKind, Part, Reasoning, Request, Role, ToolResult, Turn, short_id,
};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use crate::quirk::{CacheMarks, ReasoningField};
use std::borrow::Cow;

/// What writing a part needs.
pub(super) struct Pen<'w, 'b, 't> {
    pub(super) json: &'w mut Json<'b>,
    pub(super) losses: &'w mut Losses,
    pub(super) target: &'w Target<'t>,
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let prefill = request.turns.last().filter(|turn| {
        let calls = turn.blocks.iter().any(|block| matches!(block.part, Part::Call(_)));
        turn.role == Role::Assistant && !calls
    });
    if let Some(turn) = prefill {
        losses.report_if(!losses.is_same(), Thing::Prefill, Spot::Turn(turn.at))?;
    }
    json.key("messages").open_list();
    let mut pen = Pen { json, losses, target };
    request.turns.iter().try_for_each(|turn| pen.turn(turn))?;
    pen.json.close_list();
    Ok(())
}

/// A cache mark, where the target takes one.
pub(super) fn cache(
    json: &mut Json<'_>,
    mark: Option<&CacheMark>,
    target: &Target<'_>,
    (thing, spot): (Thing, Spot),
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let Some(mark) = mark else { return Ok(()) };
    let form = target.quirks.cache_marks;
    let form = form.or(losses.is_same().then_some(match thing {
        Thing::ToolCache => CacheMarks::Control,
        _ => CacheMarks::Breakpoint,
    }));
    let Some(form) = form else { return losses.report(thing, spot) };
    let (field, kind, lives) = match form {
        CacheMarks::Breakpoint => ("prompt_cache_breakpoint", ("mode", "explicit"), CACHE_LIVES),
        CacheMarks::Control => ("cache_control", ("type", "ephemeral"), [(5 * 60, "5m"), (60 * 60, "1h")]),
    };
    json.key(field).open_object().member(kind.0, kind.1);
    if let Some(seconds) = mark.ttl_seconds {
        let exact = lives.iter().find(|(life, _)| *life == seconds);
        losses.report_if(exact.is_none(), Thing::CacheTtl, spot)?;
        // Longer than the short life asks for the long one.
        let near = lives.iter().find(|(life, _)| *life >= seconds).or(lives.last());
        json.maybe("ttl", exact.or(near).map(|(_, word)| *word));
    }
    json.close_object();
    Ok(())
}

/// A block, and the place that faults name: for what is inside a tool's result that of the result, where it has one.
#[derive(Clone, Copy)]
struct Piece<'r> {
    block: &'r Block,
    at: Option<u32>,
}

// === impl Piece ===

impl<'r> Piece<'r> {
    fn of(block: &'r Block) -> Self {
        Self { block, at: block.at }
    }

    fn spot(self, turn: &Turn) -> Spot {
        Spot::Block(turn.at, self.at)
    }
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn turn(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        let blocks: Vec<Piece<'_>> = turn.blocks.iter().map(Piece::of).collect();
        match turn.role {
            Role::Assistant => return self.assistant(turn, &blocks),
            Role::System => return self.message("system", turn, &blocks),
            Role::Developer if self.target.quirks.no_developer_role => {
                return self.message("system", turn, &blocks);
            }
            Role::Developer => return self.message("developer", turn, &blocks),
            Role::User => {}
        }
        let mut rest = Vec::new();
        // Results follow their calls at once; pictures that they hold come in the user's message behind them.
        for piece in blocks {
            match &piece.block.part {
                Part::Result(result) => self.result(turn, piece, result, &mut rest)?,
                _ => rest.push(piece),
            }
        }
        let results = turn.blocks.iter().any(|block| matches!(block.part, Part::Result(_)));
        if rest.is_empty() && results { Ok(()) } else { self.message("user", turn, &rest) }
    }

    fn begin(&mut self, role: &str) {
        self.json.open_object().member("role", role);
    }

    fn end(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        self.json.maybe("name", turn.name.as_deref());
        self.losses.extras(&turn.extra, Spot::Turn(turn.at), self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn message(&mut self, role: &str, turn: &Turn, blocks: &[Piece<'_>]) -> Result<(), Unsupported> {
        self.begin(role);
        self.json.key("content");
        self.content(turn, blocks, role != "user")?;
        self.end(turn)
    }

    /// A text where that says all, else parts. Relatives know parts in a user's message only, so elsewhere texts of
    /// another dialect are joined.
    fn content(&mut self, turn: &Turn, blocks: &[Piece<'_>], join: bool) -> Result<(), Unsupported> {
        let same = self.losses.is_same();
        let marks = same || self.target.quirks.cache_marks.is_some();
        let texts: Option<Vec<&str>> = blocks.iter().map(|piece| plain(piece.block, marks, same)).collect();
        match texts.as_deref() {
            Some([one]) if !same || blocks.iter().all(|piece| piece.block.at.is_none()) => {
                self.json.text(one);
            }
            Some(several) if join && !same => {
                self.json.text(&several.join("\n\n"));
            }
            _ => {
                self.json.open_list();
                blocks.iter().try_for_each(|piece| self.part(turn, *piece))?;
                self.json.close_list();
                return Ok(());
            }
        }
        blocks.iter().try_for_each(|piece| self.unsaid(turn, *piece))
    }

    /// What of a block is not in its text.
    fn unsaid(&mut self, turn: &Turn, piece: Piece<'_>) -> Result<(), Unsupported> {
        let (block, spot) = (piece.block, piece.spot(turn));
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        let cites = matches!(&block.part, Part::Text { citations, .. } if !citations.is_empty());
        self.losses.report_if(cites, Thing::Citations, spot)?;
        // Nothing is written: with the same dialect a text with more members goes out as a part.
        self.losses.extras(&block.extra, spot, &mut Json::new(&mut Vec::new()))
    }

    fn part(&mut self, turn: &Turn, piece: Piece<'_>) -> Result<(), Unsupported> {
        let (block, spot) = (piece.block, piece.spot(turn));
        if let Part::Other { raw, .. } = &block.part {
            self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
            self.json.raw(raw);
            return Ok(());
        }
        self.json.open_object();
        match &block.part {
            Part::Text { text, citations } => {
                self.json.member("type", "text").member("text", text);
                self.losses.report_if(!citations.is_empty(), Thing::Citations, spot)?;
            }
            Part::Refusal(words) => {
                self.json.member("type", "refusal").member("refusal", words);
            }
            Part::Image(media) => self.image(media, block, spot)?,
            Part::Audio(media) => self.audio(media, block, spot)?,
            Part::Document(document) => self.document(document, block, spot)?,
            Part::Video(_) => return self.losses.report(Thing::Video, spot),
            Part::Other { .. } | Part::Sound(_) | Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => {
                return self.losses.report(Thing::OtherPart, spot);
            }
        }
        cache(self.json, block.cache.as_ref(), self.target, (Thing::BlockCache, spot), self.losses)?;
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn result<'r>(
        &mut self,
        turn: &Turn,
        piece: Piece<'r>,
        result: &'r ToolResult,
        rest: &mut Vec<Piece<'r>>,
    ) -> Result<(), Unsupported> {
        let inner = |block: &'r Block| Piece { block, at: piece.at.or(block.at) };
        let is_text = |piece: &Piece<'_>| matches!(piece.block.part, Part::Text { .. });
        let (mut texts, others): (Vec<_>, Vec<_>) = result.content.iter().map(inner).partition(is_text);
        // The dialect has no field for a failure, so it is said in words.
        let failed = Block::text("Error: the tool failed");
        let marked;
        if result.is_error == Some(true) {
            match texts.first_mut() {
                Some(first) => {
                    marked = prefixed(first.block);
                    first.block = &marked;
                }
                None => texts.push(Piece::of(&failed)),
            }
        }
        self.begin("tool");
        let id = call_id(&result.call, self.target);
        self.json.member("tool_call_id", &id).key("content");
        if texts.is_empty() {
            self.json.text(if others.is_empty() { "" } else { "See the next message." });
        } else {
            self.content(turn, &texts, true)?;
        }
        rest.extend(others);
        let (block, spot) = (piece.block, piece.spot(turn));
        cache(self.json, block.cache.as_ref(), self.target, (Thing::BlockCache, spot), self.losses)?;
        self.losses.extras(&block.extra, spot, self.json)?;
        if self.losses.is_same() {
            self.json.maybe("name", result.name.as_deref());
        }
        self.end(turn)
    }

    fn assistant(&mut self, turn: &Turn, blocks: &[Piece<'_>]) -> Result<(), Unsupported> {
        // A turn of nothing but thoughts that others made says nothing here, and a message must say something.
        if !self.losses.is_same() && blocks.iter().all(|piece| self.is_foreign_thought(piece.block)) {
            blocks.iter().try_for_each(|piece| self.losses.report(Thing::Reasoning, piece.spot(turn)))?;
            return self.losses.extras(&turn.extra, Spot::Turn(turn.at), &mut Json::new(&mut Vec::new()));
        }
        self.begin("assistant");
        let words: Vec<Piece<'_>> = blocks.iter().copied().filter(|piece| !is_apart(piece.block)).collect();
        self.json.key("content");
        if words.is_empty() {
            self.json.null();
        } else {
            self.content(turn, &words, true)?;
        }
        self.thoughts(turn, blocks)?;
        for piece in blocks {
            let (block, spot) = (piece.block, piece.spot(turn));
            match &block.part {
                Part::Refusal(words) if is_apart(block) => {
                    self.json.member("refusal", words);
                }
                Part::Sound(sound) => {
                    self.losses.report_if(!self.losses.is_same(), Thing::PastSound, spot)?;
                    let id = sound.id.as_deref().unwrap_or_default();
                    self.json.key("audio").open_object().member("id", id).close_object();
                }
                _ => {}
            }
        }
        let calls = blocks.iter().filter_map(|piece| match &piece.block.part {
            Part::Call(call) => Some((piece.block, call)),
            _ => None,
        });
        let mut calls = calls.peekable();
        if calls.peek().is_some() {
            self.json.key("tool_calls").open_list();
            calls.try_for_each(|(block, one)| self.call(turn, block, one))?;
            self.json.close_list();
        }
        self.end(turn)
    }

    fn call(&mut self, turn: &Turn, block: &Block, call: &Call) -> Result<(), Unsupported> {
        let spot = Spot::Block(turn.at, block.at);
        let (kind, field) = match call.kind {
            CallKind::Function => ("function", "arguments"),
            CallKind::Custom => ("custom", "input"),
        };
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        let id = call_id(&call.id, self.target);
        self.json.open_object().member("id", &id).member("type", kind).key(kind).open_object();
        // No arguments are an empty object.
        let empty = call.arguments.is_empty() && call.kind == CallKind::Function && !self.losses.is_same();
        self.json.member("name", &call.name).member(field, if empty { "{}" } else { &call.arguments });
        self.losses.nested(&block.extra, kind, self.json);
        self.json.close_object();
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn is_foreign_thought(&self, block: &Block) -> bool {
        let Part::Reasoning(thought) = &block.part else { return false };
        !thought.seal.as_ref().is_some_and(|seal| seal.is_of(DIALECT, self.target.provider))
    }

    /// Thoughts that this target made, in the field that it reads.
    fn thoughts(&mut self, turn: &Turn, blocks: &[Piece<'_>]) -> Result<(), Unsupported> {
        let same = self.losses.is_same();
        let mut own: Vec<(&Reasoning, Option<&str>)> = Vec::new();
        for (at, piece) in blocks.iter().enumerate() {
            let Part::Reasoning(thought) = &piece.block.part else { continue };
            let of = |provider| thought.seal.as_ref().is_some_and(|seal| seal.is_of(DIALECT, provider));
            if of(self.target.provider) || (same && thought.seal.is_none()) {
                let next = blocks.get(at + 1).map(|next| &next.block.part);
                let call = match next {
                    Some(Part::Call(call)) if thought.text.is_empty() => Some(call.id.as_str()),
                    _ => None,
                };
                own.push((thought, call));
            } else {
                self.losses.report(Thing::Reasoning, piece.spot(turn))?;
            }
        }
        let field = self.target.quirks.reasoning_field;
        let field = field.or(same.then_some(ReasoningField::ReasoningContent));
        let Some(field) = field.filter(|_| !own.is_empty()) else {
            if self.target.quirks.needs_thoughts && !same {
                self.json.member(field.unwrap_or(ReasoningField::ReasoningContent).as_str(), " ");
            }
            return self.losses.report_if(!own.is_empty(), Thing::Reasoning, Spot::Turn(turn.at));
        };
        // An id alone may be one that the caller's dialect made.
        let sealed = |thought: &Reasoning| thought.seal.as_ref().is_some_and(|seal| !seal.value.is_empty());
        if field == ReasoningField::Details || own.iter().any(|(thought, _)| sealed(thought)) {
            self.json.key("reasoning_details").open_list();
            for ((thought, call), index) in own.iter().zip(0..) {
                write_detail(self.json, thought, *call, index);
            }
            self.json.close_list();
        } else {
            let all: String = own.iter().map(|(thought, _)| thought.text.as_str()).collect();
            self.json.member(field.as_str(), &all);
        }
        Ok(())
    }
}

/// The id of a call as the target takes it.
fn call_id<'r>(id: &'r str, target: &Target<'_>) -> Cow<'r, str> {
    if target.quirks.short_call_ids { short_id(id) } else { Cow::Borrowed(id) }
}

/// Parts of an assistant's message that have a field of their own.
fn is_apart(block: &Block) -> bool {
    match &block.part {
        Part::Refusal(_) => block.at.is_none(),
        Part::Reasoning(_) | Part::Call(_) | Part::Sound(_) => true,
        _ => false,
    }
}

/// The text of a block that is nothing but text, as far as can be said.
fn plain(block: &Block, marks: bool, same: bool) -> Option<&str> {
    let more = (same && !block.extra.is_empty()) || (marks && block.cache.is_some());
    match &block.part {
        Part::Text { text, .. } if !more => Some(text),
        _ => None,
    }
}

fn prefixed(block: &Block) -> Block {
    let mut marked = block.clone();
    if let Part::Text { text, .. } = &mut marked.part {
        text.insert_str(0, "Error: ");
    }
    marked
}
