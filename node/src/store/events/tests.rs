use super::super::tests::Fixture;
use super::*;
use crate::activity::{Version, bounded};

fn lost(why: String) -> Activity {
    Activity::IndexLost { why }
}

fn paused(version: u64) -> Activity {
    let what = Version::new(&"alice".parse().expect("a name"), &"a".parse().expect("a name"), version);
    Activity::Paused { what }
}

async fn write_all(store: &Store, activities: Vec<Activity>) {
    let change = move |transaction: &Transaction| activities.iter().try_for_each(|one| put(transaction, one));
    store.db().write("write events", change).await.expect("written");
}

async fn all_of(store: &Store) -> Vec<LoggedEvent> {
    let mut events: Vec<LoggedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |last| last.id);
        let page = store.events(after, u32::MAX).await.expect("read");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

#[tokio::test]
async fn all_kinds_come_back_in_order_after_a_restart() {
    let mut fixture = Fixture::new();
    let written = crate::activity::tests::all();
    for activity in &written {
        fixture.store.log(activity.clone()).await.expect("logged");
    }
    fixture.reopen().await;
    let read = all_of(&fixture.store).await;
    assert_eq!(read.iter().map(|event| event.activity.clone()).collect::<Vec<_>>(), written);
    assert!(read.iter().map(|event| event.id).eq(1..=written.len() as u64));
    let newest = fixture.store.events_begin(3, None).await.expect("asked");
    assert_eq!(newest, written.len() as u64 - 3);
    assert_eq!(fixture.store.events_begin(1000, None).await.expect("asked"), 0);
}

#[tokio::test]
async fn since_a_time_counts_from_the_last_event_before_it() {
    let fixture = Fixture::new();
    write_all(&fixture.store, (0..5).map(paused).collect()).await;
    let set = |transaction: &Transaction| {
        for (id, time) in [(1, 50), (2, 100), (3, 70), (4, 100), (5, 120)] {
            run(transaction, "UPDATE event SET time = ?2 WHERE id = ?1", (id, time))?;
        }
        Ok(())
    };
    fixture.store.db().write("set times", set).await.expect("set");
    let begin = |count, since| fixture.store.events_begin(count, Some(UnixMillis(since)));
    assert_eq!(begin(100, 100).await.expect("asked"), 3);
    assert_eq!(begin(1, 100).await.expect("asked"), 4);
    assert_eq!(begin(100, 0).await.expect("asked"), 0);
    assert_eq!(begin(100, 999).await.expect("asked"), 5);
}

#[tokio::test]
async fn an_event_is_there_with_its_change_or_not_at_all_and_is_told_when_durable() {
    let fixture = Fixture::new();
    let mut logged = fixture.store.events_logged();
    let undone = |transaction: &Transaction| {
        put(transaction, &Activity::Started)?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    };
    fixture.store.db().write("write an event", undone).await.expect_err("undone");
    assert!(!logged.has_changed().expect("open"));
    assert!(all_of(&fixture.store).await.is_empty());
    fixture.store.set_setting("other", vec![1]).await.expect("set");
    assert!(!logged.has_changed().expect("open"), "no event, no news");
    fixture.store.log(Activity::Stopped).await.expect("logged");
    assert!(logged.has_changed().expect("open"));
    assert_eq!((*logged.borrow_and_update(), all_of(&fixture.store).await[0].id), (1, 1));
}

#[tokio::test]
async fn the_oldest_go_and_numbers_go_on() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let many = EVENTS_KEPT + 3 * PRUNED_EVERY;
    write_all(store, (1..=many).map(paused).collect()).await;
    let kept = all_of(store).await;
    let (first, last) = (kept[0].id, kept[kept.len() - 1].id);
    assert_eq!(last, many);
    assert!(kept.len() as u64 >= EVENTS_KEPT && (kept.len() as u64) < EVENTS_KEPT + PRUNED_EVERY, "{first}");
    write_all(store, vec![paused(1)]).await;
    assert_eq!(store.events(last, 9).await.expect("read")[0].id, last + 1);
}

#[tokio::test]
async fn long_events_are_fewer() {
    let fixture = Fixture::new();
    let what = Version::new(&"alice".parse().expect("a name"), &"a".parse().expect("a name"), 1);
    let path = || crate::activity::local(std::path::Path::new(&format!("/{}", "x".repeat(4000))));
    let error = bounded("e".repeat(5000));
    let long = Activity::Conflict { what: what.clone(), path: path(), kept: path() };
    let failed = Activity::DownloadFailed { what, code: "io".to_owned(), error };
    let both = [long, failed];
    write_all(&fixture.store, (0..5000).flat_map(|_| both.clone()).collect()).await;
    let kept = all_of(&fixture.store).await;
    let bytes: usize = kept.iter().map(|event| serde_json::to_string(event).expect("text").len()).sum();
    assert!((12 << 20..20 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_connection_that_comes_and_goes_pushes_nothing_else_out() {
    let fixture = Fixture::new();
    write_all(&fixture.store, vec![paused(1)]).await;
    let flaps = (0..9 * PRUNED_EVERY).map(|number| lost(number.to_string())).collect();
    write_all(&fixture.store, flaps).await;
    let kept = all_of(&fixture.store).await;
    assert_eq!(kept[0].activity, paused(1));
    let flaps = kept.len() as u64 - 1;
    assert!((COMINGS_KEPT..COMINGS_KEPT + PRUNED_EVERY + 1).contains(&flaps), "{flaps}");
}
