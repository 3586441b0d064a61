//! Subscriptions: which resources stay up to date, where, and which version of each is installed.

use std::path::{Path, PathBuf};

use certs::{AccountId, UnixMillis, UserName, cbor};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, Transaction};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, RecordHash, RecordRank, ResourceName, RootHash, SignedRecord, record_hash};

use super::columns::{Column, all, first, get, path_sql, run};
use super::fs::FileStamp;
use super::jobs::{Job, JobOptions, Only};
use super::{DbError, PAGE_ROWS, Store, garbage, hooks_due, kept};
use crate::rate::Rate;

/// A program and its arguments: at most 64 of 4,096 bytes.
const HOOK_BYTES: usize = 512 << 10;

/// Those to a resource of this user and name.
pub(super) const TO: &str = "SELECT * FROM subscription WHERE user = ?1 AND name = ?2 ORDER BY id LIMIT ?3";

/// A subscription's number in the database. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub u64);

/// A resource that stays up to date at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its number.
    pub id: SubscriptionId,
    /// The account that owns the resource.
    pub account: AccountId,
    /// That account's user name.
    pub owner: UserName,
    /// The resource's name.
    pub name: ResourceName,
    /// Where it lies. There is one subscription for a place.
    pub target: PathBuf,
    /// The patterns by which parts of a folder are chosen; none where all of it is wanted.
    pub only: Vec<String>,
    /// Whether it is served to others.
    pub share: bool,
    /// How fast its updates may be, besides the limits of the node.
    pub limit: Rate,
    /// The program that is run after an update, and its arguments; none where there is none.
    pub hook: Vec<String>,
    /// The user wants no updates for now.
    pub paused: bool,
    /// The version that is installed; `None` until the first one is.
    pub held: Option<HeldVersion>,
    /// The newest version that is known.
    pub newest: Option<NewestVersion>,
    /// A version that waits until the user accepts it, and why.
    pub held_back: Option<(RecordHash, String)>,
    /// The version that the user accepted last.
    pub accepted: Option<RecordHash>,
    /// When the index last said what is newest.
    pub checked: Option<UnixMillis>,
    /// Since when there is a subscription.
    pub created: UnixMillis,
}

impl Subscription {
    /// How its updates are downloaded. What is installed is replaced; an edit of it is kept beside.
    pub const fn options(&self) -> JobOptions {
        JobOptions { force: self.held.is_some(), share: self.share, limit: self.limit, ..JobOptions::PLAIN }
    }
}

/// A version that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldVersion {
    /// Its record's place in the total order.
    pub rank: RecordRank,
    /// Its content.
    pub content: ContentHash,
    /// Its manifest, where that is stored: not of a file that lay there already and is not served.
    pub root: Option<RootHash>,
    /// How the file was when it was installed; of a folder it says little.
    pub stamp: FileStamp,
    /// When it was installed.
    pub since: UnixMillis,
}

/// A version of which is known that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestVersion {
    /// Its record's place in the total order.
    pub rank: RecordRank,
    /// Whether it is a tombstone.
    pub gone: bool,
}

/// What [`Store::subscribe`] needs to know.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// See [`Subscription::account`].
    pub account: AccountId,
    /// See [`Subscription::owner`].
    pub owner: UserName,
    /// See [`Subscription::name`].
    pub name: ResourceName,
    /// See [`Subscription::target`].
    pub target: PathBuf,
    /// See [`Subscription::only`].
    pub only: Vec<String>,
    /// See [`Subscription::share`].
    pub share: bool,
    /// See [`Subscription::limit`].
    pub limit: Rate,
    /// What lies there already.
    pub held: Option<HeldVersion>,
}

impl NewSubscription {
    /// To what a job brings, of which `held` is here.
    pub(crate) fn of(job: &Job, held: Option<HeldVersion>) -> Self {
        Self {
            account: job.record.account,
            owner: job.owner.clone(),
            name: job.name.clone(),
            target: job.target.clone(),
            only: job.only.clone(),
            share: job.options.share,
            limit: job.options.limit,
            held,
        }
    }
}

