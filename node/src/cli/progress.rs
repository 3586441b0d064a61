//! How far a long operation is, as text: a row of a terminal, or a line elsewhere.

use indicatif::HumanBytes;
use unicode_width::UnicodeWidthStr;

use super::sanitize::sanitize;
use super::screen::cut;
use crate::control::api::{FilesProgress, Progress, Stage, TransferPeer};

/// From how many columns on a row has a bar, and how wide it is then. It does not depend on the text beside it, which
/// changes all the time. The usual 80 columns, of which 79 are used, hold all of a row with a short name.
const BARS: [(usize, usize); 2] = [(110, 20), (79, 10)];
/// How many users are named, and how much of each name.
const NAMES: usize = 3;
const NAME_COLUMNS: usize = 12;

/// How far it is, in one row for a terminal of so many columns. The label takes so many of them.
pub(super) fn row(label: &str, label_columns: usize, progress: &Progress, columns: usize) -> String {
    let padding = " ".repeat(label_columns.saturating_sub(label.width()));
    let mut parts = vec![format!("{label}{padding} ")];
    // At first nobody knows yet how much is here, from an earlier run or otherwise.
    let known = !matches!(progress.stage, Stage::Locating | Stage::Reusing) || progress.bytes_done > 0;
    match progress.bytes_total {
        Some(total) if known => {
            parts.push(format!("{:>3}%", percent(progress.bytes_done, total)));
            let width = BARS.iter().find(|(from, _)| columns >= *from).map(|(_, width)| *width);
            parts.extend(width.map(|width| bar(progress.bytes_done, total, width)));
            parts.push(part_of(progress.bytes_done, total));
        }
        Some(total) => parts.push(HumanBytes(total).to_string()),
        None => parts.push(HumanBytes(progress.bytes_done).to_string()),
    }
    parts.extend(details(progress, clock));
    parts.join(" ")
}

/// As in `1.50/3.00 GiB`; with one unit where it is the same.
fn part_of(done: u64, total: u64) -> String {
    let (done, total) = (HumanBytes(done).to_string(), HumanBytes(total).to_string());
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((amount, unit)), Some((_, same))) if unit == same => format!("{amount}/{total}"),
        _ => format!("{done}/{total}"),
    }
}

/// How far it is, where no terminal sees it.
pub(super) fn line(label: &str, progress: &Progress) -> String {
    let mut parts = vec![share(progress), progress.stage.name().to_owned()];
    let left = |ms| format!("{} left", clock(ms));
    parts.extend(details(progress, left).into_iter().filter(|part| part != progress.stage.name()));
    format!("{}: {}", sanitize(label), parts.join(", "))
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

fn bar(done: u64, total: u64, width: usize) -> String {
    let full = usize::try_from(percent(done, total)).unwrap_or(100) * width / 100;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// How quickly it comes, how long it will take, from whom, which files; or what else is being done, and why it waits.
fn details(progress: &Progress, left: impl Fn(u64) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    match progress.rate {
        0 => parts.push(progress.stage.name().to_owned()),
        rate => {
            parts.push(format!("{}/s", HumanBytes(rate)));
            parts.extend(progress.eta_ms.map(left));
        }
    }
    if let Some(note) = &progress.note {
        parts.push(sanitize(note).into_owned());
    }
    parts.extend(holders(progress));
    parts.extend(progress.files.as_ref().map(files));
    parts
}

/// From how many it comes, and who they are: those that give most first.
fn holders(progress: &Progress) -> Option<String> {
    if progress.holders == 0 {
        return None;
    }
    let mut peers: Vec<&TransferPeer> = progress.peers.iter().collect();
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.rate));
    let mut names: Vec<&str> = Vec::new();
    for user in peers.iter().filter_map(|peer| peer.user.as_ref()).map(|user| user.as_str()) {
        // One user may have several nodes.
        if !names.contains(&user) {
            names.push(user);
        }
    }
    let named: Vec<String> = names.iter().take(NAMES).map(|name| cut(name, NAME_COLUMNS)).collect();
    let more = if names.len() > NAMES { ", .." } else { "" };
    let who = if named.is_empty() { String::new() } else { format!(": {}{more}", named.join(", ")) };
    Some(format!("from {}{who}", progress.holders))
}

fn files(files: &FilesProgress) -> String {
    let FilesProgress { done, total, current } = files;
    let current = current.as_ref().map(|path| format!(": {}", sanitize(path)));
    format!("{done} of {total} files{}", current.unwrap_or_default())
}

