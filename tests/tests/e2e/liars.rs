//! Holders that lie: the right file arrives all the same, or nothing.

use std::time::Duration;

use p2p_node::control::api::Stage;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::hostile::{Frame, Liar, Lie};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, Link, TestNode};
use wire::ErrorCode;

const SIZE: usize = 4 * MIB;

/// A rate at which a handshake is done soon and a file takes long.
const SLOW: u64 = 256 << 10;

/// Sooner than a holder that gives nothing of its manifest is given up, after 30 s.
const BEFORE_IT_IS_GIVEN_UP: Duration = Duration::from_secs(25);

/// Alice shares over a link that is slow, so that the liar is asked; the liar says that it holds the same.
async fn with_liar(seed: u64, lie: Lie) -> (Cluster, Link, TestNode, Liar) {
    let cluster = Cluster::start().await;
    let link = cluster.link(seed).await;
    let alice = cluster.user_behind("alice", &link).await;
    let path = fixtures::file(&cluster.path("film.mkv"), seed, SIZE);
    alice.share(&path).await.expect("shared");
    let liar = Liar::start(&cluster, "mallory", &path, lie).await;
    alice.wait_for_holders("alice", "film.mkv", 2).await;
    link.set_rate(SLOW);
    (cluster, link, alice, liar)
}

