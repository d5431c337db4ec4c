//! Writes catalog/ from a folder of facts: providers.json and models.json become one small file a provider in our own
//! schema (docs/catalog.md). Files that begin with `# Written by hand` stay as they are, and so does what stands in others
//! from the line on that says so; the rest is rewritten.

mod counts;
mod facts;
mod index;
mod models;
mod providers;
mod text;

use counts::Counts;
use std::{collections::BTreeMap, error::Error, fs, io, path::Path, path::PathBuf};

pub(crate) const FOLDERS: [&str; 2] = ["catalog/providers", "catalog/models"];
const BY_HAND: &str = "# Written by hand";
const WRITTEN: &str = "# Written by `cargo xtask catalog`. To change it by hand, see docs/catalog.md.\n";

/// The line from which on a file is not the import's.
const KEPT: &str = "\n# By hand from here on; an import keeps it.\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder with providers.json and models.json; left out: only the index of the files that are there is rewritten
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if let Some(from) = &args.from {
        let counts = import(from)?;
        counts.print();
        counts.write()?;
    }
    index::write()
}

fn import(from: &Path) -> Result<Counts, Box<dyn Error>> {
    let read = |file: &str| fs::read_to_string(from.join(file)).map_err(|why| format!("{file}: {why}"));
    let facts::Providers { providers } = serde_json::from_str(&read("providers.json")?)?;
    let facts::Models { models } = serde_json::from_str(&read("models.json")?)?;
    let mut counts = Counts::default();
    let mut rows = BTreeMap::new();
    for fact in &providers {
        match providers::row(fact) {
            Some(text) => drop(rows.insert(fact.id.clone(), text)),
            None => counts.left_out(&fact.id, &fact.dialect),
        }
    }
    counts.providers = rows.len();
    let mut sorted: Vec<&facts::Model> = models.iter().collect();
    sorted.sort_by_key(|model| (&model.provider, &model.id, &model.mode, &model.region, &model.variant));
    let mut lists: BTreeMap<String, String> = BTreeMap::new();
    for model in sorted {
        if !rows.contains_key(&model.provider) {
            counts.models_left_out += 1;
            continue;
        }
        let text = models::row(model, &mut counts)?;
        lists.entry(model.provider.clone()).or_default().push_str(&text);
    }
    let [provider_files, model_files] = FOLDERS;
    write_all(provider_files, &rows)?;
    write_all(model_files, &lists)?;
    Ok(counts)
}

/// Makes a folder hold exactly these files and those that were written by hand.
fn write_all(folder: &str, files: &BTreeMap<String, String>) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for name in names(folder)? {
        let path = path(folder, &name);
        if !files.contains_key(&name) && !fs::read_to_string(&path)?.starts_with(BY_HAND) {
            fs::remove_file(path)?;
        }
    }
    for (name, text) in files {
        let path = path(folder, name);
        let old = fs::read_to_string(&path).unwrap_or_default();
        if !old.starts_with(BY_HAND) {
            fs::write(path, format!("{WRITTEN}{text}{}", kept(&old)))?;
        }
    }
    Ok(())
}

/// What was added to a file by hand, with the line that says so.
fn kept(old: &str) -> &str {
    old.find(KEPT).and_then(|at| old.get(at..)).unwrap_or_default()
}

fn path(folder: &str, name: &str) -> PathBuf {
    Path::new(folder).join(format!("{name}.toml"))
}

/// Names of the TOML files of a folder, sorted, without their ending.
fn names(folder: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{KEPT, kept};

    #[test]
    fn what_was_added_by_hand_stays_as_it_is() {
        let added = format!("{KEPT}\n[[quirks]]\nsource = \"a page\"\n");
        assert_eq!(kept(&format!("name = \"X\"\n{added}")), added);
        assert_eq!(kept("name = \"X\"\n"), "");
    }
}
