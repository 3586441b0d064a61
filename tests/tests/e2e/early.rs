//! Requests that are sent before what they need is answered, and what they led to where the guess was wrong.

use p2p_node::control::api::ShareRequest;
use p2p_node::store::fs::FsOp;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::hostile::{Liar, Member};
use p2p_node_tests::node::{get_request, share_request};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, in_time, wait_until};
use quinn::{Connection, RecvStream, SendStream};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use wire::manifest::ChunkerParams;
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
        Request::G(GetData::root_of(record_hash(&record), root))
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

/// A holder's file is cut with parameters that are usual for a size of `usual_for`, and somebody gets it. How often the
/// holder was asked for chunks, and how many bytes it sent.
async fn got_from_one_that_cuts_otherwise(seed: u64, size: usize, usual_for: u64) -> (u64, u64) {
    let cluster = Cluster::start().await;
    let bob = cluster.user("bob").await;
    let path = fixtures::file(&cluster.path("film.mkv"), seed, size);
    let params = ChunkerParams::for_size(usual_for);
    let carol = Liar::publish_file(&cluster, "carol", "film.mkv", &path, params).await;
    let got = bob.get("carol", "film.mkv").await.expect("got");
    assert_eq!(got.bytes_received, size as u64, "nothing is taken twice");
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&path));
    (carol.asked(), carol.sent())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_first_chunks_than_there_are_cost_nothing() {
    // A file of this size has at least 512 chunks, and so many are asked for; this one has a few.
    let size = 8 * MIB;
    let (asked, sent) = got_from_one_that_cuts_otherwise(3, size, 1 << 40).await;
    assert!(asked > 1, "the first was refused");
    assert_eq!(sent, size as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_chunks_that_are_larger_than_was_guessed_are_cut_off() {
    /// What was asked for: 768 chunks of about 64 KiB, where 3 MiB were meant.
    const GUESSED: u64 = 48 << 20;
    /// What may be under way of them: the window of a stream, and what the sender's connection takes before.
    const IN_VAIN: u64 = (8 << 20) + (10 << 20);
    let size = 96 * MIB;
    let (_, sent) = got_from_one_that_cuts_otherwise(4, size, 4 << 30).await;
    const { assert!(IN_VAIN < GUESSED / 2) };
    assert!(sent <= size as u64 + IN_VAIN, "{sent} bytes for {size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_chunks_of_a_version_that_is_replaced_meanwhile() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 4 * MIB);
    alice.share(&path).await.expect("shared");
    // A piece goes out; those after it hang.
    let hang = alice.fs().hang_after(1, FsOp::ReadAt, "film.mkv");
    let get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    wait_until(PATIENCE, "alice reads the first chunks", async || match alice.fs().hanging() {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await;
    let newer = fixtures::file(&cluster.path("newer.mkv"), 6, 6 * MIB);
    let name = "film.mkv".parse().expect("a name");
    let request = ShareRequest { name, update: true, ..share_request(&newer) };
    alice.start_share(request).await.expect("begun").end().await.expect("shared");
    fixtures::file(&path, 7, 4 * MIB);
    drop(hang);
    let got = get.end().await.expect("the newer one");
    assert_eq!(got.version, 2);
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(6, 6 * MIB));
    let in_vain = got.bytes_received - 6 * MIB as u64;
    assert!(in_vain <= 256 << 10, "no more than the piece that was read: {in_vain} bytes");
}
