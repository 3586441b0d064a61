use super::*;
use std::os::unix::fs::PermissionsExt;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_new_file_is_private_and_has_the_schema() {
    let folder = folder();
    let path = folder.path().join("node.db");
    let db = Db::open(&path).expect("opens");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let pragma = |name: &'static str| {
        db.read_blocking("ask", move |connection| {
            connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        })
        .expect("known")
    };
    assert_eq!(pragma("user_version"), schema::SCHEMA.into());
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    assert_eq!(pragma("synchronous"), 2.into());
    assert_eq!(pragma("foreign_keys"), 1.into());
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = folder();
    let path = folder.path().join("node.db");
    drop(Db::open(&path).expect("opens"));
    let connection = Connection::open(&path).expect("opens");
    connection.pragma_update(None, "user_version", schema::SCHEMA + 1).expect("set");
    drop(connection);
    let error = Db::open(&path).expect_err("newer");
    assert!(matches!(error, DbError::NewerSchema { found, .. } if found == schema::SCHEMA + 1));
    assert!(error.to_string().contains("node.db"));
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let folder = folder();
    let path = folder.path().join("node.db");
    std::fs::write(&path, [b'x'; 5000]).expect("written");
    let error = Db::open(&path).expect_err("no database");
    assert!(matches!(error, DbError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("node.db") && error.hint().is_some());
    assert_eq!(std::fs::read(&path).expect("there"), [b'x'; 5000], "it is left as it was");

    std::fs::remove_file(&path).expect("removed");
    let db = Db::open(&path).expect("opens");
    db.close().await;
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, bytes).expect("written");
    let result = match Db::open(&path) {
        Ok(db) => {
            db.read("count", |c| c.query_row("SELECT count(*) FROM job", [], |row| row.get::<_, i64>(0)))
                .await
        }
        Err(error) => Err(error),
    };
    assert!(matches!(result, Err(DbError::Damaged { .. })), "{result:?}");
}

#[test]
fn a_folder_in_its_place_is_an_error() {
    let folder = folder();
    assert!(matches!(Db::open(folder.path()), Err(DbError::Create { .. })));
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing() {
    let folder = folder();
    let db = Db::open(&folder.path().join("node.db")).expect("opens");
    let result = db
        .write("fail", |transaction| {
            transaction.execute("INSERT INTO setting VALUES ('a', x'00')", [])?;
            transaction.execute("INSERT INTO nothing VALUES (1)", [])
        })
        .await;
    assert!(matches!(result, Err(DbError::Failed { action: "fail", .. })));
    let count: i64 = db
        .read("count", |connection| {
            connection.query_row("SELECT count(*) FROM setting", [], |row| row.get(0))
        })
        .await
        .expect("read");
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_full_disk_has_a_hint() {
    let folder = folder();
    let db = Db::open(&folder.path().join("node.db")).expect("opens");
    let pages =
        |connection: &Connection| connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()));
    db.read("limit", pages).await.expect("the least that it may have");
    let fill = |transaction: &Transaction| {
        transaction.execute("INSERT INTO setting VALUES ('a', zeroblob(1000000))", [])
    };
    let error = db.write("fill", fill).await.expect_err("full");
    assert!(
        matches!(error, DbError::Failed { .. }) && error.hint().is_some_and(|hint| hint.contains("full"))
    );
    db.write("write", |t| t.execute("INSERT INTO setting VALUES ('a', x'00')", []))
        .await
        .expect("still of use");
}

#[tokio::test]
async fn what_was_queued_is_done_before_it_closes() {
    let folder = folder();
    let path = folder.path().join("node.db");
    let db = Db::open(&path).expect("opens");
    let insert = db.write("insert", |t| t.execute("INSERT INTO setting VALUES ('a', x'00')", []));
    let (inserted, ()) = tokio::join!(insert, db.close());
    assert_eq!(inserted.expect("done"), 1);
    let refused = db.read("count", |_| Ok(())).await;
    assert!(matches!(refused, Err(DbError::Closed)));
    assert!(!folder.path().join("node.db-wal").exists(), "closed cleanly");
}
