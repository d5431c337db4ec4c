//! Providers and models with known prices, as data.
