//! The sessions of the fleet stream, the registry of replicas and the rotation of a key, over a simulated network that
//! partitions, delays and reorders, with processes that crash and come back. One seed is one history: the seed that a failure
//! names brings it back, `KEYWAY_SEED=N cargo test --manifest-path tests/turmoil/Cargo.toml`.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod control;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod replica;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use super::chaos::history;

    /// Seeds of each run.
    const SEEDS: u64 = 50;
    /// The same under `cargo xtask test --long`.
    const LONG_SEEDS: u64 = 1000;

    #[test]
    fn whatever_happens_on_the_way_no_replica_goes_back_and_no_key_is_retired_while_it_may_be_used() {
        let one = std::env::var_os("KEYWAY_SEED").map(|seed| seed.to_str().unwrap().parse().unwrap());
        let long = std::env::var_os("KEYWAY_LONG").is_some();
        let seeds = match one {
            Some(seed) => seed..seed + 1,
            None => 0..if long { LONG_SEEDS } else { SEEDS },
        };
        let mut saw = super::world::Counted::default();
        for seed in seeds.clone() {
            match history(seed) {
                Ok(counted) => saw.add(&counted),
                Err(why) => {
                    panic!(
                        "seed {seed}: {why}\nagain: KEYWAY_SEED={seed} cargo test --manifest-path tests/turmoil/Cargo.toml"
                    )
                }
            }
        }
        println!("seeds {seeds:?}: {saw:?}");
        // A simulation in which nothing happens proves nothing.
        assert!(one.is_some() || saw.is_rich(), "{saw:?}");
    }
}
