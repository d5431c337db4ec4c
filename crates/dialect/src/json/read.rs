//! One JSON object as its members, taken by name; what was not taken is left over.

use crate::canon::{Extra, Raw};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Members of one object that is read; more are refused.
pub(crate) const MEMBERS_LIMIT: usize = 256;
/// Items of one list that is read; more are refused.
pub(crate) const LIST_LIMIT: usize = 16 * 1024;

/// A body that a dialect does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct Malformed {
    /// The JSON path of the field; empty for the whole body.
    pub path: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// One value, not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a>(&'a RawValue);

/// The members of one object.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: Vec<(Cow<'a, str>, Option<&'a RawValue>)>,
    /// Names that stand for others: what they are read by, and what they were.
    renamed: Vec<(String, Cow<'a, str>)>,
}

// === impl Malformed ===

impl Malformed {
    /// Something is wrong here.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { path: String::new(), what }
    }

    /// A field that must be there is not.
    pub(crate) fn missing(name: &str) -> Self {
        Self::new("is required").within(name)
    }

    /// The same, seen from the object that holds `name`.
    #[must_use]
    pub(crate) fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    /// The same, seen from the list that holds item `index`.
    #[must_use]
    pub(crate) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// The one value of a body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(body).map(Self).map_err(|_| Malformed::new("is not JSON"))
    }

    /// A value that a derived parser has left as it was.
    pub(crate) fn of(raw: &'a RawValue) -> Self {
        Self(raw)
    }

    /// Its text.
    pub(crate) fn raw(self) -> Raw {
        Raw::of(self.0)
    }

    pub(crate) fn is_text(self) -> bool {
        self.first() == b'"'
    }

    pub(crate) fn is_list(self) -> bool {
        self.first() == b'['
    }

    pub(crate) fn is_object(self) -> bool {
        self.first() == b'{'
    }

    pub(crate) fn is_null(self) -> bool {
        self.first() == b'n'
    }

    pub(crate) fn text(self) -> Result<String, Malformed> {
        self.read("must be a string")
    }

    pub(crate) fn flag(self) -> Result<bool, Malformed> {
        self.read("must be true or false")
    }

    pub(crate) fn count(self) -> Result<u64, Malformed> {
        self.read("must be a whole number, 0 or more")
    }

    pub(crate) fn whole(self) -> Result<i64, Malformed> {
        self.read("must be a whole number")
    }

    pub(crate) fn number(self) -> Result<f64, Malformed> {
        self.read("must be a number")
    }

    /// A number as it was written.
    pub(crate) fn number_text(self) -> Result<Raw, Malformed> {
        self.number().map(|_| self.raw())
    }

    pub(crate) fn fields(self) -> Result<Fields<'a>, Malformed> {
        Fields::of(self)
    }

    /// The value of an object, kept as it is.
    pub(crate) fn object(self) -> Result<Raw, Malformed> {
        if self.is_object() { Ok(self.raw()) } else { Err(Malformed::new("must be an object")) }
    }

    /// Reads every item of a list; faults name the item.
    pub(crate) fn each<T>(
        self,
        mut read: impl FnMut(usize, Value<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let items: Items<'a> = self.read("must be a list, of at most 16384 items")?;
        items.0.into_iter().enumerate().map(|(at, item)| read(at, item).map_err(|bad| bad.at(at))).collect()
    }

    fn read<T: Deserialize<'a>>(self, what: &'static str) -> Result<T, Malformed> {
        serde_json::from_str(self.0.get()).map_err(|_| Malformed::new(what))
    }

    fn first(self) -> u8 {
        self.0.get().as_bytes().first().copied().unwrap_or_default()
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(crate) fn of(value: Value<'a>) -> Result<Self, Malformed> {
        if !value.is_object() {
            return Err(Malformed::new("must be an object"));
        }
        let members: Members<'a> = value.read("has a member twice, or more than 256 members")?;
        Ok(Self { members: members.0, renamed: Vec::new() })
    }

    /// The same members, to be taken by the names that `rename` gives, for dialects that spell one name in two ways. What
    /// is left over keeps its own.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, Malformed> {
        for (key, _) in &mut self.members {
            if let Some(name) = rename(key) {
                let old = std::mem::replace(key, Cow::Owned(name.clone()));
                self.renamed.push((name, old));
            }
        }
        let count = |name: &str| self.members.iter().filter(|(key, _)| key == name).count();
        if self.renamed.iter().any(|(name, _)| count(name) > 1) {
            return Err(Malformed::new("has a member twice"));
        }
        Ok(self)
    }

    /// Takes a member out; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let (_, value) = self.members.iter_mut().find(|(key, _)| key == name)?;
        value.take().map(Value).filter(|value| !value.is_null())
    }

    /// The value of a member that stays.
    pub(crate) fn peek(&self, name: &str) -> Option<Value<'a>> {
        let (_, value) = self.members.iter().find(|(key, _)| key == name)?;
        value.map(Value).filter(|value| !value.is_null())
    }

    /// Takes and reads a member; faults name it.
    pub(crate) fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.take(name).map(|value| read(value).map_err(|bad| bad.within(name))).transpose()
    }

    /// As `with`, for a member that must be there.
    pub(crate) fn need<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.with(name, read)?.ok_or_else(|| Malformed::missing(name))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        self.with(name, Value::text)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        self.with(name, Value::flag)
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Malformed> {
        self.with(name, Value::count)
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, Malformed> {
        self.with(name, Value::number)
    }

    pub(crate) fn raw(&mut self, name: &str) -> Option<Raw> {
        self.take(name).map(Value::raw)
    }

    /// What was not taken, `null` too.
    pub(crate) fn rest(self) -> Vec<Extra> {
        let mut extra = Vec::new();
        self.leave("", &mut extra);
        extra
    }

    /// Adds what was not taken of an object that is `within` a level to what is left over of that level.
    pub(crate) fn leave(self, within: &'static str, extra: &mut Vec<Extra>) {
        let Self { members, renamed } = self;
        extra.extend(members.into_iter().filter_map(|(name, value)| {
            let old = renamed.iter().find(|(new, _)| *new == name).map(|(_, old)| old.clone());
            Some(Extra { name: old.unwrap_or(name).into_owned(), within, raw: Raw::of(value?) })
        }));
    }
}

/// Fails the value where a bound does not hold; who reads it knows which.
fn within<E: Error>(bound: bool) -> Result<(), E> {
    if bound { Ok(()) } else { Err(E::custom("over a bound")) }
}

/// A list's items, at most `LIST_LIMIT`.
struct Items<'a>(Vec<Value<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;

        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Vec<Value<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<&'de RawValue>()? {
                    within(items.len() < LIST_LIMIT)?;
                    items.push(Value(item));
                }
                Ok(items)
            }
        }

        from.deserialize_seq(ItemsVisitor).map(Items)
    }
}

/// A key, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members, at most `MEMBERS_LIMIT`, none twice.
struct Members<'a>(Vec<(Cow<'a, str>, Option<&'a RawValue>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(Cow<'de, str>, Option<&'de RawValue>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::with_capacity(8);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    within(members.len() < MEMBERS_LIMIT && members.iter().all(|(name, _)| *name != key))?;
                    members.push((key, Some(value)));
                }
                Ok(members)
            }
        }

        from.deserialize_map(MembersVisitor).map(Members)
    }
}
