//! What `status` says of shares, without a look at each.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};
use wire::{ResourceName, RootHash};

use super::columns::{all, get, stamp};
use super::fs::{FileError, FileStamp};
use super::holdings::{self, HoldingId, HoldingState};
use super::publications::PublicationState;
use super::serve::{LOOKED_AT, check_file, check_folder};
use super::{DbError, Store};
use crate::off_thread::off_thread;

/// How the shares stand, as far as is known or was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// How many there are, tombstones left out.
    pub count: u64,
    /// Those that were looked at, by name: what was a problem before, and the first of the others.
    pub shares: Vec<Surveyed>,
    /// Whether a file was found otherwise than before; that is stored now.
    pub news: bool,
}

/// One share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its name.
    pub name: ResourceName,
    /// Its file.
    pub path: PathBuf,
    /// How things stand with the index.
    pub state: PublicationState,
    /// How its file is; `None` where it cannot be read.
    pub file: Option<HoldingState>,
}

/// A file to look at.
#[derive(Debug)]
struct Look {
    share: Option<(ResourceName, PublicationState)>,
    path: PathBuf,
    held: Option<Held>,
}

/// What is held there.
#[derive(Debug)]
struct Held {
    id: HoldingId,
    stamp: FileStamp,
    known: HoldingState,
    folder: bool,
    root: RootHash,
}

impl Store {
    /// Counts the shares, and looks at no more than `limit` files: at those first with which something was wrong, of
    /// shares and of downloads that are held, then at the first others by name. What is found is stored.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn survey(&self, limit: u32) -> Result<Survey, DbError> {
        let store = self.clone();
        off_thread(move || store.survey_blocking(limit)).await
    }

    fn survey_blocking(&self, limit: u32) -> Result<Survey, DbError> {
        let query = move |connection: &Connection| Ok((count(connection)?, to_look_at(connection, limit)?));
        let (count, looks) = self.db().read_blocking("read shares", query)?;
        let mut survey = Survey { count, ..Survey::default() };
        let (mut news, mut in_folders) = (Vec::new(), LOOKED_AT);
        for Look { share, path, held } in looks {
            let file = match held {
                None => Some(HoldingState::Missing),
                Some(held) => {
                    let found = self.look(&path, &held, &mut in_folders).ok();
                    news.extend(found.filter(|found| *found != held.known).map(|found| (held.id, found)));
                    found
                }
            };
            survey.shares.extend(share.map(|(name, state)| Surveyed { name, path, state, file }));
        }
        survey.shares.sort_by(|a, b| a.name.cmp(&b.name));
        survey.news = !news.is_empty();
        if survey.news {
            self.db().write_blocking("write how held files are", move |transaction| {
                news.iter()
                    .try_for_each(|(id, state)| holdings::set_state(transaction, *id, *state).map(drop))
            })?;
        }
        Ok(survey)
    }
}

impl Store {
    /// How something held is; of folders no more files are looked at in all than are left.
    fn look(&self, path: &Path, held: &Held, in_folders: &mut u32) -> Result<HoldingState, FileError> {
        if !held.folder {
            return check_file(&**self.fs(), path, &held.stamp);
        }
        match check_folder(&**self.fs(), path, held.known)? {
            HoldingState::Ok => self.check_folder_files(path, held.root, in_folders),
            state => Ok(state),
        }
    }
}

/// What stands under a name, a tombstone or a record without a file left out.
const LIVE: &str = "publication.state NOT IN ('gone', 'withdrawing')
    AND NOT (publication.state = 'superseded' AND publication.root IS NULL)";
/// The columns of a [`Look`], where the file may not be held.
const SHARE: &str = "SELECT publication.name, publication.path, publication.state AS shared,
        holding.id, holding.size, holding.mtime, holding.inode, holding.device, holding.state AS held, holding.folder, holding.root
    FROM publication LEFT JOIN holding
        ON holding.path = publication.path AND holding.record_hash = publication.record_hash";

fn count(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) AS count FROM publication WHERE {LIVE}");
    connection.prepare_cached(&sql)?.query_row([], |row| get(row, "count"))
}

