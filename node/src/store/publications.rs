//! This node's own resources: one row for each name that it published, kept when it is gone.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use certs::NodeId;
use rusqlite::{Connection, Row, Transaction};
use wire::manifest::Manifest;
use wire::{RecordHash, ResourceName, RootHash, SignedRecord, record_hash};

use super::columns::{Column, all, first, get, run, stamp, word_column};
use super::fs::FileStamp;
use super::holdings::{self, NewHolding, Origin};
use super::{
    DbError, Draft, FolderFiles, Imported, Links, PAGE_ROWS, Store, events, folder_files, garbage, kept,
    manifests,
};
use crate::activity::{Activity, Version, local};

/// How things stand with a resource of this node.
///
/// ```text
/// Pending ──receipt──▶ Published          Withdrawing ──receipt──▶ Gone
///    └──────┬───────────┘ ▲ with a receipt     ▲                     │
///           ▼             │                    │ tombstone signed    │ published again
///    Changed, Missing ────┘          any but Gone                    ▼
///    Superseded: the index has a higher record                    Pending
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicationState {
    /// The index has not acknowledged the record yet.
    Pending,
    /// The index has the record.
    Published,
    /// The index has a higher record of the same name; this one is kept and not published.
    Superseded,
    /// The file differs from the one that was hashed.
    Changed,
    /// The file is not there.
    Missing,
    /// The record is a tombstone that the index has not acknowledged yet.
    Withdrawing,
    /// The index has the tombstone. Kept, so that a new version continues the numbering.
    Gone,
}

impl PublicationState {
    /// Whether the index's receipt for the record or tombstone is missing.
    pub fn is_unacknowledged(self) -> bool {
        matches!(self, Self::Pending | Self::Withdrawing)
    }
}

word_column!(PublicationState {
    Pending => "pending",
    Published => "published",
    Superseded => "superseded",
    Changed => "changed",
    Missing => "missing",
    Withdrawing => "withdrawing",
    Gone => "gone",
});

word_column!(Links {
    Keep => "keep",
    Skip => "skip",
});

/// How a folder is walked when it is shared: its next version is, too, unless its user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// What becomes of links.
    pub links: Links,
    /// Whether what `.gitignore` files name is left out.
    pub gitignore: bool,
}

/// A resource of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name: the record's.
    pub name: ResourceName,
    /// The file.
    pub path: PathBuf,
    /// The file's stamp when it was hashed.
    pub stamp: FileStamp,
    /// The record, or the tombstone.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for this record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from.
    pub certificate: Option<Bytes>,
    /// How things stand.
    pub state: PublicationState,
    /// Of a folder.
    pub walked: Walked,
    /// Whether its next version is published by itself when the file changes.
    pub watch: bool,
    /// Whether a write after it was hashed may have left the file's stamp as it is, see [`FileStamp::is_racy`].
    pub racy: bool,
}

impl Publication {
    /// Whether its next version is published by itself: not while another machine's stands.
    pub fn is_watched(&self) -> bool {
        let stands = !matches!(
            self.state,
            PublicationState::Superseded | PublicationState::Withdrawing | PublicationState::Gone
        );
        self.watch && stands
    }
}

/// What [`Store::publication_heads`] lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationHead {
    /// The resource's name.
    pub name: ResourceName,
    /// The hash of its record or tombstone.
    pub record: RecordHash,
    /// Who signed it: another node where another machine of this user published the same content first.
    pub node: NodeId,
    /// How things stand.
    pub state: PublicationState,
}

impl Store {
    /// Stores a publication in place of the one of this name, in one transaction with its manifest (unless that is
    /// stored already) and, for a record that is no tombstone, with the holding of its file. The holding that an earlier
    /// record of this name had at another path goes; other holdings of the same path with other content become
    /// `changed`. Under a tombstone this node's own holding of the name goes too, and what is kept of it.
    ///
    /// # Errors
    /// See [`DbError`]; also where the manifest is neither given nor stored. That of the version before is, until the
    /// receipt for this one has come.
    pub async fn put_publication(
        &self,
        publication: Publication,
        manifest: Option<Arc<Manifest>>,
    ) -> Result<(), DbError> {
        let change =
            move |transaction: &Transaction| put(transaction, &publication, manifest.as_deref(), None, None);
        self.db().write("write a publication", change).await
    }

