//! Items of `input` as turns. The model's items that follow each other (thoughts, one message, calls) are one turn, as in
//! dialects where they stand in one message; the turn's place is that of its message, else of its first item.

use super::super::wire::{DIALECT, unwrap};
use super::parts;
use crate::canon::{Block, Call, CallKind, Extra, Part, Reasoning, Role, ToolResult, Turn};
use crate::json::{Fields, Malformed, Value};

/// Turns that items are gathered into.
#[derive(Default)]
struct Gathered {
    turns: Vec<Turn>,
    last: Last,
}

/// What the last turn can still take.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    /// Nothing.
    #[default]
    Whole,
    /// Any of the model's items.
    Silent,
    /// Any but a message: it has one.
    Said,
}

/// A text that the user says, or a list of items.
pub(super) fn decode(value: Value<'_>) -> Result<Vec<Turn>, Malformed> {
    if value.is_text() {
        return Ok(vec![Turn::new(Role::User, vec![Block::text(value.text()?)])]);
    }
    let mut gathered = Gathered::default();
    value.each(|at, item| gathered.item(u32::try_from(at).ok(), item))?;
    Ok(gathered.turns)
}

// === impl Gathered ===

impl Gathered {
    fn item(&mut self, at: Option<u32>, value: Value<'_>) -> Result<(), Malformed> {
        let mut fields = value.fields()?;
        let kind = fields.text("type")?;
        match kind.as_deref() {
            Some("message") => self.message(at, fields),
            None if fields.peek("role").is_some() => self.message(at, fields),
            Some("reasoning") => {
                let block = reasoning(fields)?;
                self.of_model(at, block);
                Ok(())
            }
            Some("function_call") => {
                let block = call(fields, "arguments", CallKind::Function)?;
                self.of_model(at, block);
                Ok(())
            }
            Some("custom_tool_call") => {
                let block = call(fields, "input", CallKind::Custom)?;
                self.of_model(at, block);
                Ok(())
            }
            // Without the id of a call the result belongs to something that only the provider knows.
            Some("function_call_output" | "custom_tool_call_output") if fields.peek("call_id").is_some() => {
                let block = result(fields)?;
                self.push(at, Role::User, vec![block]);
                Ok(())
            }
            _ => {
                self.push(
                    at,
                    Role::User,
                    vec![Block::new(Part::Other { dialect: DIALECT, raw: value.raw() })],
                );
                Ok(())
            }
        }
    }

    fn message(&mut self, at: Option<u32>, mut fields: Fields<'_>) -> Result<(), Malformed> {
        let role = match fields.need("role", Value::text)?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            _ => return Err(Malformed::new("must be user, assistant, system or developer").within("role")),
        };
        let blocks = fields.need("content", parts::content)?;
        match self.turns.last_mut().filter(|_| role == Role::Assistant && self.last == Last::Silent) {
            Some(turn) => {
                turn.blocks.extend(blocks);
                turn.at = at;
            }
            None => self.push(at, role, blocks),
        }
        self.last = if role == Role::Assistant { Last::Said } else { Last::Whole };
        if let Some(turn) = self.turns.last_mut() {
            turn.extra = fields.rest();
        }
        Ok(())
    }

    /// A thought or a call.
    fn of_model(&mut self, at: Option<u32>, block: Block) {
        match self.turns.last_mut().filter(|_| self.last != Last::Whole) {
            Some(turn) => turn.blocks.push(block),
            None => {
                self.push(at, Role::Assistant, vec![block]);
                self.last = Last::Silent;
            }
        }
    }

    fn push(&mut self, at: Option<u32>, role: Role, blocks: Vec<Block>) {
        self.turns.push(Turn { at, ..Turn::new(role, blocks) });
        self.last = Last::Whole;
    }
}

/// What may be read of a thought is its content where the provider shows it, else its summary. If one text does not say
/// how it stood, it is kept as it was too.
fn reasoning(mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let id = fields.text("id")?;
    let sealed = fields.text("encrypted_content")?;
    let texts = |value: Value<'_>| {
        value
            .each(|_, part| part.fields()?.text("text"))
            .map(|all| all.into_iter().flatten().collect::<Vec<_>>())
    };
    let mut extra = Vec::new();
    let mut read = |name: &'static str, plain: usize| {
        let raw = fields.peek(name).map(Value::raw);
        let found = fields.with(name, texts)?.unwrap_or_default();
        let kept = raw.filter(|_| found.len() > plain);
        extra.extend(kept.map(|raw| Extra { name: name.to_owned(), within: "", raw }));
        Ok(found)
    };
    let content = read("content", 0)?;
    let summary = read("summary", 1)?;
    let text = if content.is_empty() { summary } else { content }.join("\n\n");
    let seal = sealed.map(|sealed| unwrap(id.as_deref(), &sealed));
    extra.extend(fields.rest());
    Ok(Block { extra, ..Block::new(Part::Reasoning(Box::new(Reasoning { id, text, seal }))) })
}

fn call(mut fields: Fields<'_>, words: &str, kind: CallKind) -> Result<Block, Malformed> {
    let call = Call {
        id: fields.need("call_id", Value::text)?,
        name: fields.need("name", Value::text)?,
        arguments: fields.need(words, Value::text)?,
        kind,
    };
    Ok(Block { extra: fields.rest(), ..Block::new(Part::Call(Box::new(call))) })
}

fn result(mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let result = ToolResult {
        call: fields.need("call_id", Value::text)?,
        name: fields.text("name")?,
        content: fields.need("output", parts::content)?,
        is_error: None,
    };
    Ok(Block { extra: fields.rest(), ..Block::new(Part::Result(Box::new(result))) })
}
