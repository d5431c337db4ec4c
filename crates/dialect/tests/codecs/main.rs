//! Tests of codecs by what they read and write: every dialect that has a codec is in every test.

#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod crossings;
#[cfg(test)]
mod finds;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod specimens;
#[cfg(test)]
mod streams;
