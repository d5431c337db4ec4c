//! How a replica learns what to serve: a session (pure) over a stream to the control plane (the link), what it holds,
//! and what of it lies on disk.

mod dial;
mod disk;
mod held;
mod keeper;
mod link;
mod planes;
mod quotas;
mod report;
mod sealed;
mod session;
#[cfg(feature = "simulation")]
mod simulation;
mod status;
mod trust;
mod usage;

pub(crate) use dial::{LinkSettings, channel, dial};
pub(crate) use disk::{Disk, place_private, private_dir, private_file, write_private};
pub use disk::{StateDir, StateDirError};
pub(crate) use held::{Held, State};
pub(crate) use keeper::Keeper;
pub(crate) use link::{Ends, Link};
pub(crate) use planes::Planes;
#[cfg(feature = "simulation")]
pub use simulation::SimulatedReplica;
pub(crate) use status::{LinkStatus, Source};
pub(crate) use trust::Trust;
pub(crate) use usage::UsageLink;
