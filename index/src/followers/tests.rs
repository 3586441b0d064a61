//! Followers alone, with records made up.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll, Waker};

use certs::AccountId;
use proptest::prelude::*;
use wire::ErrorCode;
use wire::message::{Event, RecordBundle};

use super::*;

impl Followers {
    /// Tells at once, on this thread.
    pub(crate) fn publish(&self, changes: Vec<Changed>) {
        for (key, change) in self.followed(changes) {
            self.spread(key, change);
        }
    }
}

const BOUNDS: Bounds = Bounds { each: 4, follows: 6, waiting_bytes: 1 << 20 };

fn change(name: &str, record: &[u8]) -> Changed {
    let bundle = RecordBundle::bare(record);
    Changed { account: AccountId::from_bytes([1; 16]), name: name.parse().expect("a name"), bundle }
}

fn key(name: &str) -> Key {
    let change = change(name, b"");
    Key::of(&change.account, &change.name)
}

/// What comes next, if something waits: the record, or why the stream ends.
fn next(listener: &Listener) -> Option<Result<Vec<u8>, ErrorCode>> {
    match std::pin::pin!(listener.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(next) => Some(next.map(|news| record_of(&news))),
    }
}

fn record_of(news: &News) -> Vec<u8> {
    let Ok(Some(Event::Record(bundle))) = Event::decode(&news.frame()[4..]) else { panic!("no event") };
    bundle.record.into_vec()
}

fn record(text: &str) -> Option<Result<Vec<u8>, ErrorCode>> {
    Some(Ok(text.as_bytes().to_vec()))
}

fn refused(result: Result<(), ErrorBody>) -> ErrorCode {
    result.expect_err("refused").code
}

