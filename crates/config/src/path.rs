//! Paths of fields as they are shown: `models.fast.targets[0]`. A name that looks like a secret is withheld.

use crate::secrets::looks_like_secret;

/// Shown in place of a name that looks like a secret.
const WITHHELD: &str = "(withheld)";

/// The path of the field `name` in `parent`.
pub(crate) fn field(parent: &str, name: &str) -> String {
    let name = if looks_like_secret(name) { WITHHELD } else { name };
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// The path of the item `index` of the list `parent`.
pub(crate) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// Whether `path` is `above` or stands in it.
pub(crate) fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path without its last part; `None` for the whole file.
pub(crate) fn parent(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    Some(path.rfind(['.', '[']).and_then(|end| path.get(..end)).unwrap_or_default())
}
