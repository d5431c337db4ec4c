//! Writes the list of embedded files, which a build can find without a build script.

use super::{FOLDERS, counts, names, path};
use std::{error::Error, fmt::Write as _, fs};

const INDEX: &str = "crates/catalog/src/embedded.rs";
const HEAD: &str = r#"//! Written by `cargo xtask catalog`: every file of catalog/.

use crate::rows::Files;

macro_rules! row {
    ($id:literal) => {
        Files { models: include_str!(concat!("../../../catalog/models/", $id, ".toml")), ..row!($id, alone) }
    };
    ($id:literal, alone) => {
        Files {
            id: $id,
            provider: include_str!(concat!("../../../catalog/providers/", $id, ".toml")),
            models: "",
        }
    };
}

"#;

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    let [providers, models] = FOLDERS;
    let mut text = HEAD.to_owned();
    writeln!(
        text,
        "/// Rows with a price that the last import wrote; hand-written files are not among them."
    )?;
    writeln!(text, "#[cfg(test)]\npub(crate) const PRICED_ROWS: usize = {};\n", counts::read()?)?;
    text += "/// `alone` has no models.\npub(crate) const FILES: &[Files] = &[\n";
    for id in names(providers)? {
        let alone = if path(models, &id).exists() { "" } else { ", alone" };
        writeln!(text, "    row!(\"{id}\"{alone}),")?;
    }
    text += "];\n";
    fs::write(INDEX, text)?;
    Ok(())
}
