//! Ids of calls. The dialect may leave them out and then joins results to calls by name and order; the model has ids.

use super::super::wire;
use crate::canon::{Call, Part, ToolResult, Turn};
use std::collections::{HashMap, VecDeque};

/// Calls that no result has answered yet, in order.
#[derive(Default)]
struct Unanswered {
    /// Every call's id; none once it is answered.
    ids: Vec<Option<String>>,
    by_id: HashMap<String, VecDeque<usize>>,
    by_name: HashMap<String, VecDeque<usize>>,
}

/// Gives every call an id and every result that of its call. What came without one has an empty id until here.
pub(super) fn join(turns: &mut [Turn]) {
    let mut unanswered = Unanswered::default();
    let mut number = 0_u64;
    let blocks = turns.iter_mut().flat_map(|turn| &mut turn.blocks);
    for block in blocks {
        match &mut block.part {
            Part::Call(call) => {
                number += 1;
                if call.id.is_empty() {
                    call.id = wire::mint((number, &call.name));
                }
                unanswered.add(call);
            }
            Part::Result(result) => {
                number += 1;
                match unanswered.take(result) {
                    Some(id) => result.call = id,
                    None if result.call.is_empty() => result.call = wire::mint((number, &result.name)),
                    None => {}
                }
            }
            _ => {}
        }
    }
}

// === impl Unanswered ===

impl Unanswered {
    fn add(&mut self, call: &Call) {
        let at = self.ids.len();
        self.ids.push(Some(call.id.clone()));
        self.by_id.entry(call.id.clone()).or_default().push_back(at);
        self.by_name.entry(call.name.clone()).or_default().push_back(at);
    }

    /// The id of the first call that the result can be of: the one that it names, else one of its tool.
    fn take(&mut self, result: &ToolResult) -> Option<String> {
        let Self { ids, by_id, by_name } = self;
        let waiting = match result.call.as_str() {
            "" => by_name.get_mut(result.name.as_deref()?)?,
            call => by_id.get_mut(call)?,
        };
        // What was answered by the other key is passed over.
        while let Some(at) = waiting.pop_front() {
            if let Some(id) = ids.get_mut(at).and_then(Option::take) {
                return Some(id);
            }
        }
        None
    }
}
