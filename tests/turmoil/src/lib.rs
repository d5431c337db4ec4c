//! Nothing: what is here are tests, of the fleet under simulated networks.
