//! What the tests of usage share: a configuration whose prices are written down twice, callers whose requests are decided
//! beforehand, and the comparison of `keyway usage` with the books of the provider that billed.

mod calls;
mod compare;
mod settled;
mod wishes;
mod world;

pub use self::calls::{Answered, Calls, Gate, Known, exchange};
pub use self::compare::{Expected, Refused, rows};
pub use self::settled::{REPORTS, all_the_same, settled, settled_but, total, usage};
pub use self::wishes::{Wish, crossed, wish};
pub use self::world::{CLIENTS, Client, prices, yaml};