impl Store {
    /// Stores a subscription in place of another resource's at the same place; one of the same resource and place keeps what it
    /// holds, where nothing else is given.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn subscribe(&self, new: NewSubscription, now: UnixMillis) -> Result<Subscription, DbError> {
        self.db().write("write a subscription", move |transaction| put(transaction, &new, now)).await
    }

    /// The subscriptions after a number, in order: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn subscriptions(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<Subscription>, DbError> {
        let sql = "SELECT * FROM subscription WHERE id > ?1 ORDER BY id LIMIT ?2";
        let after = after.map_or(0, |id| id.0);
        let query = move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_ROWS)), read);
        self.db().read("read subscriptions", query).await
    }

    /// A subscription.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, DbError> {
        self.db().read("read a subscription", move |c| by_id(c, id)).await
    }

    /// The subscription at a place.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn subscription_at(&self, target: PathBuf) -> Result<Option<Subscription>, DbError> {
        self.db().read("read a subscription", move |c| at(c, &target)).await
    }

    /// The subscriptions of a user to resources of this owner and name: at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn subscriptions_to(
        &self,
        owner: UserName,
        name: ResourceName,
    ) -> Result<Vec<Subscription>, DbError> {
        let query = move |c: &Connection| all(c, TO, (owner.sql(), name.sql(), PAGE_ROWS), read);
        self.db().read("read subscriptions", query).await
    }

    /// Ends a subscription; what is installed stays. With the last one of a resource that is not shared here all that is kept
    /// of it is given up; the next sweep removes the copies. Returns whether there was one.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn unsubscribe(&self, id: SubscriptionId) -> Result<bool, DbError> {
        self.db().write("remove a subscription", move |transaction| end(transaction, id)).await
    }

    /// Whether the user wants no updates for now.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn pause_subscription(&self, id: SubscriptionId, paused: bool) -> Result<(), DbError> {
        let sql = "UPDATE subscription SET paused = ?2 WHERE id = ?1";
        self.change("write a subscription", move |c| run(c, sql, (id.0.sql(), paused.sql()))).await
    }

    /// Keeps what the newest version is, and that the index said so now; a lower one than is known changes nothing but that.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_newest(
        &self,
        account: AccountId,
        name: ResourceName,
        newest: NewestVersion,
        now: UnixMillis,
    ) -> Result<(), DbError> {
        self.change("write a subscription", move |connection| {
            let sql = "SELECT id, newest FROM subscription WHERE account = ?1 AND name = ?2";
            let known: Vec<(u64, Option<RecordRank>)> =
                all(connection, sql, (account.sql(), name.sql()), |row| {
                    Ok((get(row, "id")?, get(row, "newest")?))
                })?;
            for (id, known) in known {
                let (rank, gone) = match known {
                    Some(known) if known >= newest.rank => (None, false),
                    _ => (Some(newest.rank), newest.gone),
                };
                let sql = "UPDATE subscription SET checked = ?2, newest = coalesce(?3, newest),
                    newest_gone = CASE WHEN ?3 IS NULL THEN newest_gone ELSE ?4 END WHERE id = ?1";
                run(connection, sql, (id.sql(), now.sql(), rank.sql(), gone.sql()))?;
            }
            Ok(0)
        })
        .await
    }

    /// Keeps that the index said just now that nothing is newer than what is known, for each of these.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_checked(
        &self,
        resources: Vec<(AccountId, ResourceName)>,
        now: UnixMillis,
    ) -> Result<(), DbError> {
        let sql = "UPDATE subscription SET checked = ?3 WHERE account = ?1 AND name = ?2";
        self.change("write subscriptions", move |connection| {
            let set = |(account, name): &(AccountId, ResourceName)| {
                run(connection, sql, (account.sql(), name.sql(), now.sql()))
            };
            resources.iter().try_for_each(|one| set(one).map(drop))?;
            Ok(0)
        })
        .await
    }

    /// Keeps that a version waits until the user accepts it, and why.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn hold_back(
        &self,
        id: SubscriptionId,
        record: RecordHash,
        why: String,
    ) -> Result<(), DbError> {
        let sql = "UPDATE subscription SET held_back = ?2, held_back_why = ?3 WHERE id = ?1";
        self.change("write a subscription", move |c| run(c, sql, (id.0.sql(), record.sql(), &why))).await
    }

    /// Accepts the version that is held back; returns it, if there is one.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn accept(&self, id: SubscriptionId) -> Result<Option<RecordHash>, DbError> {
        let sql = "UPDATE subscription SET accepted = held_back, held_back = NULL, held_back_why = NULL
            WHERE id = ?1 AND held_back IS NOT NULL RETURNING accepted";
        self.db()
            .write("write a subscription", move |transaction| {
                first(transaction, sql, [id.0.sql()], |row| get(row, "accepted"))
            })
            .await
    }

    /// Keeps that a version of the same content as the installed one stands for it from now on.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_held_rank(&self, id: SubscriptionId, rank: RecordRank) -> Result<(), DbError> {
        let sql = "UPDATE subscription SET held = ?2 WHERE id = ?1 AND held IS NOT NULL";
        self.change("write a subscription", move |c| run(c, sql, (id.0.sql(), rank.sql()))).await
    }

    async fn change(
        &self,
        what: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<(), DbError> {
        self.db().write(what, move |transaction| change(transaction).map(drop)).await
    }
}

