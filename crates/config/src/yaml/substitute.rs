//! `${NAME}` in values becomes what the environment holds. Names of fields and comments are left alone.

use zeroize::Zeroizing;

use super::{Kind, Node, Scalar};
use crate::path;
use crate::problem::Problem;

/// Replaces in every scalar below `node`. What is missing is reported and left empty.
pub(crate) fn substitute(
    node: &mut Node,
    field: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    report: &mut dyn FnMut(Problem, usize),
) {
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            if let Err(reason) = expand(scalar, lookup) {
                report(Problem::new(field, reason), node.line);
            }
        }
        Kind::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &path::item(field, index), lookup, report);
            }
        }
        Kind::Mapping(entries) => {
            for (name, value) in entries {
                substitute(value, &path::field(field, name), lookup, report);
            }
        }
    }
}

/// `$${` stands for `${` itself.
fn expand(scalar: &mut Scalar, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let written = scalar.text.clone();
    let mut text = Zeroizing::new(String::with_capacity(written.len()));
    let mut rest = written.as_str();
    scalar.plain = false;
    scalar.text = Zeroizing::new(String::new());
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name)) else {
            return Err(
                "after ${ a variable's name and } are wanted; write $${ for the characters themselves".into(),
            );
        };
        let value = lookup(name).map(Zeroizing::new);
        let Some(value) = value else {
            return Err(format!("the environment variable {name} is not set; set it or remove this line"));
        };
        text.push_str(before);
        text.push_str(&value);
        rest = after;
    }
    text.push_str(rest);
    scalar.text = text;
    Ok(())
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
