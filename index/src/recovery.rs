//! A database that was lost: until the operator says otherwise, nobody makes an account.
//!
//! The members' nodes bring their accounts back as they connect, one by one. Meanwhile each name that is not back yet
//! would go to whoever asks for it first, and its owner would be shut out. So an index that has run before and finds no
//! database notes that in a file beside it, before it makes a new one. The file stays until the operator ends the recovery:
//! no restart by itself, and no setting that has always been there, opens sign-up again. The file alone decides; what stands
//! in the database is for the operator to read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::registry::OpenError;

/// The name of that file.
const MARK: &str = "recovering";

const TEXT: &str = "\
The database of this index, index.db, was lost, and a new one was made. Accounts come back as their nodes connect.
While this file is here, nobody can sign up, so that no name that is somebody's goes to another.
`p2p-node admin recovery status` says how far it is; `p2p-node admin recovery finish` ends it and removes this file.
";

/// Whether sign-up is to be closed. `has_run`: this index has had a database. Comes before that one is made.
pub(crate) fn is_recovering(database: &Path, has_run: bool) -> Result<bool, OpenError> {
    let mark = database.with_file_name(MARK);
    let recovering = note(database, &mark, has_run);
    let recovering = recovering.map_err(|source| OpenError::Recovery { path: mark.clone(), source })?;
    if recovering {
        let mark = mark.display();
        tracing::warn!(
            %mark,
            "the index lost its database: nobody can sign up until `p2p-node admin recovery finish`"
        );
    }
    Ok(recovering)
}

/// Removes the mark; it is gone for good when this returns. Blocks on the disk.
pub(crate) fn finish(database: &Path) -> io::Result<()> {
    let mark = database.with_file_name(MARK);
    match std::fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(&mark),
    }
}

fn note(database: &Path, mark: &PathBuf, has_run: bool) -> io::Result<bool> {
    if !mark.try_exists()? {
        if !has_run || !is_lost(database)? {
            return Ok(false);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(mark)?;
        file.write_all(TEXT.as_bytes())?;
        file.sync_all()?;
        // Its name too, or a power cut could leave the new database without it.
        sync_folder(mark)?;
    }
    Ok(true)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(folder) = file.parent()
    {
        File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()?;
    }
    Ok(())
}

/// No file, or one with nothing in it, which SQLite takes for a new database.
fn is_lost(database: &Path) -> io::Result<bool> {
    match std::fs::metadata(database) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_is_one_and_it_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("index.db");
        let ask = |has_run| is_recovering(&database, has_run).expect("looked up");
        assert!(!ask(false), "the first start of all");
        std::fs::write(&database, b"accounts").expect("written");
        assert!(!ask(true), "all is there");
        std::fs::write(&database, b"").expect("written");
        assert!(ask(true), "empty");
        std::fs::remove_file(folder.path().join(MARK)).expect("removed");
        std::fs::remove_file(&database).expect("removed");
        assert!(ask(true), "lost");
        std::fs::write(&database, b"new").expect("written");
        assert!(ask(true), "still, at the next start");
        finish(&database).expect("ended");
        assert!(!ask(true), "the operator has said so");
        finish(&database).expect("nothing is left to end");
    }
}
