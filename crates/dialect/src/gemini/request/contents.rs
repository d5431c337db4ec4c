//! Turns as contents. Leading system text becomes the system instruction; neighbours of one role become one content,
//! since roles are expected to alternate. A signature goes back onto the part that it came on.

use super::super::{response, wire};
use super::parts::told;
use crate::canon::{Block, Document, Media, Part, Reasoning, Request, Role, Source, ToolResult, Turn};
use crate::codec::Target;
use crate::json::{Json, Value};
use crate::losses::{Losses, Spot, Thing, Unsupported};
use std::cell::OnceCell;
use std::collections::HashMap;

/// What the provider's guide gives for calls that it has not signed: its check is skipped.
const UNCHECKED: &str = "skip_thought_signature_validator";

/// What writing a part needs.
struct Pen<'w, 'b, 'r> {
    json: &'w mut Json<'b>,
    losses: &'w mut Losses,
    request: &'r Request,
    /// Names of tools by ids of calls, once a result asks for one.
    names: OnceCell<HashMap<&'r str, &'r str>>,
    target: &'r Target<'r>,
    /// The role of the content that is open.
    open: Option<Role>,
    /// The signature that the next part carries.
    signature: Option<String>,
    /// True once the content has a call.
    called: bool,
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let is_system = |turn: &&Turn| matches!(turn.role, Role::System | Role::Developer);
    let leading = request.turns.iter().take_while(is_system).count();
    // A conversation of nothing but system text would be empty: it is said by the user then.
    let leading = if leading == request.turns.len() && !losses.is_same() { 0 } else { leading };
    let (system, turns) = request.turns.split_at_checked(leading).unwrap_or_default();
    let mut pen = Pen {
        json,
        losses,
        request,
        names: OnceCell::new(),
        target,
        open: None,
        signature: None,
        called: false,
    };
    if !system.is_empty() {
        pen.json.key("systemInstruction").open_object().key("parts").open_list();
        system.iter().try_for_each(|turn| pen.system(turn))?;
        pen.json.close_list();
        for turn in system {
            pen.losses.extras(&turn.extra, Spot::Turn(turn.at), pen.json)?;
        }
        pen.json.close_object();
    }
    pen.prefill(turns.last())?;
    pen.json.key("contents").open_list();
    turns.iter().try_for_each(|turn| pen.turn(turn))?;
    pen.close();
    pen.json.close_list();
    Ok(())
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn system(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        self.losses.report_if(turn.name.is_some(), Thing::Name, Spot::Turn(turn.at))?;
        self.blocks(turn)
    }

    fn prefill(&mut self, last: Option<&Turn>) -> Result<(), Unsupported> {
        let Some(turn) = last.filter(|turn| turn.role == Role::Assistant) else { return Ok(()) };
        self.losses.report_if(self.target.quirks.no_prefill, Thing::Prefill, Spot::Turn(turn.at))
    }

    fn turn(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        let spot = Spot::Turn(turn.at);
        let late = matches!(turn.role, Role::System | Role::Developer);
        self.losses.report_if(late, Thing::LateSystem, spot)?;
        self.losses.report_if(turn.name.is_some(), Thing::Name, spot)?;
        let role = if turn.role == Role::Assistant { Role::Assistant } else { Role::User };
        let said = self.losses.is_same() || turn.blocks.iter().any(|block| self.is_said(block));
        if said && (self.open != Some(role) || self.losses.is_same()) {
            self.close();
        }
        if said && self.open.is_none() {
            self.open = Some(role);
            self.called = false;
            let role = if role == Role::Assistant { "model" } else { "user" };
            self.json.open_object().member("role", role).key("parts").open_list();
        }
        self.blocks(turn)?;
        if self.losses.is_same() {
            self.json.close_list();
            self.losses.extras(&turn.extra, spot, self.json)?;
            self.json.close_object();
            self.open = None;
            return Ok(());
        }
        self.losses.extras(&turn.extra, spot, self.json)
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.json.close_list().close_object();
        }
    }

    /// True if anything of the block is written: the API takes no content without parts.
    fn is_said(&self, block: &Block) -> bool {
        match &block.part {
            Part::Text { text, .. } | Part::Refusal(text) => !text.is_empty(),
            Part::Reasoning(thought) => self.is_own(thought),
            _ => true,
        }
    }

    fn is_own(&self, thought: &Reasoning) -> bool {
        let seal = thought.seal.as_ref();
        let own = seal.is_some_and(|seal| seal.is_of(wire::DIALECT, self.target.provider));
        own && (!thought.text.is_empty() || seal.is_some_and(|seal| !seal.value.is_empty()))
    }

    fn flush(&mut self) {
        response::flush(self.json, self.signature.take());
    }

    fn blocks(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        for (at, block) in turn.blocks.iter().enumerate() {
            // In one dialect a signature joins the part that it stood on, and no other.
            let next = turn.blocks.get(at + 1);
            let joins = !self.losses.is_same() || next.is_some_and(|next| next.at == block.at);
            self.block(turn, block, joins)?;
        }
        self.flush();
        Ok(())
    }

    fn block(&mut self, turn: &Turn, block: &Block, joins: bool) -> Result<(), Unsupported> {
        let spot = Spot::Block(turn.at, block.at);
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        match &block.part {
            Part::Text { text, citations } => {
                self.losses.report_if(!citations.is_empty(), Thing::Citations, spot)?;
                self.text(text, block, spot)
            }
            Part::Refusal(words) => {
                self.losses.report(Thing::Refusal, spot)?;
                self.text(words, block, spot)
            }
            Part::Reasoning(thought) => self.thought(thought, block, (spot, joins)),
            Part::Call(call) => {
                let custom = call.kind == crate::canon::CallKind::Custom;
                self.losses.report_if(custom, Thing::CustomCall, spot)?;
                self.json.open_object().key("functionCall").open_object();
                self.json.maybe("id", self.call_id(&call.id)).member("name", &call.name);
                response::write_args(self.json, &call.arguments);
                self.losses.nested(&block.extra, "functionCall", self.json);
                self.json.close_object();
                let first = !std::mem::replace(&mut self.called, true);
                if first && self.signature.is_none() && self.target.quirks.signed_calls {
                    self.signature = Some(wire::base64(UNCHECKED));
                }
                self.end(block, spot)
            }
            Part::Result(result) => self.result(result, block, spot),
            Part::Sound(_) => self.losses.report(Thing::PastSound, spot),
            Part::Other { raw, .. } => {
                self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
                self.flush();
                self.json.raw(raw);
                Ok(())
            }
            Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Document(_) => {
                self.json.open_object();
                self.media(block, spot)?;
                self.end(block, spot)
            }
        }
    }

    /// Ends a part with its signature and what the model does not know of it.
    fn end(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.json.maybe("thoughtSignature", self.signature.take().as_deref());
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn text(&mut self, text: &str, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        if text.is_empty() && !self.losses.is_same() {
            return self.losses.extras(&block.extra, spot, self.json);
        }
        self.json.open_object().member("text", text);
        self.end(block, spot)
    }

    /// Thoughts go back to their maker only.
    fn thought(
        &mut self,
        thought: &Reasoning,
        block: &Block,
        (spot, joins): (Spot, bool),
    ) -> Result<(), Unsupported> {
        let seal = thought.seal.as_ref().filter(|seal| seal.is_of(wire::DIALECT, self.target.provider));
        let Some(seal) = seal else {
            self.losses.report(Thing::Reasoning, spot)?;
            return self.losses.extras(&block.extra, spot, self.json);
        };
        self.flush();
        self.signature = wire::signature(seal);
        if thought.text.is_empty() && joins && (block.extra.is_empty() || !self.losses.is_same()) {
            return self.losses.extras(&block.extra, spot, self.json);
        }
        self.json.open_object().member("text", &thought.text);
        let shown = !thought.text.is_empty() || self.signature.is_none();
        self.json.maybe_flag("thought", shown.then_some(true));
        self.end(block, spot)
    }

    /// A call's id, where the target knows them: others join calls and results by name and order.
    fn call_id<'i>(&self, id: &'i str) -> Option<&'i str> {
        (!self.target.quirks.no_call_ids || self.losses.is_same()).then_some(id)
    }

    fn result(&mut self, result: &ToolResult, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let called = || self.names.get_or_init(|| self.request.called()).get(result.call.as_str()).copied();
        let name = result.name.as_deref().or_else(called);
        self.json.open_object().key("functionResponse").open_object();
        self.json.maybe("id", self.call_id(&result.call));
        // A result of a call that is nowhere is the caller's fault; the provider says so.
        self.json.member("name", name.unwrap_or(&result.call)).key("response");
        let is_text = |block: &&Block| matches!(block.part, Part::Text { .. });
        let (texts, media): (Vec<&Block>, Vec<&Block>) = result.content.iter().partition(is_text);
        self.answer(result, &texts);
        for inner in &result.content {
            self.losses.report_if(inner.cache.is_some(), Thing::BlockCache, spot)?;
        }
        let inside = !self.target.quirks.no_result_media || self.losses.is_same();
        if inside && !media.is_empty() {
            self.json.key("parts").open_list();
            media.iter().try_for_each(|block| self.result_part(block, spot))?;
            self.json.close_list();
        }
        self.losses.nested(&block.extra, "functionResponse", self.json);
        self.json.close_object();
        self.end(block, spot)?;
        if inside { Ok(()) } else { media.iter().try_for_each(|block| self.result_part(block, spot)) }
    }

    /// An object: the text under the name that the API gives it, or in one dialect the object that it was.
    fn answer(&mut self, result: &ToolResult, texts: &[&Block]) {
        let texts = texts.iter().filter_map(|block| match &block.part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let text = texts.collect::<Vec<&str>>().join("\n");
        let failed = result.is_error == Some(true);
        let object = Value::parse(text.as_bytes()).and_then(Value::object);
        let told = |value: &crate::canon::Raw| !failed || value.as_str().contains("\"error\"");
        match object.ok().filter(|object| self.losses.is_same() && told(object)) {
            Some(object) => self.json.raw(&object),
            None => {
                let name = if failed { "error" } else { "output" };
                self.json.open_object().member(name, &text).close_object()
            }
        };
    }

    fn result_part(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        match &block.part {
            Part::Other { raw, .. } => {
                self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
                self.json.raw(raw);
                Ok(())
            }
            Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Document(_) => {
                self.json.open_object();
                self.media(block, spot)?;
                self.losses.extras(&block.extra, spot, self.json)?;
                self.json.close_object();
                Ok(())
            }
            _ => self.losses.report(Thing::OtherPart, spot),
        }
    }

    /// The member that holds a medium.
    fn media(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let (media, title) = match &block.part {
            Part::Image(media) => {
                let url = matches!(media.source, Source::Url(_)) && self.target.quirks.no_image_url;
                self.losses.report_if(url, Thing::ImageUrl, spot)?;
                let close = media.detail.as_deref().is_some_and(|detail| detail != "auto");
                self.losses.report_if(close, Thing::ImageDetail, spot)?;
                (&media.source, None)
            }
            Part::Audio(Media { source, .. }) | Part::Video(Media { source, .. }) => (source, None),
            Part::Document(document) => (&document.source, self.title(document, spot)?),
            _ => return Ok(()),
        };
        let (within, address) = match media {
            Source::Inline { media_type, data } => {
                self.json.key("inlineData").open_object().member("mimeType", media_type).member("data", data);
                ("inlineData", None)
            }
            Source::Text(text) => {
                self.json.key("inlineData").open_object().member("mimeType", "text/plain");
                self.json.member("data", &wire::base64(text));
                ("inlineData", None)
            }
            Source::Url(url) => ("fileData", Some(url)),
            Source::File(id) => {
                self.losses.report_if(!self.losses.is_same(), Thing::File, spot)?;
                ("fileData", Some(id))
            }
            Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        };
        if let Some(address) = address {
            self.json.key("fileData").open_object().member("fileUri", address);
            let beside = self.losses.is_same()
                && block.extra.iter().any(|extra| matches!(extra.name.as_str(), "mimeType" | "mime_type"));
            self.json.maybe("mimeType", told(address).filter(|_| !beside));
        }
        self.json.maybe("displayName", title);
        self.losses.nested(&block.extra, within, self.json);
        self.json.close_object();
        Ok(())
    }

    /// A document's title, which the API takes from a caller of its own only with hosted tools.
    fn title<'d>(&mut self, document: &'d Document, spot: Spot) -> Result<Option<&'d str>, Unsupported> {
        self.losses.report_if(document.context.is_some(), Thing::DocumentContext, spot)?;
        self.losses.report_if(document.citations == Some(true), Thing::DocumentCitations, spot)?;
        let same = self.losses.is_same();
        self.losses.report_if(!same && document.title.is_some(), Thing::DocumentTitle, spot)?;
        Ok(document.title.as_deref().filter(|_| same))
    }
}
