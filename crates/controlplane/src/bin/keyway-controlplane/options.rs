//! What the program takes: a flag wins over its environment variable, that over the file's section `server`.

use clap::Parser;
use keyway_config::Server;
use keyway_telemetry::Otlp;
use std::{path::PathBuf, time::Duration};

pub(crate) const ADMIN: &str = "127.0.0.1:8600";
pub(crate) const FLEET: &str = "127.0.0.1:8601";
const LOG: &str = "info";
/// Of a node's certificate.
const NODE_LIFE: Duration = Duration::from_secs(86_400);

/// Keyway's control plane: owns the configuration, serves the admin API and the fleet stream.
///
/// A flag wins over its environment variable, that over the file's section `server`.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// Where the admin API listens, HOST:PORT or PORT [file: server.admin_listen] [default: 127.0.0.1:8600]
    #[arg(long, env = "KEYWAY_ADMIN_LISTEN", value_name = "ADDR")]
    pub(crate) admin_listen: Option<String>,
    /// Where replicas connect, HOST:PORT or PORT [file: server.fleet_listen] [default: 127.0.0.1:8601]
    #[arg(long, env = "KEYWAY_FLEET_LISTEN", value_name = "ADDR")]
    pub(crate) fleet_listen: Option<String>,
    /// A keyway.yaml that is applied at start; `-` reads stdin. Secrets stand in it as they are: `${NAME}` is refused
    #[arg(long, env = "KEYWAY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where token files lie [default: ~/.keyway]
    #[arg(long, env = "KEYWAY_HOME", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The admin token's file, made with mode 0600 if missing [file: server.admin_token_file] [default: admin.token in the data directory]
    #[arg(long, env = "KEYWAY_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Where nodes reach the fleet port, HOST or HOST:PORT, repeated or comma-separated: what join tokens say [file: server.fleet_name] [default: where it listens]
    #[arg(long, env = "KEYWAY_FLEET_NAME", value_name = "NAME", value_delimiter = ',')]
    pub(crate) fleet_name: Vec<String>,
    /// Seconds that a node's certificate lasts; it is renewed at half of it [file: server.node_certificate_life] [default: 86400]
    #[arg(long, env = "KEYWAY_NODE_CERTIFICATE_LIFE", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=31_536_000))]
    node_certificate_life: Option<u64>,
    /// Certificate chain of the admin API, PEM; required off loopback [file: server.tls_cert]
    #[arg(long, env = "KEYWAY_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM [file: server.tls_key]
    #[arg(long, env = "KEYWAY_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The root key, which opens every secret; made with mode 0600 at the first start [file: server.root_key_file] [default: root.key in the data directory, or the systemd credential keyway-root-key]
    #[arg(long, env = "KEYWAY_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,
    /// Where documents, audit log and sealed secrets lie: `etcd://HOST:PORT,HOST:PORT/PREFIX` or `etcds://…?ca=FILE&cert=FILE&key=FILE&login=FILE`, shared with other control planes [file: server.store] [default: the data directory]
    #[arg(long, env = "KEYWAY_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
    /// This control plane's name among those that share the store [file: server.name] [default: the host's name and some digits, made once]
    #[arg(long, env = "KEYWAY_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where replicas and other control planes reach the fleet port [file: server.advertise_fleet] [default: where it listens]
    #[arg(long, env = "KEYWAY_ADVERTISE_FLEET", value_name = "URL")]
    pub(crate) advertise_fleet: Option<String>,
    /// Where the admin API is for others [file: server.advertise_admin] [default: where it listens]
    #[arg(long, env = "KEYWAY_ADVERTISE_ADMIN", value_name = "URL")]
    pub(crate) advertise_admin: Option<String>,
    /// Keep the books of usage here from now on, whichever control plane did before [file: server.take_books]
    #[arg(long, env = "KEYWAY_TAKE_BOOKS")]
    pub(crate) take_books: bool,
    /// Where systemd puts credentials
    #[arg(long, env = "CREDENTIALS_DIRECTORY", hide = true)]
    pub(crate) credentials: Option<PathBuf>,
    /// Only opens the index of the store in that directory and reads it: what a start does in a process of its own
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) check_index: Option<PathBuf>,
    /// Written as JSON once requests are answered [file: server.ready_file]
    #[arg(long, env = "KEYWAY_READY_FILE", value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) otlp: Otlp,
    /// What is logged: error, warn, info, debug, or by module [file: server.log] [default: info]
    #[arg(long, env = "KEYWAY_LOG", value_name = "FILTER")]
    log: Option<String>,
}

