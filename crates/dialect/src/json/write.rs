//! Writes JSON into a buffer, in one pass, without a tree. Commas look after themselves: one is due unless the last byte
//! opens something or ends a key.

use crate::canon::{Extra, Raw};

/// JSON being written. Whoever opens something closes it.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    out: &'a mut Vec<u8>,
    /// True where the next value or key is the first of its object, list or document, or follows its key.
    fresh: bool,
}

// === impl Json ===

impl<'a> Json<'a> {
    /// Begins a document at the end of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, fresh: true }
    }

    pub(crate) fn open_object(&mut self) -> &mut Self {
        self.begin(b'{')
    }

    pub(crate) fn close_object(&mut self) -> &mut Self {
        self.end(b'}')
    }

    pub(crate) fn open_list(&mut self) -> &mut Self {
        self.begin(b'[')
    }

    pub(crate) fn close_list(&mut self) -> &mut Self {
        self.end(b']')
    }

    /// The name of the value that comes next.
    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(b':');
        self.fresh = true;
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.comma();
        // Writing text to memory cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, text);
        self
    }

    pub(crate) fn raw(&mut self, raw: &Raw) -> &mut Self {
        self.literal(raw.as_str())
    }

    /// Text that is JSON already.
    pub(crate) fn literal(&mut self, json: &str) -> &mut Self {
        self.comma();
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.literal(if flag { "true" } else { "false" })
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.literal("null")
    }

    pub(crate) fn count(&mut self, count: u64) -> &mut Self {
        self.number(count)
    }

    /// A number; one that JSON cannot write becomes `null`.
    pub(crate) fn number(&mut self, number: impl serde::Serialize) -> &mut Self {
        self.comma();
        let _ = serde_json::to_writer(&mut *self.out, &number);
        self
    }

    // Members: key and value at once; of a value that is not there, nothing.

    pub(crate) fn member(&mut self, name: &str, text: &str) -> &mut Self {
        self.key(name).text(text)
    }

    pub(crate) fn maybe(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.member(name, text),
            None => self,
        }
    }

    pub(crate) fn maybe_flag(&mut self, name: &str, flag: Option<bool>) -> &mut Self {
        match flag {
            Some(flag) => self.key(name).flag(flag),
            None => self,
        }
    }

    pub(crate) fn maybe_number(&mut self, name: &str, number: Option<impl serde::Serialize>) -> &mut Self {
        match number {
            Some(number) => self.key(name).number(number),
            None => self,
        }
    }

    pub(crate) fn maybe_raw(&mut self, name: &str, raw: Option<&Raw>) -> &mut Self {
        match raw {
            Some(raw) => self.key(name).raw(raw),
            None => self,
        }
    }

    /// An object of members that may all be missing: if `write` writes none, nothing is written.
    pub(crate) fn object_if_any<E>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let (start, fresh) = (self.out.len(), self.fresh);
        self.key(name).open_object();
        let empty = self.out.len();
        write(self)?;
        if self.out.len() == empty {
            self.out.truncate(start);
            self.fresh = fresh;
        } else {
            self.close_object();
        }
        Ok(())
    }

    /// The members that are left over of one object of a level.
    pub(crate) fn extras(&mut self, extra: &[Extra], of: &str) -> &mut Self {
        for Extra { name, raw, .. } in extra.iter().filter(|extra| extra.within == of) {
            self.key(name).raw(raw);
        }
        self
    }

    fn begin(&mut self, bracket: u8) -> &mut Self {
        self.comma();
        self.out.push(bracket);
        self.fresh = true;
        self
    }

    fn end(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self.fresh = false;
        self
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.fresh) {
            self.out.push(b',');
        }
    }
}
