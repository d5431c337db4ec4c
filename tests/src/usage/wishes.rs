//! What is asked, decided by a number alone: the same number is always the same request.

use keyway_testkit::billing::{Kind, Order, Told};

use super::world::{CLIENTS, Client};

/// One request.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Who asks.
    pub client: Client,
    /// By which API.
    pub kind: Kind,
    /// For what.
    pub model: &'static str,
    /// What is to be answered; without a name yet.
    pub order: Order,
    /// The gateway refuses it with this status, and no provider sees it.
    pub refused: Option<u16>,
}

const CHAT: [&str; 9] = [
    "openai/gpt-4.1",
    "openai/gpt-5-mini",
    "openai/gpt-5.4",
    "own/house",
    "own/tiny",
    "own/tiny",
    "own/gratis",
    "own/nothing",
    "mix",
];
const RESPONSES: [&str; 3] = ["openai/gpt-4.1", "openai/gpt-5-mini", "openai/gpt-5.4"];
const MESSAGES: [&str; 2] = ["anthropic/claude-haiku-4-5", "anthropic/claude-haiku-5-5"];
/// Of a quarter of those that could have one.
const TIERS: [&str; 5] = ["flex", "priority", "default", "auto", "scale"];
/// What a text is made of: escapes and characters of two to four bytes.
const NOISE: [&str; 6] = ["word ", "\"so\" ", "lines\n\t", "Größe ", "漢字", "🦀 "];

/// The request of this number.
#[must_use]
pub fn wish(number: u64) -> Wish {
    let mut dice = Dice(number);
    let client = *dice.one_of(&CLIENTS);
    let order = Order { client: client.name.to_owned(), tags: tags(&mut dice), ..Order::default() };
    let (kind, model) = match dice.below(100) {
        0..2 => {
            return Wish { client, kind: Kind::Chat, model: "own-or-nobodys", order, refused: Some(404) };
        }
        2..10 => (Kind::Embeddings, "openai/text-embedding-3-small"),
        10..14 => (Kind::Images, "openai/gpt-image-1"),
        14..34 => (Kind::Messages, *dice.one_of(&MESSAGES)),
        34..52 => (Kind::Responses, *dice.one_of(&RESPONSES)),
        _ => (Kind::Chat, *dice.one_of(&CHAT)),
    };
    let denied = client.name == "eve" && (model.starts_with("openai/") || model == "mix");
    let alias = if model == "mix" { model.to_owned() } else { String::new() };
    let order = Order { alias, ..filled(order, kind, model, &mut dice) };
    Wish { client, kind, model, order, refused: denied.then_some(403) }
}

/// The request of this number by an API that its model's provider does not speak, so that it must be translated.
/// `None`: it is none for text, or nothing comes of it.
#[must_use]
pub fn crossed(number: u64) -> Option<Wish> {
    let wish = wish(number);
    let is_text = matches!(wish.kind, Kind::Chat | Kind::Responses | Kind::Messages);
    // Both providers of the catalogue speak two.
    let speaks: &[Kind] = match wish.model.split('/').next() {
        Some("anthropic") => &[Kind::Messages, Kind::Chat],
        Some("openai") => &[Kind::Chat, Kind::Responses],
        _ => &[Kind::Chat],
    };
    let mut others = vec![Kind::Chat, Kind::Responses, Kind::Messages];
    others.retain(|kind| !speaks.contains(kind) && (wish.model != "mix" || *kind == Kind::Messages));
    let kind = *Dice(number).one_of(&others);
    (is_text && wish.refused.is_none()).then_some(Wish { kind, ..wish })
}

fn tags(dice: &mut Dice) -> Vec<String> {
    match dice.below(5) {
        0 | 1 => Vec::new(),
        2 => vec![format!("run={}", dice.below(4))],
        3 => vec!["agent=coder".to_owned(), format!("run={}", dice.below(2))],
        _ => vec!["agent=writer".to_owned()],
    }
}

fn filled(order: Order, kind: Kind, model: &str, dice: &mut Dice) -> Order {
    let order = Order { fails: fails(kind, dice), input: 1 + dice.below(5000), ..order };
    match kind {
        Kind::Embeddings => order,
        Kind::Images => Order { images: dice.below(3) * 1000, output: 1 + dice.below(4000), ..order },
        Kind::Chat | Kind::Responses | Kind::Messages => text(order, kind, model, dice),
    }
}

