//! Replicas on databases of their own, that ask one another in memory.

mod catalogues;
mod ended;
mod measure;
mod members;
mod place;
mod poison;
mod presence;
mod reading;
mod simulation;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::{
    AccountId, Enrolment, IndexCertificate, Membership, SecretKey, Signed, UnixMillis, UnixNanos, UserName,
};
use serde_bytes::ByteBuf;
use wire::catalogue::HeadBundle;
use wire::message::{Entry, List, News, RecordBundle, Stated, Statements};
use wire::{ContentHash, Kind, Receipt, Record, RecordHash, RootHash, SignedRecord, Visibility, record_hash};

use super::{Refusal, Replica, ReplicaLimits, ReplicaOptions, StatementsPeer};
use crate::client::CallError;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn content(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

/// A network, and the time in it.
#[derive(Clone)]
struct Net {
    root: SecretKey,
    index: SecretKey,
    certificate: Signed<IndexCertificate>,
    time: Arc<AtomicU64>,
}

impl Net {
    fn new() -> Self {
        let (root, index) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let certificate = IndexCertificate::issue(&root, index.public(), 1, NOW);
        Self { root, index, certificate, time: Arc::new(AtomicU64::new(NOW.0)) }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.time.load(Ordering::Relaxed))
    }

    fn pass(&self, milliseconds: u64) {
        self.time.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// A node of the account that has this user name.
    fn identity(&self, user: &str, seed: u8) -> Identity {
        self.identity_of(user, user.as_bytes()[0], seed, 1)
    }

    fn identity_of(&self, user: &str, account: u8, seed: u8, serial: u64) -> Identity {
        let (key, user) = (SecretKey::from_seed([seed; 32]), name::<UserName>(user));
        let account = AccountId::from_bytes([account; 16]);
        let node = key.public();
        let membership = Membership::issue(
            &self.index,
            &self.certificate,
            account,
            user.clone(),
            node,
            serial,
            self.now(),
        );
        let enrolment = Enrolment { certificate: self.certificate.clone(), membership };
        Identity { net: self.clone(), key, user, account, enrolment }
    }

    /// A node with a replica, enrolled in it.
    async fn node(&self, user: &str, seed: u8) -> Node {
        Node::new(self.identity(user, seed)).await
    }

    fn receipt(&self, record: &SignedRecord) -> Vec<u8> {
        let receipt = Receipt::issue(&self.index, &self.certificate, record_hash(record), self.now());
        receipt.bytes().to_vec()
    }
}

/// A node's key and enrolment.
#[derive(Clone)]
struct Identity {
    net: Net,
    key: SecretKey,
    user: UserName,
    account: AccountId,
    enrolment: Enrolment,
}

impl Identity {
    fn record(&self, text: &str, version: u64, prev: Option<RecordHash>, holds: &str) -> SignedRecord {
        let record = Record {
            format: 0,
            network: self.net.root.public(),
            account: self.account,
            user: self.user.clone(),
            node: self.key.public(),
            name: name(text),
            kind: Kind::File,
            version,
            revision: 0,
            prev,
            size: holds.len() as u64,
            mtime: UnixNanos(1),
            published: UnixNanos::from(self.net.now()),
            content: Some(content(holds)),
            root: Some(RootHash::of(holds.as_bytes())),
            visibility: Visibility::Members,
            extensions: Default::default(),
        };
        Signed::sign(&self.key, record)
    }

    /// A first version whose content is the name.
    fn first(&self, text: &str) -> SignedRecord {
        self.record(text, 1, None, text)
    }

    fn next(&self, of: &SignedRecord, holds: &str) -> SignedRecord {
        self.record(of.name.as_str(), of.version + 1, Some(record_hash(of)), holds)
    }

    fn tombstone(&self, of: &SignedRecord) -> SignedRecord {
        let now = UnixNanos::from(self.net.now());
        Signed::sign(&self.key, of.tombstone(record_hash(of), self.key.public(), now))
    }
}

/// Published while the index is away.
fn bare(record: &SignedRecord) -> RecordBundle {
    RecordBundle::bare(record.bytes())
}

/// The index has accepted it.
fn accepted(net: &Net, record: &SignedRecord) -> RecordBundle {
    RecordBundle {
        receipt: Some(net.receipt(record).into()),
        certificate: Some(ByteBuf::from(net.certificate.bytes())),
        ..bare(record)
    }
}

/// A node with its replica.
struct Node {
    identity: Identity,
    folder: tempfile::TempDir,
    replica: Replica,
}

impl std::ops::Deref for Node {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Node {
    async fn new(identity: Identity) -> Self {
        Self::with_limits(identity, ReplicaLimits::default()).await
    }

    async fn with_limits(identity: Identity, limits: ReplicaLimits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let replica = open(&identity, folder.path(), limits);
        replica.enrol(&identity.enrolment).await.expect("enrolled");
        Self { identity, folder, replica }
    }

    /// Stops as it is, and starts again.
    async fn reopen(&mut self) {
        self.replica.close().await;
        self.replica = open(&self.identity, self.folder.path(), ReplicaLimits::default());
    }

    /// Publishes records that the index accepted.
    async fn share(&self, records: &[SignedRecord]) {
        let bundles = records.iter().map(|record| accepted(&self.net, record)).collect();
        self.replica.publish(bundles).await.expect("published");
    }

    /// Publishes records that nobody accepted.
    async fn share_alone(&self, records: &[SignedRecord]) {
        self.replica.publish(records.iter().map(bare).collect()).await.expect("published");
    }

    async fn head(&self) -> Option<HeadBundle> {
        self.replica.own_head(&self.key, &self.enrolment).await.expect("made")
    }

    /// Brings two nodes up to date, from this one.
    async fn sync(&self, with: &Self) -> super::Synced {
        self.head().await;
        with.head().await;
        self.replica.sync(&Link::new(&self.replica, &with.replica)).await.expect("synced")
    }

    async fn entries(&self) -> Vec<Entry> {
        entries(&self.replica).await
    }

    async fn names(&self) -> Vec<String> {
        let shown = |entry: &Entry| format!("{}/{} {}", entry.owner, entry.name, entry.version);
        self.entries().await.iter().map(shown).collect()
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.replica.counters().get(&refusal).copied().unwrap_or(0)
    }
}

fn open(identity: &Identity, folder: &std::path::Path, limits: ReplicaLimits) -> Replica {
    let net = identity.net.clone();
    let certificate = net.certificate.clone();
    let options = ReplicaOptions {
        database: folder.join("replica.db"),
        network: net.root.public(),
        node: identity.key.public(),
        certificate,
        clock: Arc::new(move || net.now()),
        limits,
    };
    Replica::open(options).expect("opened")
}

/// All that is listed, but for what depends on who is there.
async fn entries(replica: &Replica) -> Vec<Entry> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let list = List { limit: Some(1000), cursor, ..List::default() };
        let page = replica.list(list).await.expect("listed");
        entries.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return entries,
        }
    }
}

