use super::super::subscriptions::tests::{begin, install, put_in_place};
use super::super::tests::{Fixture, NOW};
use super::*;
use crate::activity::{HookEnd, Version};

fn words() -> Vec<String> {
    vec!["/bin/true".to_owned()]
}

/// A subscription that holds version 1, and has a program.
async fn subscribed(fixture: &Fixture) -> Subscription {
    install(fixture, "a", 1, false).await;
    let one = fixture.store.subscription_at(fixture.path("a")).await.expect("read").expect("there");
    let set = fixture.store.set_subscription_hook(one.id, words(), false).await.expect("set");
    assert_eq!(fixture.store.hooks_due(10).await.expect("read"), [], "nothing was installed since");
    set.expect("there")
}

fn ran(one: &Subscription, version: u64) -> Activity {
    let what = Version::new(&one.owner, &one.name, version);
    Activity::HookRan { what, program: "/bin/true".to_owned(), end: HookEnd::Exited { code: 0 }, ms: 1 }
}

#[tokio::test]
async fn it_is_due_from_the_installation_until_it_has_ended() {
    let mut fixture = Fixture::new();
    let one = subscribed(&fixture).await;
    install(&fixture, "a", 2, false).await;
    fixture.reopen().await;
    let store = &fixture.store;
    let due = store.hook_due(one.id).await.expect("read").expect("due");
    assert_eq!((due.version, due.begun), (2, 0));
    assert!(store.begin_hook(due.id).await.expect("begun"));
    assert_eq!(store.hooks_due(10).await.expect("read"), [HookDue { begun: 1, ..due }]);

    // The newer one is due instead, from the beginning.
    install(&fixture, "a", 3, false).await;
    let newer = store.hook_due(one.id).await.expect("read").expect("due");
    assert!(newer.id > due.id && (newer.version, newer.begun) == (3, 0));
    assert!(!store.begin_hook(due.id).await.expect("asked"));
    store.end_hook(due.id, ran(&one, 2)).await.expect("told");
    assert_eq!(store.hook_due(one.id).await.expect("read"), Some(newer), "another one has ended");
    store.end_hook(newer.id, ran(&one, 3)).await.expect("told");
    assert_eq!(store.hook_due(one.id).await.expect("read"), None);
    let events = store.events(0, 64).await.expect("read");
    let told = events.iter().filter(|event| matches!(event.activity, Activity::HookRan { .. }));
    assert_eq!(told.count(), 2);
}

#[tokio::test]
async fn who_wants_no_program_or_no_updates_any_more_has_none_due() {
    let fixture = Fixture::new();
    let (one, store) = (subscribed(&fixture).await, &fixture.store);
    install(&fixture, "a", 2, false).await;
    store.set_subscription_hook(one.id, Vec::new(), true).await.expect("set");
    assert_eq!(store.hooks_due(10).await.expect("read"), []);
    install(&fixture, "a", 3, false).await;
    assert_eq!(store.hooks_due(10).await.expect("read"), []);
    // What was asked for before the first version was there.
    store.set_subscription_hook(one.id, words(), true).await.expect("set");
    let due = store.hook_due(one.id).await.expect("read").expect("due");
    assert_eq!(due.version, 3);
    store.unsubscribe(one.id).await.expect("ended");
    assert_eq!(store.hooks_due(10).await.expect("read"), []);
    assert!(!store.begin_hook(due.id).await.expect("asked"));
}

/// Wherever the machine stops during an installation, after the restart it is installed and the program due, or neither.
#[tokio::test]
async fn a_crash_anywhere_leaves_no_installation_without_its_program() {
    let mut steps = 0;
    loop {
        let mut fixture = Fixture::new();
        let one = subscribed(&fixture).await;
        let job = begin(&fixture, "a", 2).await;
        fixture.fs.die_after(steps);
        let done = put_in_place(&fixture, job, 2).await.is_ok();
        fixture.fs.clear();
        fixture.reopen().await;
        fixture.store.recover(NOW).await.expect("recovered");
        let held = fixture.store.subscription(one.id).await.expect("read").and_then(|one| one.held);
        let due = fixture.store.hook_due(one.id).await.expect("read").map(|due| due.version);
        let installed = held.map(|held| held.rank.version()) == Some(2);
        assert_eq!(due, installed.then_some(2), "after {steps} calls");
        if done {
            assert!(installed && steps > 5, "{steps}");
            return;
        }
        steps += 1;
    }
}
