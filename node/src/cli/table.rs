//! Aligned columns.

use unicode_width::UnicodeWidthStr;

use super::sanitize::sanitize;

/// How wide a cell may make its column: a longer one moves the rest of its own row alone.
const WIDEST: usize = 60;

/// A column: its heading, and to which side its cells go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }

    fn align(self, cell: &str, width: usize) -> String {
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        match self {
            Self::Left(_) => format!("{cell}{padding}"),
            Self::Right(_) => format!("{padding}{cell}"),
        }
    }
}

/// Rows that come in batches: columns only ever get wider, so that nothing is held but the batch.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
    headed: bool,
}

impl Table {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        let widths = columns.iter().map(|column| column.heading().width()).collect();
        Self { columns, widths, headed: false }
    }

    /// The lines of these rows; before the first ones the headings.
    pub(super) fn lines(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
        let clean = |row: Vec<String>| row.iter().map(|cell| sanitize(cell).into_owned()).collect();
        let mut rows: Vec<Vec<String>> = rows.into_iter().map(clean).collect();
        if !rows.is_empty() && !self.headed {
            self.headed = true;
            rows.insert(0, self.columns.iter().map(|column| column.heading().to_owned()).collect());
        }
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width().min(WIDEST));
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
        let cells = self.columns.iter().zip(&self.widths).zip(row);
        let aligned: Vec<String> = cells.map(|((column, &width), cell)| column.align(cell, width)).collect();
        aligned.join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::Left("NAME"), Column::Right("SIZE"), Column::Left("NOTE")];

    fn row(cells: [&str; 3]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_are_as_wide_as_what_was_seen() {
        let mut table = Table::new(COLUMNS);
        let first = table.lines([row(["日本", "1", "x"]), row(["abcdef", "12345", ""])]);
        assert_eq!(first, ["NAME     SIZE  NOTE", "日本        1  x", "abcdef  12345"]);
        assert_eq!(table.lines([row(["a", "2", "y"])]), ["a           2  y"]);
    }

    #[test]
    fn one_long_cell_moves_its_own_row_alone() {
        let long = "x".repeat(WIDEST + 10);
        let lines = Table::new(COLUMNS).lines([row([&long, "1", "x"]), row(["y", "2", "z"])]);
        assert_eq!(lines[1], format!("{long}     1  x"));
        assert_eq!(lines[2], format!("y{}     2  z", " ".repeat(WIDEST - 1)));
    }

    #[test]
    fn no_rows_are_no_lines() {
        assert!(Table::new(COLUMNS).lines([]).is_empty());
    }

    #[test]
    fn what_deceives_is_measured_as_it_is_shown() {
        let lines = Table::new(COLUMNS).lines([row(["\u{202e}", "1", "x"])]);
        assert_eq!(lines, ["NAME      SIZE  NOTE", "\\u{202e}     1  x"]);
    }
}
