//! What stands for the resources that somebody follows.

use rusqlite::{Connection, OptionalExtension};
use wire::RecordHash;
use wire::message::{FollowOutcome, FollowOutcomeKind, Followed};

use super::error::RegistryError;
use super::{Result, Seq, entries};

/// What stands for a resource, a tombstone too, against what its follower has.
pub(super) fn standing(database: &Connection, followed: &Followed) -> Result<FollowOutcome> {
    let outcome = |outcome, bundle| Ok(FollowOutcome { outcome, bundle });
    let Some((seq, record)) = current(database, followed)? else {
        return outcome(FollowOutcomeKind::NotFound, None);
    };
    if followed.have == Some(record) {
        return outcome(FollowOutcomeKind::Same, None);
    }
    outcome(FollowOutcomeKind::Other, Some(entries::bundle(database, seq)?))
}

/// The account is asked for first: one that this database does not know has nothing here, whoever has its user name.
fn current(database: &Connection, followed: &Followed) -> Result<Option<(Seq, RecordHash)>> {
    let found = database
        .prepare_cached(
            "SELECT e.seq, e.record
             FROM accounts AS a CROSS JOIN entries AS e INDEXED BY entries_resource ON e.user = a.user
             WHERE a.account = ?1 AND e.name = ?2 AND e.account = a.id",
        )?
        .query_row((followed.account.as_bytes(), followed.name.as_str()), |row| {
            Ok((Seq(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((seq, record)) = found else { return Ok(None) };
    let record = RecordHash::from_slice(&record).ok_or(RegistryError::Corrupt("a record's hash"))?;
    Ok(Some((seq, record)))
}
