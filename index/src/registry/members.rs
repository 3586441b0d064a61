//! The list of members: from the tables into trees, and the signed head with its pages, to be handed out.

use std::sync::Arc;

use certs::{AccountId, NodeId, UnixMillis, UserName};
use rusqlite::{Connection, OptionalExtension, Row, Rows};
use serde_bytes::ByteBuf;
use tokio::sync::Notify;
use wire::catalogue::{MemberEntry, Revoked, Tree, TreeBuilder, build_members, build_revoked};
use wire::{MembersBundle, MembersNumber, TreeHash, VerifiedMembers, limits};

use super::accounts;
use super::error::RegistryError;
use super::writer::Batch;
use super::{Registry, Result, ended, from_sql, recovery, to_sql};

/// How long an ended membership is listed: 30 days until it would be over by itself, and 180 days of grace.
pub(crate) const REVOCATION_RETENTION_MS: u64 = certs::MEMBERSHIP_VALIDITY_MS + certs::MEMBERSHIP_GRACE_MS;

/// What a members head says, but for times and signature.
#[derive(Debug, Default)]
pub(crate) struct MembersTrees {
    pub(crate) members: Tree,
    pub(crate) revoked: Tree,
    /// The pages of both.
    pub(crate) pages: Vec<(TreeHash, Vec<u8>)>,
}

/// A members head of this index as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) number: MembersNumber,
    pub(crate) bundle: MembersBundle,
}

impl StoredHead {
    pub(crate) fn of(list: &VerifiedMembers) -> Self {
        Self { number: list.number(), bundle: list.bundle() }
    }
}

impl Registry {
    /// Told when the members, or their serials, may have changed: one who waits, or the next who does.
    pub(crate) fn members_change(&self) -> Arc<Notify> {
        self.members.clone()
    }

    /// Tells so though nothing was written.
    pub(crate) fn touch_members(&self) {
        self.members.notify_one();
    }

    /// Builds the trees of what stands now. What ended so long ago that nobody asks any more is forgotten first.
    pub(crate) async fn build_members(&self, now: UnixMillis) -> Result<MembersTrees> {
        self.write(1, move |batch| forget_old(batch, now)).await?;
        self.read(build).await
    }

    /// The head that counts here: the one that was signed last, or at a replica the one that was taken last.
    pub(crate) async fn members_head(&self) -> Result<Option<StoredHead>> {
        self.read(head).await
    }

    /// Keeps a new head, with the pages of its trees.
    pub(crate) async fn keep_members_head(
        &self,
        new: StoredHead,
        pages: Vec<(TreeHash, Vec<u8>)>,
    ) -> Result<()> {
        self.write(pages.len(), move |batch| keep(batch, &new, &pages)).await
    }

    /// Keeps pages of a list whose head comes later.
    pub(crate) async fn keep_members_pages(
        &self,
        of: MembersNumber,
        pages: Vec<(TreeHash, Vec<u8>)>,
    ) -> Result<()> {
        self.write(pages.len() * 4, move |batch| put_pages(batch, of, &pages)).await
    }

    /// Notes memberships that ended before their time; [`Registry::withdraw_ended`] does the rest.
    pub(crate) async fn keep_revoked(&self, revoked: Vec<Revoked>) -> Result<()> {
        self.write(revoked.len(), move |batch| {
            revoked.iter().try_for_each(|one| revoke_from_list(batch, one))
        })
        .await
    }

    /// The memberships that ended before their time.
    pub(crate) async fn revoked(&self) -> Result<Vec<Revoked>> {
        self.read(revoked).await
    }

    /// Takes members and ended memberships from a list that this network's index once signed, as a node handed them on. How
    /// many members could not be entered, since the name or the account is another's by now.
    pub(crate) async fn restore_members(
        &self,
        from: NodeId,
        members: Vec<MemberEntry>,
        revoked: Vec<Revoked>,
        now: UnixMillis,
    ) -> Result<usize> {
        self.write(members.len() + revoked.len(), move |batch| {
            batch.members_changed();
            restore_revoked(batch, &revoked)?;
            let refused = restore_members(batch, &members, now)?;
            recovery::note(batch, &from, now)?;
            Ok(refused)
        })
        .await
    }
}

