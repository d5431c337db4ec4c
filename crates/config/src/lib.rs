//! `keyway.yaml`: its types, its loader, its JSON Schema.
