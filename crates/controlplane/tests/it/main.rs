//! The whole control plane in this process, with replicas and operators at its ports.

#[cfg(test)]
mod api;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod herd;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod node;
#[cfg(test)]
mod program;
#[cfg(test)]
mod support;
#[cfg(test)]
mod usage;
