//! The registry: SQLite behind one writing thread and a few reading ones.
//!
//! | concept | file |
//! | --- | --- |
//! | what becomes of a record (pure) | `rules` |
//! | the query language (pure) | `query` |
//! | tables, how a connection is set up | `schema` |
//! | group commit | `writer` |
//! | reading threads | `reader` |
//! | accounts and nodes | `accounts` |
//! | entries: finding, registering, deregistering | `entries`, `register` |
//! | what becomes of a record that is to stand | `accepted` |
//! | who holds what | `holders` |
//! | heads of catalogues, enrolments, presence | `catalogues` |
//! | what comes by a catalogue | `replicate` |
//! | a catalogue out of what stands here | `build` |
//! | pages of catalogues' trees | `pages` |
//! | what stands for those who follow | `following` |
//! | records that were replaced | `history` |
//! | the list of members, ended memberships | `members` |
//! | what was published after the end of a membership | `ended` |
//! | what came back after a loss | `recovery` |
//! | L; the versions of one resource | `list`, `versions` |
//! | who is online, holders counted and the ids of nodes, for listings | `view` |
//! | S; its terms as the search table has them (pure) | `search`, `terms` |

mod accepted;
mod accounts;
mod build;
mod catalogues;
mod ended;
mod entries;
mod error;
mod following;
mod history;
mod holders;
mod list;
mod members;
mod pages;
mod query;
mod reader;
mod recovery;
mod register;
mod replicate;
mod rules;
mod schema;
mod search;
mod terms;
#[cfg(test)]
mod tests;
mod upkeep;
mod versions;
mod view;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certs::{NodeId, UnixMillis, UserName};
use rusqlite::Connection;
use tokio::sync::Notify;
use wire::message::{FollowOutcome, Followed, Held, Outcome};
use wire::{ContentHash, Digest, ErrorBody, ResourceName};

use crate::followers::Changed;

pub(crate) use self::accounts::{Account, Admitted, NewAccount, Shown};
pub(crate) use self::catalogues::{Entering, Loaded, NewHead, Roots, Word, load_all};
pub(crate) use self::entries::Stored;
pub use self::error::OpenError;
pub(crate) use self::error::RegistryError;
pub(crate) use self::holders::Holder;
pub(crate) use self::list::{ListFilter, ListKey};
pub(crate) use self::members::{MembersTrees, StoredHead};
pub(crate) use self::pages::{Complete, Fault, KnownPage, NewPage, PAGES, PageOwner, Step};
pub(crate) use self::query::Query;
use self::reader::Readers;
pub use self::recovery::Recovery;
pub(crate) use self::recovery::prepare as prepare_recovery;
pub(crate) use self::register::{Batched, Incoming};
pub(crate) use self::replicate::{Given, Publisher, Replicated};
pub(crate) use self::rules::{FUTURE_MS, Purpose, Sender};
pub(crate) use self::search::{SearchKey, SearchRequest};
pub(crate) use self::versions::VersionsFilter;
use self::view::{NodeIds, View};
use self::writer::{Batch, Writer};

/// Rows that one request looks at, at most: a filter that most rows fail makes short pages, never slow ones. Over the
/// largest page, so that without such a filter pages are full.
pub(crate) const SCANNED_ROWS: usize = 1024;

/// The row of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountRow(pub(crate) i64);

/// The row of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeRow(pub(crate) i64);

/// The row of an entry: the sequence of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seq(pub(crate) i64);

/// The row of an index certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CertificateRow(pub(crate) i64);

/// The index certificate that the receipts of today name.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) row: CertificateRow,
    pub(crate) bytes: Arc<[u8]>,
}

/// What is told of changes once they are durable, in their order; on the one thread that writes, so that it must be quick.
pub(crate) type Tell = Box<dyn Fn(Vec<Changed>) + Send>;

/// Who was online when a request came, as presence knew it.
pub(crate) type Online = Arc<dyn Fn(NodeRow) -> bool + Send + Sync>;

/// Part of a listing, and from where it goes on.
#[derive(Debug)]
pub(crate) struct Items<K> {
    pub(crate) items: Vec<wire::message::Entry>,
    pub(crate) next: Option<K>,
}