/// Notes that the memberships of a node up to this serial ended before their time. Whether that is new.
pub(super) fn revoke(batch: &Batch<'_>, node: &NodeId, serial: u64, since: UnixMillis) -> Result<bool> {
    let changed = batch
        .prepare_cached(
            "INSERT INTO revocations(node, serial, since) VALUES (?1, ?2, ?3)
             ON CONFLICT(node) DO UPDATE SET serial = excluded.serial, since = excluded.since
             WHERE excluded.serial > serial",
        )?
        .execute((node.as_bytes(), to_sql(serial), to_sql(since.0)))?;
    Ok(changed > 0)
}

/// The same by a list that somebody else signed: what the node published may have come here before it.
fn revoke_from_list(batch: &Batch<'_>, revoked: &Revoked) -> Result<()> {
    match revoke(batch, &revoked.node, revoked.serial, revoked.since)? {
        true => ended::note(batch, revoked),
        false => Ok(()),
    }
}

/// Forgets ended memberships that no one would take any more.
fn forget_old(batch: &Batch<'_>, now: UnixMillis) -> Result<usize> {
    let until = to_sql(now.minus(REVOCATION_RETENTION_MS).0);
    Ok(batch.prepare_cached("DELETE FROM revocations WHERE since < ?1")?.execute([until])?)
}

/// The trees of what stands now.
fn build(database: &Connection) -> Result<MembersTrees> {
    let members =
        "SELECT n.node, a.account, a.user, n.serial FROM nodes AS n JOIN accounts AS a ON a.id = n.account
                   WHERE n.serial > n.ended ORDER BY n.node LIMIT ?1";
    let revoked = "SELECT node, serial, since FROM revocations ORDER BY node LIMIT ?1";
    let mut trees = MembersTrees::default();
    trees.members = tree(database, &mut trees.pages, members, member, |builder, items| {
        build_members(builder, items);
    })?;
    trees.revoked = tree(database, &mut trees.pages, revoked, revocation, |builder, items| {
        build_revoked(builder, items);
    })?;
    Ok(trees)
}

/// The memberships that ended before their time.
pub(super) fn revoked(database: &Connection) -> Result<Vec<Revoked>> {
    let mut statement = database.prepare_cached("SELECT node, serial, since FROM revocations")?;
    let mut rows = statement.query([])?;
    std::iter::from_fn(|| next(&mut rows, revocation).transpose()).collect()
}

/// The members head that counts here.
pub(super) fn head(database: &Connection) -> Result<Option<StoredHead>> {
    let found = database
        .prepare_cached("SELECT epoch, seq, head, certificate FROM members_list")?
        .query_row([], |row| {
            let bundle = MembersBundle {
                head: ByteBuf::from(row.get::<_, Vec<u8>>(2)?),
                certificate: ByteBuf::from(row.get::<_, Vec<u8>>(3)?),
            };
            let number = MembersNumber { epoch: from_sql(row.get(0)?), seq: from_sql(row.get(1)?) };
            Ok(StoredHead { number, bundle })
        })
        .optional()?;
    Ok(found)
}

/// Keeps a new head with its pages; those of the one before stay, for whoever is fetching them, older ones go.
fn keep(batch: &Batch<'_>, new: &StoredHead, pages: &[(TreeHash, Vec<u8>)]) -> Result<()> {
    let before = head(batch)?.map_or(MembersNumber::default(), |head| head.number);
    let StoredHead { number, bundle } = new;
    batch
        .prepare_cached(
            "INSERT OR REPLACE INTO members_list(id, epoch, seq, head, certificate) VALUES (0, ?1, ?2, ?3, ?4)",
        )?
        .execute((to_sql(number.epoch), to_sql(number.seq), &bundle.head[..], &bundle.certificate[..]))?;
    put_pages(batch, *number, pages)?;
    batch
        .prepare_cached("DELETE FROM members_list_pages WHERE (epoch, seq) < (?1, ?2)")?
        .execute((to_sql(before.epoch), to_sql(before.seq)))?;
    Ok(())
}

