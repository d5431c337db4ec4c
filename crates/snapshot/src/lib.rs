//! The typed, immutable state that a data plane serves from.
