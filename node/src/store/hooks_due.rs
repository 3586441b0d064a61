//! Programs that are still to be run after an installation.
//!
//! *Invariant: from the commit of an installation until the program of its subscription has ended, a row of `hook_due` says
//! so.* The row comes with that commit, and goes with the event that tells how the program ended; so whatever crashes, the next start
//! knows what is still to be run. Of one subscription the newest version alone is due. A program that was begun twice and
//! whose end nobody saw is given up: it may be what stops the machine.

use rusqlite::{Connection, Row, Transaction};
use wire::ContentHash;

use super::columns::{Column, all, first, get, run};
use super::subscriptions::{self, Subscription, SubscriptionId};
use super::{DbError, PAGE_ROWS, Store, events};
use crate::activity::Activity;

/// How often a program is begun whose end is not seen.
pub(crate) const BEGUN: u64 = 2;

/// The number of a program that is to be run. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookDueId(pub u64);

/// A program that is to be run: that of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookDue {
    /// Its number.
    pub id: HookDueId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// The version that was installed.
    pub version: u64,
    /// The hash of its content.
    pub content: ContentHash,
    /// How often it was begun already.
    pub begun: u64,
}

impl Store {
    /// Sets the program that is run after each update; none where it is empty, and then none is due. With `first` it is
    /// due at once where a version is installed already: it was asked for before that. Returns the subscription as it is then.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_subscription_hook(
        &self,
        id: SubscriptionId,
        hook: Vec<String>,
        first: bool,
    ) -> Result<Option<Subscription>, DbError> {
        let change = move |transaction: &Transaction| {
            let sql = "UPDATE subscription SET hook = ?2 WHERE id = ?1";
            run(transaction, sql, (id.0.sql(), certs::cbor::encode(&hook)))?;
            if hook.is_empty() {
                run(transaction, "DELETE FROM hook_due WHERE subscription = ?1", [id.0.sql()])?;
            }
            let one = subscriptions::by_id(transaction, id)?;
            one.iter().filter(|_| first).try_for_each(|one| put(transaction, one))?;
            Ok(one)
        };
        self.db().write("write a subscription", change).await
    }

    /// What is to be run for a subscription.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn hook_due(&self, subscription: SubscriptionId) -> Result<Option<HookDue>, DbError> {
        let sql = "SELECT * FROM hook_due WHERE subscription = ?1";
        self.db().read("read hooks", move |c| first(c, sql, [subscription.0.sql()], read)).await
    }

    /// All that is to be run, the oldest first: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn hooks_due(&self, limit: u32) -> Result<Vec<HookDue>, DbError> {
        let sql = "SELECT * FROM hook_due ORDER BY id LIMIT ?1";
        self.db().read("read hooks", move |c| all(c, sql, [limit.min(PAGE_ROWS)], read)).await
    }

    /// A program is about to be begun. Returns whether it is still due.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn begin_hook(&self, id: HookDueId) -> Result<bool, DbError> {
        let sql = "UPDATE hook_due SET begun = begun + 1 WHERE id = ?1";
        self.db().write("write a hook", move |transaction| Ok(run(transaction, sql, [id.0.sql()])? > 0)).await
    }

    /// A program has ended, or is given up: it is due no more, and the log tells how it ended.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn end_hook(&self, id: HookDueId, told: Activity) -> Result<(), DbError> {
        let change = move |transaction: &Transaction| {
            run(transaction, "DELETE FROM hook_due WHERE id = ?1", [id.0.sql()])?;
            events::put(transaction, &told)
        };
        self.db().write("write a hook", change).await
    }
}

/// The program of a subscription, if it has one, is to be run for what it holds now, and no more for what it held before.
pub(super) fn put(connection: &Connection, one: &Subscription) -> rusqlite::Result<()> {
    let Some(held) = one.held.filter(|_| !one.hook.is_empty()) else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO hook_due (subscription, version, content) VALUES (?1, ?2, ?3)";
    run(connection, sql, (one.id.0.sql(), held.rank.version().sql(), held.content.sql())).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<HookDue> {
    Ok(HookDue {
        id: HookDueId(get(row, "id")?),
        subscription: SubscriptionId(get(row, "subscription")?),
        version: get(row, "version")?,
        content: get(row, "content")?,
        begun: get(row, "begun")?,
    })
}

#[cfg(test)]
mod tests;
