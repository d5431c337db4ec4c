//! Wire formats: shallow scan, event framing, usage, errors.
