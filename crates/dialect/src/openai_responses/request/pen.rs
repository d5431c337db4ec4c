//! Writes content: a text, or a list of parts.

use super::super::response::write_citation;
use super::super::wire::CACHE_LIVES;
use crate::canon::{Block, CacheMark, Document, Media, Part, Role, Source, Turn};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use crate::quirk::CacheMarks;

/// What writing a part needs.
pub(super) struct Pen<'w, 'b, 't> {
    pub(super) json: &'w mut Json<'b>,
    pub(super) losses: &'w mut Losses,
    pub(super) target: &'w Target<'t>,
}

// === impl Pen ===

impl Pen<'_, '_, '_> {
    /// One text where that says all, else parts.
    pub(super) fn content(&mut self, turn: &Turn, blocks: &[Block]) -> Result<(), Unsupported> {
        if let [block] = blocks
            && let Some(text) = self.plain(block)
        {
            self.json.text(text);
            return self.unsaid(block, Spot::Block(turn.at, block.at));
        }
        self.json.open_list();
        for block in blocks {
            self.part(block, turn.role == Role::Assistant, Spot::Block(turn.at, block.at))?;
        }
        self.json.close_list();
        Ok(())
    }

    /// The text of a block that is nothing but text, as far as can be said. In the same dialect a list stays one.
    fn plain<'b>(&self, block: &'b Block) -> Option<&'b str> {
        let Part::Text { text, citations } = &block.part else { return None };
        let marked = block.cache.is_some() && self.marks();
        let listed = block.at.is_some() || !block.extra.is_empty() || !citations.is_empty();
        let more = marked || (self.losses.is_same() && listed);
        (!more).then_some(text.as_str())
    }

    /// What of a block is not in its text.
    fn unsaid(&mut self, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        self.losses.report_if(block.cache.is_some(), Thing::BlockCache, spot)?;
        let cites = matches!(&block.part, Part::Text { citations, .. } if !citations.is_empty());
        self.losses.report_if(cites, Thing::Citations, spot)?;
        // Nothing is written: with the same dialect a text with more members goes out as a part.
        self.losses.extras(&block.extra, spot, &mut Json::new(&mut Vec::new()))
    }

    fn marks(&self) -> bool {
        self.losses.is_same() || self.target.quirks.cache_marks == Some(CacheMarks::Breakpoint)
    }

    fn part(&mut self, block: &Block, of_model: bool, spot: Spot) -> Result<(), Unsupported> {
        if let Part::Other { raw, .. } = &block.part {
            self.losses.report_if(!self.losses.is_same(), Thing::OtherPart, spot)?;
            self.json.raw(raw);
            return Ok(());
        }
        self.json.open_object();
        match &block.part {
            Part::Text { text, citations } if of_model => {
                self.json.member("type", "output_text").member("text", text).key("annotations").open_list();
                let said: Vec<bool> =
                    citations.iter().map(|one| write_citation(self.json, one, None)).collect();
                self.losses.report_if(said.contains(&false), Thing::Citations, spot)?;
                self.json.close_list();
            }
            Part::Text { text, citations } => {
                self.json.member("type", "input_text").member("text", text);
                self.losses.report_if(!citations.is_empty(), Thing::Citations, spot)?;
            }
            Part::Refusal(words) => {
                self.json.member("type", "refusal").member("refusal", words);
            }
            Part::Image(media) => self.image(media, spot)?,
            Part::Document(document) => self.document(document, spot)?,
            Part::Audio(media) => self.audio(media, block, spot)?,
            Part::Video(_) => return self.losses.report(Thing::Video, spot),
            Part::Sound(_) => return self.losses.report(Thing::PastSound, spot),
            Part::Other { .. } | Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => {
                return self.losses.report(Thing::OtherPart, spot);
            }
        }
        self.cache(block.cache.as_ref(), of_model, spot)?;
        self.losses.extras(&block.extra, spot, self.json)?;
        self.json.close_object();
        Ok(())
    }

    /// The dialect takes marks on what it is given, not on what the model said.
    fn cache(&mut self, mark: Option<&CacheMark>, of_model: bool, spot: Spot) -> Result<(), Unsupported> {
        let Some(mark) = mark else { return Ok(()) };
        if !self.marks() || (of_model && !self.losses.is_same()) {
            return self.losses.report(Thing::BlockCache, spot);
        }
        self.json.key("prompt_cache_breakpoint").open_object().member("mode", "explicit");
        if let Some(seconds) = mark.ttl_seconds {
            let exact = CACHE_LIVES.iter().any(|(life, _)| *life == seconds);
            self.losses.report_if(!exact, Thing::CacheTtl, spot)?;
            // Longer than the short life asks for the long one.
            let near = CACHE_LIVES.iter().find(|(life, _)| *life >= seconds).or(CACHE_LIVES.last());
            self.json.maybe("ttl", near.map(|(_, word)| *word));
        }
        self.json.close_object();
        Ok(())
    }

    fn image(&mut self, media: &Media, spot: Spot) -> Result<(), Unsupported> {
        self.json.member("type", "input_image");
        match &media.source {
            Source::Inline { media_type, data } => {
                self.json.member("image_url", &format!("data:{media_type};base64,{data}"));
            }
            Source::Url(_) if self.target.quirks.no_image_url => {
                return self.losses.report(Thing::ImageUrl, spot);
            }
            Source::Url(url) => {
                self.json.member("image_url", url);
            }
            Source::File(id) if self.losses.is_same() => {
                self.json.member("file_id", id);
            }
            Source::File(_) => return self.losses.report(Thing::File, spot),
            Source::Text(_) | Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        }
        let usual = (!self.losses.is_same()).then_some("auto");
        self.json.maybe("detail", media.detail.as_deref().or(usual));
        Ok(())
    }

    fn document(&mut self, document: &Document, spot: Spot) -> Result<(), Unsupported> {
        self.losses.report_if(document.citations == Some(true), Thing::DocumentCitations, spot)?;
        let same = self.losses.is_same();
        let (field, value) = match &document.source {
            Source::Text(text) => {
                // Plain text needs no file: what is known of it stands before it.
                let all = [document.title.as_ref(), document.context.as_ref(), Some(text)];
                let all: Vec<&str> = all.into_iter().flatten().map(String::as_str).collect();
                self.json.member("type", "input_text").member("text", &all.join("\n\n"));
                return Ok(());
            }
            Source::Inline { media_type, data } => ("file_data", format!("data:{media_type};base64,{data}")),
            Source::Url(url) => ("file_url", url.clone()),
            Source::File(id) if same => ("file_id", id.clone()),
            Source::File(_) => return self.losses.report(Thing::File, spot),
            Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        };
        self.losses.report_if(document.context.is_some(), Thing::DocumentContext, spot)?;
        self.json.member("type", "input_file").member(field, &value);
        // Bytes without a name are refused.
        let unnamed = (field == "file_data" && !same).then_some("document.pdf");
        let named = document.title.as_deref().filter(|_| same || field == "file_data").or(unnamed);
        self.losses.report_if(named.is_none() && document.title.is_some(), Thing::DocumentTitle, spot)?;
        self.json.maybe("filename", named);
        Ok(())
    }

    /// Not among the parts that the SDK knows in a conversation; what a caller of this dialect sends goes on.
    fn audio(&mut self, media: &Media, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        match &media.source {
            Source::Inline { media_type, data } if self.losses.is_same() => {
                let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
                self.json.member("type", "input_audio").key("input_audio").open_object();
                self.json.member("data", data).member("format", format);
                self.losses.nested(&block.extra, "input_audio", self.json);
                self.json.close_object();
                Ok(())
            }
            _ => self.losses.report(Thing::Audio, spot),
        }
    }
}
