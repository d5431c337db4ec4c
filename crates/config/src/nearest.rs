//! The names that a mistyped one most likely meant.

/// Suggestions at most.
const SUGGESTIONS: usize = 3;

/// The candidates nearest to `name`, best first, at most three; none if nothing is near.
#[must_use]
pub fn nearest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, String)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let lower = candidate.as_ref().to_lowercase();
            let distance = strsim::osa_distance(&wanted, &lower);
            // A name that only lacks its beginning or end is near, whatever its length.
            let part =
                wanted.len() >= 4 && (lower.contains(&wanted) || wanted.contains(&lower) && lower.len() >= 4);
            (distance <= allowed || part).then(|| (distance, candidate.as_ref().to_owned()))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(SUGGESTIONS).collect()
}

/// `; did you mean a or b?`, or nothing.
pub(crate) fn hint<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> String {
    let names = nearest(name, candidates);
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}
