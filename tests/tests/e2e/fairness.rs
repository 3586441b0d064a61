//! Many receivers of one holder: whoever reads nothing, and a disk that does not answer, hold up nobody else.

use p2p_node::control::api::Direction;
use p2p_node::store::fs::FsOp;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::hostile::{Member, ask, manifest_of};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, in_time, wait_until};
use quinn::{Connection, RecvStream};
use wire::manifest::{Layout, Manifest};
use wire::message::{GetData, Granted, RecordBundle, Request, RequestDownload, Run};
use wire::{SignedRecord, frame, limits, record_hash};

use super::greedy::begin_upload;

/// Larger than the window of a stream, so that an answer of which nothing is read does not end.
const SIZE: usize = 8 * MIB;
/// Places for uploads.
const SLOTS: usize = 4;

/// Alice shares `film.mkv` and `hung.bin`, and has [`SLOTS`]; Bob is there; Mallory asks by hand.
struct Crowd {
    cluster: Cluster,
    alice: TestNode,
    bob: TestNode,
    mallory: Member,
    connection: Connection,
}

impl Crowd {
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
        for (name, seed) in [("film.mkv", seed), ("hung.bin", seed + 1)] {
            alice.share(&fixtures::file(&cluster.path(name), seed, SIZE)).await.expect("shared");
        }
        alice.limit(&[&format!("upload_slots={SLOTS}")]).await;
        let mallory = Member::sign_up(&cluster, "mallory").await;
        let connection = mallory.connect(alice.address()).await;
        Self { cluster, alice, bob, mallory, connection }
    }

    async fn p(&self, name: &str) -> Request {
        let bundle = self.mallory.locate("alice", name).await.bundle;
        Request::P(RequestDownload { grant: Some(bundle), ..RequestDownload::default() })
    }

    /// All chunks of a file, after P for it.
    async fn g(&self, name: &str) -> Request {
        let RecordBundle { record, .. } = self.mallory.locate("alice", name).await.bundle;
        let granted: Granted = ask(&self.connection, &self.p(name).await).await.expect("granted");
        let Manifest { root, pages, .. } = manifest_of(&self.cluster.path(name)).manifest;
        let layout = Layout::assemble(root, pages.iter().map(|page| &**page)).expect("a manifest");
        let runs = Some(vec![Run(0, layout.chunks.len())]);
        let grant = record_hash(&SignedRecord::parse(&record).expect("a record"));
        Request::G(GetData { runs, ..GetData::root_of(grant, granted.roots[0].root) })
    }

    /// Takes all places with such requests, and reads no more than the heads of the answers.
    async fn take_places(&self, request: &Request) -> Vec<RecvStream> {
        let mut open = Vec::new();
        for _ in 0..SLOTS {
            open.push(begin_upload(&self.connection, request).await.expect("a place"));
        }
        open
    }

    async fn bob_gets_the_film(&self) {
        let got = self.bob.get("alice", "film.mkv").await.expect("got");
        assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&self.cluster.path("film.mkv")));
    }

    fn hanging(&self) -> usize {
        self.alice.fs().hanging()
    }
}

async fn rest_of(mut stream: RecvStream) -> Vec<u8> {
    in_time("the rest of an answer", stream.read_to_end(SIZE)).await.expect("it was not given up")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_holds_up_nobody() {
    let crowd = Crowd::start(1).await;
    let open = crowd.take_places(&crowd.g("film.mkv").await).await;
    crowd.bob_gets_the_film().await;
    // The others' turn did not come because these were given up.
    for stream in open {
        assert!(rest_of(stream).await == fixtures::bytes(1, SIZE), "all of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_hangs_holds_up_only_who_asked_for_it() {
    let crowd = Crowd::start(3).await;
    let request = crowd.g("hung.bin").await;
    let hang = crowd.alice.fs().hang(FsOp::ReadAt, "hung.bin");
    let open = crowd.take_places(&request).await;
    wait_until(PATIENCE, "all of them hang", async || match crowd.hanging() {
        SLOTS.. => Ok(()),
        fewer => Err(fewer),
    })
    .await;
    crowd.bob_gets_the_film().await;
    // Who gives up is rid of it at once, though the disk still does not answer.
    drop(open);
    wait_until(PATIENCE, "nothing is sent to mallory", async || {
        let to_mallory = |peer: &p2p_node::control::api::TransferPeer| peer.node == crowd.mallory.id();
        let mut uploads = crowd.alice.transfers().await;
        uploads.retain(|one| one.transfer.direction == Direction::Upload && one.peers.iter().any(to_mallory));
        if uploads.is_empty() { Ok(()) } else { Err(uploads) }
    })
    .await;
    assert!(crowd.hanging() >= SLOTS, "{}", crowd.hanging());
    drop(hang);
    let stream = begin_upload(&crowd.connection, &request).await.expect("a place");
    assert!(rest_of(stream).await == fixtures::bytes(4, SIZE), "the disk answers again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_answer_takes_only_some_threads() {
    /// With six rounds more than the threads of tokio's pool, 512; each round is less than the streams of a connection.
    const ROUNDS: usize = 6;
    const AT_ONCE: usize = 100;
    let crowd = Crowd::start(5).await;
    let (hung, film) = (crowd.p("hung.bin").await, crowd.p("film.mkv").await);
    let _hang = crowd.alice.fs().hang(FsOp::OpenRead, "hung.bin");
    for round in 0..ROUNDS {
        let mut asked = Vec::new();
        for _ in 0..AT_ONCE {
            let (mut send, receive) = crowd.connection.open_bi().await.expect("a stream");
            frame::write(&mut send, &hung, limits::MEMBER_FRAME_BYTES).await.expect("asked");
            send.finish().expect("whole");
            asked.push(receive);
        }
        // It comes after them. Then they are given up, as by one who asks again in vain.
        let granted = ask::<Granted>(&crowd.connection, &film).await;
        granted.unwrap_or_else(|error| panic!("round {round}, {} calls hang: {error}", crowd.hanging()));
    }
    crowd.bob_gets_the_film().await;
    assert!((1..AT_ONCE).contains(&crowd.hanging()), "{} calls hang", crowd.hanging());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_says_whether_others_get_the_same() {
    let crowd = Crowd::start(7).await;
    let spy = Member::sign_up(&crowd.cluster, "spy").await;
    let (film, hung) = (crowd.p("film.mkv").await, crowd.p("hung.bin").await);
    let others = async |connection: &Connection, p: &Request| {
        ask::<Granted>(connection, p).await.expect("granted").others
    };
    assert!(!others(&crowd.connection, &film).await, "nobody else has asked");
    let second = crowd.mallory.connect(crowd.alice.address()).await;
    assert!(!others(&second, &film).await, "it is the same node");
    let of_spy = spy.connect(crowd.alice.address()).await;
    assert!(!others(&of_spy, &hung).await, "that is another file");
    assert!(others(&of_spy, &film).await && others(&crowd.connection, &film).await);
    of_spy.close(0_u32.into(), b"");
    wait_until(PATIENCE, "the other one is gone", async || match others(&crowd.connection, &film).await {
        false => Ok(()),
        true => Err("there are others"),
    })
    .await;
}