fn fails(kind: Kind, dice: &mut Dice) -> Vec<u16> {
    let statuses: &[u16] = if kind == Kind::Messages { &[500, 529] } else { &[500, 503, 429] };
    let count = match dice.below(100) {
        0..6 => 1,
        6..8 => 2,
        8 => 9,
        _ => 0,
    };
    (0..count).map(|_| *dice.one_of(statuses)).collect()
}

/// A request for text.
fn text(order: Order, kind: Kind, model: &str, dice: &mut Dice) -> Order {
    let output = 1 + dice.below(2000);
    let mut order = Order {
        output,
        reasoning: if kind == Kind::Messages { 0 } else { dice.below(output) },
        words: (0..1 + dice.below(12)).map(|place| word(place, dice)).collect(),
        stream: dice.below(2) == 0,
        ..order
    };
    if dice.below(3) == 0 {
        order.cached = dice.below(10_000);
    }
    if kind == Kind::Messages && dice.below(2) == 0 {
        (order.written, order.written_1h) = (dice.below(3000), dice.below(3000));
    }
    // Beside the lengths at which prices change, and far beyond.
    let edge = if model.ends_with("haiku-5-5") { 100_000 } else { 272_000 };
    if (model.ends_with("gpt-5.4") || model.ends_with("haiku-5-5")) && dice.below(2) == 0 {
        order.input = edge - order.cached - order.written - order.written_1h + *dice.one_of(&[0, 1, 50_000]);
    }
    let tiered = model.starts_with("openai/") || model == "mix";
    // The dear tier has no price of its own for long prompts, nor says the list which one holds.
    if tiered && !model.ends_with("gpt-5.4") && dice.below(4) == 0 {
        order.tier = Some((*dice.one_of(&TIERS)).to_owned());
    } else if model.ends_with("gpt-5.4") && dice.below(4) == 0 {
        order.tier = Some("flex".to_owned());
    }
    match dice.below(100) {
        0..10 if order.stream => order.leave_after = Some(1 + dice.index(order.words.len())),
        10..14 if order.stream => order.break_after = Some(1 + dice.index(order.words.len())),
        14..18 => order.told = *dice.one_of(&[Told::Nothing, Told::Negative, Told::Absurd]),
        _ => {}
    }
    order
}

/// One that can be told from the others on the wire.
fn word(place: u64, dice: &mut Dice) -> String {
    let noise: String = (0..1 + dice.below(4)).map(|_| *dice.one_of(&NOISE)).collect();
    format!("{noise}~{place}~")
}

/// Numbers that look random: SplitMix64.
struct Dice(u64);

// === impl Dice ===

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    #[expect(clippy::indexing_slicing, reason = "an index below the length")]
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Holds = fn(&Wish) -> bool;

    #[test]
    fn ten_thousand_wishes_hold_everything() {
        let wishes: Vec<Wish> = (0..10_000).map(wish).collect();
        let count = |holds: Holds| wishes.iter().filter(|one| holds(one)).count();
        let kinds: [(&str, Holds); 12] = [
            ("refused", |one| one.refused == Some(404)),
            ("denied", |one| one.refused == Some(403)),
            ("left", |one| one.order.leave_after.is_some() && one.kind == Kind::Messages),
            ("left", |one| one.order.leave_after.is_some() && one.kind == Kind::Chat),
            ("broken", |one| one.order.break_after.is_some()),
            ("estimated", |one| one.order.told != Told::Truth),
            ("all fail", |one| one.order.fails.len() == 9),
            ("written", |one| one.order.written_1h > 0),
            ("long", |one| one.order.input > 100_000),
            ("without price", |one| one.model == "own/nothing" || one.order.tier.as_deref() == Some("scale")),
            ("alias", |one| one.model == "mix" && !one.order.fails.is_empty()),
            ("tagged", |one| one.order.tags.len() == 2),
        ];
        for (what, holds) in kinds {
            assert!(count(holds) >= 20, "{what}: {}", count(holds));
        }
        assert_eq!(format!("{:?}", wish(7)), format!("{:?}", wish(7)));
    }
}
