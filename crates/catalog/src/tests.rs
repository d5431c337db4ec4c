//! Every row of every file, and what the rules make of them.

use crate::Catalog;

#[test]
fn every_file_parses() {
    if let Err(why) = Catalog::check() {
        panic!("{why}");
    }
}
