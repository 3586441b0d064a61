//! Whom this node asks about the network: the index, or its own copy. Pure, on a clock that is an argument.
//!
//! *Invariants.* The index is asked until it has failed [`FAILURES`] times in a row, or was away for [`PATIENCE`]; then the
//! copy, until the index has given [`GOOD`] answers in a row. So neither one lost packet nor one answer of an index that is
//! about to fall again changes anything, and the members of a network do not all change at one moment: each has drawn its own
//! patience.
//!
//! ```text
//! Index ──3 failures in a row, or 12 to 15 s without it──▶ Copy
//!   ▲                                                       │
//!   └───────────────── 2 answers in a row ──────────────────┘
//! ```

use std::time::Duration;

use crate::rng::mix;

/// Failures in a row after which the index is away.
pub(crate) const FAILURES: u32 = 3;
/// The longest time without the index after which it is away: up to a fifth less is drawn for each outage.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Answers in a row after which the index is back.
pub(crate) const GOOD: u32 = 2;
/// Between two questions whether it is back: this and up to as much again.
const PROBE: Duration = Duration::from_millis(400);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Using {
    /// The index.
    Index,
    /// This node's copy.
    Copy,
}

/// What happened with the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is connected. Its `hello` is a good answer.
    Connected,
    /// The connection ended, and nothing had come for so long before.
    Lost {
        /// For people.
        why: String,
        /// Since when nothing had come.
        silent: Duration,
    },
    /// It answered, be it with an error.
    Answered,
    /// It did not answer, or could not be connected.
    Failed(String),
}

/// Who is asked now, and why.
#[derive(Debug)]
pub(crate) struct Discovery {
    using: Using,
    connected: bool,
    /// When the index was there last, or when this node began.
    seen: Duration,
    /// Whether it was there at all.
    ever: bool,
    failures: u32,
    good: u32,
    /// What failed last.
    why: Option<String>,
    patience: Duration,
    /// Of the random numbers: the next one's state.
    random: u64,
}

impl Discovery {
    /// At the start: the index is to be connected.
    pub(crate) fn new(now: Duration, seed: u64) -> Self {
        let mut this = Self {
            using: Using::Index,
            connected: false,
            seen: now,
            ever: false,
            failures: 0,
            good: 0,
            why: None,
            patience: PATIENCE,
            random: seed,
        };
        this.patience = this.draw_patience();
        this
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) {
        self.pass(now);
        match event {
            Event::Connected => {
                self.connected = true;
                self.answered(now);
            }
            Event::Answered => self.answered(now),
            Event::Lost { why, silent } => {
                self.connected = false;
                self.seen = self.seen.max(now.saturating_sub(silent)).min(now);
                self.patience = self.draw_patience();
                self.failed(why);
            }
            Event::Failed(why) => self.failed(why),
        }
        self.pass(now);
    }

    /// Who is to be asked now.
    pub(crate) fn using(&mut self, now: Duration) -> Using {
        self.pass(now);
        self.using
    }

