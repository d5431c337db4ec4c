//! Simulated peers for tests: provider with faults, load, processes.
