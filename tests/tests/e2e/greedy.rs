//! Members that ask for what they may not have, or for more than their part.

use p2p_node_tests::fixtures;
use p2p_node_tests::hostile::{Member, ask, manifest_of};
use p2p_node_tests::{Cluster, PATIENCE, in_time, wait_until};
use quinn::{Connection, RecvStream};
use wire::manifest::{Layout, Manifest};
use wire::message::{
    Answer, DataFollows, Empty, GetData, Granted, Hello, List, Page, Probe, Probed, RecordBundle, Register,
    Registered, Request, RequestDownload, Reserved, ResourceQuery, Run,
};
use wire::{ErrorBody, ErrorCode, RootHash, frame, limits, record_hash};

use super::hostile::{Victims, refused_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_was_ended_lets_nobody_into_the_index() {
    let victims = Victims::start(8).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    ask::<Empty>(mallory.index(), &Request::Logout(Empty {})).await.expect("logged out");
    let connection = mallory.stranger().dial(victims.cluster.index.address()).await;
    let code = refused_with(ask::<Hello>(&connection, &Request::Hello(mallory.hello())).await);
    assert_eq!(code, ErrorCode::NotMember);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gives_only_what_was_asked_for_in_order() {
    let victims = Victims::start(9).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let connection = mallory.connect(victims.alice.address()).await;
    let owner = "alice".parse().expect("a name");
    let resource = ResourceQuery::latest(owner, "film.mkv".parse().expect("a name"));
    let bundle = mallory.client().locate(resource).await.expect("located").bundle;
    let record = wire::SignedRecord::parse(&bundle.record).expect("a record");
    let root = record.root.expect("a file");
    let get = |root| GetData::root_of(record_hash(&record), root);
    let code = async |request: Request| refused_with(ask::<Reserved>(&connection, &request).await);

    assert_eq!(code(Request::G(get(root))).await, ErrorCode::NotFound, "P comes first");
    let grant = |bundle: RecordBundle| {
        Request::P(RequestDownload { grant: Some(bundle), ..RequestDownload::default() })
    };
    let bare = RecordBundle { receipt: None, ..bundle.clone() };
    assert_eq!(code(grant(bare)).await, ErrorCode::BadRecord, "neither receipt nor membership");
    let mut forged = bundle.clone();
    *forged.record.last_mut().expect("bytes") ^= 1;
    assert_eq!(code(grant(forged)).await, ErrorCode::BadRecord);
    let granted: Granted = ask(&connection, &grant(bundle)).await.expect("granted");
    assert_eq!(granted.roots[0].root, root);

    assert_eq!(code(Request::G(get(RootHash::of(b"another")))).await, ErrorCode::NotFound);
    for (runs, expected) in [
        (vec![Run(0, u32::MAX)], ErrorCode::OutOfRange),
        (vec![Run(1 << 20, 1)], ErrorCode::OutOfRange),
        (vec![Run(1, 1), Run(0, 1)], ErrorCode::BadMessage),
        (vec![Run(0, 0)], ErrorCode::BadMessage),
        (Vec::new(), ErrorCode::BadMessage),
    ] {
        let request = Request::G(GetData { runs: Some(runs.clone()), ..get(root) });
        // Three that cannot be read close a connection, so each has its own.
        let own = mallory.connect(victims.alice.address()).await;
        let bundle = mallory.client().locate(film()).await.expect("located").bundle;
        ask::<Granted>(&own, &grant(bundle)).await.expect("granted");
        assert_eq!(refused_with(ask::<Reserved>(&own, &request).await), expected, "{runs:?}");
    }
    let content = record.content.expect("a file");
    let probe = Probe { content, asker: mallory.id(), user: "mallory".parse().expect("a name") };
    let probe = Request::P(RequestDownload { probe: Some(probe), ..RequestDownload::default() });
    let asked = mallory.connect(victims.alice.address()).await;
    assert_eq!(refused_with(ask::<Probed>(&asked, &probe).await), ErrorCode::NotAllowed);
    let list = Request::L(List::default());
    assert_eq!(refused_with(ask::<Page>(&asked, &list).await), ErrorCode::Unsupported);
    victims.are_well().await;
}

fn film() -> ResourceQuery {
    let owner = "alice".parse().expect("a name");
    ResourceQuery::latest(owner, "film.mkv".parse().expect("a name"))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_network_open_nothing_at_a_peer() {
    let victims = Victims::start(10).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let elsewhere = Cluster::start().await;
    let there = elsewhere.user("alice").await;
    there.share(&victims.cluster.path("film.mkv")).await.expect("the same file, in another network");
    let spy = Member::sign_up(&elsewhere, "spy").await;
    let bundle = spy.client().locate(film()).await.expect("located").bundle;
    let connection = mallory.connect(victims.alice.address()).await;
    let request = Request::P(RequestDownload { grant: Some(bundle), ..RequestDownload::default() });
    assert_eq!(refused_with(ask::<Granted>(&connection, &request).await), ErrorCode::BadRecord);
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_of_one_do_not_hold_up_others() {
    let victims = Victims::start(11).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    for connection in [mallory.connect(victims.alice.address()).await, mallory.index().clone()] {
        let mut open = Vec::new();
        // As many as it is allowed.
        while let Ok(Ok((mut send, receive))) =
            tokio::time::timeout(std::time::Duration::from_millis(200), connection.open_bi()).await
        {
            send.write_all(&[0, 0]).await.expect("half a length");
            open.push((send, receive));
        }
        assert!(open.len() <= 128, "{}", open.len());
        victims.alice.list().await.expect("answered");
        std::mem::forget(open);
    }
    victims.are_well().await;
}

/// Asks for chunks and reads no more than the head of the answer.
pub(super) async fn begin_upload(
    connection: &Connection,
    request: &Request,
) -> Result<RecvStream, ErrorBody> {
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    frame::write(&mut send, request, limits::MEMBER_FRAME_BYTES).await.expect("asked");
    let head = frame::read::<Answer<DataFollows>>(&mut receive, limits::MEMBER_FRAME_BYTES);
    match in_time("the head of an answer", head).await.expect("an answer") {
        Answer::A(_) => Ok(receive),
        Answer::E(body) => Err(body),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_what_it_asks_for_runs_out_of_places() {
    let victims = Victims::start(14).await;
    // Larger than a window, so that nothing of it ends by itself.
    let path = fixtures::file(&victims.cluster.path("film.mkv"), 15, 8 << 20);
    victims.alice.share(&path).await.expect("shared");
    let Manifest { root, pages, .. } = manifest_of(&path).manifest;
    let layout = Layout::assemble(root, pages.iter().map(|page| &**page)).expect("a manifest");
    let chunks = layout.chunks.len();
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let connection = mallory.connect(victims.alice.address()).await;
    let bundle = mallory.client().locate(film()).await.expect("located").bundle;
    let grant = record_hash(&wire::SignedRecord::parse(&bundle.record).expect("a record"));
    let shown = RequestDownload { grant: Some(bundle), ..RequestDownload::default() };
    let granted: Granted = ask(&connection, &Request::P(shown)).await.expect("granted");
    let root = granted.roots[0].root;
    let runs = Some(vec![Run(0, chunks)]);
    let request = Request::G(GetData { runs, ..GetData::root_of(grant, root) });
    let mut open = Vec::new();
    let body = loop {
        match begin_upload(&connection, &request).await {
            Ok(stream) => open.push(stream),
            Err(body) => break body,
        }
    };
    assert_eq!((open.len(), body.code), (16, ErrorCode::Busy));
    assert!(body.retry_after_ms.is_some(), "{body:?}");
    // Others have theirs, and one that is given up is free again.
    victims.are_well().await;
    let mut given_up = open.pop().expect("16 are open");
    given_up.stop(0_u32.into()).expect("it is open");
    wait_until(PATIENCE, "a place is free", async || begin_upload(&connection, &request).await.map(drop))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_it_holds_and_answers_nothing_is_no_holder() {
    let victims = Victims::start(12).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let path = fixtures::file(&victims.cluster.path("other.mkv"), 13, 1000);
    let imported = manifest_of(&path);
    let record = mallory.sign(mallory.record("other.mkv", &imported));
    mallory.register(&[record]).await;
    mallory.hold(imported.content).await;
    let bob = victims.cluster.user("bob").await;
    let error = bob.get("mallory", "other.mkv").await.expect_err("she does not answer");
    assert_eq!(error.code, ErrorCode::NoHolder.into());
}

/// A local address that is not loopback, if this machine has one: only such are counted. No packet is sent.

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_batch_and_one_too_large() {
    let victims = Victims::start(14).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let record = mallory.sign(mallory.record("x", &manifest_of(&victims.cluster.path("film.mkv"))));
    let bundle = RecordBundle::bare(record.bytes());
    let register =
        |count| Request::R(Register { records: Some(vec![bundle.clone(); count]), ..Register::default() });
    let many = ask::<Registered>(mallory.index(), &register(limits::BATCH_RECORDS + 1)).await;
    assert_eq!(refused_with(many), ErrorCode::TooLarge);
    let none: Registered = ask(mallory.index(), &register(0)).await.expect("nothing to do");
    assert!(none.outcomes.is_empty());
    let all: Registered =
        ask(mallory.index(), &register(limits::BATCH_RECORDS)).await.expect("as many as may be");
    assert_eq!(all.outcomes.len(), limits::BATCH_RECORDS);
    let mine = mallory.client().list(List::default()).await.expect("listed");
    assert_eq!(mine.items.len(), 2, "one resource, however often it is sent");
}
