//! Text to tree.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::{Kind, Node};
use crate::problem::Problem;

/// Bytes of a file at most. 100,000 clients take about 7 MB.
pub const FILE_LIMIT: usize = 16 << 20;
/// Levels of nesting at most; a complete file needs six.
const DEPTH_LIMIT: usize = 32;
/// Nodes at most, those that aliases repeat included.
const NODE_LIMIT: usize = 1_000_000;

/// Reads one document. Stops at the first fault of syntax; goes on after a repeated key.
pub(crate) fn parse(text: &str, file: &str) -> Result<(Node, Vec<Problem>), Problem> {
    if text.len() > FILE_LIMIT {
        return Err(Problem::new("", format!("{file}: is larger than 16 MiB; split it and apply the parts")));
    }
    let mut tree = Tree {
        parser: Parser::new_from_str(text),
        file,
        text,
        anchors: Vec::new(),
        nodes: 0,
        repeated: Vec::new(),
    };
    let root = tree.document()?;
    Ok((root, tree.repeated))
}

struct Tree<'t> {
    parser: Parser<'t, StrInput<'t>>,
    file: &'t str,
    text: &'t str,
    anchors: Vec<Anchor>,
    nodes: usize,
    repeated: Vec<Problem>,
}

/// A value that aliases may repeat.
struct Anchor {
    id: usize,
    node: Node,
    nodes: usize,
    height: usize,
}

impl<'t> Tree<'t> {
    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(self.problem(span, "holds more than one document; keep one"));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node::scalar(1, String::new(), true)))
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let line = error.marker().line();
                let written = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
                let quote =
                    if written.contains("${") { "; put quotes round ${...} inside { } and [ ]" } else { "" };
                // The parser's sentence names characters and rules, never a scalar's text.
                Err(Problem::new("", format!("is not valid YAML: {}{quote}", error.info()))
                    .at(self.file, line))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        let before = self.nodes;
        self.count(1, span)?;
        if depth > DEPTH_LIMIT {
            return Err(self.problem(span, "is nested too deep"));
        }
        let line = span.start.line();
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag =
                    tag.as_ref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                if tag.is_some() && !text_tag {
                    return Err(self.problem(span, "has a YAML tag; remove it"));
                }
                let plain = style == ScalarStyle::Plain && !text_tag;
                (Node::scalar(line, text.into_owned(), plain), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                (Node { line, kind: Kind::Sequence(self.items(depth)?) }, anchor)
            }
            Event::MappingStart(anchor, _) => {
                (Node { line, kind: Kind::Mapping(self.entries(depth)?) }, anchor)
            }
            Event::Alias(id) => return self.repeat(id, span, depth),
            _ => return Err(self.problem(span, "is not valid YAML")),
        };
        if anchor != 0 {
            let (node, nodes, height) = (node.clone(), self.nodes - before, node.height());
            self.anchors.push(Anchor { id: anchor, node, nodes, height });
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Node)>, Problem> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut names = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(self.problem(span, "a key must be a plain name")),
            };
            let (event, value_span) = self.next()?;
            let mut value = self.node(event, value_span, depth + 1)?;
            // A field is where its name stands, not where its value begins.
            value.line = span.start.line();
            if name == "<<" {
                return Err(self.problem(span, "merge keys (<<) are not supported; write the fields out"));
            }
            if !names.insert(name.clone()) {
                let field = crate::path::field("", &name);
                self.repeated.push(
                    Problem::new(field, "stands twice in the same mapping; keep one")
                        .at(self.file, span.start.line()),
                );
            } else {
                entries.push((name, value));
            }
        }
    }

    fn repeat(&mut self, id: usize, span: Span, depth: usize) -> Result<Node, Problem> {
        let Some(place) = self.anchors.iter().rposition(|anchor| anchor.id == id) else {
            return Err(self.problem(span, "refers to an anchor that is not complete"));
        };
        let Some(anchor) = self.anchors.get(place) else {
            return Err(self.problem(span, "is not valid YAML"));
        };
        let (nodes, height, node) = (anchor.nodes, anchor.height, anchor.node.clone());
        self.count(nodes, span)?;
        if depth + height > DEPTH_LIMIT {
            return Err(self.problem(span, "is nested too deep"));
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Problem> {
        self.nodes += more;
        if self.nodes > NODE_LIMIT {
            return Err(self.problem(span, "has too many values (aliases count in full)"));
        }
        Ok(())
    }

    fn problem(&self, span: Span, reason: &str) -> Problem {
        Problem::new("", reason).at(self.file, span.start.line())
    }
}