/// Of a job that was just installed: the subscription that it begins, or brings to its version. One that is not followed ends
/// the subscription that was at its place, and so does one of an old version.
pub(super) fn installed(
    transaction: &Transaction,
    job: &Job,
    stamp: FileStamp,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let before = at(transaction, &job.target)?;
    let JobOptions { once, pinned, .. } = job.options;
    let same = |one: &Subscription| !pinned && one.account == job.record.account && one.name == job.name;
    if let Some(other) = before.as_ref().filter(|one| !same(one)) {
        remove(transaction, other)?;
    }
    let followed = !(once || pinned) || before.as_ref().is_some_and(same);
    if !followed {
        return Ok(());
    }
    let rank = rank_of(&job.record);
    let held = HeldVersion { rank, content: job.content, root: job.root, stamp, since: now };
    let one = put(transaction, &NewSubscription::of(job, Some(held)), now)?;
    hooks_due::put(transaction, &one)
}

/// The version that the subscription at a job's target holds, where the job is of a newer one of it.
pub(super) fn held_version(connection: &Connection, job: &Job) -> rusqlite::Result<Option<u64>> {
    let same = |one: &Subscription| one.account == job.record.account && one.name == job.name;
    let held = at(connection, &job.target)?.filter(same).and_then(|one| one.held);
    Ok(held.map(|held| held.rank).filter(|rank| *rank < rank_of(&job.record)).map(|rank| rank.version()))
}

/// See [`Store::unsubscribe`].
pub(super) fn end(connection: &Connection, id: SubscriptionId) -> rusqlite::Result<bool> {
    let one = by_id(connection, id)?;
    one.as_ref().map_or(Ok(()), |one| remove(connection, one))?;
    Ok(one.is_some())
}

fn remove(connection: &Connection, one: &Subscription) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM subscription WHERE id = ?1", [one.id.0.sql()])?;
    kept::retire_unneeded(connection, one.account, &one.name)?;
    one.held.and_then(|held| held.root).map_or(Ok(()), |root| garbage::collect(connection, root))
}