/// As in `17:04`, or `1:01:01`, or for what takes long `3 d 4 h`; rounded up to seconds.
pub(super) fn clock(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (1_000.., _) => "over 1000 d".to_owned(),
        (1.., _) => format!("{days} d {hours} h"),
        (0, 1..) => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        (0, 0) => format!("{minutes}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(user: &str, rate: u64) -> TransferPeer {
        TransferPeer {
            node: certs::SecretKey::from_seed([1; 32]).public(),
            user: Some(user.parse().expect("a name")),
            bytes: 0,
            share: None,
            rate,
            rtt_ms: None,
            loss: None,
        }
    }

    fn half() -> Progress {
        Progress {
            rate: 1 << 20,
            eta_ms: Some(1_024_000),
            holders: 2,
            peers: vec![peer("alice", 5), peer("bob", 9), peer("alice", 1)],
            ..Progress::of(Stage::Downloading, 1 << 30, 2 << 30)
        }
    }

    #[test]
    fn a_line_says_how_far_how_quick_how_long_and_from_whom() {
        let expected =
            "bob/film: 1.00 GiB of 2.00 GiB (50 %), downloading, 1.00 MiB/s, 17:04 left, from 2: bob, alice";
        assert_eq!(line("bob/film", &half()), expected);
        let waits =
            Progress { note: Some("\u{1b}[2J".to_owned()), ..Progress::of(Stage::Waiting, 1 << 30, 2 << 30) };
        assert_eq!(line("bob/film", &waits), "bob/film: 1.00 GiB of 2.00 GiB (50 %), waiting, \\u{1b}[2J");
    }

    #[test]
    fn a_row_has_a_bar_where_there_is_room() {
        let text = "1.00/2.00 GiB 1.00 MiB/s 17:04 from 2: bob, alice";
        assert_eq!(row("bob/x", 7, &half(), 78), format!("bob/x     50% {text}"));
        assert_eq!(row("bob/x", 5, &half(), 79), format!("bob/x   50% █████░░░░░ {text}"));
        let wide = row("bob/x", 5, &half(), 200);
        assert!(wide.contains(&format!("{}{}", "█".repeat(10), "░".repeat(10))), "{wide}");
        let note = Some("3rd in the queue of bob".to_owned());
        let waits = Progress { note, ..Progress::of(Stage::Waiting, 500, 2048) };
        assert_eq!(row("bob/x", 5, &waits, 70), "bob/x   24% 500 B/2.00 KiB waiting 3rd in the queue of bob");
        let locates = Progress::of(Stage::Locating, 0, 1 << 20);
        assert_eq!(row("bob/x", 5, &locates, 100), "bob/x  1.00 MiB locating", "not 0 %: it may be resumed");
    }

    #[test]
    fn a_folder_says_which_files() {
        let files = FilesProgress { done: 3, total: 7, current: Some("2026/\u{202e}x.jpg".to_owned()) };
        let progress = Progress { files: Some(files), ..half() };
        let row = row("bob/photos", 10, &progress, 200);
        assert!(row.ends_with("from 2: bob, alice 3 of 7 files: 2026/\\u{202e}x.jpg"), "{row}");
    }

    #[test]
    fn few_holders_are_named_and_long_names_cut() {
        let of = |peers: Vec<TransferPeer>, holders| super::holders(&Progress { peers, holders, ..half() });
        assert_eq!(of(vec![peer("bob", 1)], 0), None, "he gives nothing");
        assert_eq!(of(Vec::new(), 2).as_deref(), Some("from 2"));
        let many =
            ["a", "b", "c", "d"].into_iter().zip([1, 4, 3, 2]).map(|(user, rate)| peer(user, rate)).collect();
        assert_eq!(of(many, 4).as_deref(), Some("from 4: b, c, d, .."));
        let long = vec![peer("a-user-name-that-is-long", 1)];
        assert_eq!(of(long, 1).as_deref(), Some("from 1: a-user-nam.."));
    }

    #[test]
    fn percents_are_rounded_down_and_times_up() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(bar(999, 1000, 10), "█████████░");
        let times = [0, 1, 59_001, 3_661_000, 90_000_000, u64::MAX].map(clock);
        assert_eq!(times, ["0:00", "0:01", "1:00", "1:01:01", "1 d 1 h", "over 1000 d"]);
    }
}
