//! How far a long operation is: a bar on a terminal, now and then a line elsewhere.

use std::io::Write;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Console;
use super::sanitize::sanitize;
use crate::control::api::Progress;

const WITH_TOTAL: &str = "{prefix} {wide_bar:.green} {percent:>3} %  {msg}";
const WITHOUT_TOTAL: &str = "{prefix} {spinner} {bytes}  {msg}";

/// The widest label of a bar, in columns: room for the rest on a terminal of 80.
const LABEL_COLUMNS: usize = 32;

/// One operation as the user sees it.
pub(super) enum View<'a> {
    /// Not at all.
    Silent,
    /// On a terminal.
    Bar(Bar),
    /// In a file or a pipe: the newest, at each tick.
    Lines { label: String, err: &'a mut dyn Write, newest: Option<Progress> },
}

impl<'a> View<'a> {
    pub(super) fn new(label: &str, console: &'a mut Console) -> Self {
        let label = sanitize(label).into_owned();
        if console.silent() {
            return Self::Silent;
        }
        if !console.terminals().err {
            return Self::Lines { label, err: console.err(), newest: None };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self::Bar(Bar::new(bar, &label))
    }

    /// This is how far it is.
    pub(super) fn show(&mut self, progress: Progress) {
        match self {
            Self::Silent => {}
            Self::Lines { newest, .. } => *newest = Some(progress),
            Self::Bar(bar) => bar.show(&progress),
        }
    }

    /// It is time for a line, if there is news.
    pub(super) fn tick(&mut self) {
        if let Self::Lines { label, err, newest } = self
            && let Some(progress) = newest.take()
        {
            // Where nobody reads that, there is nobody to tell.
            let _ = writeln!(err, "{}", sanitize(&line(label, &progress)));
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.clear();
        }
    }
}

/// The bar of one operation.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Whether it is known of how much.
    sized: bool,
}

impl Bar {
    pub(super) fn new(bar: ProgressBar, label: &str) -> Self {
        let bar = bar.with_prefix(shortened(&sanitize(label)));
        bar.set_style(style(WITHOUT_TOTAL));
        Self { bar, sized: false }
    }

    /// This is how far it is.
    pub(super) fn show(&mut self, progress: &Progress) {
        if let Some(total) = progress.bytes_total {
            self.bar.set_length(total);
            if !self.sized {
                self.sized = true;
                self.bar.set_style(style(WITH_TOTAL));
            }
        }
        self.bar.set_position(progress.bytes_done);
        self.bar.set_message(sanitize(&message(progress)).into_owned());
    }

    pub(super) fn label(&self, label: &str) {
        self.bar.set_prefix(shortened(&sanitize(label)));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far it is, where no terminal sees it.
pub(super) fn line(label: &str, progress: &Progress) -> String {
    format!("{label}: {}, {}", share(progress), message(progress))
}

/// The end of a label that is too wide, where names differ most.
fn shortened(label: &str) -> String {
    if label.width() <= LABEL_COLUMNS {
        return label.to_owned();
    }
    let mut columns = 2;
    let fits = |letter: &char| {
        columns += letter.width().unwrap_or(0);
        columns <= LABEL_COLUMNS
    };
    let end: Vec<char> = label.chars().rev().take_while(fits).collect();
    format!("..{}", end.into_iter().rev().collect::<String>())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn share(progress: &Progress) -> String {
    let done = HumanBytes(progress.bytes_done);
    match progress.bytes_total {
        Some(total) => format!("{done} of {} ({} %)", HumanBytes(total), percent(progress.bytes_done, total)),
        None => done.to_string(),
    }
}

/// Whole percents, rounded down: 100 only at the end.
pub(super) fn percent(done: u64, total: u64) -> u64 {
    match u128::from(total) {
        0 => 100,
        total => u64::try_from(u128::from(done) * 100 / total).unwrap_or(100).min(100),
    }
}

/// What it does, how quickly, from how many, how long it will take, why it waits.
fn message(progress: &Progress) -> String {
    let mut parts = vec![progress.stage.name().to_owned()];
    if progress.rate > 0 {
        parts.push(format!("{}/s", HumanBytes(progress.rate)));
        let left = progress.bytes_total.map(|total| total.saturating_sub(progress.bytes_done));
        parts.extend(left.map(|left| clock(left.div_ceil(progress.rate))));
    }
    if progress.holders > 0 {
        parts.push(format!("from {}", progress.holders));
    }
    parts.extend(progress.note.clone());
    parts.join(", ")
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02} left")
    } else {
        format!("{minutes}:{seconds:02} left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::Stage;

    fn half() -> Progress {
        Progress {
            stage: Stage::Downloading,
            bytes_done: 1 << 30,
            bytes_total: Some(2 << 30),
            rate: 1 << 20,
            holders: 2,
            note: None,
        }
    }

    #[test]
    fn a_line_says_how_far_how_quick_and_how_long() {
        let mut written = Vec::new();
        let mut view = View::Lines { label: "bob/film".to_owned(), err: &mut written, newest: None };
        view.tick();
        view.show(half());
        view.show(Progress { note: Some("\u{1b}[2J".to_owned()), ..half() });
        view.tick();
        view.tick();
        drop(view);
        assert_eq!(
            String::from_utf8(written).expect("text"),
            "bob/film: 1.00 GiB of 2.00 GiB (50 %), downloading, 1.00 MiB/s, 17:04 left, from 2, \\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_wide_label_shows_its_end() {
        assert_eq!(shortened("bob/film.mkv"), "bob/film.mkv");
        let long = format!("bob/{}映画.mkv", "x".repeat(100));
        assert_eq!(shortened(&long), format!("..{}映画.mkv", "x".repeat(LABEL_COLUMNS - 10)));
        assert_eq!(shortened(&"映".repeat(40)).width(), LABEL_COLUMNS);
    }

    #[test]
    fn templates_are_good() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            ProgressStyle::with_template(template).expect(template);
        }
    }

    #[test]
    fn percents_are_rounded_down() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(clock(3661), "1:01:01 left");
    }
}
