//! Strangers: bytes that are no protocol, and requests of those who may not ask.

use certs::NodeId;
use index::CallError;
use p2p_node::options::Role;
use p2p_node_tests::fixtures;
use p2p_node_tests::hostile::{Member, Stranger, ask, frame_of, raw};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, in_time, wait_until};
use quinn::{Connection, ConnectionError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use tokio::task::JoinSet;
use wire::message::{
    Answer, Credentials, Deregister, Empty, Enrolled, Follow, GetData, Hello, List, Page, Probe,
    RecordBundle, Register, Request, RequestDownload, Reserved, ResourceQuery, Search, Unfollow, Who,
};
use wire::{ContentHash, ErrorCode, RecordHash, RootHash, cbor, frame, limits};

/// An index and a peer that shares `film.mkv`; both go on whatever is done to them.
pub(super) struct Victims {
    pub(super) cluster: Cluster,
    pub(super) alice: TestNode,
}

impl Victims {
    pub(super) async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let alice = cluster.user("alice").await;
        let path = fixtures::file(&cluster.path("film.mkv"), seed, 300_000);
        alice.share(&path).await.expect("shared");
        Self { cluster, alice }
    }

    pub(super) fn addresses(&self) -> [SocketAddr; 2] {
        [self.cluster.index.address(), self.alice.address()]
    }

    /// Somebody new can sign up and get the file.
    pub(super) async fn are_well(&self) {
        let bob = self.cluster.user("bob").await;
        bob.get("alice", "film.mkv").await.expect("everything works");
    }
}

/// The code of the E in a frame.
fn code_in(frame: &[u8]) -> ErrorCode {
    let content = frame.get(4..).unwrap_or_else(|| panic!("no frame: {frame:?}"));
    match cbor::decode::<Answer<Reserved>>(content, limits::MEMBER_FRAME_BYTES) {
        Ok(Answer::E(body)) => body.code,
        other => panic!("no E: {other:?}"),
    }
}

/// The code by which the far end closes the connection.
pub(super) async fn closed_with(connection: &Connection) -> ErrorCode {
    match in_time("the end of a connection", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            ErrorCode::from_number(u32::try_from(close.error_code.into_inner()).expect("a code"))
        }
        other => panic!("closed otherwise: {other}"),
    }
}

