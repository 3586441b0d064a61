//! In which order calls and transactions come: what no test that keeps the machine's memory can tell otherwise.

use super::super::super::fs::FsOp;
use super::*;

/// New files synced, intent, all of them in place, synced, old ones removed; what goes moved away, synced, removed; the
/// temporary folder removed, synced, and only then the commit.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_durable_step_by_step() {
    let old = tree(&[("a", file("one")), ("b", file("two")), ("c", file("goes"))]);
    let new = tree(&[("a", file("ONE")), ("b", file("TWO"))]);
    let (fixture, first, second) = installed(OsFs::new(), &old, &new).await;
    let id = second.job(&fixture, Some(&first), true, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    fixture.fs.record();
    second.install(&fixture, id, partial).await.expect("installed");
    let user = fixture.path("");
    let did = fixture.fs.recorded().into_iter().filter_map(|(op, path)| {
        let inside = path.strip_prefix(&user).unwrap_or(Path::new("")).to_str().expect("UTF-8").to_owned();
        let place = match inside.split_once(".part/").map(|(_, inside)| inside.split('/').next()) {
            Some(Some(part)) => part.to_owned(),
            _ if inside.ends_with(".part") => "temporary".to_owned(),
            _ => inside,
        };
        match op {
            None => Some("commit".to_owned()),
            Some(FsOp::Replace) => Some("exchange".to_owned()),
            // The first try of each finds the place taken.
            Some(FsOp::RenameNew) if place == "new" => None,
            Some(FsOp::RenameNew) => Some(format!("move {place}")),
            Some(FsOp::Remove) => Some(format!("remove {place}")),
            Some(FsOp::RemoveEmpty) if place == "temporary" => Some("remove temporary".to_owned()),
            Some(FsOp::SyncFolder) if place == "docs" || place.is_empty() => Some(format!("sync {place}")),
            _ => None,
        }
    });
    let expected = [
        // Stamps and intent.
        "commit",
        "exchange",
        "exchange",
        "sync docs",
        "sync ",
        "remove new",
        "remove new",
        "move docs/c",
        "sync docs",
        "sync ",
        "remove old",
        "sync docs",
        "sync ",
        "remove temporary",
        "sync ",
        "commit",
    ];
    assert_eq!(did.collect::<Vec<_>>(), expected);
}