/// The registry's handle. Each write returns only once it is durable.
pub(crate) struct Registry {
    writer: Writer,
    readers: Readers,
    certificate: Certificate,
    nodes: Arc<NodeIds>,
    /// Woken when the members may have changed.
    members: Arc<Notify>,
}

type Result<T> = std::result::Result<T, RegistryError>;

impl Registry {
    /// Opens the database, or makes it. `certificate` is the index certificate that receipts name. Blocks on the disk.
    pub(crate) fn open(path: &Path, certificate: &[u8], tell: Tell) -> std::result::Result<Self, OpenError> {
        Self::over(path, schema::open_writer(path)?, certificate, tell)
    }

    fn over(
        path: &Path,
        connection: Connection,
        certificate: &[u8],
        tell: Tell,
    ) -> std::result::Result<Self, OpenError> {
        let row = entries::certificate_row(&connection, certificate)?;
        let readers = Readers::start(path)?;
        let members = Arc::new(Notify::new());
        let writer = Writer::start(connection, tell, members.clone()).map_err(OpenError::Thread)?;
        let certificate = Certificate { row, bytes: certificate.into() };
        Ok(Self { writer, readers, certificate, nodes: Arc::default(), members })
    }

    /// The same for a replica: what a power cut takes of it comes back from the others.
    pub(crate) fn open_replica(
        path: &Path,
        certificate: &[u8],
        tell: Tell,
    ) -> std::result::Result<Self, OpenError> {
        let connection = schema::open_writer(path)?;
        connection.execute_batch("PRAGMA synchronous = NORMAL;")?;
        Self::over(path, connection, certificate, tell)
    }

    /// The certificate that it was opened with.
    pub(crate) fn certificate(&self) -> Certificate {
        self.certificate.clone()
    }

    /// Finishes what is queued and closes the database.
    pub(crate) async fn close(&self) {
        self.readers.stop().await;
        self.writer.stop().await;
    }

    /// The account of a user name.
    pub(crate) async fn account(&self, user: UserName) -> Result<Option<Account>> {
        self.read(move |database| accounts::by_user(database, &user)).await
    }

    /// The refusal of a new account, where a node is enrolled for one already.
    pub(crate) async fn enrolled(&self, node: NodeId) -> Result<Option<ErrorBody>> {
        self.read(move |database| accounts::enrolled(database, &node)).await
    }

    /// Makes an account and enrols its first node.
    pub(crate) async fn sign_up(&self, new: NewAccount) -> Result<std::result::Result<Admitted, ErrorBody>> {
        self.write(2, move |batch| accounts::sign_up(batch, &new)).await
    }

    /// Enrols a node for an account that exists.
    pub(crate) async fn enrol(
        &self,
        account: Account,
        node: NodeId,
    ) -> Result<std::result::Result<Admitted, ErrorBody>> {
        self.write(1, move |batch| accounts::enrol(batch, &account, &node)).await
    }

    /// Takes a valid membership that a node shows, restoring what a lost database has forgotten.
    pub(crate) async fn admit(&self, shown: Shown) -> Result<std::result::Result<Admitted, ErrorBody>> {
        let known = {
            let shown = shown.clone();
            self.read(move |database| accounts::admitted(database, &shown)).await?
        };
        match known {
            Some(answer) => Ok(answer),
            None => self.write(2, move |batch| accounts::admit(batch, &shown)).await,
        }
    }

    /// The next serial of a node, in place of the membership with this one; [`RegistryError::Ended`] where that was ended.
    pub(crate) async fn renew(&self, node: NodeRow, serial: u64) -> Result<u64> {
        self.write(1, move |batch| accounts::renew(batch, node, serial)).await?.ok_or(RegistryError::Ended)
    }

    /// Ends every membership of a node up to now, for everybody to know, and forgets what it held. The serial of the last
    /// that is ended.
    pub(crate) async fn end(&self, node: NodeRow, now: UnixMillis) -> Result<u64> {
        self.write(wire::limits::BATCH_HOLDINGS, move |batch| accounts::end(batch, node, now)).await
    }

    /// Up to which serial the memberships of these nodes were ended, by a log-out or by a list that was handed over; those of
    /// which none was are left out.
    pub(crate) async fn ended_serials(&self, nodes: Vec<NodeRow>) -> Result<Vec<(NodeRow, u64)>> {
        self.read(move |database| accounts::ended_serials(database, &nodes)).await
    }