/// The way from one replica to another; both ends speak.
#[derive(Clone)]
struct Link {
    from: Replica,
    to: Replica,
    /// Questions after which it breaks.
    left: Arc<AtomicU64>,
    /// What becomes of answers on the way.
    tamper: Arc<dyn Fn(Stated) -> Stated + Send + Sync>,
    /// Pages that came.
    pages: Arc<AtomicU64>,
}

impl Link {
    fn new(from: &Replica, to: &Replica) -> Self {
        Self {
            from: from.clone(),
            to: to.clone(),
            left: Arc::new(AtomicU64::new(u64::MAX)),
            tamper: Arc::new(|stated| stated),
            pages: Arc::default(),
        }
    }

    fn breaking_after(self, questions: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(questions)), ..self }
    }

    fn tampering(self, tamper: impl Fn(Stated) -> Stated + Send + Sync + 'static) -> Self {
        Self { tamper: Arc::new(tamper), ..self }
    }

    fn back(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone(), ..self.clone() }
    }
}

impl StatementsPeer for Link {
    #[expect(
        refining_impl_trait,
        reason = "the two ends ask one another: a type that is not spelt out has no end"
    )]
    fn ask(
        &self,
        request: Statements,
    ) -> Pin<Box<dyn Future<Output = Result<Stated, CallError>> + Send + '_>> {
        Box::pin(async move {
            let lost =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if lost.is_err() {
                return Err(CallError::Timeout(std::time::Duration::from_secs(5)));
            }
            let answer = match request.news.clone() {
                Some(news) => {
                    let taken = self.to.take_news(&self.back(), news).await;
                    taken.map(|_| Stated::default()).map_err(|error| error.to_body())
                }
                None => self.to.answer(request).await,
            };
            let stated = answer.map_err(CallError::Refused)?;
            self.pages.fetch_add(stated.pages.len() as u64, Ordering::Relaxed);
            Ok((self.tamper)(stated))
        })
    }
}

/// Only heads.
fn heads(heads: Vec<HeadBundle>) -> News {
    News { heads, ..News::default() }
}
