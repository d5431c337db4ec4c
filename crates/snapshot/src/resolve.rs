//! What a model's name means, and whether a client may use it. One rule for the data plane and for `explain`:
//! an exact alias; else the first segment is a configured provider and the rest goes upstream as it stands;
//! else a bare id that exactly one configured provider offers; else unknown. Then access.

use crate::{Alias, Client, Snapshot, Target, looks_like_key};
use std::sync::Arc;

/// Bytes of a model's name that only a caller has; one in the configuration has no more either.
const MODEL_LIMIT: usize = 256;
/// Bytes of a name that a refusal repeats.
const QUOTED: usize = 256;
/// In a refusal, in place of a name that may be a key.
const WITHHELD: &str = "[withheld]";

/// Names that a refusal suggests.
const SUGGESTIONS: usize = 3;
/// Aliases that a chain of fallbacks may have.
const FALLBACK_DEPTH: usize = 8;
/// Suggestions are closer than this, by Jaro-Winkler.
const NEAR: f64 = 0.8;

#[derive(Debug)]
pub(crate) enum Named {
    Alias(Arc<Alias>),
    Offer(Arc<Target>),
    Bare(Arc<Target>),
    Ambiguous(Vec<Box<str>>),
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// A name with targets.
    Alias(Arc<Alias>),
    /// One provider's model.
    Target(Arc<Target>),
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing has that name.
    #[error("the model `{name}` does not exist{}", suggest(nearest))]
    Unknown {
        /// As asked, or its beginning.
        name: String,
        /// What was perhaps meant; only what this client may use.
        nearest: Vec<String>,
    },
    /// Several providers offer it.
    #[error("the model `{name}` is offered by several providers; ask for one of {}", providers.join(", "))]
    Ambiguous {
        /// As asked.
        name: String,
        /// `provider/model` each.
        providers: Vec<String>,
    },
    /// The client's patterns do not cover it.
    #[error("this client may not use the model `{name}`")]
    NotAllowed {
        /// As asked.
        name: String,
    },
}

fn suggest(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(", ")) }
}

impl Snapshot {
    /// What `asked` stands for, if this client may use it.
    ///
    /// # Errors
    /// Unknown, ambiguous, or not allowed for this client.
    pub fn resolve(&self, client: &Client, asked: &str) -> Result<Resolved, Refused> {
        let resolved = self.lookup(asked).map_err(|refused| self.for_client(client, refused))?;
        let full = match &resolved {
            Resolved::Alias(alias) => &alias.name,
            Resolved::Target(target) => &target.label,
        };
        if client.may_use(asked, full) {
            Ok(resolved)
        } else {
            Err(Refused::NotAllowed { name: asked.to_owned() })
        }
    }

    /// What `asked` stands for, whoever asks: fallbacks need no permission of their own.
    ///
    /// # Errors
    /// Unknown or ambiguous.
    pub fn lookup(&self, asked: &str) -> Result<Resolved, Refused> {
        match self.names.get(asked) {
            Some(Named::Alias(alias)) => return Ok(Resolved::Alias(Arc::clone(alias))),
            Some(Named::Offer(target) | Named::Bare(target)) => {
                return Ok(Resolved::Target(Arc::clone(target)));
            }
            Some(Named::Ambiguous(providers)) => {
                let providers = providers.iter().map(|provider| format!("{provider}/{asked}")).collect();
                return Err(Refused::Ambiguous { name: asked.to_owned(), providers });
            }
            None => {}
        }
        self.uncatalogued(asked).map(Resolved::Target).ok_or_else(|| Refused::unknown(asked))
    }

    /// A model of a provider's that only the caller knows. Its name is kept in many places, so it is no text without end
    /// and no key that was pasted.
    fn uncatalogued(&self, asked: &str) -> Option<Arc<Target>> {
        let (provider, model) = asked.split_once('/')?;
        let provider = self.providers.get(provider).filter(|provider| !provider.built_in)?;
        let may_be = !model.is_empty() && model.len() <= MODEL_LIMIT && !looks_like_key(model);
        let price = provider.price.clone();
        let target = || Target { is_known: false, ..Target::new(Arc::clone(provider), model, price) };
        may_be.then(|| Arc::new(target()))
    }

    /// Every target in the order in which it may be tried within its alias, then those of the fallbacks, each with
    /// weight and priority. A group is one alias (or one direct target); groups are tried one after the other.
    #[must_use]
    pub fn groups(&self, resolved: &Resolved) -> Vec<Resolved> {
        let mut groups = vec![resolved.clone()];
        let mut next = 0;
        while let Some(Resolved::Alias(alias)) = groups.get(next).cloned() {
            next += 1;
            for name in &alias.fallback {
                if groups.len() < FALLBACK_DEPTH
                    && let Ok(found) = self.lookup(name)
                    && !groups.iter().any(|known| known.same_as(&found))
                {
                    groups.push(found);
                }
            }
        }
        groups
    }

    /// The names of models that this client may use, sorted: aliases, and `provider/model` of every offer, or its
    /// bare name where only that may be used.
    #[must_use]
    pub fn models_of(&self, client: &Client) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .names
            .iter()
            .filter_map(|(name, named)| match named {
                Named::Alias(_) | Named::Offer(_) => client.may_use(name, name).then_some(name.as_ref()),
                // By this name alone: the full one is listed where it may be used.
                Named::Bare(target) => {
                    let full = &*target.label;
                    (client.may_use(name, full) && !client.may_use(full, full)).then_some(name.as_ref())
                }
                Named::Ambiguous(_) => None,
            })
            .collect();
        names.sort_unstable();
        names
    }

    /// A refusal must not tell names that the client may not use.
    fn for_client(&self, client: &Client, refused: Refused) -> Refused {
        match refused {
            Refused::Unknown { name, .. } => Refused::Unknown { nearest: self.nearest(client, &name), name },
            Refused::Ambiguous { name, providers } => {
                let allowed: Vec<String> =
                    providers.into_iter().filter(|full| client.may_use(full, full)).collect();
                if allowed.is_empty() {
                    Refused::NotAllowed { name }
                } else {
                    Refused::Ambiguous { name, providers: allowed }
                }
            }
            Refused::NotAllowed { .. } => refused,
        }
    }

    fn nearest(&self, client: &Client, name: &str) -> Vec<String> {
        let wanted = name.to_lowercase();
        let score = |full: &str| {
            let full = full.to_lowercase();
            let bare = full.split_once('/').map_or(&*full, |(_, model)| model);
            strsim::jaro_winkler(&full, &wanted).max(strsim::jaro_winkler(bare, &wanted))
        };
        let mut scored: Vec<(f64, &str)> = self
            .models_of(client)
            .into_iter()
            .map(|full| (score(full), full))
            .filter(|(score, _)| *score > NEAR)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(SUGGESTIONS).map(|(_, full)| full.to_owned()).collect()
    }
}

// === impl Refused ===

impl Refused {
    #[cold]
    fn unknown(asked: &str) -> Self {
        // What is cut here is not compared with every known name either, which a long one would make slow.
        let quoted = asked.get(..asked.floor_char_boundary(QUOTED)).unwrap_or_default();
        let name = if looks_like_key(quoted) { WITHHELD } else { quoted };
        Self::Unknown { name: name.to_owned(), nearest: Vec::new() }
    }
}

// === impl Resolved ===

impl Resolved {
    fn same_as(&self, other: &Resolved) -> bool {
        match (self, other) {
            (Resolved::Alias(a), Resolved::Alias(b)) => a.name == b.name,
            (Resolved::Target(a), Resolved::Target(b)) => a.label == b.label,
            _ => false,
        }
    }
}