/// See [`Store::subscribe`].
fn put(connection: &Connection, new: &NewSubscription, now: UnixMillis) -> rusqlite::Result<Subscription> {
    let NewSubscription { account, owner, name, target, only, share, limit, held } = new;
    let before = at(connection, target)?;
    if let Some(other) = before.as_ref().filter(|one| one.account != *account || one.name != *name) {
        remove(connection, other)?;
    }
    let sql = "INSERT INTO subscription (account, user, name, target, only, share, rate_limit, held, held_content,
            held_root, size, mtime, inode, device, held_since, created)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
        ON CONFLICT (target) DO UPDATE SET user = ?2, only = ?5, share = ?6, rate_limit = ?7,
            held = coalesce(?8, held), held_content = coalesce(?9, held_content),
            held_root = CASE WHEN ?8 IS NULL THEN held_root ELSE ?10 END, size = coalesce(?11, size), mtime = coalesce(?12, mtime),
            inode = coalesce(?13, inode), device = coalesce(?14, device), held_since = coalesce(?15, held_since)
        RETURNING *";
    let only = Only(only.clone());
    let (rank, content, root) =
        (held.map(|it| it.rank), held.map(|it| it.content), held.and_then(|it| it.root));
    let (stamp, since) = (held.map(|it| it.stamp), held.map(|it| it.since));
    let (size, mtime) = (stamp.map(|it| it.size), stamp.map(|it| it.mtime));
    let (inode, device) = (stamp.map(|it| it.inode), stamp.map(|it| it.device));
    let values = rusqlite::params![
        account.sql(),
        owner.sql(),
        name.sql(),
        target.sql(),
        only.sql(),
        share.sql(),
        limit.sql(),
        rank.sql(),
        content.sql(),
        root.sql(),
        size.sql(),
        mtime.sql(),
        inode.sql(),
        device.sql(),
        since.sql(),
        now.sql(),
    ];
    let stored = connection.prepare_cached(sql)?.query_row(values, read)?;
    let replaced = before.and_then(|before| before.held).and_then(|held| held.root);
    if let Some(root) = replaced.filter(|root| held.is_some_and(|held| held.root != Some(*root))) {
        garbage::collect(connection, root)?;
    }
    Ok(stored)
}

pub(super) fn by_id(connection: &Connection, id: SubscriptionId) -> rusqlite::Result<Option<Subscription>> {
    first(connection, "SELECT * FROM subscription WHERE id = ?1", [id.0.sql()], read)
}

fn at(connection: &Connection, target: &Path) -> rusqlite::Result<Option<Subscription>> {
    first(connection, "SELECT * FROM subscription WHERE target = ?1", [path_sql(target)], read)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    let held = match get(row, "held")? {
        Some(rank) => Some(HeldVersion {
            rank,
            content: get(row, "held_content")?,
            root: get(row, "held_root")?,
            stamp: super::columns::stamp(row)?,
            since: get(row, "held_since")?,
        }),
        None => None,
    };
    let newest = get::<Option<RecordRank>>(row, "newest")?;
    let gone = get(row, "newest_gone")?;
    let held_back: Option<RecordHash> = get(row, "held_back")?;
    let why: Option<String> = get(row, "held_back_why")?;
    Ok(Subscription {
        id: SubscriptionId(get(row, "id")?),
        account: get(row, "account")?,
        owner: get(row, "user")?,
        name: get(row, "name")?,
        target: get(row, "target")?,
        only: get::<Only>(row, "only")?.0,
        share: get(row, "share")?,
        limit: get(row, "rate_limit")?,
        hook: get::<Hook>(row, "hook")?.0,
        paused: get(row, "paused")?,
        held,
        newest: newest.map(|rank| NewestVersion { rank, gone }),
        held_back: held_back.map(|record| (record, why.unwrap_or_default())),
        accepted: get(row, "accepted")?,
        checked: get(row, "checked")?,
        created: get(row, "created")?,
    })
}

struct Hook(Vec<String>);

impl Column for Hook {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(cbor::encode(&self.0)))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        cbor::decode(value.as_blob().ok()?, HOOK_BYTES).ok().map(Self)
    }
}

impl Column for RecordRank {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(self.to_bytes().to_vec()))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_blob().ok()?.try_into().ok().map(Self::from_bytes)
    }
}

/// Whose record it is, as far as a subscription goes.
pub(crate) fn rank_of(record: &SignedRecord) -> RecordRank {
    record.rank(record_hash(record))
}

#[cfg(test)]
pub(super) mod tests;