fn to_look_at(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Look>> {
    let known = "publication.state IN ('pending', 'superseded', 'changed', 'missing')";
    let wrong = "EXISTS (SELECT 1 FROM holding WHERE holding.state <> 'ok'
        AND holding.path = publication.path AND holding.record_hash = publication.record_hash)";
    // From the few holdings that are not ok to their publications, not the other way round.
    let paths = "publication.path IN (SELECT path FROM holding WHERE holding.state <> 'ok')";
    let mut looks: Vec<Look> = Vec::new();
    for which in [known, &format!("publication.state = 'published' AND {paths} AND {wrong}")] {
        let left = limit.saturating_sub(looks.len() as u32);
        let sql = format!("{SHARE} WHERE {which} AND {LIVE} ORDER BY publication.name LIMIT ?1");
        looks.extend(all(connection, &sql, [left], read_share)?);
    }
    let left = limit.saturating_sub(looks.len() as u32);
    let sql = "SELECT * FROM holding WHERE state <> 'ok' AND origin = 'get' ORDER BY id LIMIT ?1";
    looks.extend(all(connection, sql, [left], read_download)?);
    let left = limit.saturating_sub(looks.len() as u32);
    let sql = format!(
        "{SHARE} WHERE publication.state = 'published' AND NOT ({wrong}) ORDER BY publication.name LIMIT ?1"
    );
    looks.extend(all(connection, &sql, [left], read_share)?);
    Ok(looks)
}

fn read_share(row: &Row<'_>) -> rusqlite::Result<Look> {
    let held = match get::<Option<u64>>(row, "id")? {
        Some(_) => Some(read_held(row, "held")?),
        None => None,
    };
    Ok(Look { share: Some((get(row, "name")?, get(row, "shared")?)), path: get(row, "path")?, held })
}

fn read_download(row: &Row<'_>) -> rusqlite::Result<Look> {
    Ok(Look { share: None, path: get(row, "path")?, held: Some(read_held(row, "state")?) })
}

fn read_held(row: &Row<'_>, state: &str) -> rusqlite::Result<Held> {
    Ok(Held {
        id: HoldingId(get(row, "id")?),
        stamp: stamp(row)?,
        known: get(row, state)?,
        folder: get(row, "folder")?,
        root: get(row, "root")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fs::{Fault, FsOp};
    use super::super::tests::{Fixture, tombstone};
    use super::*;

    fn names(survey: &Survey, file: HoldingState) -> Vec<String> {
        let with = |share: &&Surveyed| share.file == Some(file);
        survey.shares.iter().filter(with).map(|share| share.name.to_string()).collect()
    }

    #[tokio::test]
    async fn what_was_wrong_is_looked_at_first_and_then_a_bounded_number() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let mut shared = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let published = fixture.share(name, name.as_bytes()).await;
            let (hash, bytes) = (wire::record_hash(&published.record), bytes::Bytes::from_static(b"x"));
            let name = published.name.clone();
            store.set_publication_receipt(name, hash, bytes.clone(), bytes).await.expect("set");
            shared.push(published);
        }
        store.put_publication(tombstone(&shared[4]), None).await.expect("put");
        std::fs::remove_file(&shared[3].path).expect("removed");
        let survey = store.survey(2).await.expect("asked");
        assert_eq!(
            (survey.count, names(&survey, HoldingState::Ok)),
            (4, vec!["a".to_owned(), "b".to_owned()])
        );
        let survey = store.survey(9).await.expect("asked");
        assert_eq!(names(&survey, HoldingState::Missing), ["d"]);
        assert!(survey.news);
        let before = fixture.fs.calls();
        let survey = store.survey(2).await.expect("asked");
        assert_eq!(fixture.fs.calls() - before, 2);
        assert_eq!(names(&survey, HoldingState::Missing), ["d"], "the problem that is known");
        assert_eq!((names(&survey, HoldingState::Ok), survey.news), (vec!["a".to_owned()], false));
        fixture.fs.inject(Fault { path_contains: "/a".to_owned(), ..Fault::first(FsOp::Stat, 13) });
        let survey = store.survey(9).await.expect("asked");
        assert_eq!(survey.shares[0].file, None, "unreadable");
    }

    #[tokio::test]
    async fn a_file_that_is_back_is_news() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let published = fixture.share("a", b"a").await;
        let id = store.holdings_at(published.path.clone()).await.expect("read")[0].id;
        store.set_holding_state(id, HoldingState::Missing).await.expect("set");
        assert!(store.survey(9).await.expect("asked").news);
        assert_eq!(store.holdings_at(published.path).await.expect("read")[0].state, HoldingState::Ok);
        assert!(!store.survey(9).await.expect("asked").news);
    }
}
