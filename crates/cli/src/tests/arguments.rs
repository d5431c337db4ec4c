//! What the command line takes and what it refuses.

use clap::{CommandFactory, Parser};
use serde_json::json;

use crate::args::{Cli, Output, Verb};

#[test]
fn clap_finds_no_fault_in_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_of_the_issue_is_there() {
    let command = Cli::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for verb in [
        "up",
        "apply",
        "diff",
        "export",
        "schema",
        "provider",
        "model",
        "client",
        "team",
        "explain",
        "usage",
        "logs",
        "why",
        "fleet",
        "key",
        "doctor",
        "operator",
        "audit",
        "backup",
        "restore",
        "completion",
        "login",
    ] {
        assert!(verbs.contains(&verb), "{verb}");
    }
}

#[test]
fn global_options_may_stand_behind_the_verb() {
    let cli = Cli::try_parse_from(["keyway", "export", "--output", "json", "--server", "http://h:1"])
        .expect("parses");
    assert_eq!((cli.global.output, cli.global.server.as_deref()), (Output::Json, Some("http://h:1")));
    assert!(matches!(cli.verb, Verb::Export));
}

#[test]
fn usage_errors_end_with_2() {
    let wrong: &[&[&str]] = &[
        &["keyway", "nonsense"],
        &["keyway", "apply"],
        &["keyway", "client", "create"],
        &["keyway", "explain", "--client", "a"],
        &["keyway", "provider", "add", "openai", "--key", "sk-1"],
        &["keyway", "provider", "add", "x", "--no-key", "--from-env", "K"],
        &["keyway", "team", "set", "a", "--budget", "5"],
        &["keyway", "model", "add", "a"],
        &["keyway", "operator", "create", "a"],
        &["keyway", "audit", "list", "--limit", "0"],
        &["keyway", "restore", "f", "--epoch", "0"],
        &["keyway", "backup"],
        &["keyway", "usage", "--limit", "0"],
        &["keyway", "usage", "--sort", "colour"],
        &["keyway", "usage", "reconcile", "--provider", "openai"],
        &["keyway", "usage", "reconcile", "--provider", "a", "--bill", "f", "--tolerance", "much"],
        &["keyway", "usage", "reconcile", "--provider", "a", "--bill", "f", "--name", "one"],
        &["keyway", "usage", "reconcile", "--provider", "a", "--bill", "f", "--since", "lately"],
        &["keyway", "logs", "-f", "--until", "today"],
        &["keyway", "logs", "--outcome", "lost"],
        &["keyway", "why"],
    ];
    for arguments in wrong {
        let error = Cli::try_parse_from(*arguments).expect_err("must be refused");
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
}

/// A field of the file's section `server` is an option of the same name, which says so, and each has a variable. Some are
/// of a control plane of its own.
#[test]
fn every_option_of_up_names_its_variable_and_its_field() {
    let (schema, mut command) = (keyway_config::schema(), Cli::command());
    let up = command.find_subcommand_mut("up").expect("up");
    let fields = schema["$defs"]["Server"]["properties"].as_object().expect("the section's fields");
    let help = |arg: &clap::Arg| arg.get_help().map(ToString::to_string).unwrap_or_default();
    let not_of_up = |field: &str| {
        let set = match field {
            "take_books" => json!({ field: true }),
            "node_certificate_life" => json!({ field: "1h" }),
            "admin_token_file" | "store" | "name" | "advertise_fleet" | "advertise_admin" => {
                json!({ field: "x" })
            }
            _ => return false,
        };
        let server: keyway_config::Server = serde_json::from_value(set).expect("a field");
        server.of_controlplane() == Some(field)
    };
    for (field, _) in fields.iter().filter(|(field, _)| !not_of_up(field)) {
        let option = field.replace('_', "-");
        let arg = up.get_arguments().find(|arg| arg.get_long() == Some(&option));
        assert!(arg.is_some_and(|arg| help(arg).contains(&format!("[file: server.{field}]"))), "{field}");
    }
    for arg in up.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help") {
        let variable = format!("KEYWAY_{}", arg.get_id().as_str().to_uppercase());
        assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
        let named = help(arg).split_once("[file: server.").map(|(_, rest)| rest.to_owned());
        let named = named.and_then(|rest| rest.split_once(']').map(|(field, _)| field.to_owned()));
        let has_none = ["config"].contains(&arg.get_id().as_str());
        assert!(named.map_or(has_none, |field| fields.contains_key(&field)), "{arg}");
    }
}

#[test]
fn help_names_the_environment_variable_of_each_setting_and_never_shows_the_token() {
    let help = Cli::command().render_long_help().to_string();
    for name in ["KEYWAY_SERVER", "KEYWAY_ADMIN_TOKEN", "KEYWAY_OUTPUT", "KEYWAY_HOME"] {
        assert!(help.contains(name), "{name}");
    }
    assert!(!help.contains("KEYWAY_ADMIN_TOKEN="));
}