pub(super) fn refused_with<T: std::fmt::Debug>(answer: Result<T, CallError>) -> ErrorCode {
    match answer {
        Err(CallError::Refused(body)) => body.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_instead_of_hello() {
    let victims = Victims::start(1).await;
    let stranger = Stranger::new(victims.cluster.ip());
    for address in victims.addresses() {
        let socket = UdpSocket::bind((victims.cluster.ip(), 0)).expect("a socket");
        for seed in 0..200 {
            let size = 1 + (seed as usize * 37) % 1400;
            socket.send_to(&fixtures::bytes(seed, size), address).expect("sent");
        }
        for seed in 0..20 {
            let connection = stranger.dial(address).await;
            let answer = raw(&connection, &fixtures::bytes(seed, 1 + seed as usize * 700)).await;
            if let Ok(answer) = answer
                && !answer.is_empty()
            {
                assert!(matches!(code_in(&answer), ErrorCode::BadMessage | ErrorCode::TooLarge));
            }
            let code = closed_with(&connection).await;
            assert!(matches!(code, ErrorCode::BadMessage | ErrorCode::TooLarge), "seed {seed}: {code}");
        }
    }
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_no_hello_is_hung_up_on() {
    let victims = Victims::start(2).await;
    let stranger = Stranger::new(victims.cluster.ip());
    for address in victims.addresses() {
        let rude = stranger.dial(address).await;
        assert_eq!(
            refused_with(ask::<Page>(&rude, &Request::L(List::default())).await),
            ErrorCode::BadMessage
        );
        assert_eq!(closed_with(&rude).await, ErrorCode::BadMessage);
        let silent = stranger.dial(address).await;
        assert_eq!(closed_with(&silent).await, ErrorCode::BadMessage);
        let slow = stranger.dial(address).await;
        let (mut send, _receive) = slow.open_bi().await.expect("a stream");
        send.write_all(&[0, 0, 1]).await.expect("the beginning of a length");
        assert_eq!(closed_with(&slow).await, ErrorCode::BadMessage);
    }
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_bad_messages_close_the_connection() {
    let victims = Victims::start(3).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let bad = [
        (frame_of(b"this is no CBOR"), ErrorCode::BadMessage),
        ([&[0, 0, 0, 100][..], b"too short"].concat(), ErrorCode::BadMessage),
        (vec![0xff; 64], ErrorCode::TooLarge),
    ];
    for address in victims.addresses() {
        let connection = match address == victims.cluster.index.address() {
            true => {
                Stranger::new(victims.cluster.ip()).greeted(address, victims.cluster.index.network()).await
            }
            false => mallory.connect(address).await,
        };
        for (bytes, code) in &bad {
            assert!(connection.close_reason().is_none());
            assert_eq!(code_in(&raw(&connection, bytes).await.expect("an answer")), *code);
        }
        closed_with(&connection).await;
    }
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cbor_that_is_not_ours() {
    let victims = Victims::start(4).await;
    let index = victims.cluster.index.address();
    let network = victims.cluster.index.network();
    let nested = [vec![0x81; 64], vec![0x00]].concat();
    for (what, content) in [
        ("nothing", &b""[..]),
        ("a number", b"\x01"),
        ("no entry", b"\xa0"),
        ("two entries", b"\xa2\x61L\xa0\x61S\xa0"),
        ("the same key twice", b"\xa1\x61L\xa2\x65limit\x01\x65limit\x02"),
        ("an indefinite length", b"\xbf\x61L\xa0\xff"),
        ("a byte too many", b"\xa1\x61L\xa0\x00"),
        ("a letter that is none", b"\xa1\x61Z\xa0"),
        ("a number where a map should be", b"\xa1\x61L\x05"),
        ("a string of 4 GiB", b"\xa1\x61S\xa1\x65query\x7a\xff\xff\xff\xff"),
        ("an array of 2^64", b"\xa1\x61R\xa1\x67records\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("depth", &nested),
    ] {
        let connection = Stranger::new(victims.cluster.ip()).greeted(index, network).await;
        let answer = raw(&connection, &frame_of(content)).await.expect(what);
        let code = code_in(&answer);
        assert!(matches!(code, ErrorCode::BadMessage | ErrorCode::Unsupported), "{what}: {code}");
        ask::<Empty>(&connection, &Request::Ping(Empty {})).await.expect("one is forgiven");
    }
    let connection = Stranger::new(victims.cluster.ip()).greeted(index, network).await;
    for reserved in ["passwd", "invite"] {
        let length = u8::try_from(reserved.len()).expect("short");
        let content = [&[0xa1, 0x60 + length][..], reserved.as_bytes(), &[0xa0]].concat();
        let code = code_in(&raw(&connection, &frame_of(&content)).await.expect("an answer"));
        assert_eq!(code, ErrorCode::Unsupported, "{reserved}");
    }
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_send_large_frames() {
    let victims = Victims::start(5).await;
    let index = victims.cluster.index.address();
    let connection =
        Stranger::new(victims.cluster.ip()).greeted(index, victims.cluster.index.network()).await;
    let large = frame_of(&vec![0; limits::FRAME_BYTES + 1]);
    assert_eq!(code_in(&raw(&connection, &large).await.expect("an answer")), ErrorCode::TooLarge);
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let again = mallory.connect(index).await;
    let first = raw(&again, &large).await.expect("an answer");
    assert_eq!(code_in(&first), ErrorCode::BadMessage, "a member's is read, from the first on");
    let larger = frame_of(&vec![0; limits::MEMBER_FRAME_BYTES + 1]);
    assert_eq!(code_in(&raw(&again, &larger).await.expect("an answer")), ErrorCode::TooLarge);
    assert_eq!(code_in(&raw(&again, &larger).await.expect("an answer")), ErrorCode::TooLarge);
    assert_eq!(closed_with(&again).await, ErrorCode::BadMessage, "the third that cannot be read");
    let silent = Stranger::new(victims.cluster.ip()).dial(index).await;
    assert_eq!(code_in(&raw(&silent, &large).await.expect("an answer")), ErrorCode::TooLarge);
    assert_eq!(closed_with(&silent).await, ErrorCode::TooLarge, "there is no second try for hello");
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_cancelled_before_they_are_whole_are_no_bad_ones() {
    let victims = Victims::start(13).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    for _ in 0..=limits::BAD_MESSAGES {
        let (mut send, mut receive) = mallory.index().open_bi().await.expect("a stream");
        send.write_all(&[0, 0, 0, 7, 0xa1]).await.expect("sent");
        send.reset(ErrorCode::Cancelled.number().into()).expect("open");
        let code = receive.read_to_end(9).await.expect_err("reset as well");
        let reset = quinn::ReadError::Reset(ErrorCode::Cancelled.number().into());
        assert_eq!(code, quinn::ReadToEndError::Read(reset));
    }
    ask::<Empty>(mallory.index(), &Request::Ping(Empty {})).await.expect("nothing happened");
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_membership_nothing_is_answered() {
    let victims = Victims::start(6).await;
    let network = victims.cluster.index.network();
    let stranger = Stranger::new(victims.cluster.ip());

    let at_peer = stranger.dial(victims.alice.address()).await;
    let hello = Request::Hello(stranger.hello(network));
    assert_eq!(refused_with(ask::<Hello>(&at_peer, &hello).await), ErrorCode::NotMember);
    assert_eq!(closed_with(&at_peer).await, ErrorCode::NotMember);

    let at_index = stranger.greeted(victims.cluster.index.address(), network).await;
    let owner = "alice".parse().expect("a name");
    let resource = ResourceQuery::latest(owner, "film.mkv".parse().expect("a name"));
    let content = ContentHash::of(b"film");
    let probe = Probe { content, asker: stranger.id(), user: "alice".parse().expect("a name") };
    let bundle = RecordBundle::bare(Vec::new());
    let (grant, root) = (RecordHash::from_bytes([7; 32]), RootHash::of(b"film"));
    let data = GetData::root_of(grant, root);
    for request in [
        Request::L(List::default()),
        Request::S(Search { query: "film".to_owned(), ..Search::default() }),
        Request::Who(Who::default()),
        Request::Events(Empty {}),
        Request::Follow(Follow { resources: Vec::new() }),
        Request::Unfollow(Unfollow { resources: Vec::new() }),
        Request::P(RequestDownload { resource: Some(resource), ..RequestDownload::default() }),
        Request::P(RequestDownload { grant: Some(bundle), ..RequestDownload::default() }),
        Request::P(RequestDownload { probe: Some(probe), ..RequestDownload::default() }),
        Request::G(data),
        Request::R(Register { records: Some(Vec::new()), ..Register::default() }),
        Request::D(Deregister { holding: Some(Vec::new()), ..Deregister::default() }),
        Request::Renew(Empty {}),
        Request::Logout(Empty {}),
    ] {
        let code = refused_with(ask::<Reserved>(&at_index, &request).await);
        assert_eq!(code, ErrorCode::NotMember, "{}", request.name());
    }
    let again = Request::Hello(stranger.hello(network));
    assert_eq!(refused_with(ask::<Hello>(&at_index, &again).await), ErrorCode::BadMessage);
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_of_others_are_worth_nothing() {
    let victims = Victims::start(7).await;
    let elsewhere = Cluster::start().await;
    let foreign = Member::sign_up(&elsewhere, "mallory").await;
    let victim = Member::sign_up(&victims.cluster, "victim").await;
    let network = victims.cluster.index.network();
    let thief = Stranger::new(victims.cluster.ip());
    for address in victims.addresses() {
        let say = async |stranger: &Stranger, hello: Hello| {
            let connection = stranger.dial(address).await;
            refused_with(ask::<Hello>(&connection, &Request::Hello(hello)).await)
        };
        assert_eq!(say(foreign.stranger(), foreign.hello()).await, ErrorCode::OtherNetwork);
        let claimed = Hello { network, ..foreign.hello() };
        assert_eq!(say(foreign.stranger(), claimed).await, ErrorCode::NotMember);
        let stolen = Hello { enrolment: victim.hello().enrolment, ..thief.hello(network) };
        assert_eq!(say(&thief, stolen).await, ErrorCode::NotMember);
        let nonsense = Hello { enrolment: Some(b"nonsense".to_vec().into()), ..thief.hello(network) };
        assert_eq!(say(&thief, nonsense).await, ErrorCode::NotMember);
    }
    victims.are_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_hear_the_answer_to_its_hello_is_not_online() {
    let victims = Victims::start(15).await;
    let mallory = Member::sign_up(&victims.cluster, "mallory").await;
    let connection = mallory.stranger().dial(victims.cluster.index.address()).await;
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    receive.stop(0_u32.into()).expect("open");
    frame::write(&mut send, &Request::Hello(mallory.hello()), limits::FRAME_BYTES).await.expect("sent");
    in_time("the new connection's turn", mallory.index().closed()).await;
    wait_until(PATIENCE, "mallory is gone", async || {
        let online = victims.alice.who().await.expect("an answer");
        let users: Vec<_> = online.iter().map(|user| user.user.to_string()).collect();
        if users == ["alice"] { Ok(()) } else { Err(users) }
    })
    .await;
    victims.are_well().await;
}

fn routable() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ups_is_held_back() {
    let Some(ip) = routable() else {
        return eprintln!("skipped: this machine has no address but loopback, which is not counted");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let role = Role::Index { signup_open: true };
    let index = TestNode::start_at(&folder.path().join("index"), SocketAddr::new(ip.into(), 0), role).await;
    let (address, network) = (index.address(), index.network());
    let mut codes = Vec::new();
    let mut tasks = JoinSet::new();
    for number in 0..140 {
        tasks.spawn(async move { sign_up_from(ip, address, network, format!("user-{number}")).await });
        if tasks.len() == 8 {
            codes.push(tasks.join_next().await.expect("some").expect("no panic"));
        }
    }
    while let Some(code) = tasks.join_next().await {
        codes.push(code.expect("no panic"));
    }
    let count = |code| codes.iter().filter(|&&found| found == code).count();
    assert!((100..=112).contains(&count(None)), "{codes:?}");
    assert!(count(Some(ErrorCode::RateLimited)) >= 20, "{codes:?}");
    let taken = sign_up_from(ip, address, network, "user-0".to_owned()).await;
    assert_eq!(taken, Some(ErrorCode::RateLimited));
}

async fn sign_up_from(ip: Ipv4Addr, index: SocketAddr, network: NodeId, user: String) -> Option<ErrorCode> {
    let connection = Stranger::new(ip).greeted(index, network).await;
    let user = user.parse().expect("a user name");
    let credentials = Credentials { user, password: "a good password".to_owned() };
    match index::call::<Enrolled>(&connection, &Request::Signup(credentials), PATIENCE).await {
        Ok(_) => None,
        Err(error) => Some(error.to_body().code),
    }
}
