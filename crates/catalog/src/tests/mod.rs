//! Every row of every file, prices as exact integers, and what becomes of a user's base URL.

mod base_url;
mod price;
mod quirk;
mod rows;