    /// The same with all that was imported: of a folder also how its files are.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn put_imported(
        &self,
        publication: Publication,
        imported: &Arc<Imported>,
    ) -> Result<(), DbError> {
        let imported = imported.clone();
        let change = move |transaction: &Transaction| {
            let Imported { manifest, draft, files, .. } = &*imported;
            put(transaction, &publication, Some(manifest), draft.as_ref(), files.as_ref())
        };
        self.db().write("write a publication", change).await
    }

    /// The publication of a name.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn publication(&self, name: ResourceName) -> Result<Option<Publication>, DbError> {
        let sql = "SELECT * FROM publication WHERE name = ?1";
        self.db().read("read a publication", move |c| first(c, sql, [name.sql()], read)).await
    }

    /// The publications after a name, in the order of the names' bytes: at most `limit`, at most [`PAGE_ROWS`]. Each
    /// costs the check of a signature.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn publications(
        &self,
        after: Option<ResourceName>,
        limit: u32,
    ) -> Result<Vec<Publication>, DbError> {
        let sql = "SELECT * FROM publication WHERE name > ?1 ORDER BY name LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (from(&after), limit.min(PAGE_ROWS)), read);
        self.db().read("read publications", query).await
    }

    /// As [`Store::publications`], but only names, hashes and states: what a digest needs.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn publication_heads(
        &self,
        after: Option<ResourceName>,
        limit: u32,
    ) -> Result<Vec<PublicationHead>, DbError> {
        let sql =
            "SELECT name, record_hash, node, state FROM publication WHERE name > ?1 ORDER BY name LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (from(&after), limit.min(PAGE_ROWS)), read_head);
        self.db().read("read publications", query).await
    }

    /// Forgets a publication, with the holding that came with it, as long as its record is still this one; returns
    /// whether it was. The numbering of the name is then the index's to continue.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn remove_publication(&self, publication: Publication) -> Result<bool, DbError> {
        let sql = "DELETE FROM publication WHERE name = ?1 AND record_hash = ?2";
        self.db()
            .write("remove a publication", move |transaction| {
                let Publication { name, record, .. } = &publication;
                let roots = roots_of(transaction, &publication)?;
                let removed = run(transaction, sql, (name.sql(), record_hash(record).sql()))? > 0;
                if removed {
                    holdings::remove_shared(transaction, record.account, name)?;
                    kept::retire_all(transaction, record.account, name)?;
                    roots.iter().try_for_each(|root| garbage::collect(transaction, *root))?;
                }
                Ok(removed)
            })
            .await
    }

    /// Says how things stand with a publication, as long as its record is still this one; returns whether it was.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_publication_state(
        &self,
        name: ResourceName,
        record: RecordHash,
        state: PublicationState,
    ) -> Result<bool, DbError> {
        let change = move |transaction: &Transaction| set_state(transaction, &name, record, state);
        self.db().write("write a publication", change).await
    }

    /// Says that a publication is superseded, as long as its record is still this one. The log tells by which version, where
    /// that is news.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_superseded(
        &self,
        name: ResourceName,
        record: RecordHash,
        by: Option<u64>,
    ) -> Result<bool, DbError> {
        let superseded = PublicationState::Superseded;
        let change = move |transaction: &Transaction| {
            let known = by_record(transaction, &name, record)?;
            if let Some(known) = known.filter(|known| known.state != superseded) {
                let what = Version::of(&known.record);
                events::put(transaction, &Activity::Superseded { what, by })?;
            }
            set_state(transaction, &name, record, superseded)
        };
        self.db().write("write a publication", change).await
    }

    /// Keeps the index's receipt for a record, at the publication and at the holdings under it, as long as the
    /// publication's record is still this one; returns whether it was. A pending or superseded publication becomes
    /// `published`, a withdrawing one `gone`, and the log tells that. The manifests of the versions before are then removed.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_publication_receipt(
        &self,
        name: ResourceName,
        record: RecordHash,
        receipt: Bytes,
        certificate: Bytes,
    ) -> Result<bool, DbError> {
        let sql = "UPDATE publication SET receipt = ?3, certificate = ?4, state = CASE state
                WHEN 'pending' THEN 'published' WHEN 'superseded' THEN 'published'
                WHEN 'withdrawing' THEN 'gone' ELSE state END
            WHERE name = ?1 AND record_hash = ?2";
        self.db()
            .write("write a receipt", move |transaction| {
                let Some(known) = by_record(transaction, &name, record)? else { return Ok(false) };
                acknowledged(&known).map_or(Ok(()), |activity| events::put(transaction, &activity))?;
                let proof = (receipt.sql(), certificate.sql());
                run(transaction, sql, (name.sql(), record.sql(), proof.0, proof.1))?;
                holdings::set_receipt(transaction, &known.record, &receipt, &certificate)?;
                for root in garbage::spared(transaction, &name)? {
                    garbage::collect(transaction, root)?;
                }
                Ok(true)
            })
            .await
    }
}

fn by_record(
    connection: &Connection,
    name: &ResourceName,
    record: RecordHash,
) -> rusqlite::Result<Option<Publication>> {
    let sql = "SELECT * FROM publication WHERE name = ?1 AND record_hash = ?2";
    first(connection, sql, (name.sql(), record.sql()), read)
}

