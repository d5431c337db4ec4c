//! Owns state: resources, compiler, fleet stream, admin API.
