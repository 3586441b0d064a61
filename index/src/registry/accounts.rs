//! Accounts and nodes: rows, serials, and the memberships that they stand for.

use certs::{AccountId, NodeId, UnixMillis, UserName};
use rusqlite::{Connection, OptionalExtension, Row};
use wire::{ErrorBody, ErrorCode, limits};

use super::error::RegistryError;
use super::writer::Batch;
use super::{AccountRow, NodeRow, Result, from_sql, holders, members, recovery, to_sql};

/// What is stored of an account.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) row: AccountRow,
    pub(crate) id: AccountId,
    pub(crate) user: UserName,
    /// The PHC string; `None` for an account that was restored from a membership.
    pub(crate) password: Option<String>,
}

/// An account to be made, and its first node.
pub(crate) struct NewAccount {
    pub(crate) id: AccountId,
    pub(crate) user: UserName,
    pub(crate) password: String,
    pub(crate) node: NodeId,
    pub(crate) now: UnixMillis,
}

/// What is stored of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredNode {
    pub(super) row: NodeRow,
    pub(super) account: AccountRow,
    /// The serial of its newest membership.
    pub(super) serial: u64,
    /// Memberships up to this serial are ended.
    pub(super) ended: u64,
}

/// A node that is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) account: AccountRow,
    pub(crate) id: AccountId,
    pub(crate) node: NodeRow,
    pub(crate) serial: u64,
}

/// What a membership says that was checked.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) account: AccountId,
    pub(crate) user: UserName,
    pub(crate) node: NodeId,
    pub(crate) serial: u64,
    pub(crate) now: UnixMillis,
}

impl StoredNode {
    /// Whether a membership of it may still hold.
    const fn is_enrolled(&self) -> bool {
        self.serial > self.ended
    }
}

/// The account of a user name.
pub(super) fn by_user(database: &Connection, user: &UserName) -> Result<Option<Account>> {
    one_account(database, "user = ?1", user.as_str())
}

/// What is known of a node.
pub(super) fn node(database: &Connection, node: &NodeId) -> Result<Option<StoredNode>> {
    let read = |row: &Row<'_>| {
        Ok(StoredNode {
            row: NodeRow(row.get(0)?),
            account: AccountRow(row.get(1)?),
            serial: from_sql(row.get(2)?),
            ended: from_sql(row.get(3)?),
        })
    };
    let found = database
        .prepare_cached("SELECT id, account, serial, ended FROM nodes WHERE node = ?1")?
        .query_row([node.as_bytes()], read)
        .optional()?;
    Ok(found)
}

/// Makes an account and enrols its first node, unless the name is taken.
pub(super) fn sign_up(
    batch: &mut Batch<'_>,
    new: &NewAccount,
) -> Result<std::result::Result<Admitted, ErrorBody>> {
    if by_user(batch, &new.user)?.is_some() {
        return Ok(Err(ErrorBody::new(ErrorCode::NameTaken, format!("the name '{}' is taken", new.user))));
    }
    if let Some(refusal) = enrolled(batch, &new.node)? {
        return Ok(Err(refusal));
    }
    let row = insert_account(batch, &new.id, &new.user, Some(&new.password), new.now)?;
    let account = Account { row, id: new.id, user: new.user.clone(), password: None };
    enrol(batch, &account, &new.node)
}

/// The refusal of a new account, where a node is enrolled for one already.
pub(super) fn enrolled(database: &Connection, id: &NodeId) -> Result<Option<ErrorBody>> {
    let known = node(database, id)?.filter(StoredNode::is_enrolled);
    known.map(|known| other_account(database, known.account)).transpose()
}

/// Enrols a node: a serial of its own, and room among the account's nodes.
pub(super) fn enrol(
    batch: &mut Batch<'_>,
    account: &Account,
    id: &NodeId,
) -> Result<std::result::Result<Admitted, ErrorBody>> {
    let known = node(batch, id)?;
    let enrolled_here = match known.filter(StoredNode::is_enrolled) {
        Some(known) if known.account != account.row => return Ok(Err(other_account(batch, known.account)?)),
        enrolled => enrolled.is_some(),
    };
    if !enrolled_here && enrolled_nodes(batch, account.row)? >= limits::NODES_PER_ACCOUNT {
        let text = format!("an account has at most {} nodes; log out on another", limits::NODES_PER_ACCOUNT);
        return Ok(Err(ErrorBody::new(ErrorCode::Quota, text)));
    }
    // Above whatever this index has ever issued, also what it has forgotten.
    let serial = known
        .map_or(0, |known| known.serial)
        .max(members::revoked_serial(batch, id)?)
        .max(recovery::least_serial(batch)?)
        + 1;
    let node = put_node(batch, id, account.row, serial)?;
    Ok(Ok(Admitted { account: account.row, id: account.id, node, serial }))
}

