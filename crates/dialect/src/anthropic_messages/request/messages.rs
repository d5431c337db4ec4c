//! Turns as system text and messages. Those of another dialect are put in the order that this one wants: neighbours of
//! one role together, results of tools first.

use super::super::wire::{DIALECT, write_input};
use super::encode::cache;
use crate::canon::{
    Block, CallKind, Citation, Document, Format, Media, Part, Reasoning, Request, Role, SealKind, Source,
    ToolResult, Turn, safe_id,
};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// Asks for JSON in words, where the dialect has no setting for it.
const JSON_HINT: &str = "Answer with one JSON object and nothing else.";

/// The pictures that the provider takes (the SDK's `Base64ImageSourceParam.media_type`).
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// One message: blocks with the places that faults name.
struct Message<'r> {
    role: &'static str,
    pieces: Vec<Piece<'r>>,
    /// Of one caller's turn; none where several became one.
    turn: Option<&'r Turn>,
}

#[derive(Clone, Copy)]
struct Piece<'r> {
    block: &'r Block,
    spot: Spot,
    /// System text amid the conversation, said by the user.
    is_late: bool,
}

/// What writing a block needs.
struct Pen<'w, 'b, 't> {
    json: &'w mut Json<'b>,
    losses: &'w mut Losses,
    target: &'w Target<'t>,
}

/// System text that stands before everything else.
pub(super) fn system(json: &mut Json<'_>, request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    let hint = (request.format == Format::Object).then(|| Block::text(JSON_HINT));
    let turns = request.turns.get(..leading(request)).unwrap_or_default();
    let same = losses.is_same();
    let blocks = turns.iter().flat_map(|turn| turn.blocks.iter().map(move |block| (turn, block)));
    let blocks: Vec<(&Turn, &Block)> = blocks.filter(|(_, block)| same || !is_blank(block)).collect();
    if blocks.is_empty() && hint.is_none() {
        return unsaid(turns, losses);
    }
    json.key("system");
    if let ([(_, Block { part: Part::Text { text, .. }, cache: None, at: None, .. })], None) =
        (blocks.as_slice(), &hint)
    {
        json.text(text);
    } else {
        json.open_list();
        for (turn, block) in blocks {
            system_block(json, block, Spot::Block(turn.at, block.at), losses)?;
        }
        if let Some(hint) = &hint {
            system_block(json, hint, Spot::Request, losses)?;
        }
        json.close_list();
    }
    unsaid(turns, losses)
}

/// What stands beside the blocks of system turns.
fn unsaid(turns: &[Turn], losses: &mut Losses) -> Result<(), Unsupported> {
    let mut nothing = Vec::new();
    turns.iter().try_for_each(|turn| {
        losses.report_if(turn.name.is_some(), Thing::Name, Spot::Turn(turn.at))?;
        losses.extras(&turn.extra, Spot::Turn(turn.at), &mut Json::new(&mut nothing))
    })
}

fn system_block(
    json: &mut Json<'_>,
    block: &Block,
    spot: Spot,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let Part::Text { text, .. } = &block.part else { return losses.report(Thing::OtherPart, spot) };
    json.open_object().member("type", "text").member("text", text);
    cache(json, block.cache.as_ref(), spot, losses)?;
    losses.extras(&block.extra, spot, json)?;
    json.close_object();
    Ok(())
}

/// How many turns at the beginning are system text of the whole request.
fn leading(request: &Request) -> usize {
    let same = request.origin == DIALECT;
    let is_system =
        |turn: &&Turn| matches!(turn.role, Role::System | Role::Developer) && (!same || turn.at.is_none());
    request.turns.iter().take_while(is_system).count()
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let turns = request.turns.get(leading(request)..).unwrap_or_default();
    if let Some(last) = turns.last().filter(|turn| turn.role == Role::Assistant) {
        losses.report_if(target.quirks.no_prefill, Thing::Prefill, Spot::Turn(last.at))?;
    }
    let messages = messages(turns, target, losses)?;
    json.key("messages").open_list();
    let mut pen = Pen { json, losses, target };
    messages.iter().try_for_each(|message| pen.message(message))?;
    pen.json.close_list();
    Ok(())
}

