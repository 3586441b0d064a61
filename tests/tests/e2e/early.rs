//! Requests that are sent before what they need is answered.

use p2p_node_tests::fixtures;
use p2p_node_tests::hostile::Member;
use p2p_node_tests::{Cluster, TestNode, in_time};
use quinn::{Connection, RecvStream, SendStream};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use wire::message::{Answer, DataFollows, GetData, Granted, Hello, RecordBundle, Request, RequestDownload};
use wire::{ErrorCode, SignedRecord, frame, limits, record_hash};

/// A member that has dialled a holder, with the bundle of a file that is there.
struct Early {
    _cluster: Cluster,
    _alice: TestNode,
    member: Member,
    connection: Connection,
    bundle: RecordBundle,
}

impl Early {
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let alice = cluster.user("alice").await;
        let path = fixtures::file(&cluster.path("film.mkv"), seed, 100_000);
        alice.share(&path).await.expect("shared");
        let member = Member::sign_up(&cluster, "mallory").await;
        let bundle = member.locate("alice", "film.mkv").await.bundle;
        let connection = member.stranger().dial(alice.address()).await;
        Self { _cluster: cluster, _alice: alice, member, connection, bundle }
    }

    fn hello(&self) -> Request {
        Request::Hello(self.member.hello())
    }

    fn show(&self, bundle: &RecordBundle) -> Request {
        Request::P(RequestDownload { grant: Some(bundle.clone()), ..RequestDownload::default() })
    }

    fn get_root(&self) -> Request {
        let record = SignedRecord::parse(&self.bundle.record).expect("a record");
        let root = record.root.expect("a file");
        Request::G(GetData { grant: record_hash(&record), root, page: None, runs: None })
    }

    async fn open(&self) -> (SendStream, RecvStream) {
        in_time("a stream", self.connection.open_bi()).await.expect("opened")
    }
}

async fn send(stream: &mut SendStream, request: &Request) {
    frame::write(stream, request, limits::MEMBER_FRAME_BYTES).await.expect("sent");
    stream.finish().expect("whole");
}

async fn answer<T: DeserializeOwned>(stream: &mut RecvStream) -> Answer<T> {
    let reading = frame::read::<Answer<T>>(stream, limits::MEMBER_FRAME_BYTES);
    in_time("an answer", reading).await.expect("a frame")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_hello_and_p_waits_for_them() {
    let early = Early::start(1).await;
    let (mut hello, mut p, mut g) = (early.open().await, early.open().await, early.open().await);
    // The order of the streams counts, not that of their bytes.
    send(&mut g.0, &early.get_root()).await;
    send(&mut p.0, &early.show(&early.bundle)).await;
    send(&mut hello.0, &early.hello()).await;
    assert!(matches!(answer::<Hello>(&mut hello.1).await, Answer::A(_)));
    assert!(matches!(answer::<Granted>(&mut p.1).await, Answer::A(_)));
    let Answer::A(head) = answer::<DataFollows>(&mut g.1).await else { panic!("P was before it") };
    let root = in_time("the root", g.1.read_to_end(limits::ROOT_BYTES)).await.expect("whole");
    assert_eq!(root.len() as u64, head.length);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_p_that_grants_nothing_and_one_that_comes_later_help_nobody() {
    let early = Early::start(2).await;
    let (mut hello, mut p, mut g, mut later) =
        (early.open().await, early.open().await, early.open().await, early.open().await);
    send(&mut hello.0, &early.hello()).await;
    send(&mut g.0, &early.get_root()).await;
    let wrong = RecordBundle { record: ByteBuf::from(b"no record".as_slice()), ..early.bundle.clone() };
    send(&mut p.0, &early.show(&wrong)).await;
    let Answer::E(body) = answer::<DataFollows>(&mut g.1).await else { panic!("nothing is granted") };
    assert_eq!(body.code, ErrorCode::NotFound);
    assert!(matches!(answer::<Granted>(&mut p.1).await, Answer::E(_)));
    // It was open all the time, and the G before it did not wait for it.
    send(&mut later.0, &early.show(&early.bundle)).await;
    assert!(matches!(answer::<Granted>(&mut later.1).await, Answer::A(_)));
}
