use super::*;
use crate::clock::monotonic;
use crate::rng::Rng;

const TIMING: WatchTiming = WatchTiming {
    quiet: Duration::from_secs(2),
    longest: Duration::from_secs(10),
    rescan: Duration::from_secs(3600),
    unwatched: Duration::from_secs(60),
    first_retry: Duration::from_secs(5),
    longest_retry: Duration::from_secs(300),
};

/// After the first look at everything, and none due for an hour.
fn begun(now: Instant) -> Debounce<u32> {
    let mut debounce = Debounce::new(TIMING, now);
    assert_eq!(debounce.next(now, true), Step::Rescan, "at first all is looked at");
    debounce.rescanned(now, 0.5);
    debounce
}

/// When the first publication begins, stepping from wait to wait; looks at the unwatched on the way.
fn first_publication(debounce: &mut Debounce<u32>, mut now: Instant) -> (u32, Instant) {
    loop {
        match debounce.next(now, true) {
            Step::Publish(key) => return (key, now),
            Step::Wait(until) => now = until,
            Step::Rescan => debounce.rescanned(now, 0.0),
            Step::RescanUnwatched => debounce.rescanned_unwatched(now),
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn after_two_seconds_of_quiet() {
    let now = monotonic();
    let mut debounce = begun(now);
    debounce.changed(1, now);
    debounce.changed(1, now + seconds(1));
    assert_eq!(first_publication(&mut debounce, now + seconds(1)), (1, now + seconds(3)));
    debounce.ended(&1, Ended::Done, now + seconds(4));
    assert_eq!(debounce.next(now + seconds(5), true), Step::Wait(now + seconds(60)));
}

#[test]
fn after_ten_seconds_of_changes() {
    let now = monotonic();
    let mut debounce = begun(now);
    for second in 0..10 {
        debounce.changed(1, now + seconds(second));
        let until = now + seconds(second + 2).min(seconds(10));
        assert_eq!(debounce.next(now + seconds(second), true), Step::Wait(until));
    }
    assert_eq!(debounce.next(now + seconds(10), true), Step::Publish(1));
}

#[test]
fn a_change_meanwhile_is_published_after_it() {
    let now = monotonic();
    let mut debounce = begun(now);
    debounce.found_changed(1, now);
    assert_eq!(debounce.next(now, true), Step::Publish(1), "at once");
    debounce.changed(1, now + seconds(1));
    assert_eq!(debounce.next(now + seconds(20), true), Step::Wait(now + seconds(60)), "one at a time");
    debounce.ended(&1, Ended::Done, now + seconds(30));
    assert_eq!(debounce.next(now + seconds(30), true), Step::Publish(1));
}

#[test]
fn failures_are_tried_again_after_longer_and_longer_times() {
    let now = monotonic();
    let mut debounce = begun(now);
    debounce.found_changed(1, now);
    let (_, mut at) = first_publication(&mut debounce, now);
    for expected in [5, 10, 20, 40, 80, 160, 300, 300] {
        debounce.ended(&1, Ended::Failed, at);
        let (_, next) = first_publication(&mut debounce, at);
        assert_eq!(next - at, seconds(expected));
        at = next;
    }
    debounce.ended(&1, Ended::Failed, at);
    debounce.try_again();
    assert_eq!(first_publication(&mut debounce, at).1, at + seconds(2));
    debounce.ended(&1, Ended::Done, at);
    debounce.found_changed(1, at);
    let (_, at) = first_publication(&mut debounce, at);
    debounce.ended(&1, Ended::Failed, at);
    assert_eq!(first_publication(&mut debounce, at).1, at + seconds(5), "from the beginning");
}

#[test]
fn what_is_being_written_is_looked_at_again_after_the_quiet_time() {
    let now = monotonic();
    let mut debounce = begun(now);
    debounce.found_changed(1, now);
    assert_eq!(debounce.next(now, true), Step::Publish(1));
    debounce.ended(&1, Ended::Unsettled, now + seconds(1));
    assert_eq!(first_publication(&mut debounce, now + seconds(1)), (1, now + seconds(3)));
}

#[test]
fn nothing_is_published_while_it_may_not_and_nothing_of_what_was_forgotten() {
    let now = monotonic();
    let mut debounce = begun(now);
    debounce.changed(1, now);
    debounce.changed(2, now + seconds(1));
    assert_eq!(debounce.next(now + seconds(9), false), Step::Wait(now + seconds(60)));
    debounce.forget(&1);
    assert_eq!(debounce.next(now + seconds(9), true), Step::Publish(2));
    debounce.forget(&2);
    debounce.ended(&2, Ended::Done, now + seconds(9));
    assert_eq!(debounce.next(now + seconds(9), true), Step::Wait(now + seconds(60)));
    assert!(debounce.pending.is_empty() && debounce.due.is_empty());
}

#[test]
fn everything_is_looked_at_hourly_and_soon_after_something_was_missed() {
    let now = monotonic();
    let mut debounce = begun(now);
    assert!(debounce.rescan_at >= now + TIMING.rescan && debounce.rescan_at <= now + TIMING.rescan * 11 / 10);
    debounce.missed(now);
    assert_eq!(debounce.next(now, true), Step::Wait(now + seconds(2)));
    assert_eq!(debounce.next(now + seconds(2), true), Step::Rescan);
    debounce.rescanned(now + seconds(2), 1.0);
    assert_eq!(debounce.rescan_at, now + seconds(2) + TIMING.rescan * 11 / 10);
    debounce.missed(now + seconds(3));
    assert_eq!(debounce.next(now + seconds(5), true), Step::Rescan);
    assert!(matches!(debounce.next(now + TIMING.rescan * 2, true), Step::Wait(_)), "one at a time");
    debounce.missed(now + seconds(6));
    debounce.rescanned(now + seconds(7), 0.0);
    assert_eq!(debounce.next(now + seconds(8), true), Step::Rescan, "what was missed meanwhile");
}

/// What is known of one resource from outside.
#[derive(Default)]
struct Model {
    /// The last change that no publication has begun after; and the first.
    open: Option<(Instant, Instant)>,
    /// Whether the changes that are open were told to be due at once.
    at_once: bool,
    running: bool,
    not_before: Option<Instant>,
    failures: u32,
}

/// Whatever happens in whatever order: no resource is published twice at once, none too early, no more at once than may,
/// and in the end everything that changed was published after its last change.
#[test]
fn whatever_happens_everything_is_published_in_time() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let begin = monotonic();
        let mut now = begin;
        let mut debounce = begun(now);
        let mut models: Vec<Model> = (0..5).map(|_| Model::default()).collect();
        let steps = 400;
        for step in 0.. {
            let ending = step >= steps;
            let key = rng.between(0, 4) as u32;
            match rng.between(0, 9) {
                _ if ending => {}
                0..=3 => tell_change(&mut debounce, &mut models[key as usize], key, now, rng.chance(0.2)),
                4 => now += Duration::from_millis(rng.between(0, 12_000)),
                _ => now += Duration::from_millis(rng.between(0, 700)),
            }
            let running: Vec<u32> = (0..5).filter(|key| models[*key as usize].running).collect();
            if let Some(key) = running.first().filter(|_| ending || rng.chance(0.3)) {
                let ended = match rng.between(0, 3) {
                    _ if ending => Ended::Done,
                    0 => Ended::Unsettled,
                    1 => Ended::Failed,
                    _ => Ended::Done,
                };
                tell_end(&mut debounce, &mut models[*key as usize], *key, ended, now);
            }
            match debounce.next(now, true) {
                Step::Publish(key) => {
                    begin_publication(&mut models[key as usize], now);
                    assert!(models.iter().filter(|model| model.running).count() <= RUNNING);
                }
                Step::Rescan => debounce.rescanned(now, rng.unit()),
                Step::RescanUnwatched => debounce.rescanned_unwatched(now),
                Step::Wait(until) => {
                    assert!(until > now);
                    let idle = models.iter().all(|model| !model.running);
                    if ending && idle {
                        if models.iter().all(|model| model.open.is_none()) {
                            break;
                        }
                        // Nothing else happens any more, so that it must come by itself.
                        now = until;
                    }
                }
            }
            assert!(step < steps * 10, "something is never published");
        }
        assert!(debounce.pending.is_empty() && debounce.due.is_empty());
    }
}

fn tell_change(debounce: &mut Debounce<u32>, model: &mut Model, key: u32, now: Instant, found: bool) {
    let first = model.open.map_or(now, |(first, _)| first);
    model.open = Some((first, now));
    model.at_once |= found;
    match found {
        true => debounce.found_changed(key, now),
        false => debounce.changed(key, now),
    }
}

fn tell_end(debounce: &mut Debounce<u32>, model: &mut Model, key: u32, ended: Ended, now: Instant) {
    debounce.ended(&key, ended, now);
    model.running = false;
    (model.failures, model.not_before) = match ended {
        Ended::Done => (0, None),
        Ended::Unsettled => (model.failures, Some(now + TIMING.quiet)),
        Ended::Failed => (model.failures + 1, Some(now + TIMING.back_off(model.failures))),
    };
    if ended != Ended::Done {
        let first = model.open.map_or(now, |(first, _)| first);
        model.open = Some((first, model.open.map_or(now, |(_, last)| last)));
    }
}

fn begin_publication(model: &mut Model, now: Instant) {
    assert!(!model.running, "one at a time");
    let (first, last) = model.open.take().expect("something changed");
    let quiet = now >= last + TIMING.quiet || now >= first + TIMING.longest;
    assert!(quiet || model.at_once, "too early");
    assert!(model.not_before.is_none_or(|not_before| now >= not_before), "too early after a failure");
    model.at_once = false;
    model.running = true;
}
