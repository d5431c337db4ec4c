//! Turns as messages: results of tools become messages of their own, thoughts go back to their maker only.

use super::super::wire::{DIALECT, PLAN, arguments, is_plan, write_citation};
use crate::canon::{
    Block, Call, CallKind, Citation, Document, Media, Part, Raw, Reasoning, Request, Role, Source,
    ToolResult, Turn,
};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// What writing a part needs.
struct Pen<'w, 'b, 't> {
    json: &'w mut Json<'b>,
    losses: &'w mut Losses,
    target: &'w Target<'t>,
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let calls = |turn: &&Turn| turn.blocks.iter().any(|block| matches!(block.part, Part::Call(_)));
    let prefill = request.turns.last().filter(|turn| turn.role == Role::Assistant && !calls(turn));
    if let Some(turn) = prefill {
        losses.report_if(!losses.is_same(), Thing::Prefill, Spot::Turn(turn.at))?;
    }
    json.key("messages").open_list();
    let mut pen = Pen { json, losses, target };
    request.turns.iter().try_for_each(|turn| pen.turn(turn))?;
    pen.json.close_list();
    Ok(())
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn turn(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        self.losses.report_if(turn.name.is_some(), Thing::Name, Spot::Turn(turn.at))?;
        let all: Vec<&Block> = turn.blocks.iter().collect();
        match turn.role {
            Role::System | Role::Developer => return self.message("system", turn, &all),
            Role::Assistant => return self.assistant(turn),
            Role::User => {}
        }
        let mut rest = Vec::new();
        // Results follow their calls at once; pictures that they hold come in the user's message behind them.
        for block in all {
            match &block.part {
                Part::Result(result) => self.result(turn, block, result, &mut rest)?,
                _ => rest.push(block),
            }
        }
        let results = turn.blocks.iter().any(|block| matches!(block.part, Part::Result(_)));
        if rest.is_empty() && results { Ok(()) } else { self.message("user", turn, &rest) }
    }

    fn message(&mut self, role: &str, turn: &Turn, blocks: &[&Block]) -> Result<(), Unsupported> {
        self.json.open_object().member("role", role).key("content");
        self.content(turn, blocks)?;
        self.end(turn)
    }

    fn end(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        self.losses.extras(&turn.extra, Spot::Turn(turn.at), self.json)?;
        self.json.close_object();
        Ok(())
    }

    /// A text where that says all, else parts.
    fn content(&mut self, turn: &Turn, blocks: &[&Block]) -> Result<(), Unsupported> {
        let same = self.losses.is_same();
        if let [Block { part: Part::Text { text, .. }, cache: None, at, extra }] = blocks
            && extra.is_empty()
            && (at.is_none() || !same)
        {
            self.json.text(text);
            return self.citations_lost(turn, blocks);
        }
        self.json.open_list();
        blocks.iter().try_for_each(|block| self.part(block, Spot::Block(turn.at, block.at)))?;
        self.json.close_list();
        self.citations_lost(turn, blocks)
    }

    /// Sources that another dialect has cited are not this one's.
    fn citations_lost(&mut self, turn: &Turn, blocks: &[&Block]) -> Result<(), Unsupported> {
        let foreign = !self.losses.is_same();
        blocks.iter().try_for_each(|block| {
            let cites = matches!(&block.part, Part::Text { citations, .. } if !citations.is_empty());
            self.losses.report_if(cites && foreign, Thing::Citations, Spot::Block(turn.at, block.at))
        })
    }

    fn part(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        if let Part::Other { raw, .. } = &block.part {
            self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
            self.json.raw(raw);
            return Ok(());
        }
        self.json.open_object();
        match &block.part {
            Part::Text { text, .. } => {
                self.json.member("type", "text").member("text", text);
            }
            Part::Refusal(words) => {
                self.losses.report(Thing::Refusal, spot)?;
                self.json.member("type", "text").member("text", words);
            }
            Part::Reasoning(thought) => {
                self.json.member("type", "thinking").member("thinking", &thought.text);
            }
            Part::Image(media) => self.image(media, block, spot)?,
            Part::Document(document) => self.document(document, block, spot)?,
            Part::Audio(_) => return self.losses.report(Thing::Audio, spot),
            Part::Video(_) => return self.losses.report(Thing::Video, spot),
            Part::Sound(_) => return self.losses.report(Thing::PastSound, spot),
            Part::Other { .. } | Part::Call(_) | Part::Result(_) => {
                return self.losses.report(Thing::OtherPart, spot);
            }
        }
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn image(&mut self, media: &Media, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let url = match &media.source {
            Source::Inline { media_type, data } => format!("data:{media_type};base64,{data}"),
            Source::Url(_) if self.target.quirks.no_image_url => {
                return self.losses.report(Thing::ImageUrl, spot);
            }
            Source::Url(url) => url.clone(),
            Source::File(_) => return self.losses.report(Thing::File, spot),
            Source::Text(_) | Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        };
        self.json.member("type", "image_url").key("image_url").open_object().member("url", &url);
        self.json.maybe("detail", media.detail.as_deref());
        self.losses.nested(&block.extra, "image_url", self.json);
        self.json.close_object();
        Ok(())
    }

    /// Documents are plain text. This dialect's own, in results of tools, are objects; others stand as text, with what is
    /// known of them before it.
    fn document(&mut self, document: &Document, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let text = match &document.source {
            Source::Text(text) => text,
            Source::Inline { .. } => return self.losses.report(Thing::Document, spot),
            Source::Url(_) => return self.losses.report(Thing::DocumentUrl, spot),
            Source::File(_) => return self.losses.report(Thing::File, spot),
            Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        };
        if let Some(own) = Raw::parse(text).filter(|_| self.losses.is_same()) {
            self.json.member("type", "document").key("document").open_object().key("data").raw(&own);
            self.json.maybe("id", document.title.as_deref());
            self.losses.nested(&block.extra, "document", self.json);
            self.json.close_object();
            return Ok(());
        }
        self.losses.report_if(document.citations == Some(true), Thing::DocumentCitations, spot)?;
        let all = [document.title.as_ref(), document.context.as_ref(), Some(text)];
        let all: Vec<&str> = all.into_iter().flatten().map(String::as_str).collect();
        self.json.member("type", "text").member("text", &all.join("\n\n"));
        Ok(())
    }

    fn result<'r>(
        &mut self,
        turn: &Turn,
        block: &'r Block,
        result: &'r ToolResult,
        rest: &mut Vec<&'r Block>,
    ) -> Result<(), Unsupported> {
        let spot = Spot::Block(turn.at, block.at);
        let stays =
            |block: &&Block| matches!(block.part, Part::Text { .. } | Part::Document(_) | Part::Other { .. });
        let (mut kept, moved): (Vec<&Block>, Vec<&Block>) = result.content.iter().partition(stays);
        let failed = Block::text("Error: the tool failed");
        let see = Block::text("See the next message.");
        let prefix;
        // The dialect has no field for a failure, so it is said in words.
        match kept.first_mut() {
            Some(first) if result.is_error == Some(true) => {
                prefix = prefixed(first);
                *first = &prefix;
            }
            None if result.is_error == Some(true) => kept.push(&failed),
            None if !moved.is_empty() => kept.push(&see),
            _ => {}
        }
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        self.json.open_object().member("role", "tool").member("tool_call_id", &result.call).key("content");
        match kept.as_slice() {
            [] if !self.losses.is_same() => {
                self.json.text("");
            }
            kept => self.content(turn, kept)?,
        }
        rest.extend(moved);
        self.losses.extras(&block.extra, spot, self.json)?;
        self.end(turn)
    }

    fn assistant(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        let same = self.losses.is_same();
        let (mut words, mut plan, mut calls) = (Vec::new(), String::new(), Vec::new());
        for block in &turn.blocks {
            let spot = Spot::Block(turn.at, block.at);
            match &block.part {
                Part::Reasoning(thought) if !self.is_own(thought) => {
                    self.losses.report(Thing::Reasoning, spot)?
                }
                Part::Reasoning(thought) if is_plan(thought) => plan.push_str(&thought.text),
                Part::Call(call) => calls.push((block, &**call)),
                Part::Text { text, .. } if text.is_empty() && !same => {}
                _ => words.push(block),
            }
        }
        if words.is_empty() && plan.is_empty() && calls.is_empty() && !same {
            return self.losses.extras(&turn.extra, Spot::Turn(turn.at), &mut Json::new(&mut Vec::new()));
        }
        self.json.open_object().member("role", "assistant");
        if !words.is_empty() {
            self.json.key("content");
            self.content(turn, &words)?;
        }
        if !plan.is_empty() {
            self.json.member(PLAN, &plan);
        }
        if !calls.is_empty() {
            self.json.key("tool_calls").open_list();
            calls.into_iter().try_for_each(|(block, one)| self.call(turn, block, one))?;
            self.json.close_list();
        }
        if same {
            self.citations(&words);
        }
        self.end(turn)
    }

    fn citations(&mut self, words: &[&Block]) {
        let cited = |block: &&Block| match &block.part {
            Part::Text { citations, .. } => citations.clone(),
            _ => Vec::new(),
        };
        let all: Vec<Citation> = words.iter().flat_map(cited).collect();
        if !all.is_empty() {
            self.json.key("citations").open_list();
            all.iter().for_each(|citation| write_citation(self.json, citation));
            self.json.close_list();
        }
    }

    fn is_own(&self, thought: &Reasoning) -> bool {
        match &thought.seal {
            Some(seal) => seal.is_of(DIALECT, self.target.provider),
            None => self.losses.is_same(),
        }
    }

    fn call(&mut self, turn: &Turn, block: &Block, call: &Call) -> Result<(), Unsupported> {
        let spot = Spot::Block(turn.at, block.at);
        self.losses.report_if(call.kind == CallKind::Custom, Thing::CustomCall, spot)?;
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        self.json
            .open_object()
            .member("id", &call.id)
            .member("type", "function")
            .key("function")
            .open_object();
        let said =
            if self.losses.is_same() { call.arguments.as_str().into() } else { arguments(&call.arguments) };
        self.json.member("name", &call.name).member("arguments", &said);
        self.losses.nested(&block.extra, "function", self.json);
        self.json.close_object();
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }
}

fn prefixed(block: &Block) -> Block {
    let mut marked = block.clone();
    if let Part::Text { text, .. } = &mut marked.part {
        text.insert_str(0, "Error: ");
    }
    marked
}
