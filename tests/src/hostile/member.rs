//! A stranger with a membership: it signs what it likes.

use std::net::SocketAddr;
use std::path::Path;

use certs::{Enrolment, Membership, NetworkId, NodeId, Signed, UnixMillis};
use index::{CallError, IndexClient};
use p2p_node::store::fs::OsFs;
use p2p_node::store::{Imported, import};
use quinn::Connection;
use serde_bytes::ByteBuf;
use wire::manifest::Manifest;
use wire::message::{
    Credentials, DataFollows, Enrolled, GetData, Granted, Held, Hello, Located, Outcome, RecordBundle,
    RegisterStart, Request, RequestDownload, ResourceQuery,
};
use wire::{ContentHash, Digest, Record, SignedRecord, Visibility, record_hash};

use super::stranger::{Stranger, ask};
use crate::clock;
use crate::cluster::Cluster;
use crate::node::password_of;
use crate::wait::in_time;

/// A node with an account, and its connection to the index.
#[derive(Debug)]
pub struct Member {
    stranger: Stranger,
    enrolment: Enrolment,
    index: Connection,
}

impl Member {
    /// Signs up.
    pub async fn sign_up(cluster: &Cluster, user: &str) -> Self {
        let stranger = Stranger::new(cluster.ip());
        Self::sign_up_at(stranger, cluster.index.address(), cluster.index.network(), user).await
    }

    /// Signs up at the index of a network.
    pub async fn sign_up_at(stranger: Stranger, index: SocketAddr, network: NetworkId, user: &str) -> Self {
        let index = stranger.greeted(index, network).await;
        let user = user.parse().expect("a user name");
        let password = password_of(&format!("{user}")).0;
        let enrolled: Enrolled =
            ask(&index, &Request::Signup(Credentials { user, password })).await.expect("signed up");
        let now = clock::wall_millis();
        let enrolment = Enrolment::verify(&enrolled.enrolment, &network, &stranger.id(), now, UnixMillis(0));
        Self { stranger, enrolment: enrolment.expect("a membership"), index }
    }

    /// The key and the socket.
    pub fn stranger(&self) -> &Stranger {
        &self.stranger
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.stranger.id()
    }

    /// Its membership, with the index certificate.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Its membership.
    pub fn membership(&self) -> &Membership {
        &self.enrolment.membership
    }

    /// Its connection to the index.
    pub fn index(&self) -> &Connection {
        &self.index
    }

    /// A client on that connection.
    pub fn client(&self) -> IndexClient {
        IndexClient::new(self.index.clone())
    }

    /// Its hello.
    pub fn hello(&self) -> Hello {
        Hello {
            enrolment: Some(ByteBuf::from(self.enrolment.to_bytes())),
            certificate: Some(ByteBuf::from(self.enrolment.certificate.bytes())),
            ..self.stranger.hello(self.membership().network)
        }
    }

    /// A connection to a peer, after hello.
    pub async fn connect(&self, address: SocketAddr) -> Connection {
        in_time("a connection", self.try_connect(address)).await.expect("let in")
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// What the connection or the far end says.
    pub async fn try_connect(&self, address: SocketAddr) -> Result<Connection, CallError> {
        let connection = self.stranger.try_dial(address).await.map_err(CallError::Connection)?;
        ask::<Hello>(&connection, &Request::Hello(self.hello())).await?;
        Ok(connection)
    }

    /// P: shows a record to a holder, as the index gives it.
    ///
    /// # Errors
    /// What the holder says.
    pub async fn show(&self, holder: &Connection, bundle: &RecordBundle) -> Result<Granted, CallError> {
        let grant = Some(bundle.clone());
        ask(holder, &Request::P(RequestDownload { grant, ..RequestDownload::default() })).await
    }

    /// G: asks a holder for the manifest root of a record that was shown to it.
    ///
    /// # Errors
    /// What the holder says.
    pub async fn root_of(
        &self,
        holder: &Connection,
        bundle: &RecordBundle,
    ) -> Result<DataFollows, CallError> {
        let record = SignedRecord::parse(&bundle.record).expect("a record");
        let root = record.root.expect("a file");
        ask(holder, &Request::G(GetData::root_of(record_hash(&record), root))).await
    }

    /// Where a resource is, as the index says.
    pub async fn locate(&self, owner: &str, name: &str) -> Located {
        let (owner, name) = (owner.parse().expect("a user name"), name.parse().expect("a name"));
        let query = ResourceQuery::latest(owner, name);
        self.client().locate(query).await.expect("located")
    }

    /// A record that is right in itself: version 1 of a file.
    pub fn record(&self, name: &str, imported: &Imported) -> Record {
        self.record_of(name, &imported.manifest)
    }

    /// A record that is right in itself: version 1 of what this is a manifest of.
    pub fn record_of(&self, name: &str, manifest: &Manifest) -> Record {
        let membership = self.membership();
        let now = clock::wall_nanos();
        Record {
            format: 0,
            network: membership.network,
            account: membership.account,
            user: membership.user.clone(),
            node: self.id(),
            name: name.parse().expect("a name"),
            kind: manifest.root.kind,
            version: 1,
            revision: 0,
            prev: None,
            size: manifest.root.size,
            mtime: now,
            published: now,
            content: Some(manifest.root.content),
            root: Some(manifest.root_hash),
            visibility: Visibility::Members,
            extensions: Default::default(),
        }
    }

    /// Signs a record.
    pub fn sign(&self, record: Record) -> SignedRecord {
        Signed::sign(self.stranger.key(), record)
    }

    /// Registers records; their outcomes.
    pub async fn register(&self, records: &[SignedRecord]) -> Vec<Outcome> {
        let bundles = records.iter().map(bundle).collect();
        self.client().register(bundles).await.expect("answered").outcomes
    }

    /// Sends tombstones; their outcomes.
    pub async fn deregister(&self, tombstones: &[SignedRecord]) -> Vec<Outcome> {
        let bundles = tombstones.iter().map(bundle).collect();
        self.client().deregister(bundles).await.expect("answered").outcomes
    }

    /// The tombstone of a record.
    pub fn tombstone(&self, of: &SignedRecord) -> SignedRecord {
        self.sign(of.tombstone(record_hash(of), self.id(), clock::wall_nanos()))
    }

    /// Says that it holds this, all of it.
    pub async fn hold(&self, content: ContentHash) {
        let seq = clock::wall_millis().0;
        let nothing = Digest::from_bytes([0; 32]);
        let client = self.client();
        client.start(RegisterStart { seq, records: nothing, holdings: nothing }).await.expect("answered");
        client.hold(seq, vec![Held { content, whole: true }], true).await.expect("answered");
    }
}

/// A file as a node would publish it.
pub fn manifest_of(path: &Path) -> Imported {
    import(&OsFs::new(), path, None, &|_, _| {}, &|| false).expect("imported")
}

fn bundle(record: &SignedRecord) -> RecordBundle {
    RecordBundle::bare(record.bytes())
}
