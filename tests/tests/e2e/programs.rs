//! Real programs: started, asked by the command line, interrupted, killed.

use std::path::PathBuf;

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::process;
use p2p_node_tests::{Link, PATIENCE, Programs, TestProcess, wait_until};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_from_a_configuration_file_alone() {
    let programs = Programs::start().await;
    let home = programs.home("alice");
    fixtures::write(
        &home.join("config.toml"),
        format!("index = \"{}\"\n", programs.index.ready()).as_bytes(),
    );
    let alice = TestProcess::start(&home, &["run"]).await;
    alice.signup("alice").await;
    let bob = programs.user("bob").await;
    let path = fixtures::file(&programs.path("Summer Holiday.mkv"), 1, 2 * MIB);
    let shared = alice.ask(&["share", path.to_str().expect("text")]).await;
    assert_eq!((&shared["outcome"], &shared["version"]), (&"created".into(), &1.into()));
    let content = fixtures::hash_of(&path).to_string();
    assert_eq!(shared["content"], content.as_str());

    let listed = bob.ask(&["list"]).await;
    assert_eq!((&listed["source"], &listed["age_seconds"]), (&"index".into(), &0.into()));
    assert_eq!(listed["next"], Value::Null);
    let item = &listed["items"][0];
    let keys = ["owner", "name", "kind", "version", "size", "mtime", "content", "holders", "online"];
    for key in keys {
        assert!(!item[key].is_null(), "{key}: {item}");
    }
    for query in ["holiday", "oli", "su", "owner:alice"] {
        let found = bob.ask(&["search", query]).await;
        assert_eq!(found["items"][0]["name"], "Summer Holiday.mkv", "{query}: {found}");
    }
    let got = bob.ask(&["get", "alice/Summer Holiday.mkv"]).await;
    assert_eq!((&got["content"], &got["bytes_received"]), (&content.as_str().into(), &(2 * MIB).into()));
    assert_eq!(got["sources"][0]["user"], "alice");
    let target = bob.home().join("downloads/alice/Summer Holiday.mkv");
    assert_eq!(got["path"], target.to_str().expect("text"));
    assert_eq!(fixtures::read(&target), fixtures::read(&path));

    let who = bob.ask(&["who"]).await;
    let users: Vec<_> = who["users"].as_array().expect("users").iter().map(|user| &user["user"]).collect();
    assert_eq!(users, ["alice", "bob"]);
    let status = bob.ask(&["status"]).await;
    assert_eq!((&status["user"], &status["index"]["state"]), (&"bob".into(), &"connected".into()));
    alice.ask(&["unshare", "Summer Holiday.mkv"]).await;
    assert_eq!(bob.ask(&["list"]).await["items"], Value::Array(Vec::new()));
    for node in [&alice, &bob, &programs.index] {
        assert!(!node.log().contains("the password of"), "{}", node.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_codes_hints_and_exit_codes() {
    let programs = Programs::start().await;
    let (alice, bob) = (programs.user("alice").await, programs.user("bob").await);
    let path = fixtures::file(&programs.path("film.mkv"), 2, 1000);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    for (node, arguments, exit, code) in [
        (&bob, &["get", "alice/nothing"][..], 3, "not-found"),
        (&alice, &["get", "alice/film.mkv"], 4, "self-owned"),
        (&bob, &["unshare", "alice/film.mkv"], 4, "not-owner"),
        (&bob, &["unshare", "film.mkv"], 3, "not-found"),
        (&bob, &["search", "colour:red"], 2, "bad-query"),
        (&bob, &["list", "--cursor", "nonsense!"], 2, "bad-cursor"),
        (&bob, &["share", "/no/such/file"], 3, "no-such-path"),
        (&bob, &["share", "/dev/null"], 2, "usage"),
        (&bob, &["share", ""], 2, "usage"),
        (&bob, &["get", "film.mkv"], 2, "usage"),
        (&bob, &["cancel", "alice/film.mkv"], 3, "not-found"),
    ] {
        let ended = node.command(arguments).await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(exit), code), "{arguments:?}: {ended:?}");
        assert!(!ended.hint().is_empty(), "{arguments:?}: {ended:?}");
    }
    let taken = programs.peer("carol").await;
    let ended = taken.command_with(&["signup", "alice", "--password-stdin"], "some password\n").await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), "name-taken"));
    let ended = taken.command_with(&["login", "alice", "--password-stdin"], "some password\n").await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(4), "bad-credentials"));
    let ended = taken.command_with(&["signup", "carol", "--password-stdin"], "short\n").await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "usage"));
    let ended = taken.command(&["list"]).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(4), "not-logged-in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hints_lead_to_another_account() {
    let programs = Programs::start().await;
    let (alice, _bob) = (programs.user("alice").await, programs.user("bob").await);
    for arguments in [
        &["login", "bob", "--password-stdin"][..],
        &["login", "bob", "--forget", "--password-stdin"],
        &["signup", "carol", "--password-stdin"],
    ] {
        let ended = alice.command_with(arguments, "the password of bob\n").await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(4), "other-account"), "{arguments:?}");
        for way in ["p2p-node logout", "p2p-node login USER --forget"] {
            assert!(ended.hint().contains(way), "{ended:?}");
        }
    }
    alice.ask(&["logout"]).await;
    let way = ["login", "bob", "--forget", "--password-stdin"];
    let ended = alice.command_with(&way, "the password of bob\n").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(alice.ask(&["status"]).await["user"], "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_commands_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["status"][..], &["list"], &["get", "a/b"], &["share", "/etc/hostname"], &["stop"]] {
        let ended = process::run(folder.path(), arguments, "").await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(6), "no-daemon"), "{arguments:?}");
        assert!(ended.hint().contains("p2p-node run"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_home_is_refused() {
    let programs = Programs::start().await;
    let alice = programs.user("alice").await;
    let second = alice.second_daemon().await;
    assert_eq!((second.code, second.error_code().as_str()), (Some(1), "already-running"), "{second:?}");
    assert!(second.hint().contains("p2p-node stop"), "{second:?}");
    assert_eq!(alice.ask(&["status"]).await["user"], "alice", "the first goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_home_is_noticed() {
    let programs = Programs::start().await;
    let alice = programs.user("alice").await;
    let clone = programs.home("clone");
    std::fs::create_dir_all(&clone).expect("made");
    for name in ["identity.key", "membership.cbor"] {
        std::fs::copy(alice.home().join(name), clone.join(name)).expect("copied");
    }
    let clone = programs.peer("clone").await;
    wait_until(PATIENCE, "the clone is told", async || {
        let index = clone.ask(&["status"]).await["index"].clone();
        let told = index["problem"].as_str().is_some_and(|problem| problem.contains("key"));
        if index["state"] == "refused" && told { Ok(()) } else { Err(index) }
    })
    .await;
    assert_eq!(alice.ask(&["status"]).await["index"]["state"], "connected");
    let ended = clone.command(&["list"]).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(5), "unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken() {
    let programs = Programs::start().await;
    let taken = programs.index.address().to_string();
    let asked = process::fails_to_start(
        &programs.home("asked"),
        &["run", "--listen", &taken, "--index", programs.index.ready()],
    )
    .await;
    assert_eq!((asked.code, asked.error_code().as_str()), (Some(1), "io"), "{asked:?}");
    assert!(asked.json()["error"]["message"].as_str().is_some_and(|text| text.contains(&taken)));
    assert!(asked.hint().contains("--listen"), "{asked:?}");

    // A remembered one is only a wish.
    let home = programs.home("wishing");
    let mut peer = TestProcess::start(&home, &["run", "--index", programs.index.ready()]).await;
    let remembered = peer.address().port();
    peer.stop().await;
    peer.start_again().await;
    assert_eq!(peer.address().port(), remembered, "free again, and taken again");
    peer.stop().await;
    let _taken = std::net::UdpSocket::bind(("0.0.0.0", remembered)).expect("free");
    let _taken_too = std::net::UdpSocket::bind(("::", remembered));
    peer.start_again().await;
    assert_ne!(peer.address().port(), remembered);
    assert!(peer.log().contains("the port of last time is taken"), "{}", peer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_configurations_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, named) in [
        ("index = ", "line 1"),
        ("listen = \"127.0.0.1:0\"\ncolour = \"red\"\n", "colour"),
        ("index = \"nonsense\"\n", "index"),
        ("\u{0}\u{1}\u{2}", "line 1"),
        ("listen = 5\n", "listen"),
    ] {
        fixtures::write(&folder.path().join("home/config.toml"), text.as_bytes());
        let ended = process::fails_to_start(&folder.path().join("home"), &["run"]).await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "bad-config"), "{text}: {ended:?}");
        let message = ended.json()["error"]["message"].to_string();
        assert!(message.contains(named) && message.contains("config.toml"), "{message}");
        assert!(!ended.hint().is_empty(), "{ended:?}");
    }
    fixtures::write(&folder.path().join("home/config.toml"), b"");
    let ended = process::fails_to_start(&folder.path().join("home"), &["run"]).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "bad-config"), "no index: {ended:?}");
    assert!(ended.hint().contains("--index"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_others_may_read_or_that_is_damaged() {
    use std::os::unix::fs::PermissionsExt;
    let programs = Programs::start().await;
    let mut alice = programs.user("alice").await;
    alice.stop().await;
    let key = alice.home().join("identity.key");
    let good = fixtures::read(&key);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("opened");
    let ended = alice.second_daemon().await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), "bad-home"), "{ended:?}");
    assert!(ended.hint().contains("chmod 600"), "{ended:?}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("closed");
    for bad in [&b""[..], b"nonsense", &good[..good.len() / 2]] {
        std::fs::write(&key, bad).expect("written");
        let ended = alice.second_daemon().await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), "bad-home"), "{ended:?}");
        assert!(!ended.hint().is_empty(), "{ended:?}");
        assert_eq!(fixtures::read(&key), bad, "a damaged key is left as it is");
    }
    std::fs::write(&key, good).expect("put back");
    alice.start_again().await;
    assert_eq!(alice.ask(&["status"]).await["user"], "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_databases_are_named() {
    let programs = Programs::start().await;
    let mut alice = programs.user("alice").await;
    alice.stop().await;
    std::fs::write(alice.home().join("node.db"), b"this is no database, and long enough to be read as one")
        .expect("written");
    let ended = alice.second_daemon().await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), "bad-home"), "{ended:?}");
    assert!(ended.json()["error"]["message"].to_string().contains("node.db"), "{ended:?}");
    assert!(!ended.hint().is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_pauses_a_get_and_the_next_one_resumes_it() {
    let programs = Programs::start().await;
    let (link, alice) = programs.user_behind("alice", 3).await;
    let bob = programs.user("bob").await;
    let size = 8 * MIB;
    let path = fixtures::file(&programs.path("film.mkv"), 3, size);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    link.set_rate(2 << 20);
    let get = bob.begin(&["get", "alice/film.mkv"]);
    let half = size as u64 / 2;
    bob.wait_for_transfer(half).await;
    let ended = process::interrupt(get).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(7), "paused"), "{ended:?}");
    assert!(ended.hint().contains("p2p-node cancel alice/film.mkv"), "{ended:?}");
    let transfers = bob.ask(&["status"]).await["transfers"].clone();
    assert_eq!(transfers[0]["state"], "paused", "{transfers}");
    assert!(!bob.home().join("downloads/alice/film.mkv").exists());
    link.set_rate(0);
    let got = bob.ask(&["get", "alice/film.mkv"]).await;
    assert_eq!(fixtures::hash_of(&bob.home().join("downloads/alice/film.mkv")), fixtures::hash_of(&path));
    assert!(got["bytes_received"].as_u64().expect("a number") <= size as u64 + (3 << 20), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_tells_a_get_that_follows_and_the_download_goes_on_later() {
    let programs = Programs::start().await;
    let (link, alice) = programs.user_behind("alice", 5).await;
    let mut bob = programs.user("bob").await;
    let path = fixtures::file(&programs.path("film.mkv"), 5, 8 * MIB);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    link.set_rate(2 << 20);
    let get = bob.begin(&["get", "alice/film.mkv"]);
    bob.wait_for_transfer(1).await;
    bob.stop().await;
    let ended = process::finish(get).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(5), "shutting-down"), "{ended:?}");
    assert!(ended.hint().contains("again"), "{ended:?}");
    link.set_rate(0);
    bob.start_again().await;
    bob.ask(&["get", "alice/film.mkv"]).await;
    assert_eq!(fixtures::hash_of(&bob.home().join("downloads/alice/film.mkv")), fixtures::hash_of(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_a_share() {
    let programs = Programs::start().await;
    let alice = programs.user("alice").await;
    // Sparse: no space, but a while to read.
    let path = programs.path("sparse.img");
    fixtures::write(&path, b"");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(64 << 30)).expect("set");
    let share = alice.begin(&["share", path.to_str().expect("text")]);
    wait_until(PATIENCE, "the import is under way", async || match alice.has_open(&path) {
        true => Ok(()),
        false => Err("not open"),
    })
    .await;
    let ended = process::interrupt(share).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), "cancelled"), "{ended:?}");
    wait_until(PATIENCE, "the import ends", async || match alice.has_open(&path) {
        true => Err("still open"),
        false => Ok(()),
    })
    .await;
    assert_eq!(alice.ask(&["list"]).await["items"], Value::Array(Vec::new()));
    assert_eq!(alice.ask(&["shares"]).await["items"], Value::Array(Vec::new()));
}