/// Keeps pages of a list.
fn put_pages(batch: &Batch<'_>, of: MembersNumber, pages: &[(TreeHash, Vec<u8>)]) -> Result<()> {
    let mut statement = batch.prepare_cached(
        "INSERT INTO members_list_pages(hash, epoch, seq, bytes) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT(hash) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq
         WHERE (excluded.epoch, excluded.seq) > (epoch, seq)",
    )?;
    for (hash, bytes) in pages {
        statement.execute((hash.as_bytes(), to_sql(of.epoch), to_sql(of.seq), bytes))?;
    }
    Ok(())
}

/// Takes members from a list that this network's index once signed: accounts and nodes that are not known here. How many
/// of them could not be entered, as the name or the account is another's by now.
fn restore_members(batch: &mut Batch<'_>, members: &[MemberEntry], now: UnixMillis) -> Result<usize> {
    let mut refused = 0;
    for MemberEntry { node, account, user, serial } in members.iter().cloned() {
        let shown = accounts::Shown { account, user, node, serial, now };
        refused += usize::from(accounts::admit(batch, &shown)?.is_err());
    }
    Ok(refused)
}

/// Takes ended memberships from such a list.
fn restore_revoked(batch: &Batch<'_>, revoked: &[Revoked]) -> Result<()> {
    let mut statement =
        batch.prepare_cached("UPDATE nodes SET ended = max(ended, ?2) WHERE node = ?1 AND ended < ?2")?;
    for one in revoked {
        revoke_from_list(batch, one)?;
        statement.execute((one.node.as_bytes(), to_sql(one.serial)))?;
    }
    Ok(())
}

/// The highest serial of a node's memberships that are known to have ended.
pub(super) fn revoked_serial(database: &Connection, node: &NodeId) -> Result<u64> {
    let serial: Option<i64> = database
        .prepare_cached("SELECT serial FROM revocations WHERE node = ?1")?
        .query_row([node.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(serial.map_or(0, from_sql))
}

/// One tree, read row by row.
fn tree<T>(
    database: &Connection,
    pages: &mut Vec<(TreeHash, Vec<u8>)>,
    sql: &str,
    read: fn(&Row<'_>) -> Result<T>,
    build: impl FnOnce(&mut TreeBuilder, &mut dyn Iterator<Item = T>),
) -> Result<Tree> {
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement.query([to_sql(limits::MEMBERS)])?;
    let (mut count, mut failed) = (0, None);
    let mut items = std::iter::from_fn(|| match next(&mut rows, read) {
        Ok(item) => {
            count += u64::from(item.is_some());
            item
        }
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let mut builder = TreeBuilder::new();
    build(&mut builder, &mut items);
    if let Some(error) = failed {
        return Err(error);
    }
    let (root, built) = builder.finish();
    pages.extend(built);
    Ok(Tree { root, count })
}

fn next<T>(rows: &mut Rows<'_>, read: fn(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
    rows.next()?.map(read).transpose()
}

fn member(row: &Row<'_>) -> Result<MemberEntry> {
    let account = row.get_ref(1)?.as_blob().ok().and_then(AccountId::from_slice);
    let user: Option<UserName> = row.get_ref(2)?.as_str().ok().and_then(|text| text.parse().ok());
    Ok(MemberEntry {
        node: node_of(row)?,
        account: account.ok_or(RegistryError::Corrupt("an account's id"))?,
        user: user.ok_or(RegistryError::Corrupt("a user name"))?,
        serial: from_sql(row.get(3)?),
    })
}

fn revocation(row: &Row<'_>) -> Result<Revoked> {
    let since = UnixMillis(from_sql(row.get(2)?));
    Ok(Revoked { node: node_of(row)?, serial: from_sql(row.get(1)?), since })
}

/// The node in the first column.
fn node_of(row: &Row<'_>) -> Result<NodeId> {
    let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
    NodeId::from_slice(bytes).map_err(|_| RegistryError::Corrupt("a node's id"))
}
