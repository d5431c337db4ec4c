//! The one table of routes: method, path, scope, what it owns, what it takes and gives. Router, OpenAPI and the test
//! that walks it are made from it, so a route that is not here does not exist and none is open by oversight.

use super::{
    answer::{Answer, Fault},
    audit, backup,
    call::Call,
    catalog, clients, configuration, doctor, events, explain, fleet, hosts, keys, metrics, nodes, openapi,
    operators, price, quirks, resources, usage, vault,
    view::{ClientView, Done, Json, ModelView, ProviderView, TeamView, Written},
};
use crate::{
    attest::Attestation,
    authority::{AuthorityView, JoinView, NodeView},
    fleet::{Host, Replica},
    resource::Scope,
    rotation::RolloutView,
};
use axum::routing::MethodFilter;
use keyway_config::{Client, File, Model, Provider, Team};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::{pin::Pin, time::Duration};

/// Bytes that one body may have.
const BODY_LIMIT: usize = 1 << 20;
/// Bytes that a whole file may have as JSON: 100,000 clients take about 20 MB.
const FILE_LIMIT: usize = 64 << 20;

/// Until there is an answer: a probe and its retries take 15 s, a disk that needs longer for one change is ill.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// The same of a route that reads everything there is.
const READING_DEADLINE: Duration = Duration::from_secs(600);
/// The same of a route that waits for something else than this control plane: a key's source has 150 s.
const ASKING_DEADLINE: Duration = Duration::from_secs(170);

/// The media type of what is no JSON.
pub(super) const BYTES: &str = "application/octet-stream";

/// Whose a route's subject is, for tokens that are bound to one team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: the whole product's.
    Everyone,
    /// The team that the client in the path belongs to.
    TeamOfClient,
    /// The team that the operator in the path is bound to.
    TeamOfOperator,
    /// The team in the path.
    Team,
}

/// The methods that the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One route.
pub(super) struct Route {
    pub(super) method: Method,
    /// Below `/api/v1`.
    pub(super) path: &'static str,
    pub(super) scope: Scope,
    pub(super) owner: Owner,
    /// Everyone's, and yet for tokens of one team: it shows or makes only what is that team's, or nothing of anybody's.
    pub(super) for_teams: bool,
    /// What the audit log calls it; empty = it changes nothing.
    pub(super) action: &'static str,
    pub(super) summary: &'static str,
    /// Names in the query.
    pub(super) query: &'static [&'static str],
    pub(super) takes: Option<SchemaOf>,
    pub(super) gives: SchemaOf,
    /// Media type of what it gives.
    pub(super) media: &'static str,
    pub(super) body_limit: usize,
    /// It is answered within that, be it that it takes too long.
    pub(super) deadline: Duration,
    pub(super) answer: fn(Call) -> Answering,
}

// === impl Owner ===

impl Owner {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::TeamOfClient => "team-of-client",
            Self::TeamOfOperator => "team-of-operator",
            Self::Team => "team",
        }
    }
}

// === impl Method ===

