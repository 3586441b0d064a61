use std::path::Path;
use std::sync::Arc;

use rustix::process::{Pid, test_kill_process};

use super::*;
use crate::store::fs::OsFs;

/// Longer than anything here takes; only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(30);
/// No hook here runs so long but those that shall not.
const LONG: Duration = Duration::from_secs(300);

pub(super) fn queued(name: &str, version: u64, words: &[&str]) -> Queued {
    let owner = "alice".parse().expect("a name");
    let facts = HookFacts {
        what: Version::new(&owner, &name.parse().expect("a name"), version),
        path: PathBuf::from("/films/with space; and $(more)"),
        content: ContentHash::of(b"x"),
    };
    Queued { hook: hook(words), facts, due: None }
}

fn hook(words: &[&str]) -> Hook {
    Hook::new(words.iter().map(|word| (*word).to_owned()).collect()).expect("a hook")
}

async fn ran(script: &str, limit: Duration) -> Ran {
    let queued = queued("film.mkv", 4, &["/bin/sh", "-c", script]);
    let running = process::run(&queued, limit, std::future::pending());
    tokio::time::timeout(DEADLINE, running).await.expect("ends")
}

/// Until a process is gone, or nothing but its exit code is left of it.
async fn wait_for_end(pid: &Path) {
    let pid: i32 = std::fs::read_to_string(pid).expect("written").trim().parse().expect("a number");
    let ended = async {
        loop {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let gone = test_kill_process(Pid::from_raw(pid).expect("a number")).is_err();
            if gone || status.contains("State:\tZ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("it lives on");
}

/// Until a file has something in it.
async fn wait_for_file(path: &Path) {
    let written = async {
        while !std::fs::read(path).is_ok_and(|bytes| bytes.ends_with(b"\n")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, written).await.expect("nothing was written");
}

#[test]
fn words_that_are_no_hook() {
    let new = |words: &[&str]| Hook::new(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(new(&[]), Err(HookError::Empty));
    assert_eq!(new(&["", "x"]), Err(HookError::Empty));
    assert_eq!(new(&["./x"]), Err(HookError::Relative));
    assert_eq!(new(&["bin/x"]), Err(HookError::Relative));
    assert_eq!(new(&["x", "a\0b"]), Err(HookError::Nul));
    assert_eq!(new(&["x", &"y".repeat(WORD_BYTES + 1)]), Err(HookError::TooLong));
    assert_eq!(new(&["x"; WORDS + 1]), Err(HookError::TooLong));
    let good = new(&["notify-send", "updated", ""]).expect("a hook");
    assert_eq!(
        (good.program(), good.arguments()),
        ("notify-send", &["updated".to_owned(), String::new()][..])
    );
    let text = serde_json::to_string(&good).expect("text");
    assert_eq!(
        (text.as_str(), serde_json::from_str::<Hook>(&text).expect("a hook")),
        (r#"["notify-send","updated",""]"#, good)
    );
    assert!(serde_json::from_str::<Hook>("[]").is_err());
}

#[test]
fn a_time_limit_has_bounds() {
    let new = |seconds: i64| TimeLimit::try_from(seconds).map(TimeLimit::duration);
    assert_eq!((new(1), new(3600)), (Ok(Duration::from_secs(1)), Ok(Duration::from_secs(3600))));
    for wrong in [0, 3601, -1, i64::MAX] {
        assert_eq!(new(wrong), Err(TimeLimitError(wrong)));
    }
}

#[tokio::test]
async fn it_is_told_what_happened_and_nothing_else() {
    let ran = ran("env | sort; pwd; cat; echo \"$P2P_NODE_PATH\" >&2; exit 3", LONG).await;
    assert_eq!(ran.end, HookEnd::Exited { code: 3 });
    assert_eq!(ran.err, "/films/with space; and $(more)\n");
    for line in [
        "P2P_NODE_EVENT=updated",
        "P2P_NODE_OWNER=alice",
        "P2P_NODE_NAME=film.mkv",
        "P2P_NODE_VERSION=4",
        "P2P_NODE_PATH=/films/with space; and $(more)",
        &format!("P2P_NODE_CONTENT={}", ContentHash::of(b"x")),
        "/",
    ] {
        assert!(ran.out.lines().any(|one| one == line), "{line} in {}", ran.out);
    }
    // Cargo has set this one for the test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!ran.out.contains("CARGO"), "{}", ran.out);
}

#[tokio::test]
async fn output_is_read_to_its_end_and_kept_in_part() {
    let ran = ran("yes out | head -c 1000000; yes err | head -c 1000000 >&2", LONG).await;
    assert_eq!(ran.end, HookEnd::Exited { code: 0 });
    assert_eq!((ran.out.len(), ran.err.len()), (process::OUTPUT_BYTES, process::OUTPUT_BYTES));
    assert!(ran.out.starts_with("out\nout\n") && ran.err.starts_with("err\nerr\n"));
}

#[tokio::test]
async fn what_it_leaves_in_the_background_is_not_waited_for() {
    let ran = ran("sleep 60 & echo said", LONG).await;
    assert_eq!((ran.end, ran.out.as_str()), (HookEnd::Exited { code: 0 }, "said\n"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_end_too() {
    let queued = queued("x", 1, &["/no/such/program"]);
    let ran = process::run(&queued, LONG, std::future::pending()).await;
    assert!(matches!(&ran.end, HookEnd::NotStarted { error } if error.contains("No such file")), "{ran:?}");
    let killed = self::ran("kill -11 $$", LONG).await;
    assert_eq!(killed.end, HookEnd::Signalled { signal: 11 });
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let began = clock::monotonic();
    // Both go on when they are told to end, and write on.
    let script = format!(
        "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! > {}; echo begun; wait",
        pid.display()
    );
    let ran = ran(&script, Duration::from_millis(300)).await;
    assert_eq!((ran.end, ran.out.as_str()), (HookEnd::TimedOut, "begun\n"));
    assert!(began.elapsed() < Duration::from_secs(20));
    wait_for_end(&pid).await;
}

#[tokio::test]
async fn one_that_ends_when_told_to_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; trap 'echo bye; exit 0' TERM; wait", pid.display());
    let queued = queued("x", 1, &["/bin/sh", "-c", &script]);
    let ran = process::run(&queued, LONG, wait_for_file(&pid)).await;
    assert_eq!((ran.end, ran.out.as_str()), (HookEnd::Stopped, "bye\n"));
    wait_for_end(&pid).await;
}

struct Fixture {
    hooks: Hooks,
    tasks: Tasks,
    store: Store,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db"), Arc::new(OsFs::new())).expect("opens");
        let tasks = Tasks::new();
        let hooks = Hooks::new(tasks.clone(), store.clone(), TimeLimit::default());
        Self { hooks, tasks, store, folder }
    }

    fn run(&self, name: &str, version: u64, script: &str) {
        let Queued { hook, facts, .. } = queued(name, version, &["/bin/sh", "-c", script]);
        self.hooks.run(hook, facts);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Version and end of each hook in the log, once there are so many.
    async fn ends(&self, count: usize) -> Vec<(u64, HookEnd)> {
        let mut logged = self.store.events_logged();
        let reading = async {
            loop {
                let events = self.store.events(0, 64).await.expect("read");
                let end = |event: crate::activity::LoggedEvent| match event.activity {
                    Activity::HookRan { what, end, .. } => Some((what.version, end)),
                    _ => None,
                };
                let ends: Vec<_> = events.into_iter().filter_map(end).collect();
                if ends.len() >= count {
                    return ends;
                }
                logged.changed().await.expect("open");
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("they end")
    }
}

#[tokio::test]
async fn of_many_updates_of_one_resource_the_first_and_the_last_are_told() {
    let fixture = Fixture::new();
    let (begun, go_on) = (fixture.path("begun"), fixture.path("go on"));
    let first =
        format!("echo > '{}'; until [ -e '{}' ]; do sleep 0.01; done", begun.display(), go_on.display());
    fixture.run("a", 1, &first);
    wait_for_file(&begun).await;
    for version in 2..=9 {
        fixture.run("a", version, &format!("exit {version}"));
    }
    fixture.run("b", 1, "exit 1");
    assert_eq!(fixture.ends(1).await, [(1, HookEnd::Exited { code: 1 })], "another resource need not wait");
    std::fs::write(&go_on, "").expect("written");
    let ends = fixture.ends(3).await;
    assert_eq!(ends[1..], [(1, HookEnd::Exited { code: 0 }), (9, HookEnd::Exited { code: 9 })]);
}

#[tokio::test]
async fn a_stop_ends_those_that_run_and_begins_no_other() {
    let fixture = Fixture::new();
    let begun = fixture.path("begun");
    fixture.run("a", 1, &format!("echo > '{}'; sleep 60", begun.display()));
    wait_for_file(&begun).await;
    fixture.run("a", 2, "exit 0");
    assert!(fixture.tasks.stop(DEADLINE).await, "it ends in time");
    assert_eq!(fixture.ends(1).await, [(1, HookEnd::Stopped)]);
}

/// A note of the store leads to it, and goes with its end; not with a stop.
#[tokio::test]
async fn what_is_due_runs_until_it_has_ended_once() {
    let fixture = Fixture::new();
    let Queued { hook, facts, .. } = queued("a", 7, &["/bin/sh", "-c", "exit 3"]);
    // There is no such note any more: it ran, or something newer is due.
    fixture.hooks.run_due(hook.clone(), facts.clone(), HookDueId(1));
    fixture.run("b", 1, "exit 1");
    assert_eq!(fixture.ends(1).await, [(1, HookEnd::Exited { code: 1 })]);
    fixture.hooks.give_up(hook, facts, HookDueId(1)).await;
    let ends = fixture.ends(2).await;
    assert!(
        matches!(&ends[1], (7, HookEnd::NotStarted { error }) if error.contains("not run again")),
        "{ends:?}"
    );
}
