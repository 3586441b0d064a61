//! Catalogues: the heads that are here, the enrolments of their nodes, words of presence, and what was kept by name.

use std::path::Path;

use certs::{AccountId, NodeId, UnixMillis, UserName, cbor};
use rusqlite::{Connection, OptionalExtension, Row};
use serde_bytes::ByteBuf;
use wire::catalogue::{HeadBundle, Revoked};
use wire::message::Address;
use wire::{Digest, ErrorBody, MembersBundle, PresenceBundle, TreeHash};

use super::accounts::{self, Shown};
use super::error::{OpenError, RegistryError};
use super::writer::Batch;
use super::{AccountRow, NodeRow, Registry, Result, from_sql, members, schema, to_sql};

/// The number under which it is kept when all was last found to be the same as another node's.
const COMPARED: &str = "compared";
/// The highest sequence of an own head that was ever seen.
const OWN_SEQUENCE: &str = "own-sequence";

/// A node as the database has it.
#[derive(Debug)]
pub(crate) struct LoadedNode {
    pub(crate) id: NodeId,
    pub(crate) row: NodeRow,
    pub(crate) account: AccountId,
    pub(crate) user: UserName,
    /// The serial of the newest membership that it showed here, and when that ends.
    pub(crate) shown: Option<(u64, UnixMillis)>,
    /// Sequence, hash and time of the head.
    pub(crate) head: Option<(u64, Digest, UnixMillis)>,
    pub(crate) word: Option<Word>,
}

/// All that a replica keeps in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) nodes: Vec<LoadedNode>,
    pub(crate) members: Option<MembersBundle>,
    /// The memberships that ended before their time.
    pub(crate) revoked: Vec<Revoked>,
    /// When all was last found to be the same as another node's.
    pub(crate) compared: UnixMillis,
}

/// What a word of presence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) time: UnixMillis,
    pub(crate) since: UnixMillis,
    pub(crate) addresses: Vec<Address>,
}

/// A node whose membership was checked.
#[derive(Clone)]
pub(crate) struct Entering {
    pub(crate) shown: Shown,
    pub(crate) not_after: UnixMillis,
    pub(crate) enrolment: Vec<u8>,
}

/// Reads all that a replica keeps in memory. Blocks on the disk.
pub(crate) fn load_all(path: &Path) -> std::result::Result<Loaded, OpenError> {
    let database = schema::open_reader(path)?;
    let loaded = || -> Result<Loaded> {
        Ok(Loaded {
            nodes: load(&database)?,
            members: members::head(&database)?.map(|head| head.bundle),
            revoked: members::revoked(&database)?,
            compared: UnixMillis(number(&database, COMPARED)?),
        })
    };
    loaded().map_err(|error| OpenError::Unreadable(error.to_string()))
}

/// The head of a node's catalogue as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct NewHead {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) time: UnixMillis,
    pub(crate) bundle: HeadBundle,
    pub(crate) records: Option<TreeHash>,
    pub(crate) held: Option<TreeHash>,
}

/// The roots of the trees of a node's catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roots {
    pub(crate) records: Option<TreeHash>,
    pub(crate) held: Option<TreeHash>,
}

impl Registry {
    /// Enters a node by a membership that was checked, and keeps its enrolment where that is newer.
    pub(crate) async fn enter(
        &self,
        entering: Entering,
    ) -> Result<std::result::Result<(AccountRow, NodeRow), ErrorBody>> {
        self.write(1, move |batch| enter(batch, &entering)).await
    }

    /// The heads of these nodes' catalogues, as they travel.
    pub(crate) async fn heads(&self, nodes: Vec<NodeRow>) -> Result<Vec<HeadBundle>> {
        let one = |database: &Connection, node: &NodeRow| -> Result<Option<HeadBundle>> {
            let found = database
                .prepare_cached("SELECT head, enrolment FROM catalogues WHERE node = ?1")?
                .query_row([node.0], |row| Ok(HeadBundle { head: buf(row, 0)?, enrolment: buf(row, 1)? }))
                .optional()?;
            Ok(found)
        };
        self.read(move |database| nodes.iter().filter_map(|node| one(database, node).transpose()).collect())
            .await
    }