fn set_state(
    connection: &Connection,
    name: &ResourceName,
    record: RecordHash,
    state: PublicationState,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE publication SET state = ?3 WHERE name = ?1 AND record_hash = ?2";
    Ok(run(connection, sql, (name.sql(), record.sql(), state.sql()))? > 0)
}

/// What the log tells when the index's receipt for a publication is here.
fn acknowledged(publication: &Publication) -> Option<Activity> {
    let Publication { record, path, state, .. } = publication;
    let what = Version::of(record);
    match state {
        PublicationState::Pending | PublicationState::Superseded => {
            Some(Activity::Shared { what, path: local(path), size: record.size })
        }
        PublicationState::Withdrawing => Some(Activity::Unshared { what }),
        // The index was told again of what it had lost.
        _ => None,
    }
}

/// See [`Store::put_publication`] and [`Store::put_imported`].
fn put(
    transaction: &Transaction,
    publication: &Publication,
    manifest: Option<&Manifest>,
    draft: Option<&Draft>,
    files: Option<&FolderFiles>,
) -> rusqlite::Result<()> {
    if let Some(manifest) = manifest {
        manifests::put(transaction, manifest, draft.map(Draft::root))?;
        if let Some(files) = files {
            folder_files::put(transaction, &publication.path, manifest.root_hash, files)?;
        }
    }
    let replaced = roots_of(transaction, publication)?;
    upsert(transaction, publication)?;
    hold(transaction, publication, manifest.map(|manifest| manifest.root_hash))?;
    if publication.record.is_gone() {
        kept::retire_all(transaction, publication.record.account, &publication.name)?;
        return replaced.iter().try_for_each(|root| garbage::collect(transaction, *root));
    }
    garbage::spare(transaction, &publication.name, &replaced)
}

/// No name is the empty text, so every name is after it.
fn from(after: &Option<ResourceName>) -> &str {
    after.as_ref().map_or("", ResourceName::as_str)
}

fn upsert(connection: &Connection, publication: &Publication) -> rusqlite::Result<()> {
    let Publication { name, path, stamp, record, receipt, certificate, state, walked, watch, racy } =
        publication;
    let sql = "INSERT OR REPLACE INTO publication
        (name, path, size, mtime, inode, device, record, record_hash, receipt, certificate, state, node, root, links,
        gitignore, watch, racy)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let hash = record_hash(record);
    let values = rusqlite::params![
        name.sql(),
        path.sql(),
        stamp.size.sql(),
        stamp.mtime.sql(),
        stamp.inode.sql(),
        stamp.device.sql(),
        record.sql(),
        hash.sql(),
        receipt.sql(),
        certificate.sql(),
        state.sql(),
        record.node.sql(),
        record.root.sql(),
        walked.links.sql(),
        walked.gitignore.sql(),
        watch.sql(),
        racy.sql(),
    ];
    run(connection, sql, values).map(drop)
}

/// The manifests to which what stands under the name of this publication refers.
fn roots_of(connection: &Connection, publication: &Publication) -> rusqlite::Result<Vec<RootHash>> {
    let sql = "SELECT root FROM publication WHERE name = ?1 AND root IS NOT NULL
        UNION SELECT root FROM holding WHERE account = ?2 AND name = ?1 AND origin = 'share'";
    let values = (publication.name.sql(), publication.record.account.sql());
    all(connection, sql, values, |row| get(row, "root"))
}

/// Brings the holdings in line with a publication.
fn hold(connection: &Connection, publication: &Publication, root: Option<RootHash>) -> rusqlite::Result<()> {
    let record = &publication.record;
    let root = match root {
        Some(root) => Some(root),
        None => holdings::shared_root(connection, record.account, &publication.name, record.content)?
            .or(record.root),
    };
    holdings::remove_shared(connection, record.account, &publication.name)?;
    let (Some(content), Some(root)) = (record.content, root) else {
        return Ok(());
    };
    let holding = NewHolding {
        path: publication.path.clone(),
        stamp: publication.stamp,
        content,
        root,
        record: record.clone(),
        receipt: publication.receipt.clone(),
        certificate: publication.certificate.clone(),
        origin: Origin::Share,
    };
    holdings::put(connection, &holding).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Publication> {
    Ok(Publication {
        name: get(row, "name")?,
        path: get(row, "path")?,
        stamp: stamp(row)?,
        record: get(row, "record")?,
        receipt: get(row, "receipt")?,
        certificate: get(row, "certificate")?,
        state: get(row, "state")?,
        walked: Walked { links: get(row, "links")?, gitignore: get(row, "gitignore")? },
        watch: get(row, "watch")?,
        racy: get(row, "racy")?,
    })
}

fn read_head(row: &Row<'_>) -> rusqlite::Result<PublicationHead> {
    Ok(PublicationHead {
        name: get(row, "name")?,
        record: get(row, "record_hash")?,
        node: get(row, "node")?,
        state: get(row, "state")?,
    })
}

#[cfg(test)]
mod tests;
