//! Rows of figures: columns as wide as they must be, and the least wanted left out where all would not fit. Nothing wraps.

/// Blanks between two columns.
const GAP: usize = 2;

/// How a column is set and when it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Always there.
    Always,
    /// There if it fits; the lower number is left out last.
    IfRoom(u8),
}

/// One column: a heading and a cell of each row.
#[derive(Debug)]
struct Column {
    heading: String,
    right: bool,
    rank: Rank,
    cells: Vec<String>,
}

/// Columns of the same length.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<Column>,
}

// === impl Columns ===

impl Columns {
    /// Adds a column of words.
    pub(crate) fn words(&mut self, heading: &str, rank: Rank, cells: Vec<String>) {
        self.add(heading, rank, false, cells);
    }

    /// Adds a column of numbers: they end at the same place.
    pub(crate) fn numbers(&mut self, heading: &str, rank: Rank, cells: Vec<String>) {
        self.add(heading, rank, true, cells);
    }

    fn add(&mut self, heading: &str, rank: Rank, right: bool, cells: Vec<String>) {
        self.columns.push(Column { heading: heading.to_owned(), right, rank, cells });
    }

    /// As text of at most `width` columns, unless what is always there wants more.
    pub(crate) fn text(&self, width: usize) -> String {
        let shown = self.shown(width);
        let rows = shown.iter().map(|column| column.cells.len()).max().unwrap_or_default();
        let heading = shown.iter().map(|column| column.set(&column.heading));
        let mut lines = vec![joined(heading)];
        for row in 0..rows {
            let cells = shown.iter().map(|column| column.set(column.cells.get(row).map_or("", |cell| cell)));
            lines.push(joined(cells));
        }
        lines.join("\n")
    }

    fn shown(&self, width: usize) -> Vec<&Column> {
        let mut shown: Vec<&Column> = self.columns.iter().collect();
        while shown.iter().map(|column| column.width() + GAP).sum::<usize>() > width + GAP {
            let least = shown.iter().enumerate().filter_map(|(place, column)| match column.rank {
                Rank::Always => None,
                Rank::IfRoom(rank) => Some((rank, place)),
            });
            let Some((_, place)) = least.max() else { break };
            shown.remove(place);
        }
        shown
    }
}

// === impl Column ===

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().chain([&self.heading]).map(|cell| cell.chars().count()).max().unwrap_or_default()
    }

    fn set(&self, cell: &str) -> String {
        let width = self.width();
        if self.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let mut columns = Columns::default();
        let cells = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        columns.words("CLIENT", Rank::Always, cells(["a", "a-longer-one"]));
        columns.numbers("INPUT", Rank::IfRoom(1), cells(["1", "22,333,444"]));
        columns.numbers("COST", Rank::Always, cells(["0.5", "12.25"]));
        columns.numbers("MS", Rank::IfRoom(2), cells(["7", "1,000"]));
        columns
    }

    #[test]
    fn the_least_wanted_columns_go_first_and_nothing_wraps() {
        let headings =
            |width| columns().text(width).lines().next().map(|line| line.split_whitespace().count());
        assert_eq!([38, 37, 31, 30, 1].map(headings), [4, 3, 3, 2, 2].map(Some));
        let text = columns().text(38);
        assert_eq!(
            text,
            "CLIENT             INPUT   COST     MS\n\
             a                      1    0.5      7\n\
             a-longer-one  22,333,444  12.25  1,000"
        );
    }
}
