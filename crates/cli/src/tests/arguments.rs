//! What the command line takes and what it refuses.

use clap::{CommandFactory, Parser};

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

#[test]
fn help_names_the_environment_variable_of_each_setting_and_never_shows_the_token() {
    let help = Cli::command().render_long_help().to_string();
    for name in ["KEYWAY_SERVER", "KEYWAY_ADMIN_TOKEN", "KEYWAY_OUTPUT", "KEYWAY_HOME"] {
        assert!(help.contains(name), "{name}");
    }
    assert!(!help.contains("KEYWAY_ADMIN_TOKEN="));
}
