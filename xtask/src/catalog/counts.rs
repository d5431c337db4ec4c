//! What an import wrote and what it left out: printed, and written into docs/catalog.md.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, fs};

const DOC: &str = "docs/catalog.md";
const BEGIN: &str = "<!-- counts: written by `cargo xtask catalog` -->\n";
const END: &str = "<!-- end of counts -->";
const PRICED: &str = "| rows with a price |";

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) providers: usize,
    left_out: BTreeMap<String, Vec<String>>,
    pub(crate) models: usize,
    pub(crate) models_left_out: usize,
    pub(crate) priced: usize,
    pub(crate) token_price: usize,
    pub(crate) partial_price: usize,
    pub(crate) unit_price: usize,
    pub(crate) listed_free: usize,
    pub(crate) disputed: usize,
    pub(crate) clocks_left_out: usize,
    pub(crate) rounded: usize,
}

impl Counts {
    pub(crate) fn left_out(&mut self, id: &str, dialect: &str) {
        self.left_out.entry(dialect.to_owned()).or_default().push(id.to_owned());
    }

    #[expect(clippy::print_stdout, reason = "what the command answers")]
    pub(crate) fn print(&self) {
        println!("{}", self.table());
    }

    fn table(&self) -> String {
        let mut text = String::from("| what | count |\n| --- | --- |\n");
        let mut line = |what: &str, count: usize| text += &format!("| {what} | {count} |\n");
        line("providers written", self.providers);
        line("providers left out", self.left_out.values().map(Vec::len).sum());
        line("model rows written", self.models);
        line("model rows left out with their provider", self.models_left_out);
        line(PRICED.trim_matches(['|', ' ']), self.priced);
        line("of these: token price that covers a call (`price`)", self.token_price);
        line("of these: token rates beside unit prices (`partial_price`)", self.partial_price);
        line("of these: unit prices (`units`)", self.unit_price);
        line("rows listed as free, so without a price", self.listed_free);
        line("rows whose price sources dispute", self.disputed);
        line("time-of-day rules left out: neither price is the row's", self.clocks_left_out);
        line("base prices with ten decimals, rounded to a femto-dollar per token", self.rounded);
        text.push_str("\nProviders left out, since they speak none of the six dialects:\n\n");
        for (dialect, ids) in &self.left_out {
            text += &format!("- {dialect}: {}\n", ids.join(", "));
        }
        text
    }

    pub(crate) fn write(&self) -> Result<(), Box<dyn Error>> {
        let old = fs::read_to_string(DOC)?;
        let missing = || format!("{DOC}: no place for the counts");
        let (before, rest) = old.split_once(BEGIN).ok_or_else(missing)?;
        let (_, after) = rest.split_once(END).ok_or_else(missing)?;
        let mut new = String::new();
        write!(new, "{before}{BEGIN}{}{END}{after}", self.table())?;
        fs::write(DOC, new)?;
        Ok(())
    }
}

/// The count of priced rows that the last import wrote down.
pub(crate) fn read() -> Result<usize, Box<dyn Error>> {
    let text = fs::read_to_string(DOC)?;
    let line = text.lines().find_map(|line| line.strip_prefix(PRICED));
    Ok(line.ok_or_else(|| format!("{DOC}: no count of priced rows"))?.trim_matches(['|', ' ']).parse()?)
}