/// What a membership is worth where nothing has to be written; `None` where something has.
pub(super) fn admitted(
    database: &Connection,
    shown: &Shown,
) -> Result<Option<std::result::Result<Admitted, ErrorBody>>> {
    let Some(known) = node(database, &shown.node)? else {
        // A database that was lost may know that a membership has ended, and not yet whose it was.
        let over = shown.serial <= members::revoked_serial(database, &shown.node)?;
        return Ok(over.then(|| Err(ended())));
    };
    if shown.serial <= known.ended {
        return Ok(Some(Err(ended())));
    }
    let account = one_account(database, "account = ?1", shown.account.as_bytes())?;
    match account {
        Some(account) if account.row == known.account && account.user == shown.user => {
            let up_to_date = shown.serial <= known.serial;
            let admitted =
                Admitted { account: account.row, id: account.id, node: known.row, serial: known.serial };
            Ok(up_to_date.then_some(Ok(admitted)))
        }
        _ if shown.serial <= known.serial => Ok(Some(Err(ended()))),
        _ => Ok(None),
    }
}

/// Takes a membership that this database knows less of than it should: it was lost, or is an older copy.
pub(super) fn admit(
    batch: &mut Batch<'_>,
    shown: &Shown,
) -> Result<std::result::Result<Admitted, ErrorBody>> {
    if let Some(answer) = admitted(batch, shown)? {
        return Ok(answer);
    }
    let by_id = one_account(batch, "account = ?1", shown.account.as_bytes())?;
    let account = match (by_id, by_user(batch, &shown.user)?) {
        (Some(account), _) if account.user == shown.user => account.row,
        (None, None) => insert_account(batch, &shown.account, &shown.user, None, shown.now)?,
        _ => {
            let text = "the membership's account or user name is another's by now";
            return Ok(Err(ErrorBody::new(ErrorCode::NotMember, text)));
        }
    };
    let node = put_node(batch, &shown.node, account, shown.serial)?;
    recovery::note(batch, &shown.node, shown.now)?;
    Ok(Ok(Admitted { account, id: shown.account, node, serial: shown.serial }))
}

/// Enters the node of a membership that somebody else showed, and its account. Unlike [`admit`] it lets nobody in: a node
/// that has logged out keeps what it published, and stays out.
pub(super) fn enter(
    batch: &mut Batch<'_>,
    shown: &Shown,
) -> Result<std::result::Result<(AccountRow, NodeRow), ErrorBody>> {
    let account = one_account(batch, "account = ?1", shown.account.as_bytes())?;
    if let (Some(known), Some(account)) = (node(batch, &shown.node)?, account)
        && account.row == known.account
        && account.user == shown.user
    {
        let sql = "UPDATE nodes SET serial = ?2 WHERE id = ?1 AND serial < ?2";
        batch.prepare_cached(sql)?.execute((known.row.0, to_sql(shown.serial)))?;
        return Ok(Ok((known.account, known.row)));
    }
    Ok(admit(batch, shown)?.map(|admitted| (admitted.account, admitted.node)))
}

/// Counts a node's serial up, in place of the membership with this one; `None` where that was ended, whatever came after it.
pub(super) fn renew(batch: &mut Batch<'_>, node: NodeRow, serial: u64) -> Result<Option<u64>> {
    batch.members_changed();
    let sql =
        "UPDATE nodes SET serial = serial + 1 WHERE id = ?1 AND ended < min(serial, ?2) RETURNING serial";
    let serial =
        batch.prepare_cached(sql)?.query_row((node.0, to_sql(serial)), |row| row.get(0)).optional()?;
    Ok(serial.map(from_sql))
}

