//! Looks for secrets where none belongs. Every secret of a test is a marker that nothing else can hold by chance; what
//! the programs wrote is searched for every part of it, in every form that a program might give it.

mod evidence;
mod marker;
mod operator;
mod scan;

pub use self::evidence::{Evidence, Excused};
pub use self::marker::{Marker, Secrets};
pub use self::operator::Operator;
pub use self::scan::{Form, Hit, Scanner};
