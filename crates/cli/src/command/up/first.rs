//! The first state: what the environment offers, the first client, and the file if there is one.

use std::path::Path;

use keyway_catalog::Catalog;
use keyway_config::{Client, File, Loaded, Places, Problem, Secret, Server, inspect, load};
use keyway_controlplane::resource::{Apply, Refusal, Way};
use keyway_controlplane::{Initial, Outcome, Running, ServeError};

use super::announce;
use super::found::{self, Found};
use super::tokens::Tokens;
use crate::command::apply::read as read_text;
use crate::environment::variable;
use crate::failure::Failure;
use crate::home::Home;
use crate::print;

/// The first client's name.
pub(super) const CLIENT: &str = "default";
/// In the data directory: what the control plane keeps.
const STORE: &str = "store";
/// What the state that no file gave is said to come from.
const ORIGIN: &str = "keyway up";

/// A file that was read, or none.
pub(super) struct Read {
    loaded: Loaded,
    name: Option<String>,
}

/// What the first state was made of.
pub(super) struct First {
    pub(super) client_token: Secret,
    pub(super) found: Vec<Found>,
    /// The file's providers, for the text.
    providers: Vec<String>,
    /// Providers that an earlier start or an operator left in the state.
    kept: Vec<String>,
    /// What the snippets ask for.
    pub(super) model: String,
    places: Places,
    warnings: Vec<Problem>,
}

/// Reads and checks the file. What it refers to may stand in what was kept; where nothing was, it stands alone.
pub(super) fn read(path: Option<&Path>, home: &Home) -> Result<Read, Failure> {
    let Some(path) = path else {
        let loaded = load("", ORIGIN, |_| None).map_err(Failure::Problems)?;
        return Ok(Read { loaded, name: None });
    };
    let (text, name) = read_text(path)?;
    let loaded = inspect(&text, &name, variable).map_err(|faulty| {
        let is_alone = !home.path(STORE).exists();
        Failure::Problems(if is_alone { faulty.referring(File::default()) } else { faulty.problems })
    })?;
    Ok(Read { loaded, name: Some(name) })
}

// === impl Read ===

impl Read {
    /// Its section `server`.
    pub(super) fn server(&self) -> Server {
        self.loaded.file.server.clone().unwrap_or_default()
    }
}

// === impl First ===

impl First {
    /// First what no file made, so that no later `--prune` deletes it; then the file, which may build upon it.
    pub(super) fn new(read: Read, tokens: &Tokens) -> Result<(Self, Vec<Initial>), Failure> {
        let Read { loaded: Loaded { mut file, warnings, places }, name } = read;
        file.server = None;
        let found = found::find(Catalog::embedded().providers(), &file, variable);
        let mut start = File { providers: found::providers(&found), ..File::default() };
        let token = || Some(tokens.client.clone());
        let client_token = match file.clients.get_mut(CLIENT) {
            Some(client) => client.token.get_or_insert_with(|| tokens.client.clone()).clone(),
            None => {
                start.clients.insert(CLIENT.into(), Client { token: token(), ..Client::default() });
                tokens.client.clone()
            }
        };
        let model = announce::model(&file, &found);
        let first = Self {
            client_token,
            found,
            providers: file.providers.keys().cloned().collect(),
            kept: Vec::new(),
            model,
            places,
            warnings,
        };
        let initial = |file, origin: &str, by| Initial {
            apply: Apply { file, prune: false, origin: origin.into() },
            by,
        };
        let mut all = vec![initial(start, ORIGIN, Way::Hand)];
        all.extend(name.map(|name| initial(file, &name, Way::File)));
        Ok((first, all))
    }

    /// The control plane has taken it in.
    pub(super) fn started(&mut self, control: &Running) {
        self.report(&control.initial);
        if let Some(plane) = &control.plane {
            self.recall(&plane.state().nameable());
        }
    }

    /// Takes in what the state holds beside the file and what was found: with neither, the examples go by it.
    fn recall(&mut self, state: &File) {
        let is_new = |name: &&String| {
            !self.providers.contains(name) && !self.found.iter().any(|found| found.provider == **name)
        };
        self.kept = state.providers.keys().filter(is_new).cloned().collect();
        if self.model == announce::SANDBOX_MODEL {
            self.model = announce::model(state, &self.found);
        }
    }

    /// Says what is accepted without effect, and shows tokens that were made for clients of the file.
    fn report(&self, outcomes: &[Outcome]) {
        let mut warnings = self.warnings.clone();
        for warning in outcomes.iter().flat_map(|outcome| &outcome.warnings) {
            if !warnings.iter().any(|known| known.field == warning.field) {
                warnings.push(self.places.locate(warning.clone()));
            }
        }
        for warning in warnings {
            print::note(&format!("warning: {warning}"));
        }
        for shown in outcomes.iter().flat_map(|outcome| &outcome.tokens) {
            print::line(&format!("token of client {} (shown once): {}", shown.client, shown.token.expose()));
        }
    }

    /// Why the control plane did not start, with lines of the file.
    pub(super) fn explain(&self, error: ServeError) -> Failure {
        match error {
            ServeError::Initial { refusal: Refusal::Invalid(problems), .. }
            | ServeError::Refused(Refusal::Invalid(problems)) => {
                Failure::Problems(problems.into_iter().map(|problem| self.places.locate(problem)).collect())
            }
            other => Failure::Other(other.to_string()),
        }
    }

    /// Providers that no variable named, each with where it is from.
    pub(super) fn configured(&self) -> Vec<(&str, &'static str)> {
        let of_file = self.providers.iter().map(|name| (name.as_str(), "from the file"));
        of_file.chain(self.kept.iter().map(|name| (name.as_str(), "kept"))).collect()
    }
}
