//! Writes the list of embedded files, which a build can find without a build script.

use super::{FOLDERS, counts, names, path};
use std::{error::Error, fmt::Write as _, fs};

const INDEX: &str = "crates/catalog/src/embedded.rs";
/// Of a line in the project's formatting, with its end.
const WIDTH: usize = 111;

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    let [providers, models] = FOLDERS;
    let mut text = String::from("//! Written by `cargo xtask catalog`: every file of catalog/.\n\n");
    text += "use crate::rows::Files;\n\n";
    writeln!(
        text,
        "/// Rows with a price that the last import wrote; hand-written files are not among them."
    )?;
    writeln!(text, "#[cfg(test)]\npub(crate) const PRICED_ROWS: usize = {};\n", counts::read()?)?;
    text += "pub(crate) const FILES: &[Files] = &[\n";
    for id in names(providers)? {
        let has_models = path(models, &id).exists();
        let models = if has_models { include(models, &id) } else { "\"\"".to_owned() };
        text += &entry(&id, &include(providers, &id), &models);
    }
    text += "];\n";
    fs::write(INDEX, text)?;
    Ok(())
}

/// As rustfmt has it.
fn entry(id: &str, provider: &str, models: &str) -> String {
    let fields = [format!("id: \"{id}\""), format!("provider: {provider}"), format!("models: {models}")];
    let short = format!("    Files {{ {} }},\n", fields.join(", "));
    if short.len() <= WIDTH {
        return short;
    }
    let lines: String = fields.iter().map(|field| format!("        {field},\n")).collect();
    format!("    Files {{\n{lines}    }},\n")
}

fn include(folder: &str, id: &str) -> String {
    format!("include_str!(\"../../../{folder}/{id}.toml\")")
}
