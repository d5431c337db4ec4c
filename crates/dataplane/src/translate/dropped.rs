//! `x-keyway-dropped`: which fields of a request its target did not get, and what of its reply the caller does not. Names
//! only, never what they hold.

use http::{HeaderMap, HeaderName, HeaderValue};
use keyway_dialect::losses::Lost;

pub(crate) const DROPPED: HeaderName = HeaderName::from_static("x-keyway-dropped");
/// Paths that are named; of more only the number is told.
const PATHS_LIMIT: usize = 32;
/// Letters of one path: members that no dialect knows have names of the caller's choice.
const PATH_LIMIT: usize = 128;

/// The header's value; none if nothing was dropped.
pub(super) fn dropped(lost: &[Lost]) -> Option<HeaderValue> {
    let mut named: Vec<String> = lost.iter().take(PATHS_LIMIT).map(|lost| shown(&lost.path)).collect();
    let more = lost.len().saturating_sub(PATHS_LIMIT);
    if more > 0 {
        named.push(format!("+{more}"));
    }
    HeaderValue::from_str(&named.join(", ")).ok().filter(|_| !lost.is_empty())
}

/// Adds what of a reply its caller's dialect has no place for.
pub(super) fn add_untold(headers: &mut HeaderMap, untold: impl Iterator<Item = &'static str>) {
    let untold: Vec<String> = untold.map(|name| format!("reply.{name}")).collect();
    if untold.is_empty() {
        return;
    }
    let request = headers.get(&DROPPED).and_then(|value| value.to_str().ok());
    let all: Vec<&str> = request.into_iter().chain(untold.iter().map(String::as_str)).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(DROPPED, value);
    }
}

/// In letters that a header takes and a comma does not tear apart.
fn shown(path: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_graphic() && letter != ',' { letter } else { '?' };
    path.chars().take(PATH_LIMIT).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_dialect::losses::Thing;

    fn told(paths: &[&str]) -> Option<String> {
        let lost = |path: &&str| Lost { thing: Thing::Seed, path: (*path).to_owned() };
        let lost: Vec<Lost> = paths.iter().map(lost).collect();
        dropped(&lost).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn names_within_bounds() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["seed", "messages[0].name"]).unwrap(), "seed, messages[0].name");
        assert_eq!(told(&["a, b\r\nx: y", "é"]).unwrap(), "a??b??x:?y, ?");
        let many = told(&["seed"; PATHS_LIMIT + 7]).unwrap();
        assert!(many.ends_with(", seed, +7"), "{many}");
        assert_eq!(told(&["x".repeat(4 * PATH_LIMIT).as_str()]).unwrap().len(), PATH_LIMIT);
    }

    #[test]
    fn what_of_a_reply_is_not_told_stands_after_what_of_the_request_was_dropped() {
        let mut headers = HeaderMap::new();
        add_untold(&mut headers, std::iter::empty());
        assert_eq!(headers.get(DROPPED), None);
        add_untold(&mut headers, ["tier"].into_iter());
        assert_eq!(headers[DROPPED], "reply.tier");
        headers.insert(DROPPED, HeaderValue::from_static("seed, top_k"));
        add_untold(&mut headers, ["seals", "tier"].into_iter());
        assert_eq!(headers[DROPPED], "seed, top_k, reply.seals, reply.tier");
        assert_eq!(headers.get_all(DROPPED).iter().count(), 1);
    }
}
