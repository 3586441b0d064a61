//! Every request.

use serde_bytes::ByteBuf;
use wire::message::{
    Address, Credentials, Deregister, Empty, Follow, Followed, GetData, Grant, Held, Hello, Holds, List,
    Probe, Register, RegisterStart, Request, RequestDownload, ResourceKey, ResourceQuery, Run, Search,
    Unfollow, Who,
};
use wire::message::{holdings_digest, records_digest};
use wire::{ContentHash, InstanceId, Kind, PageHash, limits, record_hash};

use super::Case;
use super::world::{self, NOW};

pub(crate) fn cases() -> Vec<Case> {
    [session(), following(), resources(), downloads(), lists(), other_forms()].into_iter().flatten().collect()
}

fn case(name: &str, about: &str, request: &Request) -> Case {
    head(name, about, request.name()).value(request)
}

pub(super) fn head(name: &str, about: &str, message: &str) -> Case {
    let limit = match message {
        "hello" | "signup" | "login" => limits::FRAME_BYTES,
        _ => limits::MEMBER_FRAME_BYTES,
    };
    Case::new(&format!("request-{name}"), "request", about).header("message", message).header("limit", limit)
}

pub(super) fn address(text: &str) -> Address {
    Address::new(text.parse().expect("an address")).expect("usable")
}

pub(super) fn hello() -> Hello {
    Hello {
        minor: 0,
        features: Vec::new(),
        network: world::root().public(),
        enrolment: Some(ByteBuf::from(world::enrolment().to_bytes())),
        certificate: None,
        revocations: None,
        clock: NOW,
        instance: InstanceId::from_bytes([0x11; 16]),
        addresses: vec![address("192.0.2.1:4821"), address("[2001:db8::1]:4821")],
        seen: None,
        renewed: None,
    }
}

fn session() -> Vec<Case> {
    let stranger = Hello { enrolment: None, addresses: Vec::new(), ..hello() };
    let credentials =
        Credentials { user: "alice".parse().expect("a name"), password: "correct horse".to_owned() };
    vec![
        case("hello", "hello of a member.", &Request::Hello(hello())),
        case("hello-stranger", "hello of a node that is not enrolled.", &Request::Hello(stranger)),
        case("signup", "signup.", &Request::Signup(credentials.clone())),
        case("login", "login.", &Request::Login(credentials)),
        case("logout", "logout.", &Request::Logout(Empty {})),
        case("renew", "renew.", &Request::Renew(Empty {})),
        case("ping", "ping.", &Request::Ping(Empty {})),
        case("who", "who, without a limit.", &Request::Who(Who::default())),
        case(
            "who-page",
            "who, a later page.",
            &Request::Who(Who { limit: Some(10), cursor: Some(ByteBuf::from([1, 2, 3])) }),
        ),
    ]
}

pub(super) fn followed() -> Followed {
    let record = world::record();
    Followed { account: record.account, name: record.name.clone(), have: Some(record_hash(&record)) }
}

fn following() -> Vec<Case> {
    let Followed { account, name, .. } = followed();
    let other = Followed { have: None, ..followed() };
    let follow = Follow { resources: vec![followed(), other] };
    let unfollow = Unfollow { resources: vec![ResourceKey { account, name }] };
    vec![
        case("events", "events.", &Request::Events(Empty {})),
        case(
            "follow",
            "follow of a resource of which the node has the record of record.hex, and of one of which it has none.",
            &Request::Follow(follow),
        ),
        case("follow-nothing", "follow of nothing.", &Request::Follow(Follow { resources: Vec::new() })),
        case("unfollow", "unfollow.", &Request::Unfollow(unfollow)),
    ]
}

pub(super) fn start() -> RegisterStart {
    let record = world::record();
    let content = record.content.expect("a file");
    RegisterStart {
        seq: NOW.0,
        records: records_digest([(&record.name, record_hash(&record))]),
        holdings: holdings_digest([Held { content, whole: true }]),
    }
}

pub(super) fn holds() -> Holds {
    let content = world::record_body().content.expect("a file");
    Holds { generation: NOW.0, contents: vec![Held { content, whole: true }], last: true }
}

fn plain(record: &wire::SignedRecord) -> Grant {
    Grant { record: ByteBuf::from(record.bytes()), receipt: None, certificate: None, enrolment: None }
}

fn resources() -> Vec<Case> {
    let register = |register: Register| Request::R(register);
    let deregister = |deregister: Deregister| Request::D(deregister);
    let content = world::record_body().content.expect("a file");
    vec![
        case(
            "R-start",
            "R, the first of a connection.",
            &register(Register { start: Some(start()), ..Default::default() }),
        ),
        case(
            "R-records",
            "R with the record of record.hex.",
            &register(Register { records: Some(vec![plain(&world::record())]), ..Default::default() }),
        ),
        case(
            "R-holds",
            "R with all that the node holds.",
            &register(Register { holds: Some(holds()), ..Default::default() }),
        ),
        case(
            "D-tombstones",
            "D with the tombstone of record-tombstone.hex.",
            &deregister(Deregister {
                tombstones: Some(vec![plain(&world::tombstone())]),
                ..Default::default()
            }),
        ),
        case(
            "D-holding",
            "D of a content that the node holds no more.",
            &deregister(Deregister { holding: Some(vec![content]), ..Default::default() }),
        ),
    ]
}

