//! Rows of a terminal that are written over in place.

use std::fmt::Write;
use std::io;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Where the system does not say how large the terminal is.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// A terminal that is made narrower may say so only after the next drawing: until then what is too wide is cut there, not
/// wrapped to rows that are not counted.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What stands for what was cut off.
const CUT: &str = "..";

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// Of the terminal of this process: as it is now, since its user may make it larger or smaller.
    pub(super) fn now() -> Self {
        let found = rustix::termios::tcgetwinsize(io::stderr());
        let found = found.or_else(|_| rustix::termios::tcgetwinsize(io::stdout()));
        match found.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row))) {
            Ok((columns, rows)) if columns > 0 && rows > 0 => Self { columns, rows },
            _ => USUAL,
        }
    }

    /// How many rows a screen has: under them is the cursor.
    pub(super) const fn usable_rows(self) -> usize {
        match self.rows.saturating_sub(1) {
            0 => 1,
            rows => rows,
        }
    }

    /// How wide a row may be: in the last column some terminals wrap.
    pub(super) const fn usable_columns(self) -> usize {
        match self.columns.saturating_sub(1) {
            0 => 1,
            columns => columns,
        }
    }
}

/// Rows above the cursor. Nothing else may be written to the terminal between two calls, but after [`Screen::clear`].
#[derive(Debug, Default)]
pub(super) struct Screen {
    rows: Vec<String>,
}

impl Screen {
    /// What to write so that these rows stand where the ones before did: cut to the width, and at most as many as there is
    /// room for. Nothing where nothing is different. Each row is written over before the rest of it is cleared, so that
    /// what stays does not flicker.
    pub(super) fn draw(&mut self, rows: &[String], size: Size) -> String {
        let cut_row = |row: &String| cut(row, size.usable_columns());
        let rows: Vec<String> = rows.iter().take(size.usable_rows()).map(cut_row).collect();
        if rows == self.rows {
            return String::new();
        }
        let mut out = self.back(size);
        out += NO_WRAP;
        for row in &rows {
            let _ = write!(out, "{row}\x1b[K\r\n");
        }
        out += WRAP;
        if rows.len() < self.rows.len() || self.is_wrapped(size) {
            out += "\x1b[J";
        }
        self.rows = rows;
        out
    }

    /// What to write so that the rows are gone, and the cursor is where the first was.
    pub(super) fn clear(&mut self, size: Size) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let out = self.back(size) + "\x1b[J";
        self.rows.clear();
        out
    }

    /// The way back to the first row. Where the terminal became narrower, rows have been wrapped to several.
    fn back(&self, size: Size) -> String {
        match self.rows.iter().map(|row| lines(row, size)).sum::<usize>() {
            0 => String::new(),
            up => format!("\r\x1b[{up}A"),
        }
    }

    fn is_wrapped(&self, size: Size) -> bool {
        self.rows.iter().any(|row| lines(row, size) > 1)
    }
}

/// How many lines of the terminal a row takes.
fn lines(row: &str, size: Size) -> usize {
    row.width().div_ceil(size.columns.max(1)).max(1)
}

/// The beginning of a text, as much as fits into so many columns.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(CUT.len());
    let beginning = fitting(text.chars(), room);
    format!("{}{}", beginning.trim_end(), &CUT[..CUT.len().min(columns)])
}

/// The end of a text, as much as fits into so many columns: there names differ most.
pub(super) fn cut_front(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let end = fitting(text.chars().rev(), columns.saturating_sub(CUT.len()));
    format!("{}{}", &CUT[..CUT.len().min(columns)], end.chars().rev().collect::<String>())
}

fn fitting(letters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += letter.width().unwrap_or(0);
        taken <= columns
    };
    letters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Size = Size { columns: 20, rows: 4 };

    fn rows(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    /// A drawing: the way back, the rows, what follows them.
    fn drawing(back: &str, rows: &str, end: &str) -> String {
        format!("{back}\x1b[?7l{rows}\x1b[?7h{end}")
    }

    #[test]
    fn rows_are_written_over_and_what_is_the_same_not_at_all() {
        let mut screen = Screen::default();
        let first = screen.draw(&rows(&["one", "two"]), WIDE);
        assert_eq!(first, drawing("", "one\x1b[K\r\ntwo\x1b[K\r\n", ""));
        assert_eq!(screen.draw(&rows(&["one", "two"]), WIDE), "");
        let second = screen.draw(&rows(&["1", "two"]), WIDE);
        assert_eq!(second, drawing("\r\x1b[2A", "1\x1b[K\r\ntwo\x1b[K\r\n", ""));
        assert_eq!(screen.draw(&rows(&["2"]), WIDE), drawing("\r\x1b[2A", "2\x1b[K\r\n", "\x1b[J"));
        assert_eq!(screen.clear(WIDE), "\r\x1b[1A\x1b[J");
        assert_eq!(screen.clear(WIDE), "");
    }

    #[test]
    fn no_row_is_wider_and_no_more_are_shown_than_there_is_room_for() {
        let mut screen = Screen::default();
        let drawn = screen.draw(&rows(&[&"x".repeat(30), "2", "3", "4", "5"]), WIDE);
        let expected = format!("{}..\x1b[K\r\n2\x1b[K\r\n3\x1b[K\r\n", "x".repeat(17));
        assert_eq!(drawn, drawing("", &expected, ""));
    }

    #[test]
    fn a_terminal_that_became_narrower_has_wrapped_the_rows() {
        let mut screen = Screen::default();
        screen.draw(&rows(&["0123456789abcdefghi", "x"]), WIDE);
        let narrow = Size { columns: 8, rows: 4 };
        let drawn = screen.draw(&rows(&["0123456789abcdefghi", "x"]), narrow);
        assert_eq!(drawn, drawing("\r\x1b[4A", "01234..\x1b[K\r\nx\x1b[K\r\n", "\x1b[J"));
        let wide_again = screen.draw(&rows(&["0123456789abcdefghi", "x"]), WIDE);
        assert_eq!(wide_again, drawing("\r\x1b[2A", "0123456789abcdefghi\x1b[K\r\nx\x1b[K\r\n", ""));
    }

    #[test]
    fn letters_are_cut_by_their_width() {
        assert_eq!(cut("bob/film.mkv", 12), "bob/film.mkv");
        assert_eq!(cut("bob/film.mkv", 11), "bob/film...");
        assert_eq!(cut("映画映画", 7), "映画..");
        assert_eq!((cut("abc", 1), cut("abc", 0)), (".".to_owned(), String::new()));
        assert_eq!(cut_front("bob/film.mkv", 12), "bob/film.mkv");
        assert_eq!(cut_front("bob/film.mkv", 6), "...mkv");
        assert_eq!(cut_front("映画映画", 7), "..映画");
    }
}