/// Bob gets a resource and is killed after so many bytes; started again, he goes on by himself. Where it then is.
async fn killed_after(bob: &mut TestProcess, link: &Link, resource: &str, bytes: u64) -> PathBuf {
    let get = bob.begin(&["get", resource]);
    bob.wait_for_transfer(bytes).await;
    bob.kill_9().await;
    let ended = process::finish(get).await;
    assert_eq!(ended.error_code(), "no-daemon", "{ended:?}");
    let target = bob.home().join("downloads").join(resource);
    assert!(!target.exists());
    bob.start_again().await;
    link.set_rate(0);
    wait_until(PATIENCE, "it goes on by itself", async || {
        if target.exists() { Ok(()) } else { Err(bob.ask(&["status"]).await["transfers"].clone()) }
    })
    .await;
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_takes_its_download_up_again() {
    let programs = Programs::start().await;
    let (link, alice) = programs.user_behind("alice", 4).await;
    let mut bob = programs.user("bob").await;
    // More than 5 s at this rate, so that progress was made durable by then; so much that what comes again, 10 MiB at most and what the
    // link loses, can be told from all of it.
    let size = 40 * MIB;
    let path = fixtures::file(&programs.path("film.mkv"), 4, size);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    link.set_rate(2 << 20);
    let target = killed_after(&mut bob, &link, "alice/film.mkv", size as u64 * 4 / 5).await;
    assert_eq!(fixtures::hash_of(&target), fixtures::hash_of(&path));
    // What came after the last checkpoint, at most 5 s, comes again.
    let carried = link.carried_out();
    assert!(carried < size as u64 * 16 / 10, "{carried} bytes went over the link for {size}");
    assert_eq!(fixtures::names_in(target.parent().expect("a folder")), ["film.mkv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_takes_a_folder_up_again() {
    let programs = Programs::start().await;
    let (link, alice) = programs.user_behind("alice", 6).await;
    let mut bob = programs.user("bob").await;
    let root = programs.path("docs");
    let (files, size) = (1500, 16 * MIB);
    for number in 0..files {
        fixtures::write(
            &root.join(format!("{:02}/{number:04}", number % 30)),
            &fixtures::bytes(number, 8192),
        );
    }
    fixtures::file(&root.join("large"), 6, size - files as usize * 8192);
    alice.ask(&["share", root.to_str().expect("text")]).await;
    link.set_rate(2 << 20);
    let target = killed_after(&mut bob, &link, "alice/docs", size as u64 * 3 / 4).await;
    for number in 0..files {
        let path = target.join(format!("{:02}/{number:04}", number % 30));
        assert_eq!(fixtures::read(&path), fixtures::bytes(number, 8192), "{}", path.display());
    }
    assert_eq!(fixtures::hash_of(&target.join("large")), fixtures::hash_of(&root.join("large")));
    // What came after the last checkpoint, at most 5 s, comes again.
    let carried = link.carried_out();
    assert!(carried < size as u64 * 18 / 10, "{carried} bytes went over the link for {size}");
    assert_eq!(fixtures::names_in(target.parent().expect("a folder")), ["docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_leaves_who_and_is_let_in_at_once() {
    let programs = Programs::start().await;
    let (alice, mut bob) = (programs.user("alice").await, programs.user("bob").await);
    bob.kill_9().await;
    // Let in at once: the index asks the old connection and gets no answer.
    bob.start_again().await;
    wait_until(std::time::Duration::from_secs(10), "bob is in", async || {
        let index = bob.ask(&["status"]).await["index"].clone();
        if index["state"] == "connected" { Ok(()) } else { Err(index) }
    })
    .await;
    bob.kill_9().await;
    wait_until(std::time::Duration::from_secs(20), "bob is gone from who", async || {
        let who = alice.ask(&["who"]).await["users"].clone();
        if who.as_array().is_some_and(|users| users.len() == 1) { Ok(()) } else { Err(who) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_share_acknowledged_survives_a_killed_index() {
    let mut programs = Programs::start().await;
    let (mut alice, bob) = (programs.user("alice").await, programs.user("bob").await);
    for round in 0..5_u64 {
        let path = fixtures::file(&programs.path(&format!("{round}.bin")), round, 1000);
        let shared = alice.ask(&["share", path.to_str().expect("text")]).await;
        assert_eq!(shared["outcome"], "created");
        programs.index.kill_9().await;
        // It cannot say it again.
        alice.kill_9().await;
        programs.index.start_again().await;
        let listed = bob.ask(&["list"]).await["items"].clone();
        assert_eq!(listed.as_array().map(Vec::len), Some(round as usize + 1), "round {round}: {listed}");
        alice.start_again().await;
    }
}