fn assert_nothing_is_left(followers: &Followers) {
    let tables = lock(&followers.tables);
    assert_eq!((tables.listeners.len(), tables.resources.len(), tables.follows), (0, 0, 0));
    assert_eq!(followers.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn only_followers_are_told_and_of_what_they_follow() {
    let followers = Followers::bounded(BOUNDS);
    let (one, two) = (followers.listen(1), followers.listen(2));
    followers.follow(1, &[key("a"), key("b")]).expect("room");
    followers.follow(2, &[key("b")]).expect("room");
    followers.publish(vec![change("a", b"a1"), change("b", b"b1"), change("c", b"c1")]);
    let other_account = Changed { account: AccountId::from_bytes([2; 16]), ..change("a", b"another's") };
    followers.publish(vec![other_account]);
    assert_eq!([next(&one), next(&one), next(&one)], [record("a1"), record("b1"), None]);
    assert_eq!([next(&two), next(&two)], [record("b1"), None]);
    followers.unfollow(1, &[key("a"), key("never followed")]);
    followers.publish(vec![change("a", b"a2"), change("b", b"b2")]);
    assert_eq!([next(&one), next(&one)], [record("b2"), None]);
    drop((one, two));
    assert_nothing_is_left(&followers);
}

#[test]
fn the_newest_of_each_waits() {
    let followers = Followers::bounded(BOUNDS);
    let slow = followers.listen(1);
    followers.follow(1, &[key("a"), key("b")]).expect("room");
    for version in 0..1000 {
        followers.publish(vec![change("a", format!("a{version}").as_bytes()), change("b", b"b")]);
    }
    assert_eq!(slow.waiting(), 2);
    assert_eq!([next(&slow), next(&slow), next(&slow)], [record("a999"), record("b"), None]);
    followers.publish(vec![change("a", b"later")]);
    followers.unfollow(1, &[key("a")]);
    assert_eq!(next(&slow), None, "what waited of it is not told any more");
    assert_eq!(followers.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn a_thousand_followers_share_the_bytes() {
    let followers = Followers::new();
    let listening: Vec<_> = (0..1000).map(|session| followers.listen(session)).collect();
    for session in 0..1000 {
        followers.follow(session, &[key("a")]).expect("room");
    }
    followers.publish(vec![change("a", &[7; 4096])]);
    assert!((4096..5000).contains(&followers.waiting.load(Ordering::Relaxed)), "once, not a thousand times");
    for listener in &listening {
        assert_eq!(next(listener), Some(Ok(vec![7; 4096])));
    }
    assert_eq!(followers.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn bounds_hold_and_a_refusal_adds_nothing() {
    let followers = Followers::bounded(BOUNDS);
    assert_eq!(refused(followers.follow(1, &[key("a")])), ErrorCode::NotFound);
    let (one, _two) = (followers.listen(1), followers.listen(2));
    let keys = ["a", "b", "c", "d", "e"].map(key);
    assert_eq!(refused(followers.follow(1, &keys)), ErrorCode::Quota);
    followers.publish(vec![change("a", b"a1")]);
    assert_eq!(next(&one), None);
    followers.follow(1, &[keys[0], keys[0], keys[1], keys[2], keys[3]]).expect("four and one twice");
    followers.follow(1, &keys[..4]).expect("followed already");
    assert_eq!(refused(followers.follow(1, &keys[4..])), ErrorCode::Quota);
    let busy = followers.follow(2, &keys[..3]).expect_err("seven in all");
    assert_eq!((busy.code, busy.retry_after_ms), (ErrorCode::Busy, Some(RETRY_AFTER_MS)));
    followers.follow(2, &keys[..2]).expect("six in all");
    drop(one);
    followers.follow(2, &keys[..4]).expect("there is room again");
}

#[test]
fn who_is_furthest_behind_ends_where_too_much_waits() {
    let followers = Followers::bounded(Bounds { waiting_bytes: 10_000, ..BOUNDS });
    let (fast, slow) = (followers.listen(1), followers.listen(2));
    followers.follow(1, &[key("a")]).expect("room");
    followers.follow(2, &["a", "b", "c", "d"].map(key)).expect("room");
    for name in ["a", "b", "c", "d"] {
        followers.publish(vec![change(name, &[7; 4000])]);
    }
    assert_eq!(next(&slow), Some(Err(ErrorCode::Busy)));
    assert_eq!(next(&fast), Some(Ok(vec![7; 4000])), "who has little to read goes on");
    assert_eq!(refused(followers.follow(2, &[key("a")])), ErrorCode::NotFound, "it has to open another");
    assert_eq!(followers.waiting.load(Ordering::Relaxed), 0);
    drop((fast, slow));
    assert_nothing_is_left(&followers);
}

#[test]
fn a_second_stream_takes_the_place_of_the_first() {
    let followers = Followers::bounded(BOUNDS);
    let first = followers.listen(1);
    followers.follow(1, &[key("a")]).expect("room");
    followers.publish(vec![change("a", b"a1")]);
    let second = followers.listen(1);
    assert_eq!(next(&first), Some(Err(ErrorCode::Replaced)));
    followers.follow(1, &[key("b")]).expect("room");
    drop(first);
    followers.publish(vec![change("a", b"a2"), change("b", b"b2")]);
    assert_eq!([next(&second), next(&second)], [record("b2"), None], "it begins with nothing");
    drop(second);
    assert_nothing_is_left(&followers);
}

#[test]
fn a_stop_ends_all() {
    let followers = Followers::bounded(BOUNDS);
    let before = followers.listen(1);
    followers.stop();
    let after = followers.listen(2);
    assert_eq!(next(&before), Some(Err(ErrorCode::ShuttingDown)));
    assert_eq!(next(&after), Some(Err(ErrorCode::ShuttingDown)));
    assert_eq!(refused(followers.follow(2, &[key("a")])), ErrorCode::NotFound);
}

#[tokio::test]
async fn the_thread_tells_in_order_and_ends_with_what_it_is_told_by() {
    let followers = Arc::new(Followers::bounded(BOUNDS));
    let tell = followers.start().expect("started");
    let listening = followers.listen(1);
    followers.follow(1, &[key("a")]).expect("room");
    for version in 0..2 * QUEUE {
        tell(vec![change("a", version.to_string().as_bytes()), change("b", b"nobody follows it")]);
    }
    let mut last = None;
    while last != Some(2 * QUEUE - 1) {
        let news = listening.next().await.expect("not ended");
        let told = String::from_utf8(record_of(&news)).expect("text").parse().expect("a version");
        assert!(last < Some(told), "{told} after {last:?}");
        last = Some(told);
    }
    drop((tell, listening));
    // The thread has one too, until it ends.
    while Arc::strong_count(&followers) > 1 {
        tokio::task::yield_now().await;
    }
    assert_nothing_is_left(&followers);
}

/// What happens to three sessions and four resources.
#[derive(Debug, Clone)]
enum Step {
    Listen(u64),
    Leave(u64),
    Follow(u64, Vec<usize>),
    Unfollow(u64, Vec<usize>),
    Publish(usize),
    Take(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (session, resource) = (0..3_u64, 0..4_usize);
    let resources = || proptest::collection::vec(0..4_usize, 0..4);
    prop_oneof![
        session.clone().prop_map(Step::Listen),
        session.clone().prop_map(Step::Leave),
        (session.clone(), resources()).prop_map(|(session, which)| Step::Follow(session, which)),
        (session.clone(), resources()).prop_map(|(session, which)| Step::Unfollow(session, which)),
        resource.clone().prop_map(Step::Publish),
        resource.prop_map(Step::Publish),
        session.prop_map(Step::Take),
    ]
}

/// What a session follows, and what it has still to be told of each.
type Model = BTreeMap<u64, (BTreeSet<usize>, BTreeMap<usize, String>)>;

/// One step, of both. What was taken has to be the newest of its resource.
fn take_step<'a>(
    step: &Step,
    version: usize,
    followers: &'a Followers,
    listening: &mut BTreeMap<u64, Listening<'a>>,
    model: &mut Model,
) {
    let name = |which: &usize| format!("r{which}");
    let keys = |which: &[usize]| which.iter().map(|which| key(&name(which))).collect::<Vec<_>>();
    match step {
        Step::Listen(session) => {
            listening.insert(*session, followers.listen(*session));
            model.insert(*session, Default::default());
        }
        Step::Leave(session) => {
            listening.remove(session);
            model.remove(session);
        }
        Step::Follow(session, which) => {
            let known = model.get_mut(session);
            assert_eq!(followers.follow(*session, &keys(which)).is_ok(), known.is_some());
            known.into_iter().for_each(|(follows, _)| follows.extend(which));
        }
        Step::Unfollow(session, which) => {
            followers.unfollow(*session, &keys(which));
            if let Some((follows, waits)) = model.get_mut(session) {
                follows.retain(|one| !which.contains(one));
                waits.retain(|one, _| !which.contains(one));
            }
        }
        Step::Publish(which) => {
            let text = format!("r{which} {version}");
            followers.publish(vec![change(&name(which), text.as_bytes())]);
            for (_, waits) in model.values_mut().filter(|(follows, _)| follows.contains(which)) {
                waits.insert(*which, text.clone());
            }
        }
        Step::Take(session) => {
            let Some(listener) = listening.get(session) else { return };
            let (_, waits) = model.get_mut(session).expect("it listens");
            let Some(taken) = next(listener) else { return assert!(waits.is_empty(), "{waits:?}") };
            let taken = String::from_utf8(taken.expect("it has not ended")).expect("text");
            let which = waits.iter().find(|(_, text)| **text == taken).map(|(which, _)| *which);
            waits.remove(&which.expect("the newest of one that waits"));
        }
    }
}

proptest! {
    #[test]
    fn everyone_is_told_the_newest_of_what_they_follow(steps in proptest::collection::vec(step(), 1..200)) {
        let followers = Followers::bounded(Bounds { each: 4, follows: 12, waiting_bytes: 1 << 20 });
        let (mut listening, mut model) = (BTreeMap::new(), Model::new());
        for (version, step) in steps.iter().enumerate() {
            take_step(step, version, &followers, &mut listening, &mut model);
            let pairs: usize = model.values().map(|(follows, _)| follows.len()).sum();
            let tables = lock(&followers.tables);
            prop_assert_eq!(tables.follows, pairs);
            prop_assert_eq!(tables.resources.values().map(Vec::len).sum::<usize>(), pairs);
        }
        listening.clear();
        assert_nothing_is_left(&followers);
    }
}
