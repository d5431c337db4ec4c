//! Arguments, exit codes, tables, calls that break off, and the files that the program writes.

mod arguments;
mod calls;
mod follow;
mod output;