async fn arrives_all_the_same(seed: u64, lie: Lie) {
    let (cluster, link, alice, liar) = with_liar(seed, lie).await;
    let bob = cluster.user("bob").await;
    let get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    // One that shows a wrong manifest is not asked for its chunks.
    if lie != Lie::WrongManifest {
        liar.wait_until_asked().await;
    }
    link.set_rate(0);
    let got = get.end().await.expect("got");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(seed, SIZE));
    assert_eq!(got.sources.iter().map(|source| source.bytes).sum::<u64>(), SIZE as u64);
    let bytes_from =
        |node| got.sources.iter().filter(|source| source.node == node).map(|source| source.bytes).sum();
    let (from_liar, from_alice): (u64, u64) = (bytes_from(liar.id()), bytes_from(alice.id()));
    match lie {
        // What these gave is right as far as it went.
        Lie::None | Lie::WrongRoot | Lie::TooManyBytes => assert!(from_liar > 0, "{got:?}"),
        Lie::TooFewBytes | Lie::NeverEnds | Lie::OneWrongByte => assert!(from_alice > 0, "{got:?}"),
        _ => assert_eq!((from_liar, from_alice), (0, SIZE as u64), "{got:?}"),
    }
    if matches!(lie, Lie::WrongBytes | Lie::OneWrongByte | Lie::AnnouncesMore) {
        assert!(liar.asked() <= 3, "asked {} times, on three streams at once at most", liar.asked());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_one_of_our_making_gives_its_part() {
    arrives_all_the_same(1, Lie::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes() {
    arrives_all_the_same(2, Lie::WrongBytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_byte() {
    arrives_all_the_same(36, Lie::OneWrongByte).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_of_the_right_content() {
    arrives_all_the_same(3, Lie::WrongManifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_root_that_is_another() {
    arrives_all_the_same(4, Lie::WrongRoot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes() {
    arrives_all_the_same(5, Lie::TooManyBytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcing_more_than_was_asked() {
    arrives_all_the_same(6, Lie::AnnouncesMore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_bytes() {
    arrives_all_the_same(7, Lie::TooFewBytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_ends() {
    arrives_all_the_same(8, Lie::NeverEnds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_at_all() {
    arrives_all_the_same(9, Lie::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_garbage() {
    arrives_all_the_same(10, Lie::Garbage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_a_wrong_manifest_nothing_is_installed() {
    for (seed, lie) in [(11, Lie::WrongManifest), (12, Lie::WrongRoot)] {
        let (cluster, link, mut alice, _liar) = with_liar(seed, lie).await;
        alice.stop().await;
        let bob = cluster.user("bob").await;
        let error = bob.get("alice", "film.mkv").await.expect_err("nothing right is to be had");
        let code = error.code;
        assert!([ErrorCode::NoHolder.into(), ErrorCode::BadRecord.into()].contains(&code), "{error:?}");
        assert!(!bob.download_path("alice", "film.mkv").exists());
        link.set_rate(0);
        alice.start_again().await;
        alice.wait_for_holders("alice", "film.mkv", 2).await;
        let got = bob.get("alice", "film.mkv").await.expect("from Alice");
        assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(seed, SIZE));
        assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["film.mkv"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_wrong_bytes_it_waits_for_somebody_better() {
    let (cluster, link, mut alice, liar) = with_liar(13, Lie::WrongBytes).await;
    alice.stop().await;
    let bob = cluster.user("bob").await;
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    liar.wait_until_asked().await;
    get.until(|progress| progress.stage == Stage::Waiting && progress.note.is_some()).await;
    assert!(!bob.download_path("alice", "film.mkv").exists());
    link.set_rate(0);
    alice.start_again().await;
    let got = get.end().await.expect("Alice is back");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(13, SIZE));
    assert!(got.sources.iter().all(|source| source.node == alice.id()), "{got:?}");
}

/// Both say that they hold it, and the liar keeps Bob waiting; he begins with Alice all the same.
async fn begins_without_it(seed: u64, lie: Lie) {
    let (cluster, link, alice, liar) = with_liar(seed, lie).await;
    let bob = cluster.user("bob").await;
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    liar.wait_until_withholding().await;
    get.until(|progress| progress.stage == Stage::Downloading && progress.holders == 1).await;
    assert_eq!(liar.given_up(), 0, "it was waited for");
    link.set_rate(0);
    let got = get.end().await.expect("got");
    assert!(got.sources.iter().all(|source| source.node == alice.id()), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_p_is_not_waited_for() {
    begins_without_it(14, Lie::NoGrant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_another_manifest_that_does_not_come_is_not_waited_for() {
    begins_without_it(15, Lie::SilentOtherManifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_does_not_come_is_fetched_from_the_next_holder() {
    let (cluster, link, _alice, liar) = with_liar(16, Lie::SilentManifest).await;
    // So that the liar is the first to answer.
    link.set_delay(Duration::from_millis(50));
    let bob = cluster.user("bob").await;
    let get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    liar.wait_until_withholding().await;
    link.set_delay(Duration::ZERO);
    link.set_rate(0);
    let got = tokio::time::timeout(BEFORE_IT_IS_GIVEN_UP, get.end()).await.expect("another is asked");
    let path = got.expect("got").path;
    assert_eq!(fixtures::read(path.as_path()), fixtures::bytes(16, SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_list_nothing_are_not_asked_for() {
    let (cluster, _link, mut alice, liar) = with_liar(17, Lie::FillerPages).await;
    alice.stop().await;
    let bob = cluster.user("bob").await;
    let error = bob.get("alice", "film.mkv").await.expect_err("nothing right is to be had");
    assert_eq!(error.code, ErrorCode::NoHolder.into(), "{error:?}");
    assert_eq!(liar.asked(), 1, "the first chunks, with P, before anything is known of the pages; no page");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_encoded_as_nobody_encodes_them() {
    let frames = [Frame::Garbage, Frame::Broken, Frame::Bomb, Frame::Window, Frame::Nothing, Frame::Short];
    for (seed, frame) in (18..).zip(frames) {
        arrives_all_the_same(seed, Lie::Encoded(frame)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_encoded_as_nobody_encodes_them() {
    for (seed, frame) in (30..).zip([Frame::Garbage, Frame::Bomb, Frame::Window, Frame::Short]) {
        let (cluster, link, mut alice, liar) = with_liar(seed, Lie::EncodedPages(frame)).await;
        alice.stop().await;
        let bob = cluster.user("bob").await;
        let error = bob.get("alice", "film.mkv").await.expect_err("nothing right is to be had");
        assert_eq!(error.code, ErrorCode::NoHolder.into(), "{frame:?}: {error:?}");
        assert!(liar.asked() > 0, "{frame:?}");
        link.set_rate(0);
        alice.start_again().await;
        alice.wait_for_holders("alice", "film.mkv", 2).await;
        let got = bob.get("alice", "film.mkv").await.expect("from Alice");
        assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(seed, SIZE), "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_asked_for_and_without_right_ones_the_file_comes_all_the_same() {
    for (seed, lie) in [(40, Lie::None), (41, Lie::WrongBlocks), (42, Lie::NoBlocks)] {
        let (cluster, _link, mut alice, liar) = with_liar(seed, lie).await;
        alice.stop().await;
        let bob = cluster.user("bob").await;
        let got = bob.get("alice", "film.mkv").await.expect("all but the blocks is right");
        assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(seed, SIZE), "{lie:?}");
        assert!(got.sources.iter().all(|source| source.node == liar.id()), "{lie:?}: {got:?}");
        assert_eq!(liar.asked_for_blocks(), 1, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_right_blocks_and_one_wrong_byte_nothing_is_installed() {
    let (cluster, link, mut alice, liar) = with_liar(43, Lie::OneWrongByte).await;
    alice.stop().await;
    let bob = cluster.user("bob").await;
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until(|progress| progress.stage == Stage::Waiting && progress.note.is_some()).await;
    assert_eq!(liar.asked_for_blocks(), 1);
    assert!(!bob.download_path("alice", "film.mkv").exists());
    link.set_rate(0);
    alice.start_again().await;
    let got = get.end().await.expect("Alice is back");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(43, SIZE));
}
