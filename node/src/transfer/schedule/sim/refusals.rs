//! Holders that do not have what they said they have.

use super::super::{Action, Availability, Config, DropReason, Failure, HolderId, Request, Scheduler};
use super::*;

const HOLDER: HolderId = HolderId(0);

/// A holder of a large file, as it says.
fn with_holder(availability: Availability) -> Scheduler {
    let chunks = file(&mut Rng::new(0), 64 << 30, MIB);
    let mut scheduler = Scheduler::new(chunks, Vec::<Range<u32>>::new(), Config::default());
    assert!(scheduler.holder_joined(Duration::ZERO, HOLDER, availability));
    scheduler
}

/// Answers all that is asked in this way until the holder is out: how long that took, how many requests, and why.
fn until_dropped(
    scheduler: &mut Scheduler,
    answer: impl Fn(&mut Scheduler, Duration, &Request),
) -> (Duration, usize, DropReason) {
    let (mut now, mut count) = (Duration::ZERO, 0);
    loop {
        for action in scheduler.tick(now) {
            if let Action::DropHolder(HOLDER, reason) = action {
                assert_eq!(scheduler.next_request(now), None, "nobody is left");
                return (now, count, reason);
            }
        }
        let requests: Vec<_> = std::iter::from_fn(|| scheduler.next_request(now)).collect();
        count += requests.len();
        assert!(count < 1000, "it asks without end");
        requests.iter().for_each(|request| answer(scheduler, now, request));
        now = scheduler.next_deadline().expect("it is out, or asked again").max(now + ms(1));
    }
}

fn not_found(scheduler: &mut Scheduler, now: Duration, request: &Request) {
    scheduler.request_failed(now, request.id, Failure::NotFound);
}

#[test]
fn one_that_claims_all_and_has_something_not_is_out_and_may_come_back() {
    let mut scheduler = with_holder(Availability::All);
    let (_, count, reason) = until_dropped(&mut scheduler, not_found);
    assert_eq!(reason, DropReason::Lacking);
    assert!(count <= 2, "{count} requests");
    assert!(scheduler.holder_joined(ms(1000), HOLDER, Availability::All));
    assert!(scheduler.next_request(ms(1000)).is_some());
}

#[test]
fn an_answer_without_a_chunk_is_no_better() {
    let mut scheduler = with_holder(Availability::All);
    let (_, count, reason) =
        until_dropped(&mut scheduler, |scheduler, now, request| scheduler.request_done(now, request.id));
    assert_eq!(reason, DropReason::Lacking);
    assert!(count <= 2, "{count} requests");
}

#[test]
fn a_partial_one_that_lacks_what_it_named_pauses_and_is_out() {
    let mut scheduler = with_holder(Availability::Ranges(vec![0..60_000]));
    let (took, count, reason) = until_dropped(&mut scheduler, not_found);
    assert_eq!(reason, DropReason::Failing);
    assert!(count <= 16 && took > ms(1000), "{count} requests in {took:?}");
}