/// Ends every membership that a node has, for everybody to know, and forgets what it held. The serial of the last that is
/// ended.
pub(super) fn end(batch: &mut Batch<'_>, node: NodeRow, now: UnixMillis) -> Result<u64> {
    batch.members_changed();
    let (ended, id): (i64, Vec<u8>) = batch
        .prepare_cached("UPDATE nodes SET ended = serial WHERE id = ?1 RETURNING ended, node")?
        .query_row([node.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let id = NodeId::from_slice(&id).map_err(|_| RegistryError::Corrupt("a node's id"))?;
    members::revoke(batch, &id, from_sql(ended), now)?;
    holders::forget_all(batch, node)?;
    Ok(from_sql(ended))
}

/// The latest serial of each of these nodes whose memberships were ended, up to that.
pub(super) fn ended_serials(database: &Connection, nodes: &[NodeRow]) -> Result<Vec<(NodeRow, u64)>> {
    let mut statement = database.prepare_cached("SELECT ended FROM nodes WHERE id = ?1 AND ended > 0")?;
    let mut ended = Vec::new();
    for node in nodes {
        let serial: Option<i64> = statement.query_row([node.0], |row| row.get(0)).optional()?;
        ended.extend(serial.map(|serial| (*node, from_sql(serial))));
    }
    Ok(ended)
}

/// Gives an account another password; whether there is such an account.
pub(super) fn set_password(batch: &Batch<'_>, user: &UserName, password: &str) -> Result<bool> {
    let changed = batch
        .prepare_cached("UPDATE accounts SET password = ?2 WHERE user = ?1")?
        .execute((user.as_str(), password))?;
    Ok(changed > 0)
}

/// Whether a node is enrolled, and for this account: it may have logged out since its request was let in.
pub(super) fn is_enrolled(database: &Connection, node: NodeRow, account: AccountRow) -> Result<bool> {
    let enrolled = database
        .prepare_cached("SELECT 1 FROM nodes WHERE id = ?1 AND account = ?2 AND serial > ended")?
        .query_row((node.0, account.0), |_| Ok(()))
        .optional()?;
    Ok(enrolled.is_some())
}

fn one_account(
    database: &Connection,
    condition: &'static str,
    key: impl rusqlite::ToSql,
) -> Result<Option<Account>> {
    let found = database
        .prepare_cached(&format!("SELECT id, account, user, password FROM accounts WHERE {condition}"))?
        .query_row([key], |row| {
            Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((row, id, user, password)) = found else { return Ok(None) };
    let id = AccountId::from_slice(&id).ok_or(RegistryError::Corrupt("an account's id"))?;
    let user = user.parse().map_err(|_| RegistryError::Corrupt("a user name"))?;
    Ok(Some(Account { row: AccountRow(row), id, user, password }))
}

fn insert_account(
    batch: &Batch<'_>,
    id: &AccountId,
    user: &UserName,
    password: Option<&str>,
    now: UnixMillis,
) -> Result<AccountRow> {
    batch
        .prepare_cached("INSERT INTO accounts(account, user, password, created) VALUES (?1, ?2, ?3, ?4)")?
        .execute((id.as_bytes(), user.as_str(), password, to_sql(now.0)))?;
    Ok(AccountRow(batch.last_insert_rowid()))
}

fn put_node(batch: &mut Batch<'_>, id: &NodeId, account: AccountRow, serial: u64) -> Result<NodeRow> {
    batch.members_changed();
    let ended = members::revoked_serial(batch, id)?;
    let row = batch
        .prepare_cached(
            "INSERT INTO nodes(node, account, serial, ended) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(node) DO UPDATE SET account = excluded.account, serial = excluded.serial
             RETURNING id",
        )?
        .query_row((id.as_bytes(), account.0, to_sql(serial), to_sql(ended)), |row| row.get(0))?;
    Ok(NodeRow(row))
}

fn enrolled_nodes(database: &Connection, account: AccountRow) -> Result<usize> {
    let count: i64 = database
        .prepare_cached("SELECT count(*) FROM nodes WHERE account = ?1 AND serial > ended")?
        .query_row([account.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The refusal names the user: the node has a membership that says so.
fn other_account(database: &Connection, account: AccountRow) -> Result<ErrorBody> {
    let found = one_account(database, "id = ?1", account.0)?;
    let user = found.ok_or(RegistryError::Corrupt("a node's account"))?.user;
    let text = format!("this node is enrolled for the user '{user}'; log out first");
    Ok(ErrorBody::new(ErrorCode::OtherAccount, text))
}

/// The refusal of one whose enrolment was ended.
pub(super) fn ended() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotMember, "this enrolment was ended; log in again")
}