impl Method {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

// === impl Route ===

impl Route {
    /// The same route with names in its query.
    const fn with_query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// The same route with a name in the audit log.
    const fn audited(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    /// The same route giving something else than JSON.
    const fn giving(self, media: &'static str) -> Self {
        Self { media, ..self }
    }

    /// The same route for tokens of one team too.
    const fn for_teams(self) -> Self {
        Self { for_teams: true, ..self }
    }

    /// The same route with time to read everything.
    const fn reading_all(self) -> Self {
        Self { deadline: READING_DEADLINE, ..self }
    }

    /// The same route with time for a provider or a key's source to answer.
    const fn asking_others(self) -> Self {
        Self { deadline: ASKING_DEADLINE, ..self }
    }

    /// The same route for bodies that hold a whole file.
    const fn for_files(self) -> Self {
        Self { body_limit: FILE_LIMIT, ..self }
    }

    /// Whether it changes one document, and that only at the version that `if-match` names.
    pub(super) fn looks_at_version(&self) -> bool {
        const OF_DOCUMENTS: [&str; 6] =
            ["/providers", "/models", "/teams", "/clients", "/operators", "/join-tokens/"];
        // A test of a provider changes nothing of it.
        let tests = self.path.ends_with("/test");
        !self.action.is_empty() && !tests && OF_DOCUMENTS.iter().any(|root| self.path.starts_with(root))
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method.word(), self.path)
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

macro_rules! route {
    ($method:ident $path:literal, $scope:ident, $owner:ident, $takes:tt => $gives:ty, $answer:path, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            scope: Scope::$scope,
            owner: Owner::$owner,
            for_teams: false,
            action: "",
            summary: $summary,
            query: &[],
            takes: route!(@takes $takes),
            gives: schema_of::<$gives>,
            media: "application/json",
            body_limit: BODY_LIMIT,
            deadline: ANSWER_DEADLINE,
            answer: |call| Box::pin($answer(call)),
        }
    };
    (@takes nothing) => { None };
    (@takes ($takes:ty)) => { Some(schema_of::<$takes>) };
}

/// All routes. Nothing else is answered under `/api/v1`.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    route!(Get "/status", NodesRead, Everyone, nothing => fleet::Status, fleet::status, "Version in force, replicas, uptime"),
    route!(Get "/metrics", NodesRead, Everyone, nothing => Json, metrics::show, "What this control plane counts, in Prometheus' text format").giving(metrics::TEXT),
    route!(Get "/doctor", NodesRead, Everyone, nothing => doctor::Doctor, doctor::look, "What is wrong or soon will be").with_query(&["deep"]).reading_all(),
    route!(Get "/openapi.json", ConfigRead, Everyone, nothing => Json, openapi::show, "This API's description").for_teams(),
    route!(Get "/schema", ConfigRead, Everyone, nothing => Json, configuration::schema, "JSON Schema of keyway.yaml").for_teams(),

    route!(Post "/apply", SecretsWrite, Everyone, (configuration::ApplyBody) => Done, configuration::apply, "Put a file into force").for_files().audited("apply"),
    route!(Post "/diff", ConfigRead, Everyone, (configuration::ApplyBody) => Done, configuration::diff, "What applying a file would change").for_files(),
    route!(Get "/export", ConfigRead, Everyone, nothing => File, configuration::export, "The whole configuration without secrets"),
    route!(Post "/explain", ConfigRead, Everyone, (explain::Question) => explain::Explained, explain::explain, "Which targets a request would try, and why"),
    route!(Post "/price", ConfigRead, Everyone, (price::Question) => Vec<price::Priced>, price::price, "What a model costs by every rule, and what a request of a given size would"),

    route!(Get "/providers", ConfigRead, Everyone, nothing => Vec<ProviderView>, resources::list_providers, "Configured providers"),
    route!(Get "/providers/{name}", ConfigRead, Everyone, nothing => ProviderView, resources::show_provider, "One provider"),
    route!(Get "/providers/{name}/quirks", ConfigRead, Everyone, nothing => quirks::ByDialect, quirks::show, "What one model of it, or every one, does differently from each dialect").with_query(&["model"]),
    route!(Put "/providers/{name}", SecretsWrite, Everyone, (Provider) => Written<ProviderView>, resources::put_provider, "Make or change a provider; keys that are not named stay").audited("provider.put"),
    route!(Delete "/providers/{name}", ConfigWrite, Everyone, nothing => Done, resources::delete_provider, "Delete a provider with its keys").audited("provider.delete"),
    route!(Post "/providers/{name}/test", ConfigRead, Everyone, nothing => Vec<fleet::Tried>, fleet::test_provider, "Try each key with one small call from a replica").audited("provider.test").asking_others(),