    /// When that changes by itself, if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (self.using == Using::Index && !self.connected).then(|| self.seen + self.patience)
    }

    /// After which pause the index is to be asked whether it is back; `None` where that is of no use.
    pub(crate) fn probe_after(&mut self) -> Option<Duration> {
        let wanted = self.using == Using::Copy && self.connected;
        wanted.then(|| PROBE + PROBE.mul_f64(self.unit()))
    }

    /// Why it is so, for people.
    pub(crate) fn why(&self, now: Duration) -> String {
        let away = now.saturating_sub(self.seen).as_secs();
        let since = if self.ever { format!("away for {away} s") } else { format!("not there for {away} s") };
        let because = self.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        match (self.using, self.connected) {
            (Using::Index, true) => "the index answers".to_owned(),
            (Using::Index, false) => format!("the index is {since}, and is waited for{because}"),
            (Using::Copy, false) => format!("the index is {since}{because}"),
            (Using::Copy, true) if self.good > 0 => {
                format!("the index is back; it is asked again after {} more answers", GOOD - self.good)
            }
            (Using::Copy, true) => format!("the index is connected, and does not answer{because}"),
        }
    }

    fn answered(&mut self, now: Duration) {
        (self.seen, self.ever, self.failures) = (now, true, 0);
        self.good = (self.good + 1).min(GOOD);
        if self.using == Using::Copy && self.good == GOOD && self.connected {
            self.using = Using::Index;
        }
        if self.using == Using::Index {
            self.why = None;
        }
    }

    fn failed(&mut self, why: String) {
        self.why = Some(why);
        self.good = 0;
        self.failures = (self.failures + 1).min(FAILURES);
        if self.failures == FAILURES {
            self.using = Using::Copy;
        }
    }

    fn pass(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.using = Using::Copy;
            self.good = 0;
        }
    }

    fn draw_patience(&mut self) -> Duration {
        PATIENCE - (PATIENCE / 5).mul_f64(self.unit())
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(1);
        (mix(self.random) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed() -> Event {
        Event::Failed("no answer".to_owned())
    }

    fn connected(seed: u64) -> Discovery {
        let mut discovery = Discovery::new(Duration::ZERO, seed);
        discovery.handle(at(1), Event::Connected);
        discovery
    }

    #[test]
    fn three_failures_in_a_row_and_no_fewer() {
        let mut discovery = connected(1);
        for _ in 0..5 {
            discovery.handle(at(2), failed());
            discovery.handle(at(2), failed());
            discovery.handle(at(2), Event::Answered);
        }
        assert_eq!(discovery.using(at(2)), Using::Index);
        for _ in 0..FAILURES {
            assert_eq!(discovery.using(at(3)), Using::Index);
            discovery.handle(at(3), failed());
        }
        assert_eq!(discovery.using(at(3)), Using::Copy);
        assert!(discovery.why(at(3)).contains("no answer"), "{}", discovery.why(at(3)));
    }

    #[test]
    fn the_time_without_it_counts_from_when_it_fell_silent() {
        let mut discovery = connected(2);
        // A killed index is noticed by the idle timeout.
        discovery.handle(at(100), Event::Lost { why: "timed out".to_owned(), silent: at(10) });
        let deadline = discovery.deadline().expect("it is away");
        assert!(deadline > at(90) + PATIENCE * 4 / 5 && deadline <= at(90) + PATIENCE, "{deadline:?}");
        assert_eq!(discovery.using(deadline - Duration::from_millis(1)), Using::Index);
        assert_eq!(discovery.using(deadline), Using::Copy);
        assert_eq!(discovery.deadline(), None);
        assert!(discovery.why(at(110)).contains("away for 20 s"), "{}", discovery.why(at(110)));
    }

    #[test]
    fn a_restarted_index_changes_nothing() {
        let mut discovery = connected(3);
        for round in 1..20 {
            let now = at(round * 100);
            discovery.handle(now, Event::Lost { why: "reset".to_owned(), silent: Duration::ZERO });
            discovery.handle(now + at(5), failed());
            discovery.handle(now + at(8), Event::Connected);
            assert_eq!(discovery.using(now + at(99)), Using::Index);
        }
    }

    #[test]
    fn two_answers_bring_it_back_and_one_does_not() {
        let mut discovery = connected(4);
        (0..3).for_each(|_| discovery.handle(at(2), failed()));
        assert!(discovery.probe_after().is_some_and(|pause| pause >= PROBE && pause <= 2 * PROBE));
        discovery.handle(at(3), Event::Answered);
        discovery.handle(at(3), failed());
        discovery.handle(at(3), Event::Answered);
        assert_eq!(discovery.using(at(3)), Using::Copy);
        assert!(discovery.why(at(3)).contains("1 more"), "{}", discovery.why(at(3)));
        discovery.handle(at(4), Event::Answered);
        assert_eq!(discovery.using(at(4)), Using::Index);
        assert_eq!((discovery.why(at(4)).as_str(), discovery.probe_after()), ("the index answers", None));
    }

    #[test]
    fn one_that_never_finds_it_does_not_wait_for_ever() {
        let mut discovery = Discovery::new(Duration::ZERO, 5);
        assert_eq!(discovery.using(at(11)), Using::Index);
        assert_eq!(discovery.using(at(15)), Using::Copy);
        assert!(discovery.why(at(15)).contains("not there for 15 s"), "{}", discovery.why(at(15)));
        assert_eq!(discovery.probe_after(), None, "there is nobody to be asked");
    }

    #[test]
    fn members_of_one_network_change_at_different_moments() {
        let deadlines: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| {
                let mut discovery = connected(seed);
                discovery.handle(at(9), Event::Lost { why: "gone".to_owned(), silent: Duration::ZERO });
                discovery.deadline().expect("away").as_millis() / 100
            })
            .collect();
        assert!(deadlines.len() > 20, "{deadlines:?}");
    }

    /// Whatever happens: the copy is asked only after enough failures or time, the index again only after enough answers.
    #[test]
    fn the_invariant_holds_in_any_order_of_events() {
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut discovery = Discovery::new(Duration::ZERO, seed);
            let (mut now, mut seen, mut connected) = (Duration::ZERO, Duration::ZERO, false);
            let (mut failures, mut good, mut before) = (0, 0, Using::Index);
            for _ in 0..200 {
                now += Duration::from_millis(rng.between(0, 4_000));
                let without = !connected && now - seen >= PATIENCE * 4 / 5;
                match rng.between(0, 4) {
                    0 if connected => {
                        (connected, failures, good) = (false, failures + 1, 0);
                        discovery.handle(now, Event::Lost { why: String::new(), silent: Duration::ZERO });
                        seen = now;
                    }
                    1 if !connected => {
                        (connected, seen, failures, good) = (true, now, 0, good + 1);
                        discovery.handle(now, Event::Connected);
                    }
                    2 | 3 if connected => {
                        (seen, failures, good) = (now, 0, good + 1);
                        discovery.handle(now, Event::Answered);
                    }
                    _ => {
                        (failures, good) = (failures + 1, 0);
                        discovery.handle(now, failed());
                    }
                }
                let using = discovery.using(now);
                match (before, using) {
                    (Using::Index, Using::Copy) => assert!(failures >= FAILURES || without, "seed {seed}"),
                    (Using::Copy, Using::Index) => assert!(good >= GOOD && connected, "seed {seed}"),
                    (Using::Index, Using::Index) => {
                        let patient = connected || now - seen < PATIENCE;
                        assert!(failures < FAILURES && patient, "seed {seed}");
                    }
                    (Using::Copy, Using::Copy) => assert!(good < GOOD || !connected, "seed {seed}"),
                }
                if before == Using::Index && using == Using::Copy {
                    good = 0;
                }
                before = using;
            }
        }
    }
}
