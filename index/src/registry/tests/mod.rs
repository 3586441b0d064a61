//! Tests of the registry on databases of their own.

mod durability;
mod enrolment;
mod history;
mod holding;
mod listing;
mod members;
mod registering;
mod rules;
mod searching;
mod searching_model;

use std::path::PathBuf;
use std::sync::Arc;

use certs::{AccountId, NodeId, SecretKey, Signed, UnixMillis, UnixNanos, UserName};
use rusqlite::Connection;
use wire::message::{Entry, Outcome, OutcomeKind};
use wire::{ContentHash, Kind, Record, RecordHash, RootHash, SignedRecord, Visibility, record_hash};

use super::{
    Admitted, Batched, Incoming, ListFilter, ListKey, NewAccount, Online, Purpose, Query, Registry,
    SearchKey, SearchRequest, Sender, Tell,
};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CERTIFICATE: &[u8] = b"an index certificate";

fn network() -> NodeId {
    SecretKey::from_seed([1; 32]).public()
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// Whom changes are told where a test does not look.
fn nobody() -> Tell {
    Box::new(|_| {})
}

fn content(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

/// A registry in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    registry: Registry,
}

/// A node of an account.
#[derive(Clone)]
struct Publisher {
    key: SecretKey,
    user: UserName,
    admitted: Admitted,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry =
            Registry::open(&folder.path().join("index.db"), CERTIFICATE, nobody()).expect("opened");
        Self { folder, registry }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index.db")
    }

    async fn reopen(self) -> Self {
        self.registry.close().await;
        let registry = Registry::open(&self.path(), CERTIFICATE, nobody()).expect("opened again");
        Self { folder: self.folder, registry }
    }

    /// A new account with a node; the seed makes the node's key and the account's id.
    async fn publisher(&self, user: &str, seed: u8) -> Publisher {
        let (key, user) = (SecretKey::from_seed([seed; 32]), name::<UserName>(user));
        let new = NewAccount {
            id: AccountId::from_bytes([seed; 16]),
            user: user.clone(),
            password: "$argon2id$".to_owned(),
            node: key.public(),
            now: NOW,
        };
        let admitted = self.registry.sign_up(new).await.expect("written").expect("signed up");
        Publisher { key, user, admitted }
    }

    async fn send(&self, purpose: Purpose, by: &Publisher, records: &[SignedRecord]) -> Vec<Outcome> {
        self.registry.register(batched(&self.registry, purpose, by, records)).await.expect("written")
    }

    /// Registers first versions of these names, all with one content each.
    async fn share(&self, by: &Publisher, names: &[&str]) {
        let records: Vec<_> = names.iter().map(|text| by.first(text)).collect();
        for chunk in records.chunks(128) {
            for outcome in self.send(Purpose::Register, by, chunk).await {
                assert_eq!(outcome.outcome, OutcomeKind::Created, "{outcome:?}");
            }
        }
    }

    async fn list(&self, filter: ListFilter) -> (Vec<Entry>, Option<ListKey>) {
        let items = self.registry.list(filter, all_online()).await.expect("read");
        (items.items, items.next)
    }

    async fn search_page(
        &self,
        query: &str,
        limit: usize,
        after: Option<SearchKey>,
    ) -> (Vec<String>, Option<SearchKey>) {
        let query = Query::parse(query).expect(query);
        let request = SearchRequest { query, limit, online: false, after };
        let items = self.registry.search(request, all_online()).await.expect("read");
        (items.items.iter().map(path).collect(), items.next)
    }

    async fn search(&self, query: &str) -> Vec<String> {
        let (found, next) = self.search_page(query, 1000, None).await;
        assert_eq!(next, None);
        found
    }
}

impl Publisher {
    fn sender(&self) -> Sender {
        Sender {
            network: network(),
            account: self.admitted.id,
            user: self.user.clone(),
            node: self.key.public(),
        }
    }

    /// A first version whose content is the name.
    fn first(&self, text: &str) -> SignedRecord {
        self.record(text, 1, None, text)
    }

    fn record(&self, text: &str, version: u64, prev: Option<RecordHash>, holds: &str) -> SignedRecord {
        self.sign(Record {
            format: 0,
            network: network(),
            account: self.admitted.id,
            user: self.user.clone(),
            node: self.key.public(),
            name: name(text),
            kind: Kind::File,
            version,
            revision: 0,
            prev,
            size: holds.len() as u64,
            mtime: UnixNanos(1),
            published: UnixNanos::from(NOW),
            content: Some(content(holds)),
            root: Some(RootHash::of(holds.as_bytes())),
            visibility: Visibility::Members,
            extensions: Default::default(),
        })
    }

    fn next(&self, of: &SignedRecord, holds: &str) -> SignedRecord {
        self.record(of.name.as_str(), of.version + 1, Some(record_hash(of)), holds)
    }

    fn tombstone(&self, of: &SignedRecord) -> SignedRecord {
        self.sign(of.tombstone(record_hash(of), self.key.public(), UnixNanos::from(NOW)))
    }

    fn sign(&self, record: Record) -> SignedRecord {
        Signed::sign(&self.key, record)
    }
}

fn batched(registry: &Registry, purpose: Purpose, by: &Publisher, records: &[SignedRecord]) -> Batched {
    let verified = |record: &SignedRecord| Incoming::Verified {
        record: Box::new(record.clone()),
        receipt: receipt(record),
    };
    Batched {
        purpose,
        sender: by.sender(),
        account: by.admitted.account,
        node: by.admitted.node,
        items: records.iter().map(verified).collect(),
        now: NOW,
        certificate: registry.certificate(),
    }
}

/// What stands for a receipt here: the registry does not look into it.
fn receipt(record: &SignedRecord) -> Vec<u8> {
    [b"receipt of ", record.hash().as_slice()].concat()
}

fn everything() -> ListFilter {
    ListFilter {
        limit: 1000,
        owner: None,
        name: None,
        node: None,
        kind: None,
        online: false,
        gone_of: None,
        after: None,
    }
}

fn all_online() -> Online {
    Arc::new(|_| true)
}

fn path(entry: &Entry) -> String {
    format!("{}/{}", entry.owner, entry.name)
}

fn paths(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(path).collect()
}

/// How SQLite would go about a query, a line for each step.
fn plan(database: &Connection, sql: &str, values: Vec<rusqlite::types::Value>) -> Vec<String> {
    let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepared");
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(3));
    rows.expect("explained").collect::<rusqlite::Result<_>>().expect("read")
}
