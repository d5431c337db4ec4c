//! Which requests: the options that `usage` and `logs` share. The admin API judges their values.

use clap::Args;

/// Each narrows down what the others leave.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filters {
    /// Only requests of this client
    #[arg(long, value_name = "C")]
    pub(crate) client: Option<String>,
    /// Only requests of this team's clients
    #[arg(long, value_name = "T")]
    pub(crate) team: Option<String>,
    /// Only requests that this provider served
    #[arg(long, value_name = "P")]
    pub(crate) provider: Option<String>,
    /// Only requests that this model served: PROVIDER/MODEL
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Only requests that this provider key paid: PROVIDER/KEY
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Only requests that asked for this alias
    #[arg(long, value_name = "A")]
    pub(crate) alias: Option<String>,
    /// Only requests with this tag: NAME or NAME=VALUE, as callers send them in x-keyway-tags
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
}

// === impl Filters ===

impl Filters {
    /// As the admin API names them.
    pub(crate) fn fields(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("client", self.client.as_deref()),
            ("team", self.team.as_deref()),
            ("provider", self.provider.as_deref()),
            ("model", self.model.as_deref()),
            ("key", self.key.as_deref()),
            ("alias", self.alias.as_deref()),
            ("tag", self.tag.as_deref()),
        ]
    }
}
