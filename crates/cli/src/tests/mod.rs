//! Arguments, exit codes, tables and the files that the program writes.

mod arguments;
mod output;
