//! A command line that is not understood, as one line: what, what was perhaps meant, where help is.

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// Where clap says what was perhaps meant.
const MEANT: [ContextKind; 3] =
    [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
/// What the standard library says of numbers, and what we do.
const NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "a number is wanted"),
    ("cannot parse integer from empty string", "a number is wanted"),
    ("invalid float literal", "a number is wanted"),
    ("number too large to fit in target type", "a smaller number is wanted"),
];
/// Verbs that are announced and not built: nothing that is there comes near them.
const NOT_YET: [&str; 3] = ["budget", "limit", "policy"];

/// Options take no value from a variable that is set to nothing, as where a composed file hands on what is not set.
pub(crate) fn without_empty(command: Command) -> Command {
    let unset = |arg: Arg| match arg.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => arg.env(None::<&str>),
        _ => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty)
}

/// What to say of arguments that clap refused; `command` is the whole one, `given` what stood behind its name.
pub(crate) fn line(error: &Error, command: &mut Command, given: &[String]) -> String {
    let (words, at) = verb(command, given);
    if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand)
        && NOT_YET.contains(&unknown.as_str())
    {
        return format!("`{words} {unknown}` is not built yet; see `{words} --help` for what is");
    }
    let mut what = first_paragraph(&error.render().to_string());
    for (said, ours) in NUMBERS {
        what = what.replace(said, ours);
    }
    if let Some((arg, variable)) = from_variable(error, at, given) {
        what = what.replace(&format!("'{arg}'"), &variable);
    }
    let line = format!("{what}{} `{words} --help`", meant(error, at));
    line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The help of the verb that was begun and not finished.
pub(crate) fn help(command: &mut Command, given: &[String]) -> String {
    verb(command, given).1.clone().render_help().to_string()
}

/// The words of the verb as far as they are known, and the command that they name.
fn verb<'c>(command: &'c mut Command, given: &[String]) -> (String, &'c Command) {
    // Only then do commands below know the options of those above.
    command.build();
    let (mut words, mut at) = (command.get_name().to_owned(), &*command);
    for word in given.iter().take_while(|word| *word != "--").filter(|word| *word != "help") {
        if let Some(below) = at.find_subcommand(word) {
            words = format!("{words} {}", below.get_name());
            at = below;
        }
    }
    (words, at)
}

fn first_paragraph(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// `; did you mean 'a' or 'b'? See`, or only that. What is hidden is proposed to nobody.
fn meant(error: &Error, at: &Command) -> String {
    let all = MEANT.into_iter().filter_map(|kind| error.get(kind)).flat_map(texts);
    let shown = all.filter(|name| !at.find_subcommand(name).is_some_and(Command::is_hide_set));
    let names: Vec<String> = shown.map(|name| format!("'{name}'")).collect();
    match names.as_slice() {
        [] => "; see".to_owned(),
        names => format!("; did you mean {}? See", names.join(" or ")),
    }
}

fn texts(value: &ContextValue) -> Vec<&str> {
    match value {
        ContextValue::String(text) => vec![text],
        ContextValue::Strings(texts) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The option at fault and its variable, if the value came from there.
fn from_variable(error: &Error, at: &Command, given: &[String]) -> Option<(String, String)> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let arg = at.get_arguments().find(|arg| arg.to_string() == *shown)?;
    let variable = arg.get_env()?.to_str()?;
    let is_it = |word: &String| {
        let long = arg.get_long().and_then(|long| word.strip_prefix("--")?.strip_prefix(long));
        let short = arg.get_short().is_some_and(|short| word.starts_with(&format!("-{short}")));
        short || long.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    (!given.iter().any(is_it)).then(|| (shown.clone(), variable.to_owned()))
}
