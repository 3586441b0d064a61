//! How far long operations are, one or several, told to whoever runs the command: rows of a terminal, now and then lines
//! elsewhere, or objects with `--json`.

use std::io;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::Console;
use super::progress::{line, row};
use super::sanitize::sanitize;
use super::screen::{Screen, Size, cut_front};
use crate::control::api::{Progress, Stage};
use crate::transfer::eta_ms;

/// The widest label, in columns: room for the rest on a terminal of 80. On a narrower one a third of it.
const LABEL_COLUMNS: usize = 32;

/// How often a terminal is drawn, documents are written, and lines where neither is wanted.
const ROWS_EVERY: Duration = Duration::from_millis(100);
const DOCUMENTS_EVERY: Duration = Duration::from_millis(500);
const LINES_EVERY: Duration = Duration::from_secs(5);

/// Several operations as the user sees them. An operation is known by its place among them.
pub(super) struct Board {
    labels: Vec<String>,
    /// The last that each said; of one that ended well all of it is done.
    newest: Vec<Option<Progress>>,
    /// What was said since it was told.
    news: Vec<bool>,
    /// What ended.
    over: Vec<bool>,
    way: Way,
}

/// How it is told.
enum Way {
    Silent,
    Lines,
    Screen(Screen),
    Documents(Document),
}

/// How the progress of one is written as a document.
pub(super) type Document = fn(label: &str, progress: &Progress, console: &mut Console) -> io::Result<()>;

impl Board {
    /// Of operations with these labels. Without a `document` nothing is told where documents are wanted.
    pub(super) fn new(labels: Vec<String>, document: Option<Document>, console: &Console) -> Self {
        let way = match document {
            Some(document) if console.json() && !console.quiet() => Way::Documents(document),
            _ if console.silent() => Way::Silent,
            _ if console.terminals().err => Way::Screen(Screen::default()),
            _ => Way::Lines,
        };
        let count = labels.len();
        Self { labels, newest: vec![None; count], news: vec![false; count], over: vec![false; count], way }
    }

    /// How often [`Board::tick`] should be called.
    pub(super) const fn every(&self) -> Duration {
        match self.way {
            Way::Screen(_) => ROWS_EVERY,
            Way::Documents(_) => DOCUMENTS_EVERY,
            Way::Silent | Way::Lines => LINES_EVERY,
        }
    }

    /// So far is one of them. A document says so at once where it does something else than before.
    ///
    /// # Errors
    /// Where standard output takes nothing.
    pub(super) fn show(&mut self, which: usize, progress: Progress, console: &mut Console) -> io::Result<()> {
        let (Some(newest), Some(news)) = (self.newest.get_mut(which), self.news.get_mut(which)) else {
            return Ok(());
        };
        let changed = newest.as_ref().is_none_or(|before| before.stage != progress.stage);
        (*newest, *news) = (Some(progress), true);
        match self.way {
            Way::Documents(document) if changed => self.document(which, document, console),
            _ => Ok(()),
        }
    }

    /// One of them has ended: well, then all of its bytes are done, or not, then it counts no more.
    pub(super) fn end(&mut self, which: usize, done_bytes: Option<u64>) {
        if let (Some(newest), Some(news), Some(over)) =
            (self.newest.get_mut(which), self.news.get_mut(which), self.over.get_mut(which))
        {
            *newest = done_bytes.map(|bytes| Progress::of(Stage::Installing, bytes, bytes));
            (*news, *over) = (false, true);
        }
    }

    /// Does what writes to the terminal beside the rows.
    pub(super) fn beside<T>(&mut self, console: &mut Console, write: impl FnOnce(&mut Console) -> T) -> T {
        self.clear(console);
        let written = write(console);
        self.draw(console);
        written
    }

