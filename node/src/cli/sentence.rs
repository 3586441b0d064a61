//! An event of the log of activity as a sentence for people.

use indicatif::HumanBytes;

use crate::activity::{Activity, HookEnd, Moved, Version};
use crate::control::api::SourceBytes;

/// Users that are named as sources.
const NAMED: usize = 3;

/// What happened. It may hold text of peers, for [`Console::line`](super::Console) to escape.
pub(super) fn sentence(activity: &Activity) -> String {
    match activity {
        Activity::Started => "the daemon started".to_owned(),
        Activity::Stopped => "the daemon stopped".to_owned(),
        Activity::SignedUp { user } => format!("signed up as {user}"),
        Activity::LoggedIn { user } => format!("logged in as {user}"),
        Activity::LoggedOut { user, why: None } => format!("{user} logged out"),
        Activity::LoggedOut { user, why: Some(why) } => format!("{user} is no longer logged in: {why}"),
        Activity::IndexConnected { address } => format!("connected to the index at {address}"),
        Activity::IndexLost { why } => format!("lost the index: {why}"),
        Activity::Unknown => "something that only another version of the program knows".to_owned(),
        of_resource => about(of_resource),
    }
}

/// What happened to a resource.
fn about(activity: &Activity) -> String {
    match activity {
        Activity::Shared { what, size, .. } => {
            format!("shared {} version {}: {}", what.resource, what.version, HumanBytes(*size))
        }
        Activity::WatchPublished { what, size, .. } => {
            let size = HumanBytes(*size);
            format!("{} changed, and was published as version {}: {size}", what.resource, what.version)
        }
        Activity::Superseded { what, by } => {
            let by = by.map_or_else(String::new, |by| format!(" by version {by}"));
            format!("{} was superseded{by}, from another machine of this user", versioned(what))
        }
        Activity::Unshared { what } => format!("took back {}", what.resource),
        Activity::FileChanged { what, path, state } => {
            format!("{path}, shared as {}, is {state}", what.resource)
        }
        Activity::Subscribed { what, .. } => format!("subscribed to {}", what.resource),
        Activity::Unsubscribed { what } => format!("unsubscribed from {}", what.resource),
        Activity::OwnerUnshared { what } => format!("{} was taken back by its owner", what.resource),
        Activity::Conflict { path, kept, .. } => {
            format!("what was at {path} before is kept as {kept}")
        }
        download_or_hook => moved(download_or_hook),
    }
}

/// How a download or an update went, and what was run after it.
fn moved(activity: &Activity) -> String {
    match activity {
        Activity::Downloaded { what, moved, .. } => {
            format!("downloaded {}: {}", versioned(what), amounts(moved))
        }
        Activity::Updated { what, moved, .. } => {
            format!("updated {} to version {}: {}", what.resource, what.version, amounts(moved))
        }
        Activity::DownloadFailed { what, error, .. } => {
            format!("the download of {} failed: {error}", versioned(what))
        }
        Activity::UpdateFailed { what, error, .. } => {
            format!("the update of {} to version {} failed: {error}", what.resource, what.version)
        }
        Activity::UpdateHeld { what, why } => {
            format!("the update of {} to version {} waits: {why}", what.resource, what.version)
        }
        Activity::Paused { what } => format!("paused the download of {}", versioned(what)),
        Activity::Resumed { what } => format!("the download of {} goes on", versioned(what)),
        Activity::Cancelled { what } => format!("cancelled the download of {}", versioned(what)),
        Activity::HookRan { what, program, end, ms } => {
            let seconds = *ms as f64 / 1000.0;
            let ended = match end {
                HookEnd::Exited { code: 0 } => format!("ran {program} in {seconds:.1} s"),
                HookEnd::Exited { code } => {
                    format!("{program} failed with exit code {code} after {seconds:.1} s")
                }
                HookEnd::Signalled { signal } => {
                    format!("{program} ended by signal {signal} after {seconds:.1} s")
                }
                HookEnd::TimedOut => format!("{program} was killed after {seconds:.1} s: it ran too long"),
                HookEnd::Stopped => format!("{program} was killed after {seconds:.1} s: the daemon stopped"),
                HookEnd::NotStarted { error } => format!("{program} could not be run: {error}"),
            };
            format!("{ended}, for {}", versioned(what))
        }
        other => other.name().to_owned(),
    }
}

fn versioned(what: &Version) -> String {
    format!("{} version {}", what.resource, what.version)
}

/// `1.20 MiB received, 40.00 MiB reused, from bob, in 0.4 s`; without what is nothing.
fn amounts(moved: &Moved) -> String {
    let Moved { bytes_received, bytes_reused, sources, seconds } = moved;
    let mut parts = vec![format!("{} received", HumanBytes(*bytes_received))];
    if *bytes_reused > 0 {
        parts.push(format!("{} reused", HumanBytes(*bytes_reused)));
    }
    parts.extend(users(sources).map(|users| format!("from {users}")));
    parts.push(format!("in {seconds:.1} s"));
    parts.join(", ")
}

/// Whose nodes gave most.
fn users(sources: &[SourceBytes]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for source in sources {
        if !names.contains(&source.user.as_str()) {
            names.push(source.user.as_str());
        }
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(" and ");
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, more) => Some(format!("{named} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_sentence_of_its_own() {
        let all = crate::activity::tests::all();
        let mut sentences: Vec<String> = all.iter().map(sentence).collect();
        for (activity, sentence) in all.iter().zip(&sentences) {
            assert_ne!(sentence, activity.name(), "no sentence");
            if let Some(what) = activity.version().filter(|_| activity.name() != "conflict") {
                assert!(sentence.contains(&what.resource.to_string()), "{sentence}");
            }
        }
        let updated =
            "updated alice/Übung 1.mkv to version 4: 1.20 MiB received, 40.00 MiB reused, from bob, in 0.4 s";
        assert!(sentences.iter().any(|one| one == updated), "{sentences:#?}");
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(sentences.len(), all.len());
    }

    #[test]
    fn nothing_is_said_of_nothing_and_little_of_many() {
        let moved = Moved { bytes_reused: 0, ..Moved::default() };
        assert_eq!(amounts(&moved), "0 B received, in 0.0 s");
        let node = certs::SecretKey::from_seed([3; 32]).public();
        let source = |user: &str| SourceBytes { node, user: user.parse().expect("a name"), bytes: 1 };
        let sources: Vec<_> = ["a", "b", "a", "c", "d", "e"].into_iter().map(source).collect();
        assert_eq!(users(&sources).as_deref(), Some("a and b and c and 2 more"));
        assert_eq!(users(&[]), None);
    }
}