    route!(Get "/keys", KeysRead, Everyone, nothing => Vec<keys::KeyDetail>, keys::list, "Provider keys with their versions and use"),
    route!(Get "/keys/{provider}/{key}", KeysRead, Everyone, nothing => keys::KeyDetail, keys::show, "One key"),
    route!(Post "/keys/{provider}/{key}", SecretsWrite, Everyone, (keys::NewSecret) => RolloutView, keys::add, "Make a key; its provider too, if the catalogue knows it").audited("key.add"),
    route!(Post "/keys/{provider}/{key}/rotate", SecretsWrite, Everyone, (keys::NewSecret) => RolloutView, keys::rotate, "Bring a new secret into use; answers once it is, and goes on until the old one is retired").audited("key.rotate"),
    route!(Post "/keys/{provider}/{key}/fetch", KeysWrite, Everyone, nothing => RolloutView, keys::fetch, "Ask the key's source for a new secret at once, and bring it into use as `rotate` does").audited("key.fetch").asking_others(),
    route!(Post "/keys/{provider}/{key}/promote", KeysWrite, Everyone, (keys::Which) => RolloutView, keys::promote, "Bring a version into use that is there").audited("key.promote"),
    route!(Post "/keys/{provider}/{key}/rollback", KeysWrite, Everyone, (keys::Which) => RolloutView, keys::rollback, "Bring the version before back into use").audited("key.rollback"),
    route!(Post "/keys/{provider}/{key}/revoke", KeysWrite, Everyone, (keys::Which) => RolloutView, keys::revoke, "Take versions out of use at once").audited("key.revoke"),
    route!(Post "/keys/{provider}/{key}/compromise", KeysWrite, Everyone, (keys::Compromise) => RolloutView, keys::compromise, "Take all of a key that may be in wrong hands out of use; what runs on it ends by itself unless `cut`").audited("key.compromise"),
    route!(Post "/keys/{provider}/{key}/destroy", KeysWrite, Everyone, (keys::Which) => keys::KeyDetail, keys::destroy, "Erase the secret of a version that is not in use").audited("key.destroy"),
    route!(Post "/keys/{provider}/{key}/allow-origin", KeysWrite, Everyone, (keys::NewOrigin) => keys::KeyDetail, keys::allow_origin, "Let the secrets go to one more address").audited("key.allow-origin"),
    route!(Get "/keys/{provider}/{key}/rollout", KeysRead, Everyone, nothing => RolloutView, keys::rollout, "The newest change of versions"),
    route!(Get "/keys/{provider}/{key}/events", KeysRead, Everyone, nothing => RolloutView, events::follow, "The same as server-sent events, until it has ended").giving("text/event-stream"),
    route!(Get "/keys/{provider}/{key}/history", KeysRead, Everyone, nothing => keys::History, keys::history, "What happened to the key, and how each replica uses it"),
    route!(Get "/keys/{provider}/{key}/report", KeysRead, Everyone, nothing => keys::Report, keys::report, "The same, signed by the control plane"),
    route!(Get "/keys/{provider}/{key}/exposure", UsageRead, Everyone, nothing => keys::Report, keys::exposed, "The same with who used the key since a moment, for what and at what cost; by default since what was taken out of use last was taken in").with_query(&["since"]),
    route!(Get "/public-key", ConfigRead, Everyone, nothing => keys::PublicKey, keys::public_key, "With which signatures of this control plane are checked").for_teams(),

    route!(Get "/models", ConfigRead, Everyone, nothing => Vec<ModelView>, resources::list_models, "Aliases"),
    route!(Get "/models/{name}", ConfigRead, Everyone, nothing => explain::Alias, resources::show_model, "One alias, each target with its state and why"),
    route!(Put "/models/{name}", ConfigWrite, Everyone, (Model) => Written<ModelView>, resources::put_model, "Make or change an alias").audited("model.put"),
    route!(Delete "/models/{name}", ConfigWrite, Everyone, nothing => Done, resources::delete_model, "Delete an alias").audited("model.delete"),

    route!(Get "/catalog/providers", ConfigRead, Everyone, nothing => Vec<catalog::ProviderRow>, catalog::list_providers, "Providers that are known").for_teams(),
    route!(Get "/catalog/providers/{id}", ConfigRead, Everyone, nothing => catalog::ProviderDetail, catalog::show_provider, "One provider that is known").for_teams(),
    route!(Get "/catalog/models", ConfigRead, Everyone, nothing => Vec<catalog::ModelRow>, catalog::list_models, "Models that are known").with_query(&["provider", "search", "limit"]).for_teams(),
    route!(Get "/catalog/models/{provider}/{*id}", ConfigRead, Everyone, nothing => catalog::ModelDetail, catalog::show_model, "One model that is known").for_teams(),

