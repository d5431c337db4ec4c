//! Metrics of several replicas as one text: each sample gets a label `replica`, each family stands once.

use std::collections::BTreeMap;

/// The families of all texts; `(replica, text)` each.
pub(super) fn merge(texts: &[(String, String)]) -> String {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    for (replica, text) in texts {
        let mut name = "";
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((keyword, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) {
                name = rest.split(' ').next().unwrap_or_default();
                let family = families.entry(name).or_default();
                match keyword {
                    "HELP" => family.help = Some(line),
                    "TYPE" => family.kind = Some(line),
                    _ => {}
                }
            } else if !line.starts_with('#') {
                families.entry(name).or_default().samples.push(labelled(line, replica));
            }
        }
    }
    let mut merged = String::new();
    for family in families.values() {
        for line in family.help.iter().chain(&family.kind) {
            merged.push_str(line);
            merged.push('\n');
        }
        for sample in &family.samples {
            merged.push_str(sample);
            merged.push('\n');
        }
    }
    merged
}

#[derive(Default)]
struct Family<'t> {
    help: Option<&'t str>,
    kind: Option<&'t str>,
    samples: Vec<String>,
}

/// `name 1` and `name{a="b"} 1` with one label more. Ids of replicas hold nothing that would need escaping.
fn labelled(sample: &str, replica: &str) -> String {
    let end = sample.find(['{', ' ']).unwrap_or(sample.len());
    let (name, rest) = sample.split_at_checked(end).unwrap_or((sample, ""));
    match rest.strip_prefix('{') {
        Some(labels) if labels.starts_with('}') => format!("{name}{{replica=\"{replica}\"{labels}"),
        Some(labels) => format!("{name}{{replica=\"{replica}\",{labels}"),
        None => format!("{name}{{replica=\"{replica}\"}}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn families_stand_once_and_samples_say_whose_they_are() {
        let one = "# HELP a Things.\n# TYPE a counter\na 1\na{b=\"c\"} 2\n# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\n";
        let two = "# HELP a Things.\n# TYPE a counter\na{} 5\n";
        let merged = merge(&[("r1".into(), one.into()), ("r2".into(), two.into())]);
        let expected = "# HELP a Things.\n# TYPE a counter\na{replica=\"r1\"} 1\na{replica=\"r1\",b=\"c\"} 2\na{replica=\"r2\"} 5\n\
                        # HELP h H.\n# TYPE h histogram\nh_bucket{replica=\"r1\",le=\"+Inf\"} 3\nh_sum{replica=\"r1\"} 4\n";
        assert_eq!(merged, expected);
    }
}
