//! What one provider or model does differently from its dialect. It lives beside the state that carries it, so that the
//! control plane reads and checks it without linking codecs.

pub use keyway_snapshot::quirk::{CacheMarks, Effort, Efforts, Quirks, ReasoningField};
