//! Limits of providers, as all replicas together know them: merged from what each reads of replies, sent to all where
//! something is scarce, shown to operators. Kept in memory alone: after a start it is learnt again within seconds.

mod table;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use table::Table;
pub(crate) use view::QuotaView;
