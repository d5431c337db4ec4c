//! Every row of every file, and what the rules make of them.

use crate::Catalog;

#[test]
fn every_file_parses() {
    Catalog::check().unwrap();
}
