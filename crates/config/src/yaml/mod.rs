//! YAML as a tree whose nodes know their line. Bounded: size, depth, nodes and what aliases may add.

mod de;
mod fault;
mod parse;
mod read;
mod substitute;

use zeroize::Zeroizing;

pub use parse::FILE_LIMIT;
pub(crate) use parse::parse;
pub(crate) use read::{PROBLEM_LIMIT, from_json, read};
pub(crate) use substitute::substitute;

/// One value and the line on which it, or its key, begins.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// The text is wiped on drop: it may be a secret.
#[derive(Clone)]
pub(crate) struct Scalar {
    pub(crate) text: Zeroizing<String>,
    /// True: `null`, `true` and numbers mean themselves. False: quoted or from the environment, so always text.
    pub(crate) plain: bool,
}

// === impl Node ===

impl Node {
    fn scalar(line: usize, text: String, plain: bool) -> Self {
        Self { line, kind: Kind::Scalar(Scalar { text: Zeroizing::new(text), plain }) }
    }

    /// Levels below this one.
    fn height(&self) -> usize {
        let below =
            |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(|node| node.height() + 1).max().unwrap_or(0);
        match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::Sequence(items) => below(&mut items.iter()),
            Kind::Mapping(entries) => below(&mut entries.iter().map(|(_, value)| value)),
        }
    }

    /// The names in one section.
    pub(crate) fn names(&self, section: &str) -> impl Iterator<Item = &str> {
        let section = self.entries().iter().find(|(name, _)| name == section);
        section.into_iter().flat_map(|(_, node)| node.entries()).map(|(name, _)| name.as_str())
    }

    fn entries(&self) -> &[(String, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(_) | Kind::Sequence(_) => &[],
        }
    }

    /// Calls `visit` with the path and line of this node and of all below it.
    pub(crate) fn walk(&self, path: &str, visit: &mut impl FnMut(&str, usize)) {
        visit(path, self.line);
        match &self.kind {
            Kind::Scalar(_) => {}
            Kind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.walk(&crate::path::item(path, index), visit);
                }
            }
            Kind::Mapping(entries) => {
                for (name, value) in entries {
                    value.walk(&crate::path::field(path, name), visit);
                }
            }
        }
    }
}

// === impl Scalar ===

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}
