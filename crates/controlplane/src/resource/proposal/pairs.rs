//! Key pairs of clients that sign their requests.

use super::{Proposal, Sealing};
use crate::resource::{Body, Kind, MadePair, PairDocument, Refusal};
use keyway_config::{Client, SigV4};
use keyway_snapshot::Secret;
use std::collections::BTreeSet;

impl Proposal<'_> {
    /// The pair that a client has once it says this: the one that is named, else the one that is there.
    pub(super) fn pair_of(
        &mut self,
        client: &str,
        spec: &mut Client,
    ) -> Result<Option<PairDocument>, Refusal> {
        let there = self.state.get(Kind::Client, client).map(|held| &held.document.body);
        let held = match there {
            Some(Body::Client { spec, pair: Some(pair), .. }) => Some((spec.sigv4.as_ref(), pair)),
            _ => None,
        };
        let Some(named) = &mut spec.sigv4 else {
            self.erase.extend(held.map(|(_, pair)| pair.secret_id(client)));
            return Ok(None);
        };
        let Some(secret) = named.secret_access_key.take() else {
            let same =
                |(of, _): &(Option<&SigV4>, _)| of.is_some_and(|of| of.access_key_id == named.access_key_id);
            return match held.filter(same) {
                Some((_, pair)) => Ok(Some(pair.clone())),
                None => Err(Refusal::field(
                    format!("{}.sigv4.secret_access_key", Kind::Client.path(client)),
                    "is missing: a new pair needs both; `keyway client rotate NAME --sigv4` makes one",
                )),
            };
        };
        Ok(Some(self.sealed(client, secret.expose(), held.map(|(_, pair)| pair))))
    }

    /// Gives a client a made pair; the one before is refused from then on.
    ///
    /// # Errors
    /// When there is no such client, or the system gives no randomness.
    pub fn make_pair(&mut self, client: &str) -> Result<(), Refusal> {
        let written = self.touches.get(&Kind::Client.key(client)).and_then(|touch| touch.document.as_ref());
        let there = || self.state.get(Kind::Client, client).map(|held| &held.document);
        let Some(Body::Client { mut spec, digests, pair, handover }) =
            written.or_else(there).map(|document| document.body.clone())
        else {
            return Err(self.not_found(Kind::Client, client));
        };
        let made = MadePair::make().map_err(|_| Refusal::Internal("the system gives no randomness"))?;
        let pair = self.sealed(client, made.secret.expose(), pair.as_ref());
        spec.sigv4 = Some(SigV4 { access_key_id: made.access_key_id.clone(), secret_access_key: None });
        self.pair = Some(made);
        self.put(Kind::Client, client, Body::Client { spec, digests, pair: Some(pair), handover })
    }

    /// The same secret again is the same version.
    fn sealed(&mut self, client: &str, secret: &str, held: Option<&PairDocument>) -> PairDocument {
        let fingerprint = self.vault.fingerprint(secret.as_bytes());
        if let Some(held) = held.filter(|held| held.fingerprint == fingerprint) {
            return held.clone();
        }
        let pair = PairDocument { version: held.map_or(1, |held| held.version + 1), fingerprint };
        self.erase.extend(held.map(|held| held.secret_id(client)));
        // It goes to no provider.
        let sealing = Sealing { secret: Secret::new(secret.as_bytes().to_vec()), origins: BTreeSet::new() };
        self.secrets.insert(pair.secret_id(client), sealing);
        pair
    }
}