pub(super) fn resource() -> ResourceQuery {
    ResourceQuery::latest("alice".parse().expect("a name"), "report.pdf".parse().expect("a name"))
}

pub(super) fn probe() -> Probe {
    Probe {
        content: ContentHash::of(&world::file()),
        asker: world::bob().public(),
        user: "bob".parse().expect("a name"),
    }
}

pub(super) fn get_data() -> GetData {
    GetData::root_of(record_hash(&world::record()), world::record_body().root.expect("a file"))
}

fn downloads() -> Vec<Case> {
    let download = |download: RequestDownload| Request::P(download);
    let of = |resource: ResourceQuery| {
        download(RequestDownload { resource: Some(resource), ..Default::default() })
    };
    let page = PageHash::of(&world::manifest_of(&world::file()).pages[0]);
    let later = ResourceQuery { version: Some(1), cursor: Some(ByteBuf::from([7])), ..resource() };
    vec![
        case("P-resource", "P to the index: the latest version.", &of(resource())),
        case("P-resource-more", "P to the index: more holders of version 1.", &of(later)),
        case(
            "P-resource-anyway",
            "P to the index: the record even where nobody can give the content.",
            &of(ResourceQuery { anyway: true, ..resource() }),
        ),
        case(
            "P-grant",
            "P to a holder, with record, receipt and certificate.",
            &download(RequestDownload { grant: Some(world::bundle()), ..Default::default() }),
        ),
        case(
            "P-probe",
            "P of the index to a holder.",
            &download(RequestDownload { probe: Some(probe()), ..Default::default() }),
        ),
        case("G-root", "G of a manifest root.", &Request::G(get_data())),
        case("G-page", "G of a manifest page.", &Request::G(GetData { page: Some(page), ..get_data() })),
        case(
            "G-runs",
            "G of chunks 0 to 2 and chunk 5.",
            &Request::G(GetData { runs: Some(vec![Run(0, 3), Run(5, 1)]), ..get_data() }),
        ),
        case("G-blocks", "G of the blocks of a file.", &Request::G(GetData { blocks: true, ..get_data() })),
        case(
            "G-zstd",
            "G of chunk 5, which may come encoded.",
            &Request::G(GetData { runs: Some(vec![Run(5, 1)]), zstd: true, ..get_data() }),
        ),
    ]
}

fn lists() -> Vec<Case> {
    let all = List {
        limit: Some(1000),
        owner: Some("alice".parse().expect("a name")),
        name: Some("report.pdf".parse().expect("a name")),
        node: Some(world::alice().public()),
        kind: Some(Kind::File),
        online: true,
        gone: true,
        versions: false,
        cursor: Some(ByteBuf::from([1, 2, 3])),
    };
    let versions =
        List { owner: all.owner.clone(), name: all.name.clone(), versions: true, ..List::default() };
    let search = Search { query: "report owner:alice".to_owned(), ..Search::default() };
    vec![
        case("L", "L of everything.", &Request::L(List::default())),
        case("L-all-fields", "L with every field but versions.", &Request::L(all)),
        case("L-versions", "L of the versions of one resource.", &Request::L(versions)),
        case("S", "S.", &Request::S(search.clone())),
        case(
            "S-page",
            "S, a later page.",
            &Request::S(Search { limit: Some(1), online: true, cursor: Some(ByteBuf::from([9])), ..search }),
        ),
    ]
}

/// What a writer of this version does not write, and a reader accepts.
fn other_forms() -> Vec<Case> {
    use ciborium::Value;
    let text = |text: &str| Value::from(text);
    let body = |entries: Vec<(Value, Value)>| Value::Map(entries);
    let of = |message: &str, entries| Value::Map(vec![(text(message), body(entries))]);
    let another = |name: &str, about: &str, message: &str, value: &Value| {
        head(name, about, message).header("form", "another").value(value)
    };
    let hello = world::entries(&hello());
    let reversed = of("hello", hello.iter().rev().cloned().collect());
    let later = [(
        text("revocations"),
        body(vec![(text("epoch"), 3.into()), (text("hash"), Value::Bytes(vec![3; 32]))]),
    )];
    vec![
        another(
            "unknown-key",
            "A key of a later version is ignored.",
            "L",
            &of("L", vec![(text("later"), body(vec![(1.into(), Value::Null)]))]),
        ),
        another(
            "null",
            "null means that the field is absent.",
            "L",
            &of("L", vec![(text("limit"), Value::Null)]),
        ),
        another(
            "ping-more",
            "A key in a body without fields is ignored.",
            "ping",
            &of("ping", vec![(text("x"), 1.into())]),
        ),
        another("key-order", "The keys of a body come in any order.", "hello", &reversed),
        head("hello-revocations", "The reserved field of hello.", "hello")
            .value(&of("hello", [&hello[..4], &later, &hello[4..]].concat())),
    ]
}
