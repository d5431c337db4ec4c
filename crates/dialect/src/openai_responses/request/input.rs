//! Turns as `instructions` and items of `input`: what was said is messages, thoughts, calls and results are items of
//! their own, in the order in which they stood.

use super::super::wire::{DIALECT, unsealed};
use super::pen::Pen;
use crate::canon::{Block, Call, CallKind, Part, Reasoning, Request, Role, ToolResult, Turn, safe_id};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use std::borrow::Cow;
use std::collections::HashSet;

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let mut turns = request.turns.as_slice();
    if let Some((text, rest)) = instructions(turns) {
        json.member("instructions", text);
        turns = rest;
    }
    if let Some(turn) = request.turns.last().filter(|turn| is_prefill(turn)) {
        losses.report_if(!losses.is_same(), Thing::Prefill, Spot::Turn(turn.at))?;
    }
    json.key("input");
    // A text that is all of the input: what callers write as a plain string.
    if let [Turn { role: Role::User, at: None, blocks, extra, .. }] = turns
        && let (true, Some(text)) = (extra.is_empty(), only_text(blocks))
    {
        json.text(text);
        return Ok(());
    }
    json.open_list();
    let mut pen = Pen { json, losses, target };
    let custom = custom_calls(request);
    turns.iter().try_for_each(|turn| pen.turn(turn, &custom))?;
    pen.json.close_list();
    Ok(())
}

/// System text that stands before all messages, if it is one plain text.
fn instructions(turns: &[Turn]) -> Option<(&str, &[Turn])> {
    let (first, rest) = turns.split_first()?;
    let outside = first.role == Role::System && first.at.is_none() && first.extra.is_empty();
    let text = only_text(&first.blocks).filter(|_| outside)?;
    // A second one would change places with it.
    rest.iter().all(|turn| turn.role != Role::System || turn.at.is_some()).then_some((text, rest))
}

fn only_text(blocks: &[Block]) -> Option<&str> {
    match blocks {
        [Block { part: Part::Text { text, citations }, cache: None, extra, .. }]
            if extra.is_empty() && citations.is_empty() =>
        {
            Some(text)
        }
        _ => None,
    }
}

/// The model's turn at the end, with nothing called.
fn is_prefill(turn: &Turn) -> bool {
    turn.role == Role::Assistant && !turn.blocks.iter().any(|block| matches!(block.part, Part::Call(_)))
}

