use std::path::PathBuf;

use certs::SecretKey;
use serde_json::Value;

use super::*;

fn what() -> Version {
    Version::new(&"alice".parse().expect("a name"), &"Übung 1.mkv".parse().expect("a name"), 4)
}

/// One of each.
pub(crate) fn all() -> Vec<Activity> {
    let path = || local(&PathBuf::from("/films/Übung 1.mkv"));
    let user = || "bob".parse().expect("a name");
    let node = SecretKey::from_seed([3; 32]).public();
    let moved = || Moved {
        bytes_received: 1_258_291,
        bytes_reused: 40 << 20,
        sources: vec![SourceBytes { node, user: user(), bytes: 1_258_291 }],
        seconds: 0.42,
    };
    let (code, error) = ("no-holder".to_owned(), "nobody has it".to_owned());
    vec![
        Activity::Started,
        Activity::Stopped,
        Activity::SignedUp { user: user() },
        Activity::LoggedIn { user: user() },
        Activity::LoggedOut { user: user(), why: None },
        Activity::LoggedOut { user: user(), why: Some("the index ended it".to_owned()) },
        Activity::IndexConnected { address: "192.0.2.1:4820".to_owned() },
        Activity::IndexLost { why: "timed out".to_owned() },
        Activity::Shared { what: what(), path: path(), size: 9 },
        Activity::Superseded { what: what(), by: Some(5) },
        Activity::Unshared { what: what() },
        Activity::FileChanged { what: what(), path: path(), state: "missing".to_owned() },
        Activity::Downloaded { what: what(), path: path(), moved: moved() },
        Activity::DownloadFailed { what: what(), code: code.clone(), error: error.clone() },
        Activity::Paused { what: what() },
        Activity::Resumed { what: what() },
        Activity::Cancelled { what: what() },
        Activity::Subscribed { what: what(), path: path() },
        Activity::Unsubscribed { what: what() },
        Activity::Updated { what: what(), from_version: Some(3), path: path(), moved: moved() },
        Activity::UpdateFailed { what: what(), code, error },
        Activity::UpdateHeld { what: what(), why: "the file is open".to_owned() },
        Activity::Conflict { what: what(), path: path(), kept: path() },
        Activity::OwnerUnshared { what: what() },
        hook(HookEnd::Exited { code: 3 }),
        hook(HookEnd::Signalled { signal: 11 }),
        hook(HookEnd::TimedOut),
        hook(HookEnd::Stopped),
        hook(HookEnd::NotStarted { error: "no such program".to_owned() }),
        Activity::WatchPublished { what: what(), path: path(), size: 9 },
    ]
}

fn hook(end: HookEnd) -> Activity {
    Activity::HookRan { what: what(), program: "notify-send".to_owned(), end, ms: 12 }
}

#[test]
fn each_comes_back_under_its_name() {
    for activity in all() {
        let document = serde_json::to_value(&activity).expect("a document");
        assert_eq!(document["event"], activity.name());
        let version = activity.version().map_or(Value::Null, |what| what.version.into());
        assert_eq!(document.get("version").cloned().unwrap_or_default(), version);
        let text = serde_json::to_string(&activity).expect("text");
        assert_eq!(serde_json::from_str::<Activity>(&text).expect("an activity"), activity, "{text}");
    }
}

#[test]
fn a_line_has_the_fields_in_the_order_that_is_documented() {
    let updated = all().into_iter().find(|one| one.name() == "updated").expect("there");
    let event = LoggedEvent::new(7, UnixMillis(1_793_700_720_500), updated);
    let line = serde_json::to_string(&event).expect("text");
    let node = SecretKey::from_seed([3; 32]).public();
    let expected = format!(
        "{{\"time\":\"2026-11-03T10:12:00.5Z\",\"event\":\"updated\",\"resource\":\"alice/Übung 1.mkv\",\"version\":4,\
        \"from_version\":3,\"path\":\"/films/Übung 1.mkv\",\"bytes_received\":1258291,\"bytes_reused\":41943040,\
        \"sources\":[{{\"node\":\"{node}\",\"user\":\"bob\",\"bytes\":1258291}}],\"seconds\":0.42,\"id\":7}}"
    );
    assert_eq!(line, expected);
    assert_eq!(serde_json::from_str::<LoggedEvent>(&line).expect("an event"), event);
}

#[test]
fn what_another_version_wrote_is_unknown_and_no_failure() {
    let line = r#"{"time":"2026-11-03T10:12:00Z","event":"of-tomorrow","more":[1],"id":7}"#;
    let event: LoggedEvent = serde_json::from_str(line).expect("an event");
    assert_eq!((event.activity, event.id), (Activity::Unknown, 7));
}

#[test]
fn texts_and_sources_are_bounded() {
    assert_eq!(bounded("short"), "short");
    let long = bounded("ü".repeat(TEXT_BYTES));
    assert!(long.len() <= TEXT_BYTES + '…'.len_utf8() && long.ends_with('…'), "{}", long.len());
    let node = SecretKey::from_seed([3; 32]).public();
    let source = |bytes| SourceBytes { node, user: "bob".parse().expect("a name"), bytes };
    let kept = most((0..40).map(source).collect());
    assert_eq!((kept.len(), kept[0].bytes, kept[15].bytes), (SOURCES, 39, 24));
}
