//! How far several downloads are: a bar each and one for all on a terminal, now and then lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::Console;
use super::progress::{Bar, line};
use crate::control::api::{Progress, Stage};

/// Several operations as the user sees them. An operation is known by its place among them.
pub(super) struct Board {
    labels: Vec<String>,
    /// The last that each said; of one that ended well all of it is done.
    newest: Vec<Option<Progress>>,
    /// What was said since the last line about it.
    news: Vec<bool>,
    ended: usize,
    bars: Option<Bars>,
}

struct Bars {
    all: MultiProgress,
    total: Bar,
    /// Of those that run.
    each: Vec<Option<Bar>>,
}

impl Board {
    pub(super) fn new(labels: Vec<String>, console: &Console) -> Self {
        let count = labels.len();
        let terminal = !console.silent() && console.terminals().err;
        let bars = terminal.then(|| Bars::new(count));
        Self { labels, newest: vec![None; count], news: vec![false; count], ended: 0, bars }
    }

    /// So far is one of them.
    pub(super) fn show(&mut self, which: usize, progress: Progress) {
        let (Some(newest), Some(news), Some(label)) =
            (self.newest.get_mut(which), self.news.get_mut(which), self.labels.get(which))
        else {
            return;
        };
        if let Some(bars) = &mut self.bars {
            bars.show(which, label, &progress);
        }
        (*newest, *news) = (Some(progress), true);
        self.show_total();
    }

    /// One of them has ended: well, then all of its bytes are done, or not, then it counts no more.
    pub(super) fn end(&mut self, which: usize, done_bytes: Option<u64>) {
        if let Some(newest) = self.newest.get_mut(which) {
            *newest = done_bytes.map(|bytes| Progress::of(Stage::Installing, bytes, bytes));
        }
        if let Some(news) = self.news.get_mut(which) {
            *news = false;
        }
        self.ended += 1;
        if let Some(bars) = &mut self.bars {
            bars.end(which);
        }
        self.show_total();
    }

    /// Does what writes to the terminal beside the bars.
    pub(super) fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.all.suspend(write),
            None => write(),
        }
    }

    /// It is time for lines, where there are no bars and there is news.
    pub(super) fn tick(&mut self, console: &mut Console) {
        if self.bars.is_some() || !self.news.contains(&true) {
            return;
        }
        for ((label, newest), news) in self.labels.iter().zip(&self.newest).zip(&mut self.news) {
            if let Some(progress) = newest.as_ref().filter(|_| std::mem::take(news)) {
                console.note(line(label, progress));
            }
        }
        console.note(line(&self.total_label(), &total(&self.newest)));
    }

    fn show_total(&mut self) {
        let label = self.total_label();
        if let Some(bars) = &mut self.bars {
            bars.total.label(&label);
            bars.total.show(&total(&self.newest));
        }
    }

    fn total_label(&self) -> String {
        format!("{} of {} ended", self.ended, self.labels.len())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            bars.each.iter().flatten().for_each(Bar::clear);
            bars.total.clear();
        }
    }
}

impl Bars {
    fn new(count: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = Bar::new(all.add(ProgressBar::no_length()), "total");
        Self { all, total, each: (0..count).map(|_| None).collect() }
    }

    fn show(&mut self, which: usize, label: &str, progress: &Progress) {
        // In the order in which they were asked for, under the total.
        let above = 1 + self.each.iter().take(which).flatten().count();
        if let Some(place) = self.each.get_mut(which) {
            let new = || Bar::new(self.all.insert(above, ProgressBar::no_length()), label);
            place.get_or_insert_with(new).show(progress);
        }
    }

    fn end(&mut self, which: usize) {
        if let Some(bar) = self.each.get_mut(which).and_then(Option::take) {
            bar.clear();
        }
    }
}

/// All together, as far as anything is known of each.
fn total(all: &[Option<Progress>]) -> Progress {
    let known = || all.iter().flatten();
    let busy = known().any(|one| one.rate > 0 || one.stage == Stage::Downloading);
    Progress {
        stage: if busy {
            Stage::Downloading
        } else {
            known().last().map_or(Stage::Locating, |one| one.stage)
        },
        bytes_done: known().map(|one| one.bytes_done).sum(),
        bytes_total: Some(known().filter_map(|one| one.bytes_total).sum()),
        rate: known().map(|one| one.rate).sum(),
        holders: 0,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(total: u64, rate: u64) -> Progress {
        Progress { rate, holders: 3, ..Progress::of(Stage::Downloading, total / 2, total) }
    }

    fn silent() -> Board {
        let labels = ["bob/a", "bob/b", "bob/c"].map(str::to_owned).to_vec();
        Board { newest: vec![None; 3], news: vec![false; 3], ended: 0, bars: None, labels }
    }

    #[test]
    fn the_total_is_of_those_that_are_known() {
        let mut board = silent();
        board.show(0, half(1000, 10));
        board.show(1, half(3000, 20));
        let sum = total(&board.newest);
        assert_eq!((sum.bytes_done, sum.bytes_total, sum.rate), (2000, Some(4000), 30));
        assert_eq!((sum.stage, sum.holders), (Stage::Downloading, 0), "one may give to several");
    }

    #[test]
    fn what_ended_well_counts_whole_and_what_failed_not_at_all() {
        let mut board = silent();
        board.show(0, half(1000, 10));
        board.show(1, half(3000, 20));
        board.end(0, Some(1000));
        board.end(1, None);
        let sum = total(&board.newest);
        assert_eq!((sum.bytes_done, sum.bytes_total, sum.rate), (1000, Some(1000), 0));
        assert_eq!(board.total_label(), "2 of 3 ended");
    }
}
