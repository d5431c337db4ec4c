//! Between streams and whole replies: a reply is the fold of its stream, and can be unfolded into one.

use super::part::Sound;
use super::{
    Block, CHOICES_LIMIT, Call, Choice, Delta, Event, Head, Media, Part, Reasoning, Response, Source,
};

/// Gathers a stream into a whole reply. Its size is the reply's; whoever feeds it bounds that.
#[derive(Debug, Default)]
pub struct Fold {
    response: Response,
    /// Choice and place of each block, by number.
    places: Vec<(usize, usize)>,
}

// === impl Fold ===

impl Fold {
    /// Takes in the next event of a legal stream. `Fault` is left to who feeds it.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Start { id, model, created, usage } => {
                self.response.id.clone_from(id);
                self.response.model.clone_from(model);
                self.response.created = *created;
                self.response.usage = *usage;
            }
            Event::Open { choice, head, .. } => self.open(*choice, head),
            Event::Delta { block, delta } => self.more(*block, delta),
            Event::Logprobs { choice, raw } => {
                self.choice(*choice).into_iter().for_each(|choice| choice.logprobs.push(raw.clone()));
            }
            Event::Stop { choice, stop } => {
                self.choice(*choice).into_iter().for_each(|choice| choice.stop = Some(stop.clone()));
            }
            Event::Usage(usage) => self.response.usage = Some(*usage),
            Event::Tier(tier) => self.response.service_tier = Some(tier.clone()),
            Event::Close { .. } | Event::Fault(_) | Event::End => {}
        }
    }

    /// The reply so far.
    #[must_use]
    pub fn finish(self) -> Response {
        self.response
    }

    /// Choices are numbered below `CHOICES_LIMIT`, by the grammar.
    fn choice(&mut self, number: u32) -> Option<&mut Choice> {
        let at = number.min(CHOICES_LIMIT - 1) as usize;
        let choices = &mut self.response.choices;
        if choices.len() <= at {
            choices.resize_with(at + 1, Choice::default);
        }
        choices.get_mut(at)
    }

    fn open(&mut self, choice: u32, head: &Head) {
        let part = match head {
            Head::Text => Part::Text { text: String::new(), citations: Vec::new() },
            Head::Refusal => Part::Refusal(String::new()),
            Head::Reasoning { id } => {
                Part::Reasoning(Box::new(Reasoning { id: id.clone(), ..Reasoning::default() }))
            }
            Head::Call { id, name, kind } => Part::Call(Box::new(Call {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
                kind: *kind,
            })),
            Head::Image { media_type } => Part::Image(Media {
                source: Source::Inline { media_type: media_type.clone(), data: String::new() },
                detail: None,
            }),
            Head::Sound { id } => Part::Sound(Box::new(Sound { id: id.clone(), ..Sound::default() })),
            Head::Other { dialect, raw } => Part::Other { dialect: *dialect, raw: raw.clone() },
        };
        let Some(answer) = self.choice(choice) else { return };
        let place = answer.blocks.len();
        answer.blocks.push(Block::new(part));
        self.places.push((choice as usize, place));
    }

    fn more(&mut self, block: u32, delta: &Delta) {
        let Some((choice, place)) = self.places.get(block as usize).copied() else { return };
        let choice = self.response.choices.get_mut(choice);
        let Some(block) = choice.and_then(|choice| choice.blocks.get_mut(place)) else { return };
        match (&mut block.part, delta) {
            (Part::Text { text, .. } | Part::Refusal(text), Delta::Text(more)) => text.push_str(more),
            (Part::Text { citations, .. }, Delta::Citation(citation)) => citations.push((**citation).clone()),
            (Part::Reasoning(thought), Delta::Text(more)) => thought.text.push_str(more),
            (Part::Reasoning(thought), Delta::Seal(seal)) => thought.seal = Some(seal.clone()),
            (Part::Call(call), Delta::Text(more)) => call.arguments.push_str(more),
            (Part::Sound(sound), Delta::Text(more)) => sound.data.push_str(more),
            (Part::Sound(sound), Delta::Transcript(more)) => sound.transcript.push_str(more),
            (Part::Sound(sound), Delta::Expires(at)) => sound.expires_at = Some(*at),
            (Part::Image(Media { source: Source::Inline { data, .. }, .. }), Delta::Text(more)) => {
                data.push_str(more);
            }
            _ => {}
        }
    }
}

/// The stream of a whole reply: each block in one piece. An answer that has not stopped makes none.
#[must_use]
pub fn unfold(response: &Response) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: response.id.clone(),
        model: response.model.clone(),
        created: response.created,
        usage: None,
    }];
    let mut number = 0..;
    for (choice, answer) in (0..).zip(&response.choices) {
        let mut logprobs = answer.logprobs.iter().map(|raw| Event::Logprobs { choice, raw: raw.clone() });
        let last = answer.blocks.iter().rposition(|block| matches!(block.part, Part::Text { .. }));
        for ((at, block), number) in answer.blocks.iter().enumerate().zip(&mut number) {
            if let Some((head, deltas)) = pieces(&block.part) {
                events.push(Event::Open { choice, block: number, head });
                events.extend(deltas.into_iter().map(|delta| Event::Delta { block: number, delta }));
                // While the text that they are of is open.
                if Some(at) == last {
                    events.extend(logprobs.by_ref());
                }
                events.push(Event::Close { block: number });
            }
        }
        events.extend(logprobs);
        events.extend(answer.stop.iter().map(|stop| Event::Stop { choice, stop: stop.clone() }));
    }
    events.extend(response.service_tier.iter().cloned().map(Event::Tier));
    events.extend(response.usage.map(Event::Usage));
    events.push(Event::End);
    events
}

/// A block as its head and what follows; none for parts that no reply has.
fn pieces(part: &Part) -> Option<(Head, Vec<Delta>)> {
    let text = |text: &String| (!text.is_empty()).then(|| Delta::Text(text.clone()));
    Some(match part {
        Part::Text { text: words, citations } => {
            let sources = citations.iter().map(|citation| Delta::Citation(Box::new(citation.clone())));
            (Head::Text, text(words).into_iter().chain(sources).collect())
        }
        Part::Refusal(words) => (Head::Refusal, Vec::from_iter(text(words))),
        Part::Reasoning(thought) => {
            let seal = thought.seal.clone().map(Delta::Seal);
            (
                Head::Reasoning { id: thought.id.clone() },
                text(&thought.text).into_iter().chain(seal).collect(),
            )
        }
        Part::Call(call) => (
            Head::Call { id: call.id.clone(), name: call.name.clone(), kind: call.kind },
            Vec::from_iter(text(&call.arguments)),
        ),
        Part::Sound(sound) => {
            let transcript = Some(&sound.transcript).filter(|words| !words.is_empty());
            let transcript = transcript.map(|words| Delta::Transcript(words.clone()));
            let expires = sound.expires_at.map(Delta::Expires);
            let deltas = text(&sound.data).into_iter().chain(transcript).chain(expires).collect();
            (Head::Sound { id: sound.id.clone() }, deltas)
        }
        Part::Image(Media { source: Source::Inline { media_type, data }, .. }) => {
            (Head::Image { media_type: media_type.clone() }, Vec::from_iter(text(data)))
        }
        Part::Other { dialect, raw } => (Head::Other { dialect: *dialect, raw: raw.clone() }, Vec::new()),
        Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Document(_) | Part::Result(_) => {
            return None;
        }
    })
}
