//! Ids of calls. The dialect may leave them out and then joins results to calls by name and order; the model has ids.

use super::super::wire;
use crate::canon::{Part, Turn};

/// Gives every call an id and every result that of its call. What came without one has an empty id until here.
pub(super) fn join(turns: &mut [Turn]) {
    let mut unanswered: Vec<(String, String)> = Vec::new();
    let mut number = 0_u64;
    let blocks = turns.iter_mut().flat_map(|turn| &mut turn.blocks);
    for block in blocks {
        match &mut block.part {
            Part::Call(call) => {
                number += 1;
                if call.id.is_empty() {
                    call.id = wire::mint((number, &call.name));
                }
                unanswered.push((call.id.clone(), call.name.clone()));
            }
            Part::Result(result) => {
                number += 1;
                let named = |(id, name): &(String, String)| match result.call.as_str() {
                    "" => Some(name) == result.name.as_ref(),
                    call => id == call,
                };
                match unanswered.iter().position(named) {
                    Some(at) => result.call = unanswered.remove(at).0,
                    None if result.call.is_empty() => result.call = wire::mint((number, &result.name)),
                    None => {}
                }
            }
            _ => {}
        }
    }
}