    route!(Get "/clients", ConfigRead, Everyone, nothing => Vec<ClientView>, clients::list, "Clients").for_teams(),
    route!(Post "/clients", SecretsWrite, Everyone, (clients::NewClient) => clients::MadeClient, clients::create, "Make a client; its token is in this answer only").audited("client.create").for_teams(),
    route!(Get "/clients/{name}", ConfigRead, TeamOfClient, nothing => clients::ClientDetail, clients::show_one, "One client; while it changes its token, who uses which"),
    route!(Patch "/clients/{name}", SecretsWrite, TeamOfClient, (Client) => Written<ClientView>, clients::patch, "Change what is named of a client; null removes").audited("client.patch"),
    route!(Delete "/clients/{name}", ConfigWrite, TeamOfClient, nothing => Done, clients::delete, "Delete a client").audited("client.delete"),
    route!(Post "/clients/{name}/disable", ConfigWrite, TeamOfClient, nothing => Written<ClientView>, clients::disable, "Refuse its token from now on").audited("client.disable"),
    route!(Post "/clients/{name}/enable", ConfigWrite, TeamOfClient, nothing => Written<ClientView>, clients::enable, "Take its token again").audited("client.enable"),
    route!(Post "/clients/{name}/rotate", SecretsWrite, TeamOfClient, (clients::Overlap) => clients::NewToken, clients::rotate, "Give it a new token; the old one is refused, at once or after an overlap").audited("client.rotate"),
    route!(Post "/clients/{name}/key-pair", SecretsWrite, TeamOfClient, nothing => clients::NewPair, clients::key_pair, "Give it a new key pair for SigV4; the old one is refused").audited("client.key_pair"),

    route!(Get "/teams", ConfigRead, Everyone, nothing => Vec<TeamView>, resources::list_teams, "Teams").for_teams(),
    route!(Get "/teams/{name}", ConfigRead, Team, nothing => TeamView, resources::show_team, "One team"),
    route!(Put "/teams/{name}", ConfigWrite, Everyone, (Team) => Written<TeamView>, resources::put_team, "Make or change a team").audited("team.put"),
    route!(Delete "/teams/{name}", ConfigWrite, Everyone, nothing => Done, resources::delete_team, "Delete a team").audited("team.delete"),

    route!(Get "/usage", UsageRead, Everyone, nothing => usage::Page, usage::show, "What was used and what it cost, by any mix of dimensions").with_query(usage::OF_REPORT).for_teams(),
    route!(Get "/logs", UsageRead, Everyone, nothing => usage::LogPage, usage::list, "Single requests, newest first").with_query(usage::OF_LOGS).for_teams(),
    route!(Get "/logs/follow", UsageRead, Everyone, nothing => usage::RecordView, usage::follow, "Requests as they are booked, as server-sent events").with_query(usage::OF_FOLLOW).giving("text/event-stream").for_teams(),
    route!(Get "/logs/{id}", UsageRead, Everyone, nothing => usage::Why, usage::show_record, "One request, and what decided where it went and what it cost").for_teams(),

    route!(Get "/fleet", NodesRead, Everyone, nothing => Vec<Replica>, fleet::list, "Replicas"),
    route!(Get "/fleet/{id}", NodesRead, Everyone, nothing => Replica, fleet::show, "One replica"),
    route!(Post "/fleet/{id}/evict", NodesWrite, Everyone, nothing => fleet::Evicted, fleet::evict, "Close a replica's books and never let it in again under its name").audited("fleet.evict"),
    route!(Post "/fleet/{id}/drain", NodesWrite, Everyone, nothing => Option<Replica>, fleet::drain, "Tell a replica to end in order").audited("fleet.drain"),