/// The messages of a conversation; with the same dialect one for each turn.
fn messages<'r>(
    turns: &'r [Turn],
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<Message<'r>>, Unsupported> {
    let same = losses.is_same();
    let mut messages: Vec<Message<'r>> = Vec::new();
    for turn in turns {
        let late = matches!(turn.role, Role::System | Role::Developer);
        let is_late = late && !same && !target.quirks.late_system;
        losses.report_if(is_late, Thing::LateSystem, Spot::Turn(turn.at))?;
        losses.report_if(turn.name.is_some() && !same, Thing::Name, Spot::Turn(turn.at))?;
        let role = match turn.role {
            Role::Assistant => "assistant",
            Role::System | Role::Developer if !is_late => "system",
            Role::User | Role::System | Role::Developer => "user",
        };
        let mut pieces = Vec::with_capacity(turn.blocks.len());
        for block in &turn.blocks {
            let spot = Spot::Block(turn.at, block.at);
            match &block.part {
                // Before a message is written: it may hold nothing else.
                Part::Reasoning(thought) if !goes_back(thought, target, same) => {
                    losses.report(Thing::Reasoning, spot)?;
                }
                _ => pieces.push(Piece { block, spot, is_late }),
            }
        }
        match messages.last_mut().filter(|last| !same && last.role == role) {
            Some(last) => {
                last.pieces.extend(pieces);
                last.turn = None;
            }
            None => messages.push(Message { role, pieces, turn: Some(turn) }),
        }
        let mut nothing = Vec::new();
        if !same {
            losses.extras(&turn.extra, Spot::Turn(turn.at), &mut Json::new(&mut nothing))?;
        }
    }
    if !same {
        messages.iter_mut().for_each(Message::tidy);
        messages.retain(|message| !message.pieces.is_empty());
    }
    Ok(messages)
}

/// True if this target made the thought, or if nobody says who did and the caller speaks its dialect.
pub(super) fn goes_back(thought: &Reasoning, target: &Target<'_>, same: bool) -> bool {
    match &thought.seal {
        Some(seal) => seal.is_of(DIALECT, target.provider),
        None => same,
    }
}

// === impl Message ===