// === impl Options ===

impl Options {
    /// With what the file says where neither flag nor variable does.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn with(self, file: Server) -> Result<Self, String> {
        let all = Self {
            admin_listen: self.admin_listen.or(file.admin_listen),
            fleet_listen: self.fleet_listen.or(file.fleet_listen),
            admin_token_file: self.admin_token_file.or(file.admin_token_file.map(PathBuf::from)),
            fleet_name: if self.fleet_name.is_empty() { file.fleet_name } else { self.fleet_name },
            node_certificate_life: self
                .node_certificate_life
                .or(file.node_certificate_life.map(|life| life.millis() / 1000)),
            tls_cert: self.tls_cert.or(file.tls_cert.map(PathBuf::from)),
            tls_key: self.tls_key.or(file.tls_key.map(PathBuf::from)),
            root_key_file: self.root_key_file.or(file.root_key_file.map(PathBuf::from)),
            store: self.store.or(file.store),
            name: self.name.or(file.name),
            advertise_fleet: self.advertise_fleet.or(file.advertise_fleet),
            advertise_admin: self.advertise_admin.or(file.advertise_admin),
            take_books: self.take_books || file.take_books.unwrap_or_default(),
            ready_file: self.ready_file.or(file.ready_file.map(PathBuf::from)),
            log: self.log.or(file.log),
            ..self
        };
        if all.tls_cert.is_some() != all.tls_key.is_some() {
            return Err("give both --tls-cert and --tls-key, or neither".to_owned());
        }
        let alone = [
            ("--name", all.name.is_some()),
            ("--advertise-fleet", all.advertise_fleet.is_some()),
            ("--advertise-admin", all.advertise_admin.is_some()),
            ("--take-books", all.take_books),
        ];
        match alone.iter().find(|(_, is_set)| *is_set && all.store.is_none()) {
            Some((option, _)) => {
                Err(format!("{option} is for control planes that share a store: give --store too"))
            }
            None => Ok(all),
        }
    }

    pub(crate) fn log(&self) -> &str {
        self.log.as_deref().unwrap_or(LOG)
    }

    /// How long a node's certificate lasts.
    pub(crate) fn node_life(&self) -> Duration {
        self.node_certificate_life.map_or(NODE_LIFE, Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn options(flags: &[&str]) -> Options {
        Options::try_parse_from([&["keyway-controlplane"], flags].concat()).unwrap()
    }

    #[test]
    fn every_option_names_its_variable_and_its_field() {
        let schema = keyway_config::schema();
        let fields = schema["$defs"]["Server"]["properties"].as_object().unwrap();
        let own = ["config", "data_dir", "help", "version"];
        let command = Options::command();
        let told = command.get_arguments().filter(|arg| !arg.is_hide_set());
        for arg in told.filter(|arg| arg.get_help_heading().is_none()) {
            let id = arg.get_id().as_str();
            if own.contains(&id) {
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("[file: server.{id}]")) && fields.contains_key(id),
                "{id}: {help}"
            );
            assert!(arg.get_env().is_some(), "{id}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = || Server {
            admin_listen: Some("1".into()),
            log: Some("debug".into()),
            store: Some("etcd://a:1".into()),
            name: Some("b".into()),
            ..Server::default()
        };
        let all = options(&["--admin-listen", "2"]).with(file()).unwrap();
        assert_eq!(
            (all.admin_listen.as_deref(), all.log(), all.name.as_deref()),
            (Some("2"), "debug", Some("b"))
        );
        assert_eq!((all.fleet_listen, all.node_certificate_life), (None, None));
        let alone = options(&["--name", "b"]).with(Server::default()).unwrap_err();
        assert!(alone.contains("--store"), "{alone}");
        let half = options(&["--tls-cert", "c"]).with(Server::default()).unwrap_err();
        assert!(half.contains("--tls-key"), "{half}");
    }
}