    /// Gives an account another password, by its hash; whether there is such an account.
    pub(crate) async fn set_password(&self, user: UserName, password: String) -> Result<bool> {
        self.write(1, move |batch| accounts::set_password(batch, &user, &password)).await
    }

    /// Whether what a node publishes and holds differs from what is stored: (records, holdings). Begins a generation.
    pub(crate) async fn start(
        &self,
        node: NodeRow,
        user: UserName,
        generation: u64,
        records: Digest,
        holdings: Digest,
    ) -> Result<(bool, bool)> {
        self.write(1, move |batch| holders::begin(batch, node, generation)).await?;
        let differ = self.read(move |database| {
            let differ = entries::digest(database, node, &user)? != records;
            Ok((differ, holders::digest(database, node)? != holdings))
        });
        let (want_records, want_holdings) = differ.await?;
        if want_holdings {
            self.write(1, move |batch| holders::await_all(batch, node, generation)).await?;
        }
        Ok((want_records, want_holdings))
    }

    /// Decides about records and stores what is accepted. An outcome each, in their order.
    pub(crate) async fn register(&self, batched: Batched) -> Result<Vec<Outcome>> {
        self.write(batched.items.len(), move |batch| register::register(batch, &batched)).await
    }

    /// Adds contents that a node of an account holds; the last ones of a generation end the others.
    pub(crate) async fn hold(
        &self,
        node: (AccountRow, NodeRow),
        generation: u64,
        contents: Vec<Held>,
        last: bool,
    ) -> Result<std::result::Result<(), ErrorBody>> {
        self.write(contents.len(), move |batch| holders::hold_all(batch, node, generation, &contents, last))
            .await
    }

    /// Forgets that a node holds these.
    pub(crate) async fn unhold(&self, node: NodeRow, contents: Vec<ContentHash>) -> Result<()> {
        self.write(contents.len(), move |batch| holders::unhold_all(batch, node, &contents)).await
    }

    /// The record of a resource with its receipt, and who holds its content: the latest, or of a version; `own`: for a
    /// node of the owner, which sees what was taken back, too.
    pub(crate) async fn locate(
        &self,
        owner: UserName,
        name: ResourceName,
        version: Option<u64>,
        own: bool,
    ) -> Result<Option<(Stored, Vec<Holder>)>> {
        self.read(move |database| {
            let latest = entries::stored(database, &owner, &name)?;
            let stored = match (latest, version) {
                (Some(latest), Some(version)) if latest.current.version != version => {
                    history::stored(database, &owner, &name, version, own)?
                }
                (latest, _) => latest,
            };
            let Some(stored) = stored else { return Ok(None) };
            let holders = match &stored.current.content {
                Some(content) => holders::of(database, content)?,
                None => Vec::new(),
            };
            Ok(Some((stored, holders)))
        })
        .await
    }

    /// What stands for each resource, against what its follower has.
    pub(crate) async fn standing(&self, followed: Vec<Followed>) -> Result<Vec<FollowOutcome>> {
        self.read(move |database| followed.iter().map(|one| following::standing(database, one)).collect())
            .await
    }

    /// A page of L.
    pub(crate) async fn list(&self, filter: ListFilter, online: Online) -> Result<Items<ListKey>> {
        let view = View::new(online, self.nodes.clone());
        self.read(move |database| list::page(database, &filter, &view)).await
    }

    /// A page of the versions of one resource.
    pub(crate) async fn versions(&self, filter: VersionsFilter, online: Online) -> Result<Items<u64>> {
        let view = View::new(online, self.nodes.clone());
        self.read(move |database| versions::page(database, &filter, &view)).await
    }

    /// A page of S.
    pub(crate) async fn search(&self, request: SearchRequest, online: Online) -> Result<Items<SearchKey>> {
        let view = View::new(online, self.nodes.clone());
        self.read(move |database| search::page(database, &request, &view)).await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(job).await
    }

    async fn write<T: Send + 'static>(
        &self,
        changes: usize,
        job: impl FnOnce(&mut Batch<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(changes, job).await
    }
}

/// Locks also what a panicking thread left: what is behind these locks is whole at every moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number as SQLite stores it; those of strangers that are larger keep their bits.
fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

/// A number as it was before [`to_sql`].
fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}