impl Message<'_> {
    /// Results first, no blank texts: the provider refuses anything else.
    fn tidy(&mut self) {
        self.pieces.retain(|piece| !is_blank(piece.block));
        self.pieces.sort_by_key(|piece| !matches!(piece.block.part, Part::Result(_)));
    }
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    fn message(&mut self, message: &Message<'_>) -> Result<(), Unsupported> {
        self.json.open_object().member("role", message.role).key("content");
        match message.pieces.as_slice() {
            [Piece { block, is_late: false, .. }] if is_bare(block) => self.bare(block),
            pieces => {
                self.json.open_list();
                pieces.iter().try_for_each(|piece| self.piece(*piece))?;
                self.json.close_list();
            }
        }
        if let Some(turn) = message.turn.filter(|_| self.losses.is_same()) {
            self.losses.extras(&turn.extra, Spot::Turn(turn.at), self.json)?;
        }
        self.json.close_object();
        Ok(())
    }

    fn bare(&mut self, block: &Block) {
        if let Part::Text { text, .. } = &block.part {
            self.json.text(text);
        }
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Unsupported> {
        let Piece { block, spot, is_late } = piece;
        if let Part::Other { raw, .. } = &block.part {
            self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
            self.json.raw(raw);
            return Ok(());
        }
        self.json.open_object();
        match &block.part {
            Part::Text { text, citations } => self.text(text, citations, is_late, spot)?,
            Part::Refusal(words) => {
                self.losses.report(Thing::Refusal, spot)?;
                self.json.member("type", "text").member("text", words);
            }
            Part::Image(media) => self.image(media, block, spot)?,
            Part::Document(document) => self.document(document, block, spot)?,
            Part::Reasoning(thought) => self.thought(thought),
            Part::Call(call) => {
                let free = call.kind == CallKind::Custom;
                self.losses.report_if(free, Thing::CustomCall, spot)?;
                self.json.member("type", "tool_use").member("id", &safe_id(&call.id));
                write_input(self.json.member("name", &call.name).key("input"), &call.arguments);
            }
            Part::Result(result) => self.result(result, spot)?,
            Part::Audio(_) => self.losses.report(Thing::Audio, spot)?,
            Part::Video(_) => self.losses.report(Thing::Video, spot)?,
            Part::Sound(_) => self.losses.report(Thing::PastSound, spot)?,
            Part::Other { .. } => {}
        }
        cache(self.json, block.cache.as_ref(), spot, self.losses)?;
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    fn text(
        &mut self,
        text: &str,
        citations: &[Citation],
        is_late: bool,
        spot: Spot,
    ) -> Result<(), Unsupported> {
        self.json.member("type", "text");
        if is_late {
            self.json.member("text", &format!("<system>\n{text}\n</system>"));
        } else {
            self.json.member("text", text);
        }
        if citations.is_empty() {
            return Ok(());
        }
        if !self.losses.is_same() {
            return self.losses.report(Thing::Citations, spot);
        }
        self.json.key("citations").open_list();
        citations.iter().filter_map(|citation| citation.raw.as_ref()).for_each(|(_, raw)| {
            self.json.raw(raw);
        });
        self.json.close_list();
        Ok(())
    }

    fn thought(&mut self, thought: &Reasoning) {
        let value = thought.seal.as_ref().map(|seal| seal.value.as_str()).unwrap_or_default();
        match &thought.seal {
            Some(seal) if seal.kind == SealKind::Encrypted => {
                self.json.member("type", "redacted_thinking").member("data", value);
            }
            _ => {
                self.json
                    .member("type", "thinking")
                    .member("thinking", &thought.text)
                    .member("signature", value);
            }
        }
    }

    fn image(&mut self, media: &Media, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.losses.report_if(media.detail.is_some(), Thing::ImageDetail, spot)?;
        let url = matches!(media.source, Source::Url(_)) && self.target.quirks.no_image_url;
        self.losses.report_if(url, Thing::ImageUrl, spot)?;
        if let Source::Inline { media_type, .. } = &media.source {
            let taken = self.losses.is_same() || PICTURES.contains(&known(media_type).as_str());
            self.losses.report_if(!taken, Thing::Image, spot)?;
        }
        self.json.member("type", "image");
        self.source(&media.source, block, spot)
    }

    fn document(&mut self, document: &Document, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        if let Source::Inline { media_type, .. } = &document.source {
            let foreign = media_type != "application/pdf" && !self.losses.is_same();
            self.losses.report_if(foreign, Thing::Document, spot)?;
        }
        self.json.member("type", "document");
        self.source(&document.source, block, spot)?;
        self.json.maybe("title", document.title.as_deref()).maybe("context", document.context.as_deref());
        let more = block.extra.iter().any(|extra| extra.within == "citations");
        if document.citations.is_some() || more {
            self.json.key("citations").open_object().maybe_flag("enabled", document.citations);
            self.losses.nested(&block.extra, "citations", self.json);
            self.json.close_object();
        }
        Ok(())
    }

    fn source(&mut self, source: &Source, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let foreign = !self.losses.is_same();
        self.json.key("source");
        match source {
            Source::Other(_, raw) => {
                self.losses.report_if(foreign, Thing::OtherSource, spot)?;
                self.json.raw(raw);
                return Ok(());
            }
            Source::Inline { media_type, data } => {
                let kind = if foreign { known(media_type) } else { media_type.clone() };
                self.json.open_object().member("type", "base64").member("media_type", &kind);
                self.json.member("data", data);
            }
            Source::Url(url) => {
                self.json.open_object().member("type", "url").member("url", url);
            }
            Source::File(id) => {
                self.losses.report_if(foreign, Thing::File, spot)?;
                self.json.open_object().member("type", "file").member("file_id", id);
            }
            Source::Text(text) => {
                self.json.open_object().member("type", "text").member("media_type", "text/plain");
                self.json.member("data", text);
            }
        }
        self.losses.nested(&block.extra, "source", self.json);
        self.json.close_object();
        Ok(())
    }

    fn result(&mut self, result: &ToolResult, spot: Spot) -> Result<(), Unsupported> {
        self.json.member("type", "tool_result").member("tool_use_id", &safe_id(&result.call));
        let same = self.losses.is_same();
        let said: Vec<&Block> = result.content.iter().filter(|block| same || !is_blank(block)).collect();
        match said.as_slice() {
            [] => {}
            [block] if is_bare(block) => {
                self.json.key("content");
                self.bare(block);
            }
            blocks => {
                self.json.key("content").open_list();
                for block in blocks.iter().copied() {
                    self.piece(Piece { block, spot: inner(spot, block), is_late: false })?;
                }
                self.json.close_list();
            }
        }
        self.json.maybe_flag("is_error", result.is_error);
        Ok(())
    }
}

/// A media type as it is registered: in small letters, without parameters, and JPEG by its right name.
fn known(media_type: &str) -> String {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "image/jpg" { "image/jpeg".to_owned() } else { kind }
}

/// The provider refuses texts without a letter.
fn is_blank(block: &Block) -> bool {
    matches!(&block.part, Part::Text { text, .. } if text.trim().is_empty())
}

/// The place of a block inside a result: the result's own where it stands in a list, else its place in the message.
fn inner(spot: Spot, block: &Block) -> Spot {
    match spot {
        Spot::Block(turn, None) => Spot::Block(turn, block.at),
        spot => spot,
    }
}

/// A text that stood alone, with nothing said about it.
fn is_bare(block: &Block) -> bool {
    let plain = matches!(&block.part, Part::Text { citations, .. } if citations.is_empty());
    plain && block.cache.is_none() && block.at.is_none() && block.extra.is_empty()
}
