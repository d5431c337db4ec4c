//! Tree to typed value, with every fault found rather than the first only.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::{Kind, Node};
use crate::path;
use crate::problem::Problem;

/// Faults reported at most.
pub(crate) const PROBLEM_LIMIT: usize = 50;

/// Reads the tree as a `T`. A field at fault is reported, taken out, and the rest is read again, so that one
/// run names all that is wrong. Consumes the tree's faulty parts. Gives what could be read, if anything.
pub(crate) fn read<T: DeserializeOwned>(node: &mut Node) -> (Option<T>, Vec<Problem>) {
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(&*node) {
            Ok(value) => return (Some(value), problems),
            Err(error) => error,
        };
        let field = shown(error.path());
        // What was taken out a moment ago is not missing besides.
        let taken = error.inner().missing().map(|missing| path::field(&field, missing));
        if !taken.is_some_and(|taken| problems.iter().any(|problem| problem.field.starts_with(&taken))) {
            problems.push(Problem::new(field, error.inner().to_string()));
        }
        let steps: Vec<&Segment> = error.path().iter().collect();
        if problems.len() >= PROBLEM_LIMIT || !remove(node, &steps) {
            return (None, problems);
        }
    }
}

/// The path as it is shown.
fn shown(path: &Path) -> String {
    path.iter().fold(String::new(), |shown, segment| match segment {
        Segment::Seq { index } => path::item(&shown, *index),
        Segment::Map { key } => path::field(&shown, key),
        Segment::Enum { .. } | Segment::Unknown => shown,
    })
}

/// Takes out what stands at the path, or the nearest thing above it; false if that is the whole.
fn remove(node: &mut Node, steps: &[&Segment]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return false };
    match (&mut node.kind, step) {
        (Kind::Mapping(entries), Segment::Map { key }) => {
            let Some(place) = entries.iter().position(|(name, _)| name == key) else { return false };
            if !entries.get_mut(place).is_some_and(|(_, value)| remove(value, rest)) {
                entries.remove(place);
            }
            true
        }
        (Kind::Sequence(items), Segment::Seq { index }) if *index < items.len() => {
            // Never an item alone: the places of those behind it would no longer be true. Then the list goes.
            items.get_mut(*index).is_some_and(|item| remove(item, rest))
        }
        (_, Segment::Enum { .. } | Segment::Unknown) => remove(node, rest),
        _ => false,
    }
}

/// A JSON value as a tree. All its texts are taken as they stand: `${NAME}` means nothing there.
pub(crate) fn from_json(value: &Value) -> Node {
    let scalar = |text: String, plain| Node::scalar(0, text, plain);
    match value {
        Value::Null => scalar(String::new(), true),
        Value::Bool(value) => scalar(value.to_string(), true),
        Value::Number(number) => scalar(number.to_string(), true),
        Value::String(text) => scalar(text.clone(), false),
        Value::Array(items) => Node { line: 0, kind: Kind::Sequence(items.iter().map(from_json).collect()) },
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
            Node { line: 0, kind: Kind::Mapping(entries) }
        }
    }
}
