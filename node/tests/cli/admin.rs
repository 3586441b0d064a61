//! `admin`: what it asks the daemon of an index, what people see, and what it does without a daemon.

use certs::{IndexCertificate, UnixMillis, keystore};
use p2p_node::cli::Exit;
use p2p_node::control::api::{Moment, RecoveryStatus, RestoredFrom};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::fake::node;

/// What the fake answers.
pub(crate) fn recovery(recovering: bool) -> RecoveryStatus {
    let time = || Moment::from(UnixMillis(1_793_700_720_000));
    RecoveryStatus {
        recovering,
        began: Some(time()),
        ended: (!recovering).then(time),
        accounts: 3,
        without_password: 2,
        nodes: 4,
        records: 5,
        last: Some(RestoredFrom { node: node(2), time: time() }),
        refused: if recovering { vec!["signup".to_owned(), "login".to_owned()] } else { Vec::new() },
    }
}

/// A daemon on the home of an index.
fn index() -> Daemon {
    let daemon = Daemon::start();
    keystore::load_or_create_key(&daemon.home.network_key()).expect("made");
    daemon
}

#[tokio::test]
async fn recovery_and_passwords() {
    let daemon = index();
    let (exit, status) = daemon.document(&["admin", "recovery", "status"]).await;
    assert_eq!((exit, daemon.asked().as_str()), (Exit::Done, "\"Recovery\""));
    assert_eq!((&status["recovering"], &status["refused"][0]), (&Value::Bool(true), &"signup".into()));
    let out = daemon.run(&["admin", "recovery", "status"]).await.out;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "recovering since 2026-11-03 10:12 (UTC), when index.db was found to be lost");
    assert!(lines[1].starts_with("refused meanwhile: signup, and login"), "{out}");
    assert_eq!(lines[2], "3 accounts (2 without a password), 4 nodes, 5 records");
    assert!(lines[3].starts_with("last from ") && lines[3].ends_with(" at 2026-11-03 10:12 (UTC)"), "{out}");
    let out = daemon.run(&["admin", "recovery", "finish"]).await.out;
    assert_eq!(daemon.asked(), "\"FinishRecovery\"");
    assert!(out.starts_with("not recovering: index.db was lost 2026-11-03 10:12"), "{out}");
    let passwd = ["admin", "passwd", "alice", "--password-stdin"];
    let ended = daemon.run_with(&passwd, "correct horse\n").await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Done, "alice has this password now\n"));
    assert_eq!(daemon.asked(), "(\"passwd\", \"alice\", \"correct horse\")");
    assert_eq!(daemon.run_with(&passwd, "short\n").await.exit, Exit::Usage);
}

#[tokio::test]
async fn elsewhere_nothing_is_asked() {
    let daemon = Daemon::start();
    for arguments in [
        &["admin", "recovery", "status"][..],
        &["admin", "recovery", "finish"],
        &["admin", "passwd", "alice", "--password-stdin"],
        &["admin", "certify"],
    ] {
        let (exit, document) = daemon.document(arguments).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::NotAllowed, &"not-the-index".into()));
        assert!(document["error"]["hint"].is_string(), "{document}");
    }
    assert_eq!(daemon.asked(), "");
}

#[tokio::test]
async fn a_certificate_is_made_where_no_daemon_runs() {
    let running = index();
    let (exit, document) = running.document(&["admin", "certify"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::Failed, &"already-running".into()));

    let daemon = Daemon::absent();
    let root = keystore::load_or_create_key(&daemon.home.network_key()).expect("made");
    let read = || {
        let bytes = std::fs::read(daemon.home.index_certificate()).expect("a certificate");
        IndexCertificate::verify(&bytes, &root.public(), UnixMillis(0)).expect("it holds")
    };
    let (exit, first) = daemon.document(&["admin", "certify"]).await;
    assert_eq!((exit, &first["previous_epoch"]), (Exit::Done, &Value::Null));
    assert_eq!(
        (first["epoch"].as_u64(), first["node"].as_str()),
        (Some(read().epoch), Some(&*read().node.to_string()))
    );
    let (_, second) = daemon.document(&["admin", "certify", "--void-older"]).await;
    assert_eq!(second["previous_epoch"], first["epoch"]);
    assert!(second["epoch"].as_u64() > first["epoch"].as_u64() && second["older_void_since"].is_string());
    assert!(read().older_void_since.is_some());

    std::fs::remove_file(daemon.home.network_key()).expect("moved away");
    let (exit, document) = daemon.document(&["admin", "certify"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::NotFound, &"no-such-path".into()));
    let other = daemon.home.path().join("other.key");
    keystore::load_or_create_key(&other).expect("made");
    let other = other.to_str().expect("text");
    let (exit, document) = daemon.document(&["admin", "certify", "--root", other]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::Failed, &"bad-home".into()));
    let (_, id) = daemon.document(&["id"]).await;
    assert_eq!(id["network"].as_str(), Some(&*root.public().to_string()), "known by its certificate alone");
}