/// Ids of the calls with free text, whose results are another kind of item.
fn custom_calls(request: &Request) -> HashSet<&str> {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    let custom = blocks.filter_map(|block| match &block.part {
        Part::Call(call) if call.kind == CallKind::Custom => Some(call.id.as_str()),
        _ => None,
    });
    custom.collect()
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn turn(&mut self, turn: &Turn, custom: &HashSet<&str>) -> Result<(), Unsupported> {
        self.losses.report_if(turn.name.is_some(), Thing::Name, Spot::Turn(turn.at))?;
        let mut blocks = turn.blocks.as_slice();
        // The turn's own members go with its message.
        let mut extra = Some(turn);
        if blocks.is_empty() && self.losses.is_same() {
            self.message(turn, blocks, extra)?;
        }
        while let Some(first) = blocks.first() {
            let count = blocks.iter().take_while(|block| !is_item(block)).count();
            if count > 0 {
                let (message, rest) = blocks.split_at(count);
                self.message(turn, message, extra.take())?;
                blocks = rest;
                continue;
            }
            self.item(turn, first, custom)?;
            blocks = blocks.get(1..).unwrap_or_default();
        }
        match extra.filter(|_| !self.losses.is_same()) {
            Some(turn) => self.losses.extras(&turn.extra, Spot::Turn(turn.at), self.json),
            None => Ok(()),
        }
    }

    fn message(&mut self, turn: &Turn, blocks: &[Block], extra: Option<&Turn>) -> Result<(), Unsupported> {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Developer if !self.target.quirks.no_developer_role => "developer",
            Role::System | Role::Developer => "system",
        };
        self.json.open_object().member("type", "message").member("role", role).key("content");
        self.content(turn, blocks)?;
        if let Some(turn) = extra {
            self.losses.extras(&turn.extra, Spot::Turn(turn.at), self.json)?;
        }
        self.json.close_object();
        Ok(())
    }

    fn item(&mut self, turn: &Turn, block: &Block, custom: &HashSet<&str>) -> Result<(), Unsupported> {
        let spot = Spot::Block(turn.at, block.at);
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        match &block.part {
            Part::Reasoning(thought) => self.reasoning(thought, block, spot),
            Part::Call(call) => self.call(call, block, spot),
            Part::Result(result) => self.result(turn, result, block, custom.contains(result.call.as_str())),
            Part::Other { raw, .. } => {
                self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
                self.json.raw(raw);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Thoughts go back to their maker only, in the form that it sealed: it keeps nothing, so those without a seal would
    /// be looked for in vain.
    fn reasoning(&mut self, thought: &Reasoning, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let own = thought.seal.as_ref().filter(|seal| seal.is_of(DIALECT, self.target.provider));
        let (made, encrypted) = own.map(unsealed).unwrap_or_default();
        let unsealed = self.losses.is_same() && thought.seal.is_none();
        let id = made.or(thought.id.as_deref());
        let Some(id) = id.filter(|_| unsealed || !encrypted.is_empty()) else {
            return self.losses.report(Thing::Reasoning, spot);
        };
        self.json.open_object().member("type", "reasoning").member("id", id);
        if !block.extra.iter().any(|extra| extra.name == "summary") {
            self.json.key("summary").open_list();
            let told = !block.extra.iter().any(|extra| extra.name == "content");
            if told && !thought.text.is_empty() {
                self.json
                    .open_object()
                    .member("type", "summary_text")
                    .member("text", &thought.text)
                    .close_object();
            }
            self.json.close_list();
        }
        self.json.maybe("encrypted_content", Some(encrypted).filter(|text| !text.is_empty()));
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn call(&mut self, call: &Call, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let (kind, words) = match call.kind {
            CallKind::Function => ("function_call", "arguments"),
            CallKind::Custom => ("custom_tool_call", "input"),
        };
        // No arguments are an empty object.
        let empty = call.arguments.is_empty() && call.kind == CallKind::Function && !self.losses.is_same();
        let id = self.call_id(&call.id);
        self.json.open_object().member("type", kind).member("call_id", &id);
        self.json.member("name", &call.name).member(words, if empty { "{}" } else { &call.arguments });
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    /// The dialect has no field for a failure, so it is said in words.
    fn result(
        &mut self,
        turn: &Turn,
        result: &ToolResult,
        block: &Block,
        custom: bool,
    ) -> Result<(), Unsupported> {
        let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
        let id = self.call_id(&result.call);
        self.json.open_object().member("type", kind).member("call_id", &id).key("output");
        let inner = |block: &Block| Block { at: None, ..block.clone() };
        match result.is_error {
            Some(true) => {
                let mut content: Vec<Block> = result.content.iter().map(inner).collect();
                match content.iter_mut().find_map(|block| match &mut block.part {
                    Part::Text { text, .. } => Some(text),
                    _ => None,
                }) {
                    Some(text) => text.insert_str(0, "Error: "),
                    None => content.insert(0, Block::text("Error: the tool failed")),
                }
                self.output(turn, &content)?;
            }
            _ => self.output(turn, &result.content)?,
        }
        if self.losses.is_same() {
            self.json.maybe("name", result.name.as_deref());
        }
        self.losses.extras(&block.extra, Spot::Block(turn.at, block.at), self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn call_id<'i>(&self, id: &'i str) -> Cow<'i, str> {
        if self.losses.is_same() { Cow::Borrowed(id) } else { safe_id(id) }
    }

    fn output(&mut self, turn: &Turn, content: &[Block]) -> Result<(), Unsupported> {
        if content.is_empty() && !self.losses.is_same() {
            self.json.text("");
            return Ok(());
        }
        self.content(turn, content)
    }
}

/// What is an item of its own. A piece of this dialect that stood in a list of content is none.
fn is_item(block: &Block) -> bool {
    match &block.part {
        Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => true,
        Part::Other { .. } => block.at.is_none(),
        _ => false,
    }
}
