//! Pictures, sound and documents as parts of a message.

use super::messages::Pen;
use crate::canon::{Block, Document, Media, Source};
use crate::losses::{Spot, Thing, Unsupported};

// === impl Pen ===

impl Pen<'_, '_, '_> {
    pub(super) fn image(&mut self, media: &Media, block: &Block, spot: Spot) -> Result<(), Unsupported> {
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

    pub(super) fn audio(&mut self, media: &Media, block: &Block, spot: Spot) -> Result<(), Unsupported> {
        let Source::Inline { media_type, data } = &media.source else {
            return self.losses.report(Thing::Audio, spot);
        };
        let format = match media_type.strip_prefix("audio/") {
            Some("wav" | "x-wav" | "wave") => "wav",
            Some("mp3" | "mpeg") => "mp3",
            Some(other) if self.losses.is_same() => other,
            _ => return self.losses.report(Thing::Audio, spot),
        };
        self.json.member("type", "input_audio").key("input_audio").open_object();
        self.json.member("data", data).member("format", format);
        self.losses.nested(&block.extra, "input_audio", self.json);
        self.json.close_object();
        Ok(())
    }

    pub(super) fn document(
        &mut self,
        document: &Document,
        block: &Block,
        spot: Spot,
    ) -> Result<(), Unsupported> {
        self.losses.report_if(document.citations == Some(true), Thing::DocumentCitations, spot)?;
        let told = document.context.is_some();
        let (field, value) = match &document.source {
            Source::Text(text) => {
                // Plain text needs no file: what is known of it stands before it.
                let all = [document.title.as_ref(), document.context.as_ref(), Some(text)];
                let all: Vec<&str> = all.into_iter().flatten().map(String::as_str).collect();
                self.json.member("type", "text").member("text", &all.join("\n\n"));
                return Ok(());
            }
            Source::Inline { media_type, data } => ("file_data", format!("data:{media_type};base64,{data}")),
            Source::File(id) if self.losses.is_same() => ("file_id", id.clone()),
            Source::Url(url) if self.losses.is_same() => ("file_data", url.clone()),
            Source::File(_) => return self.losses.report(Thing::File, spot),
            Source::Url(_) => return self.losses.report(Thing::DocumentUrl, spot),
            Source::Other(..) => return self.losses.report(Thing::OtherSource, spot),
        };
        self.losses.report_if(told, Thing::DocumentContext, spot)?;
        self.json.member("type", "file").key("file").open_object().member(field, &value);
        // Bytes without a name are refused.
        let unnamed = (field == "file_data" && !self.losses.is_same()).then_some("document.pdf");
        self.json.maybe("filename", document.title.as_deref().or(unnamed));
        self.losses.nested(&block.extra, "file", self.json);
        self.json.close_object();
        Ok(())
    }
}
