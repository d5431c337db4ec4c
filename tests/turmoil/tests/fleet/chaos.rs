//! One history: everybody meets, then everything goes wrong for a while, then nothing does and all must come to rest.

use crate::{
    control,
    replica::{self, name},
    world::{CONTROL, Counted, Order, REPLICAS, Truth, World},
};
use std::{cell::RefCell, rc::Rc, time::Duration};
use turmoil::{Builder, Sim};

const TICK: Duration = Duration::from_millis(5);
/// So long everything goes wrong.
const CHAOS: Duration = Duration::from_secs(40);
/// Then all come to rest within this: the longest silence, the longest pause, an overlap and the standby's quiet.
const REST: Duration = Duration::from_secs(90);
/// Everybody meets within this.
const MEETING: Duration = Duration::from_secs(20);

/// Plays it.
pub(crate) fn history(seed: u64) -> Result<Counted, String> {
    let world: World = Rc::new(RefCell::new(Truth::new(seed)));
    let mut sim = Builder::new()
        .rng_seed(seed)
        .enable_random_order()
        .tick_duration(TICK)
        .simulation_duration(MEETING + CHAOS + REST)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(80))
        .tcp_capacity(4096)
        .build();
    let of = World::clone(&world);
    sim.host(CONTROL, move || control::run(World::clone(&of)));
    for number in 0..REPLICAS {
        let of = World::clone(&world);
        sim.host(name(number), move || replica::run(World::clone(&of), number));
    }
    let met = until(&mut sim, &world, MEETING, |truth| truth.unrest().is_none())?;
    if !met {
        return Err(format!("they never met: {:?}", world.borrow().unrest()));
    }
    let begun = sim.elapsed();
    let mut next = begun;
    while sim.elapsed() - begun < CHAOS {
        if sim.elapsed() >= next {
            something(&mut sim, &world);
            next = sim.elapsed() + world.borrow_mut().pause(50, 1500);
        }
        step(&mut sim, &world)?;
    }
    for number in 0..REPLICAS {
        sim.repair(CONTROL, name(number));
        sim.release(CONTROL, name(number));
        restart(&mut sim, &name(number));
    }
    restart(&mut sim, CONTROL);
    if !until(&mut sim, &world, REST, |truth| truth.unrest().is_none())? {
        return Err(format!("no rest: {}", world.borrow().unrest().unwrap_or_default()));
    }
    let counted = world.borrow().counted.clone();
    Ok(counted)
}

fn step(sim: &mut Sim<'_>, world: &World) -> Result<(), String> {
    sim.step().map_err(|why| format!("the simulation: {why}"))?;
    world.borrow().broken.clone().map_or(Ok(()), Err)
}

fn until(
    sim: &mut Sim<'_>,
    world: &World,
    within: Duration,
    holds: impl Fn(&Truth) -> bool,
) -> Result<bool, String> {
    let end = sim.elapsed() + within;
    while sim.elapsed() < end {
        step(sim, world)?;
        if holds(&world.borrow()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn restart(sim: &mut Sim<'_>, host: &str) {
    if !sim.is_host_running(host) {
        sim.bounce(host);
    }
}

/// One thing that happens.
fn something(sim: &mut Sim<'_>, world: &World) {
    let (what, who, overlap_ms) = {
        let dice = &mut world.borrow_mut().dice;
        (dice.below(100), dice.below(REPLICAS as u64), dice.below(4) * 500)
    };
    let who = name(usize::try_from(who).unwrap());
    let order = |order| world.borrow_mut().orders.push(order);
    let count = |what: fn(&mut Counted) -> &mut u64| *what(&mut world.borrow_mut().counted) += 1;
    match what {
        0..24 => order(Order::Rotate { overlap_ms }),
        24..30 => order(Order::RollBack),
        30..36 => {
            // Whoever revokes the key in use brings another one.
            order(Order::Revoke);
            order(Order::Rotate { overlap_ms });
        }
        36..46 => order(Order::Change),
        46..54 => {
            sim.crash(who.as_str());
            count(|counted| &mut counted.crashes);
        }
        54..62 => sim.bounce(who.as_str()),
        62..65 => {
            sim.crash(CONTROL);
            count(|counted| &mut counted.crashes);
        }
        65..72 => sim.bounce(CONTROL),
        72..78 => {
            sim.partition(CONTROL, who.as_str());
            count(|counted| &mut counted.cuts);
        }
        78..80 => sim.partition_oneway(CONTROL, who.as_str()),
        80..82 => sim.partition_oneway(who.as_str(), CONTROL),
        82..88 => sim.repair(CONTROL, who.as_str()),
        88..91 => sim.hold(CONTROL, who.as_str()),
        91..94 => sim.release(CONTROL, who.as_str()),
        94..97 => {
            let mut truth = world.borrow_mut();
            truth.backup = Some(truth.disk.clone());
        }
        _ => {
            // The machine is replaced: whatever ran there is gone before the old disk is read.
            sim.crash(CONTROL);
            world.borrow_mut().restores();
            sim.bounce(CONTROL);
        }
    }
}