    route!(Get "/hosts", NodesRead, Everyone, nothing => Vec<Host>, hosts::list, "Hosts whose replicas a supervisor runs"),
    route!(Get "/hosts/{name}", NodesRead, Everyone, nothing => Host, hosts::show, "One host, by its supervisor's name or its machine's"),
    route!(Post "/hosts/{name}/scale", NodesWrite, Everyone, (hosts::Scale) => Host, hosts::scale, "Run so many replicas there; it stands until it is changed").audited("fleet.scale"),
    route!(Post "/hosts/{name}/upgrade", NodesWrite, Everyone, nothing => Host, hosts::upgrade, "Replace its replicas one by one, and then its supervisor, by the program that is on its disk").audited("fleet.upgrade"),
    route!(Get "/nodes", NodesRead, Everyone, nothing => Vec<NodeView>, nodes::list, "Nodes that have joined"),
    route!(Get "/join-tokens", NodesRead, Everyone, nothing => Vec<JoinView>, nodes::list_tokens, "Tokens with which nodes join"),
    route!(Post "/join-tokens", NodesWrite, Everyone, (nodes::NewToken) => nodes::MadeToken, nodes::create_token, "Make a token with which a node joins; it is in this answer only").audited("join-token.create"),
    route!(Delete "/join-tokens/{name}", NodesWrite, Everyone, nothing => Done, nodes::revoke_token, "Refuse a token from now on; who joined with it stays").audited("join-token.revoke"),
    route!(Get "/ca", NodesRead, Everyone, nothing => AuthorityView, nodes::authority_view, "The roots of nodes' certificates, and who is on which"),
    route!(Post "/ca/rotate", NodesWrite, Everyone, nothing => AuthorityView, nodes::rotate, "Bring another root into use; the one before is trusted until no node needs it").audited("ca.rotate"),

    route!(Get "/operators", OperatorsRead, Everyone, nothing => Vec<operators::OperatorView>, operators::list, "Operators").for_teams(),
    route!(Post "/operators", OperatorsWrite, Everyone, (operators::NewOperator) => operators::MadeOperator, operators::create, "Make an operator that may no more than its maker; its token is in this answer only").for_teams().audited("operator.create"),
    route!(Get "/operators/{name}", OperatorsRead, TeamOfOperator, nothing => operators::OperatorView, operators::show, "One operator"),
    route!(Post "/operators/{name}/rotate", OperatorsWrite, TeamOfOperator, (operators::Renewal) => operators::MadeOperator, operators::rotate, "Give it a new token; the old one is refused").audited("operator.rotate"),
    route!(Post "/operators/{name}/disable", OperatorsWrite, TeamOfOperator, nothing => Written<operators::OperatorView>, operators::disable, "Refuse its token from now on").audited("operator.disable"),
    route!(Post "/operators/{name}/enable", OperatorsWrite, TeamOfOperator, nothing => Written<operators::OperatorView>, operators::enable, "Take its token again").audited("operator.enable"),
    route!(Delete "/operators/{name}", OperatorsWrite, TeamOfOperator, nothing => Done, operators::delete, "Delete an operator").audited("operator.delete"),

    route!(Get "/audit", AuditRead, Everyone, nothing => audit::Page, audit::list, "Who did what, oldest first").with_query(&["after", "limit", "subject", "actor"]),
    route!(Post "/audit/verify", AuditRead, Everyone, nothing => audit::Sound, audit::verify, "Read the whole log and check that nothing in it was changed").reading_all(),
    route!(Post "/audit/attest", AuditRead, Everyone, nothing => Attestation, audit::attest, "Sign how far the log is, in the log itself; what was signed shows later, wherever it is kept, that nothing up to there was changed or cut off").audited("audit.attest"),

    route!(Get "/vault", KeysRead, Everyone, nothing => vault::VaultView, vault::show, "How the secrets are wrapped"),
    route!(Post "/vault/rotate-kek", SecretsWrite, Everyone, nothing => vault::VaultView, vault::rotate_kek, "Make a new wrapping key, wrap every secret with it, and retire the old one; goes on in the background").audited("vault.rotate-kek"),
    route!(Post "/vault/rotate-root", SecretsWrite, Everyone, (vault::NewRoot) => vault::Rerooted, vault::rotate_root, "Seal the keyring under a new root key").audited("vault.rotate-root"),

    route!(Get "/backup", BackupCreate, Everyone, nothing => Json, backup::stream, "A copy of everything, secrets sealed; `usage=false` leaves out what was used").with_query(&["usage"]).giving(BYTES).audited("backup"),
];