    /// It is time to tell what is new.
    ///
    /// # Errors
    /// Where standard output takes nothing.
    pub(super) fn tick(&mut self, console: &mut Console) -> io::Result<()> {
        match self.way {
            Way::Silent => {}
            Way::Screen(_) => self.draw(console),
            Way::Lines => self.lines(console),
            Way::Documents(document) => {
                for which in 0..self.labels.len() {
                    self.document(which, document, console)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the rows off the terminal.
    pub(super) fn clear(&mut self, console: &mut Console) {
        if let Way::Screen(screen) = &mut self.way {
            let cleared = screen.clear(Size::now());
            put(&cleared, console);
        }
    }

    fn document(&mut self, which: usize, document: Document, console: &mut Console) -> io::Result<()> {
        let new = self.news.get_mut(which).is_some_and(std::mem::take);
        match (self.labels.get(which), self.newest.get(which)) {
            (Some(label), Some(Some(progress))) if new => document(label, progress, console),
            _ => Ok(()),
        }
    }

    fn lines(&mut self, console: &mut Console) {
        if !self.news.contains(&true) {
            return;
        }
        for ((label, newest), news) in self.labels.iter().zip(&self.newest).zip(&mut self.news) {
            if let Some(progress) = newest.as_ref().filter(|_| std::mem::take(news)) {
                console.note(line(label, progress));
            }
        }
        if self.labels.len() > 1 {
            console.note(line(&self.total_label(), &self.total()));
        }
    }

    fn draw(&mut self, console: &mut Console) {
        let size = Size::now();
        let rows = self.rows(size);
        if let Way::Screen(screen) = &mut self.way {
            let drawn = screen.draw(&rows, size);
            put(&drawn, console);
        }
    }

    /// Those that run, in the order in which they were asked for; of several how far all are.
    fn rows(&self, size: Size) -> Vec<String> {
        let columns = size.usable_columns();
        let widest = LABEL_COLUMNS.min(columns / 3);
        let several = self.labels.len() > 1;
        let running = self.labels.iter().zip(&self.newest).zip(&self.over).filter(|(_, over)| !**over);
        let mut all: Vec<(String, &Progress)> = running
            .filter_map(|((label, newest), _)| Some((cut_front(&sanitize(label), widest), newest.as_ref()?)))
            .collect();
        let room = size.usable_rows().saturating_sub(usize::from(several));
        let hidden = if all.len() > room { all.len() + 1 - room.max(1) } else { 0 };
        all.truncate(all.len() - hidden);
        let total_label = self.total_label();
        let labels = all.iter().map(|(label, _)| label.width());
        let label_columns = labels.chain(several.then(|| total_label.width())).max().unwrap_or(0);
        let mut rows: Vec<String> =
            all.iter().map(|(label, progress)| row(label, label_columns, progress, columns)).collect();
        rows.extend((hidden > 0).then(|| format!("and {hidden} more")));
        if several && self.newest.iter().any(Option::is_some) {
            rows.push(row(&total_label, label_columns, &self.total(), columns));
        }
        rows
    }

    fn total_label(&self) -> String {
        format!("{} of {} ended", self.over.iter().filter(|over| **over).count(), self.labels.len())
    }

    /// All together, as far as anything is known of each. What it does is what most concerns who waits: that bytes come,
    /// or else what the first does that has not ended.
    fn total(&self) -> Progress {
        let known = || self.newest.iter().flatten();
        let (done, size) = known().fold((0, 0), |(done, size), one| {
            (done + one.bytes_done, size + one.bytes_total.unwrap_or(one.bytes_done))
        });
        let rate = known().map(|one| one.rate).sum();
        let running = || self.newest.iter().zip(&self.over).filter(|(_, over)| !**over);
        let mut stages = running().filter_map(|(one, _)| one.as_ref()).map(|one| one.stage);
        let first = stages.next().unwrap_or(Stage::Locating);
        let stage = if stages.any(|stage| stage == Stage::Downloading) { Stage::Downloading } else { first };
        Progress { rate, eta_ms: eta_ms(size - done.min(size), rate), ..Progress::of(stage, done, size) }
    }
}

/// All at once, so that the terminal never shows a part. Where nobody reads that, there is nobody to tell.
fn put(text: &str, console: &mut Console) {
    if !text.is_empty() {
        let _ = console.err().write_all(text.as_bytes());
        let _ = console.err().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 80, rows: 24 };

    fn half(total: u64, rate: u64) -> Progress {
        Progress { rate, holders: 3, ..Progress::of(Stage::Downloading, total / 2, total) }
    }

    /// A board of so many, and where it writes.
    fn board(count: usize) -> (Board, Console) {
        let nowhere = || Box::new(io::sink());
        let never = Box::new(|| -> super::super::Interrupt { Box::pin(std::future::pending()) });
        let console = Console::new(nowhere(), nowhere(), Box::new(io::empty()), Default::default(), never);
        let labels = (0..count).map(|number| format!("bob/{number}")).collect();
        (Board::new(labels, None, &console), console)
    }

    #[test]
    fn the_total_is_of_those_that_are_known() {
        let (mut board, mut console) = board(3);
        board.show(0, half(1000, 10), &mut console).expect("shown");
        board.show(1, half(3000, 20), &mut console).expect("shown");
        let sum = board.total();
        assert_eq!((sum.bytes_done, sum.bytes_total, sum.rate), (2000, Some(4000), 30));
        assert_eq!((sum.stage, sum.holders), (Stage::Downloading, 0), "one may give to several");
        assert_eq!(sum.eta_ms, Some(66_666));
    }

    #[test]
    fn what_ended_well_counts_whole_and_what_failed_not_at_all() {
        let (mut board, mut console) = board(3);
        board.show(0, half(1000, 10), &mut console).expect("shown");
        board.show(1, half(3000, 20), &mut console).expect("shown");
        board.show(2, Progress::of(Stage::Waiting, 0, 500), &mut console).expect("shown");
        board.end(0, Some(1000));
        board.end(1, None);
        let sum = board.total();
        assert_eq!((sum.bytes_done, sum.bytes_total, sum.rate), (1000, Some(1500), 0));
        assert_eq!(sum.stage, Stage::Waiting, "not what those do that ended");
        assert_eq!(board.total_label(), "2 of 3 ended");
    }

    #[test]
    fn each_has_a_row_and_several_have_one_for_all() {
        let (mut one, mut console) = board(1);
        assert!(one.rows(SIZE).is_empty(), "nothing is known");
        one.show(0, half(1000, 10), &mut console).expect("shown");
        assert_eq!(one.rows(SIZE), ["bob/0   50% █████░░░░░ 500/1000 B 10 B/s from 3"]);
        let (mut two, mut console) = board(2);
        let eta_ms = Some(50_000);
        two.show(1, Progress { eta_ms, ..half(1000, 10) }, &mut console).expect("shown");
        let rows = [
            "bob/1          50% █████░░░░░ 500/1000 B 10 B/s 0:50 from 3",
            "0 of 2 ended   50% █████░░░░░ 500/1000 B 10 B/s 0:50",
        ];
        assert_eq!(two.rows(SIZE), rows);
        two.end(1, None);
        assert!(two.rows(SIZE).is_empty(), "{:?}", two.rows(SIZE));
    }

    #[test]
    fn no_more_rows_than_the_terminal_has() {
        let (mut board, mut console) = board(10);
        (0..10).for_each(|which| board.show(which, half(100, 1), &mut console).expect("shown"));
        let rows = board.rows(Size { columns: 80, rows: 6 });
        assert_eq!(rows.len(), 5, "{rows:?}");
        assert_eq!(rows[3], "and 7 more");
        assert!(rows[2].starts_with("bob/2") && rows[4].starts_with("0 of 10 ended"), "{rows:?}");
        assert_eq!(board.rows(Size { columns: 80, rows: 12 }).len(), 11);
    }
}
