//! Real bodies and streams with their bytes changed, left out, doubled and mixed: what must hold of any bytes (`fuzz/src/lib.rs`,
//! which cargo-fuzz runs too) must hold of them. A thousand of each kind; as many as a minute allows where `KEYWAY_LONG` is
//! set, or `KEYWAY_FUZZ_SECONDS`. `KEYWAY_FUZZ_SEED` makes it others.

#[cfg(test)]
#[path = "../../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a crate of its own elsewhere")]
mod harness;

#[cfg(test)]
mod seeds;

#[cfg(test)]
mod tests {
    use super::harness::TARGETS;
    use super::seeds::{Dice, seeds};
    use std::panic::catch_unwind;
    use std::time::{Duration, Instant};

    /// Inputs of each kind, unless seconds are given.
    const ROUNDS: u64 = 1000;
    /// Time for each kind under `--long`.
    const MINUTE: Duration = Duration::from_secs(60);
    /// Bytes that an input may grow to.
    const SIZE: usize = 64 * 1024;
    /// One input that takes more of the processor grows faster than its size.
    const SLOW: Duration = Duration::from_secs(5);

    /// What is spliced in: what the formats are made of, and what numbers and texts go wrong at.
    const WORDS: [&str; 24] = [
        "null",
        "{}",
        "[]",
        "\"\"",
        "0",
        "-1",
        "1e999",
        "18446744073709551615",
        "true",
        "\\u0000",
        "\\ud800",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        "\n\n",
        "data: ",
        "é漢🦀",
        "kw1:",
    ];

    /// Time of this thread's processor: others on the machine make that no longer.
    fn cpu() -> Duration {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(spent).unwrap_or_default()
    }

    fn number(name: &str) -> Option<u64> {
        std::env::var_os(name)?.to_str()?.parse().ok()
    }

    fn changed(dice: &mut Dice, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=dice.below(4) {
            let at = dice.below(input.len() + 1);
            let end = (at + dice.below(64)).min(input.len());
            match dice.below(7) {
                0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = dice.byte()),
                1 => drop(input.drain(at..end)),
                2 => input.extend_from_within(at..end),
                3 => {
                    let again = input[at..end].repeat(1 + dice.below(32));
                    drop(input.splice(at..at, again));
                }
                4 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].bytes())),
                5 => drop(input.splice(at..end, WORDS[dice.below(WORDS.len())].bytes())),
                _ => {
                    let from = dice.below(other.len() + 1);
                    let to = (from + dice.below(256)).min(other.len());
                    drop(input.splice(at..end, other[from..to].iter().copied()));
                }
            }
        }
        input.truncate(SIZE);
    }

    #[test]
    fn no_bytes_do_harm() {
        let long = std::env::var_os("KEYWAY_LONG").map(|_| MINUTE);
        let until = number("KEYWAY_FUZZ_SECONDS").map(Duration::from_secs).or(long);
        let mut dice = Dice(number("KEYWAY_FUZZ_SEED").unwrap_or(1));
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(seeds.len() > 20, "{name} has no seeds");
            seeds.iter().for_each(|seed| target(seed));
            let begun = Instant::now();
            let mut rounds = 0;
            while until.map_or(rounds < ROUNDS, |until| begun.elapsed() < until) {
                rounds += 1;
                let mut input = seeds[dice.below(seeds.len())].clone();
                let other = &seeds[dice.below(seeds.len())];
                changed(&mut dice, &mut input, other);
                let started = cpu();
                let shown = || input.escape_ascii().to_string();
                assert!(catch_unwind(|| target(&input)).is_ok(), "{name}: {}", shown());
                assert!(cpu() - started < SLOW, "{name} is slow: {}", shown());
            }
            println!("{name}: {rounds} inputs");
        }
    }

    /// Where cargo-fuzz starts from: run it as CONTRIBUTING.md says.
    #[test]
    #[ignore = "writes fuzz/corpus, which only cargo-fuzz reads"]
    fn corpus() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, _) in TARGETS {
            let folder = root.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for (at, seed) in seeds(name).iter().enumerate() {
                std::fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
            }
        }
    }
}
