//! What a caller calls its request by, for its own accounts: `x-keyway-tags: team=search,run=7`.

use crate::refusal::Refusal;
use http::{HeaderMap, HeaderName};
use std::{collections::BTreeMap, sync::Arc};

const TAGS: HeaderName = HeaderName::from_static("x-keyway-tags");
/// Tags of one request.
const MOST: usize = 8;
/// Bytes of one, `k=v`.
const LONGEST: usize = 64;

/// The tags as one text: `k=v,k=v`, sorted by name, each name once (the last value counts). `None` without the header,
/// which then costs nothing.
///
/// # Errors
/// 400: more or longer ones than allowed, or no `name=value` of printable ASCII.
pub(crate) fn tags(headers: &HeaderMap) -> Result<Option<Arc<str>>, Refusal> {
    if !headers.contains_key(TAGS) {
        return Ok(None);
    }
    let mut found = BTreeMap::new();
    for value in headers.get_all(TAGS) {
        let text = value.to_str().map_err(|_| malformed())?;
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let (name, value) = tag.split_once('=').ok_or_else(malformed)?;
            let (name, value) = (name.trim_end(), value.trim_start());
            let is_plain = !name.is_empty() && !tag.contains(|char: char| char.is_ascii_control());
            if !is_plain || name.len() + 1 + value.len() > LONGEST {
                return Err(malformed());
            }
            found.insert(name, value);
        }
    }
    if found.len() > MOST {
        return Err(malformed());
    }
    let tags: Vec<String> = found.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok((!tags.is_empty()).then(|| tags.join(",").into()))
}

fn malformed() -> Refusal {
    let message = format!(
        "x-keyway-tags takes at most {MOST} tags `name=value` of at most {LONGEST} printable ASCII characters, separated by commas"
    );
    Refusal::invalid(message, "invalid_header", Some("x-keyway-tags".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TAGS, value.parse().unwrap());
        }
        let tags = tags(&headers).map_err(|refusal| refusal.0.status)?;
        Ok(tags.map(|tags| tags.to_string()))
    }

    #[test]
    fn sorted_each_name_once_and_within_bounds() {
        let long = format!("k={}", "v".repeat(62));
        let eight: Vec<String> = (0..8).map(|number| format!("k{number}=v")).collect();
        for (values, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["b=2, a=1"], Some("a=1,b=2")),
            (&["a=1", "b=2,a=3"], Some("a=3,b=2")),
            (&["a = x y ,,"], Some("a=x y")),
            (&["a="], Some("a=")),
            (&["a=b=c"], Some("a=b=c")),
            (&[&long], Some(&*long)),
            (&[&eight.join(",")], Some(&*eight.join(","))),
        ] {
            assert_eq!(read(values), Ok(expected.map(str::to_owned)), "{values:?}");
        }
        for values in [
            &["a"][..],
            &["=v"],
            &["a=\u{e4}"],
            &["a=\tb"],
            &[&format!("{long}v")],
            &[&eight.join(","), "z=1"],
        ] {
            assert_eq!(read(values), Err(400), "{values:?}");
        }
    }
}
