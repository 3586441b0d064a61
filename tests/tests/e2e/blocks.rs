//! The blocks of a file: who has it gives them, each time the ones that its content hash is made of.

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::hostile::Member;
use p2p_node_tests::{Cluster, TestNode, in_time};
use wire::manifest::Blocks;
use wire::message::{Answer, DataFollows, GetData, Request};
use wire::{ErrorCode, RootHash, SignedRecord, frame, limits, record_hash};

/// Asks a holder for the blocks of a file, under the root of its record or under another.
async fn blocks_of(
    member: &Member,
    holder: &TestNode,
    name: &str,
    root: Option<RootHash>,
) -> Result<Vec<u8>, ErrorCode> {
    let bundle = member.locate("alice", name).await.bundle;
    let connection = member.connect(holder.address()).await;
    member.show(&connection, &bundle).await.expect("granted");
    let record = SignedRecord::parse(&bundle.record).expect("a record");
    let root = root.or(record.root).expect("a file");
    let get = GetData { blocks: true, ..GetData::root_of(record_hash(&record), root) };
    let (mut send, mut receive) = in_time("a stream", connection.open_bi()).await.expect("opened");
    frame::write(&mut send, &Request::G(get), limits::MEMBER_FRAME_BYTES).await.expect("sent");
    send.finish().expect("whole");
    let reading = frame::read::<Answer<DataFollows>>(&mut receive, limits::MEMBER_FRAME_BYTES);
    match in_time("an answer", reading).await.expect("a frame") {
        Answer::E(error) => Err(error.code),
        Answer::A(head) => {
            let bytes = in_time("the blocks", receive.read_to_end(1 << 20)).await.expect("all of them");
            assert_eq!((head.length, head.runs, head.zstd), (bytes.len() as u64, None, false));
            Ok(bytes)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_and_who_downloaded_it_give_them() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let sizes = [("large.bin", 5 * MIB + 1), ("small.bin", 256 << 10)];
    for (name, size) in sizes {
        let path = fixtures::file(&cluster.path(name), 1, size);
        alice.share(&path).await.expect("shared");
        bob.get("alice", name).await.expect("got");
        alice.wait_for_holders("alice", name, 2).await;
    }
    let member = Member::sign_up(&cluster, "carol").await;
    let bundle = member.locate("alice", "large.bin").await.bundle;
    let content = SignedRecord::parse(&bundle.record).expect("a record").content.expect("a file");
    for holder in [&alice, &bob] {
        let bytes = blocks_of(&member, holder, "large.bin", None).await.expect("given");
        assert_eq!(bytes.len(), 21 * 32);
        Blocks::checked(bytes, 5 * (MIB as u64) + 1, &content).expect("they are those of the content");
        let none = blocks_of(&member, holder, "small.bin", None).await;
        assert_eq!(none, Err(ErrorCode::NotFound), "it is one block");
        let other = blocks_of(&member, holder, "large.bin", Some(RootHash::of(b"another"))).await;
        assert_eq!(other, Err(ErrorCode::NotFound), "a root that was not named");
    }
    // They outlive a restart.
    alice.stop().await;
    alice.start_again().await;
    let bytes = blocks_of(&member, &alice, "large.bin", None).await.expect("given");
    Blocks::checked(bytes, 5 * (MIB as u64) + 1, &content).expect("they are those of the content");
}