    /// The last words of these nodes, with their enrolments.
    pub(crate) async fn words(&self, nodes: Vec<NodeRow>) -> Result<Vec<PresenceBundle>> {
        let one = |database: &Connection, node: &NodeRow| -> Result<Option<PresenceBundle>> {
            let found = database
                .prepare_cached(
                    "SELECT w.word, m.bytes FROM words AS w JOIN enrolments AS m ON m.node = w.node WHERE w.node = ?1",
                )?
                .query_row([node.0], |row| {
                    Ok(PresenceBundle { presence: buf(row, 0)?, enrolment: Some(buf(row, 1)?) })
                })
                .optional()?;
            Ok(found)
        };
        self.read(move |database| nodes.iter().filter_map(|node| one(database, node).transpose()).collect())
            .await
    }

    /// Keeps words of presence, each in place of the one before.
    pub(crate) async fn keep_words(&self, words: Vec<(NodeRow, Word, Vec<u8>)>) -> Result<()> {
        self.write(words.len(), move |batch| {
            words.iter().try_for_each(|(node, says, word)| keep_word(batch, *node, says, word))
        })
        .await
    }

    /// The roots of a node's catalogue.
    pub(crate) async fn roots(&self, node: NodeRow) -> Result<Roots> {
        self.read(move |database| roots(database, node)).await
    }

    /// Notes that all was found to be the same as another node's.
    pub(crate) async fn set_compared(&self, now: UnixMillis) -> Result<()> {
        self.write(1, move |batch| raise(batch, COMPARED, now.0)).await
    }

    /// The highest sequence of an own head that was ever seen.
    pub(crate) async fn own_sequence(&self) -> Result<u64> {
        self.read(|database| number(database, OWN_SEQUENCE)).await
    }

    /// Notes a sequence of an own head.
    pub(crate) async fn raise_own_sequence(&self, seq: u64) -> Result<()> {
        self.write(1, move |batch| raise(batch, OWN_SEQUENCE, seq)).await
    }
}

/// The roots of a node's catalogue.
pub(super) fn roots(database: &Connection, node: NodeRow) -> Result<Roots> {
    let found = database
        .prepare_cached("SELECT records, held FROM catalogues WHERE node = ?1")?
        .query_row([node.0], |row| Ok(Roots { records: tree_hash(row, 0)?, held: tree_hash(row, 1)? }))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Puts a head in the place of the one before.
pub(super) fn put_head(batch: &Batch<'_>, node: NodeRow, new: &NewHead) -> Result<()> {
    let root = |root: &Option<TreeHash>| root.map(|root| root.as_bytes().to_vec());
    batch
        .prepare_cached(
            "INSERT OR REPLACE INTO catalogues(node, seq, hash, time, head, enrolment, records, held)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            node.0,
            to_sql(new.seq),
            new.hash.as_bytes(),
            to_sql(new.time.0),
            &new.bundle.head[..],
            &new.bundle.enrolment[..],
            root(&new.records),
            root(&new.held),
        ))?;
    Ok(())
}

fn load(database: &Connection) -> Result<Vec<LoadedNode>> {
    let mut statement = database.prepare_cached(
        "SELECT n.id, n.node, a.account, a.user, m.serial, m.not_after, c.seq, c.hash, c.time,
                w.time, w.since, w.addresses
         FROM nodes AS n JOIN accounts AS a ON a.id = n.account
         LEFT JOIN enrolments AS m ON m.node = n.id
         LEFT JOIN catalogues AS c ON c.node = n.id
         LEFT JOIN words AS w ON w.node = n.id",
    )?;
    let mut rows = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        nodes.push(loaded(row)?);
    }
    Ok(nodes)
}

