//! Provider keys in the environment under the catalogue's usual names.

use std::collections::{BTreeMap, BTreeSet};

use keyway_catalog::{AuthScheme, Provider as Row};
use keyway_config::{File, Provider, Secret};

/// How the names of variables that hold a key end. Rows also list regions, hosts and account ids.
const KEY_ENDINGS: &[&str] = &["KEY", "TOKEN", "PAT"];

/// A provider whose key was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) provider: String,
    /// The variable's name.
    pub(super) variable: String,
    pub(super) key: Secret,
}

/// Providers with a key in the environment, by name, without those that `named` holds. A variable that several rows
/// list goes to one of them only: a key is never offered to a place that it may not be meant for.
pub(super) fn find(rows: &[Row], named: &File, lookup: impl Fn(&str) -> Option<String>) -> Vec<Found> {
    let mut claims: BTreeMap<&str, (Rank<'_>, &Row)> = BTreeMap::new();
    for row in rows.iter().filter(|row| takes_plain_key(row)) {
        for (place, variable) in row.env.iter().enumerate().filter(|(_, name)| is_key(name)) {
            let rank = (place, row.id.len(), row.id.as_str());
            let claim = claims.entry(variable).or_insert((rank, row));
            if rank < claim.0 {
                *claim = (rank, row);
            }
        }
    }
    let mut served = BTreeSet::new();
    let mut found = Vec::new();
    for row in rows {
        let own = row
            .env
            .iter()
            .filter(|variable| claims.get(variable.as_str()).is_some_and(|(_, owner)| owner.id == row.id));
        let key =
            own.filter_map(|variable| Some((variable, lookup(variable)?))).find(|(_, key)| is_sound(key));
        if let Some((variable, key)) = key
            && !named.providers.contains_key(&row.id)
            && served.insert(&row.id)
        {
            let key = Secret::new(key.trim().to_owned());
            found.push(Found { provider: row.id.clone(), variable: variable.clone(), key });
        }
    }
    found
}

/// The smallest has the first right: best known name, then shortest id (`moonshot` before `moonshot-cn`).
type Rank<'r> = (usize, usize, &'r str);

/// True: the row needs nothing but one secret in a header or the query.
fn takes_plain_key(row: &Row) -> bool {
    let is_complete = |url: &Option<String>| url.as_ref().is_some_and(|url| !url.contains('{'));
    matches!(row.auth.scheme, AuthScheme::Header | AuthScheme::Query)
        && row.surfaces.first().is_some_and(|surface| is_complete(&surface.base_url))
}

fn is_key(variable: &str) -> bool {
    KEY_ENDINGS.iter().any(|ending| variable.ends_with(ending))
}

fn is_sound(key: &str) -> bool {
    !key.trim().is_empty() && !key.trim().bytes().any(|b| b.is_ascii_control())
}

/// They as configuration.
pub(super) fn providers(found: &[Found]) -> BTreeMap<String, Provider> {
    let provider = |found: &Found| Provider { api_key: Some(found.key.clone()), ..Provider::default() };
    found.iter().map(|found| (found.provider.clone(), provider(found))).collect()
}
