use super::*;
use keyway_snapshot::Version;

#[test]
fn nobody_who_answers_says_nothing_of_a_key_while_they_find_who_leads() {
    let at = Version { epoch: 1, counter: 1 };
    let one = |answers| Evidence::serving("a", answers, at);
    let second = Duration::from_secs(1);
    for (fleet, leading, away) in [
        (vec![one(false), one(false)], second, true),
        (vec![one(false)], REJOIN, false),
        (vec![one(false), one(true)], second, false),
        (Vec::new(), second, false),
    ] {
        assert_eq!(rejoining(&fleet, leading), away, "{leading:?}");
    }
}