fn loaded(row: &Row<'_>) -> Result<LoadedNode> {
    let corrupt = RegistryError::Corrupt;
    let blob = |column: usize| -> Result<Option<Vec<u8>>> { Ok(row.get(column)?) };
    let number =
        |column: usize| -> Result<Option<u64>> { Ok(row.get::<_, Option<i64>>(column)?.map(from_sql)) };
    let hash = blob(7)?.as_deref().and_then(Digest::from_slice);
    let head = match (number(6)?, hash, number(8)?) {
        (Some(seq), Some(hash), Some(time)) => Some((seq, hash, UnixMillis(time))),
        _ => None,
    };
    let word = match (number(9)?, number(10)?, blob(11)?) {
        (Some(time), Some(since), Some(addresses)) => {
            let addresses = cbor::decode(&addresses, addresses.len()).map_err(|_| corrupt("addresses"))?;
            Some(Word { time: UnixMillis(time), since: UnixMillis(since), addresses })
        }
        _ => None,
    };
    let account = blob(2)?.as_deref().and_then(AccountId::from_slice);
    let user = row.get::<_, String>(3)?.parse().map_err(|_| corrupt("a user name"))?;
    Ok(LoadedNode {
        row: NodeRow(row.get(0)?),
        id: NodeId::from_slice(&blob(1)?.unwrap_or_default()).map_err(|_| corrupt("a node's id"))?,
        account: account.ok_or(corrupt("an account's id"))?,
        user,
        shown: number(4)?.zip(number(5)?.map(UnixMillis)),
        head,
        word,
    })
}

fn keep_word(batch: &Batch<'_>, node: NodeRow, says: &Word, word: &[u8]) -> Result<()> {
    batch
        .prepare_cached(
            "INSERT INTO words(node, time, since, addresses, word) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(node) DO UPDATE SET time = excluded.time, since = excluded.since,
                                             addresses = excluded.addresses, word = excluded.word
             WHERE excluded.time > time",
        )?
        .execute((node.0, to_sql(says.time.0), to_sql(says.since.0), cbor::encode(&says.addresses), word))?;
    Ok(())
}

fn enter(
    batch: &mut Batch<'_>,
    entering: &Entering,
) -> Result<std::result::Result<(AccountRow, NodeRow), ErrorBody>> {
    let rows = accounts::enter(batch, &entering.shown)?;
    if let Ok((_, node)) = &rows {
        batch
            .prepare_cached(
                "INSERT INTO enrolments(node, serial, not_after, bytes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(node) DO UPDATE SET serial = excluded.serial, not_after = excluded.not_after,
                                                 bytes = excluded.bytes
                 WHERE (excluded.serial, excluded.not_after) >= (serial, not_after)",
            )?
            .execute((
                node.0,
                to_sql(entering.shown.serial),
                to_sql(entering.not_after.0),
                &entering.enrolment,
            ))?;
    }
    Ok(rows)
}

/// A number that is kept by its name; 0 if there is none.
pub(super) fn number(database: &Connection, name: &str) -> Result<u64> {
    let found = database
        .prepare_cached("SELECT value FROM numbers WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(0, from_sql))
}

/// Raises such a number.
pub(super) fn raise(database: &Connection, name: &str, value: u64) -> Result<()> {
    database
        .prepare_cached(
            "INSERT INTO numbers(name, value) VALUES (?1, ?2)
             ON CONFLICT(name) DO UPDATE SET value = excluded.value WHERE excluded.value > value",
        )?
        .execute((name, to_sql(value)))?;
    Ok(())
}

fn buf(row: &Row<'_>, column: usize) -> rusqlite::Result<ByteBuf> {
    Ok(ByteBuf::from(row.get::<_, Vec<u8>>(column)?))
}

/// A page's hash, where there is one.
pub(super) fn tree_hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<TreeHash>> {
    Ok(row.get::<_, Option<Vec<u8>>>(column)?.as_deref().and_then(TreeHash::from_slice))
}
