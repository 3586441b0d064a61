//! Every answer.

use certs::UnixMillis;
use serde::Serialize;
use serde_bytes::ByteBuf;
use wire::message::{
    Answer, DataFollows, Empty, Enrolled, Entry, Event, FollowOutcome, FollowOutcomeKind, Following, Granted,
    HeldRoot, Hello, HolderInfo, Located, OnlineNode, OnlineUser, Outcome, OutcomeKind, Page, Probed,
    Registered, Run, WhoPage,
};
use wire::{ErrorBody, ErrorCode, Kind, limits, record_hash};

use super::Case;
use super::requests::{address, hello};
use super::world::{self, NOW};

pub(crate) fn cases() -> Vec<Case> {
    [session(), following(), resources(), downloads(), lists(), errors(), events(), refused()]
        .into_iter()
        .flatten()
        .collect()
}

fn head(name: &str, about: &str, to: &str) -> Case {
    let limit = match to {
        "hello" | "signup" | "login" => limits::FRAME_BYTES,
        _ => limits::MEMBER_FRAME_BYTES,
    };
    Case::new(&format!("answer-{name}"), "answer", about).header("to", to).header("limit", limit)
}

fn case(name: &str, about: &str, to: &str, body: impl Serialize) -> Case {
    head(name, about, to).value(&Answer::A(body))
}

fn session() -> Vec<Case> {
    let index = Hello {
        enrolment: None,
        certificate: Some(ByteBuf::from(world::certificate().bytes())),
        addresses: vec![address("192.0.2.2:4820")],
        seen: Some(address("192.0.2.1:4821")),
        renewed: Some(ByteBuf::from(world::enrolment().to_bytes())),
        ..hello()
    };
    let peer = Hello { seen: Some(address("[2001:db8::2]:4822")), ..hello() };
    let enrolled = || Enrolled { enrolment: ByteBuf::from(world::enrolment().to_bytes()) };
    let node = |address| OnlineNode { node: world::alice().public(), address, since: NOW };
    let users = vec![OnlineUser {
        user: "alice".parse().expect("a name"),
        nodes: vec![
            node(Some(address("192.0.2.1:4821"))),
            OnlineNode { node: world::bob().public(), address: None, since: NOW.plus(1) },
        ],
    }];
    vec![
        case("hello-index", "The index's answer to hello, with a renewed enrolment.", "hello", index),
        case("hello-peer", "A peer's answer to hello.", "hello", peer),
        case("signup", "The answer to signup; to login and renew it is the same.", "signup", enrolled()),
        case("logout", "The answer to logout; to ping it is the same.", "logout", Empty {}),
        case(
            "who",
            "The answer to who: one user with two nodes, and more users.",
            "who",
            WhoPage { users, next: Some(ByteBuf::from([1, 2])) },
        ),
        case(
            "who-nobody",
            "The answer to who: nobody, and nothing more.",
            "who",
            WhoPage { users: Vec::new(), next: None },
        ),
    ]
}

fn following() -> Vec<Case> {
    let outcome = |outcome, bundle| FollowOutcome { outcome, bundle };
    let outcomes = vec![
        outcome(FollowOutcomeKind::Same, None),
        outcome(FollowOutcomeKind::Other, Some(world::bundle())),
        outcome(FollowOutcomeKind::NotFound, None),
    ];
    vec![
        case("follow", "The answer to follow: one of each outcome.", "follow", Following { outcomes }),
        case("unfollow", "The answer to unfollow; to events it is the same.", "unfollow", Empty {}),
        head("E-follow-no-events", "An error: nobody would be told.", "follow")
            .header("error", "not-found")
            .value(&Answer::<Empty>::E(ErrorBody::new(ErrorCode::NotFound, "no events stream is open"))),
    ]
}

fn events() -> Vec<Case> {
    use ciborium::Value;
    let event = |name: &str, about: &str| {
        Case::new(&format!("event-{name}"), "event", about).header("limit", limits::EVENT_BYTES)
    };
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
    };
    let bundle = || Value::serialized(&world::bundle()).expect("a value");
    let refused = |name: &str, about: &str| event(&format!("refused-{name}"), about).expect("bad-message");
    vec![
        event("record", "A new record.").value(&Event::Record(world::bundle())),
        event("later", "An event of a later version: it is ignored.")
            .header("form", "another")
            .value(&map(vec![("closing", Value::Null)])),
        refused("two", "Two events in one frame.")
            .value(&map(vec![("record", bundle()), ("later", bundle())])),
        refused("none", "No event in a frame.").value(&map(vec![])),
        refused("no-record", "A bundle without a record.").value(&map(vec![("record", map(vec![]))])),
        refused("array", "An array in place of a map.").value(&Value::Array(vec!["record".into(), bundle()])),
        refused("large", "A length over the limit.")
            .expect("too-large")
            .raw(&65_537_u32.to_be_bytes(), "a frame of 65,537 bytes"),
    ]
}

fn resources() -> Vec<Case> {
    let receipt = || Some(ByteBuf::from(world::receipt().bytes()));
    let outcome =
        |outcome| Outcome { outcome, receipt: receipt(), certificate: None, winner: None, error: None };
    let winner = Some(ByteBuf::from(world::record().bytes()));
    let refused = ErrorBody::new(ErrorCode::NotOwner, "the resource is another account's");
    let outcomes = vec![
        outcome(OutcomeKind::Created),
        outcome(OutcomeKind::Updated),
        outcome(OutcomeKind::Unchanged),
        Outcome { winner, ..outcome(OutcomeKind::Superseded) },
        Outcome { receipt: None, error: Some(refused), ..outcome(OutcomeKind::Refused) },
    ];
    let start = Registered { want_records: true, want_holdings: false, outcomes: Vec::new() };
    vec![
        case("R-start", "The answer to R start: send records.", "R", start),
        case(
            "R-records",
            "The answer to R with five records, one of each outcome.",
            "R",
            Registered::from(outcomes),
        ),
        case(
            "R-holds",
            "The answer to R with holdings; to D with holdings it is the same.",
            "R",
            Registered::default(),
        ),
        head("R-defaults", "The same from a writer that leaves out what is default.", "R")
            .header("form", "another")
            .value(&Answer::A(Empty {})),
    ]
}

fn downloads() -> Vec<Case> {
    let holder = HolderInfo {
        node: world::alice().public(),
        user: "alice".parse().expect("a name"),
        addresses: vec![address("192.0.2.1:4821")],
        whole: true,
    };
    let located = Located { bundle: world::bundle(), holders: vec![holder], next: None };
    let root = world::record_body().root.expect("a file");
    let granted = |chunks| Granted { roots: vec![HeldRoot { root, chunks }], others: false };
    let root_length = world::manifest_of(&world::file()).root_bytes.len() as u64;
    vec![
        case("P-resource", "The answer to P resource: one holder.", "P resource", located),
        case("P-grant", "The answer to P grant: one manifest, all of its chunks.", "P grant", granted(None)),
        case(
            "P-grant-part",
            "The answer to P grant: chunks 0 to 2 and chunk 5.",
            "P grant",
            granted(Some(vec![Run(0, 3), Run(5, 1)])),
        ),
        case(
            "P-grant-others",
            "The answer to P grant of one that gives the content to others, too.",
            "P grant",
            Granted { others: true, ..granted(None) },
        ),
        case("P-probe", "The answer to P probe.", "P probe", Probed { whole: false }),
        case(
            "G-root",
            "The answer to G for a root; the root follows.",
            "G",
            DataFollows { length: root_length, runs: None, zstd: false },
        ),
        case(
            "G-runs",
            "The answer to G for chunks 0 to 2 and 5: only 0 and 1 follow.",
            "G",
            DataFollows { length: 40_000, runs: Some(vec![Run(0, 2)]), zstd: false },
        ),
        case(
            "G-zstd",
            "The answer to G for chunk 5: one frame of Zstandard with 4,096 bytes in it follows.",
            "G",
            DataFollows { length: 4096, runs: Some(vec![Run(5, 1)]), zstd: true },
        ),
    ]
}

fn lists() -> Vec<Case> {
    let record = world::record();
    let entry = Entry {
        owner: record.user.clone(),
        account: record.account,
        name: record.name.clone(),
        kind: Kind::File,
        version: record.version,
        revision: record.revision,
        size: record.size,
        mtime: record.mtime,
        accepted: UnixMillis(NOW.0 + 5000),
        content: record.content,
        record: record_hash(&record),
        node: record.node,
        holders: 2,
        online: 1,
        published: None,
    };
    let version = Entry { published: Some(record.published), ..entry.clone() };
    let tombstone = world::tombstone();
    let gone = Entry {
        kind: Kind::Gone,
        version: tombstone.version,
        size: 0,
        mtime: tombstone.mtime,
        content: None,
        record: record_hash(&tombstone),
        holders: 0,
        online: 0,
        ..entry.clone()
    };
    let page = |items, next| Page { items, next, source: "index".to_owned(), age_ms: 0 };
    vec![
        case(
            "L",
            "The answer to L; to S it is the same.",
            "L",
            page(vec![entry], Some(ByteBuf::from([1, 2, 3]))),
        ),
        case("L-gone", "The answer to L with gone: a tombstone.", "L", page(vec![gone], None)),
        case("L-versions", "The answer to L with versions.", "L", page(vec![version], None)),
        case("S-nothing", "The answer to S: nothing matches.", "S", page(Vec::new(), None)),
    ]
}

fn errors() -> Vec<Case> {
    let error = |name: &str, about: &str, to: &str, error: ErrorBody| {
        let code = error.code;
        head(&format!("E-{name}"), about, to).header("error", code.name()).value(&Answer::<Empty>::E(error))
    };
    let later = ErrorBody::new(ErrorCode::Unknown(4711), "something new");
    vec![
        error(
            "not-found",
            "An error.",
            "P resource",
            ErrorBody::new(ErrorCode::NotFound, "there is no alice/report.pdf"),
        ),
        error(
            "busy",
            "An error with a time to wait.",
            "G",
            ErrorBody::new(ErrorCode::Busy, "too many readers").retry_after(250),
        ),
        error(
            "busy-queue",
            "An error with a time to wait and a place in a queue.",
            "G",
            ErrorBody::new(ErrorCode::Busy, "too many readers").retry_after(250).queue_place(3),
        ),
        error(
            "later",
            "An error with a number of a later version; it is treated like internal.",
            "ping",
            later,
        ),
    ]
}

fn refused() -> Vec<Case> {
    use ciborium::Value;
    let refused = |name: &str, about: &str, to: &str, value: &Value| {
        head(&format!("refused-{name}"), about, to).expect("bad-message").value(value)
    };
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
    };
    let a = |entries| map(vec![("A", map(entries))]);
    let e = |entries| map(vec![("E", map(entries))]);
    let run = |numbers: &[u64]| Value::Array(numbers.iter().copied().map(Value::from).collect());
    let held = |chunks: Value| {
        let root = Value::Bytes(vec![7; 32]);
        Value::Array(vec![map(vec![("root", root), ("chunks", chunks)])])
    };
    let outcome = |outcome: Value| a(vec![("outcomes", Value::Array(vec![map(vec![("outcome", outcome)])]))]);
    let node = |number: u8| {
        let key = certs::SecretKey::from_seed([number; 32]);
        map(vec![("node", world::kid(&key)), ("since", 0.into())])
    };
    let nodes = Value::Array((1..=65).map(node).collect());
    let users = Value::Array(vec![map(vec![("user", "alice".into()), ("nodes", nodes)])]);
    let roots = Value::Array(vec![map(vec![("root", Value::Bytes(vec![7; 32]))]); 9]);
    let bundle = Value::serialized(&world::bundle()).expect("a value");
    let follow = |outcome: &str, bundle: Option<Value>| {
        let entries =
            [("outcome", Value::from(outcome))].into_iter().chain(bundle.map(|bundle| ("bundle", bundle)));
        a(vec![("outcomes", Value::Array(vec![map(entries.collect())]))])
    };
    let many = Value::Array(vec![map(vec![("outcome", "same".into())]); 129]);
    let overlapping = Value::Array(vec![run(&[0, 3]), run(&[2, 1])]);
    vec![
        refused("neither", "Neither A nor E.", "ping", &map(vec![("R", map(vec![]))])),
        refused("both", "A and E.", "ping", &map(vec![("A", map(vec![])), ("E", map(vec![]))])),
        refused("E-no-text", "An error without a text.", "ping", &e(vec![("code", 1.into())])),
        refused(
            "E-code",
            "An error whose code is a word.",
            "ping",
            &e(vec![("code", "busy".into()), ("text", "".into())]),
        ),
        refused("outcome", "An unknown outcome.", "R", &outcome("merged".into())),
        refused(
            "outcome-map",
            "A map in place of an outcome's word.",
            "R",
            &outcome(map(vec![("created", Value::Null)])),
        ),
        refused("who-nodes", "A user with 65 nodes.", "who", &a(vec![("users", users)])),
        refused(
            "P-grant-none",
            "A grant without a root.",
            "P grant",
            &a(vec![("roots", Value::Array(vec![]))]),
        ),
        refused("P-grant-roots", "Nine roots.", "P grant", &a(vec![("roots", roots)])),
        refused("P-grant-runs", "Runs that overlap.", "P grant", &a(vec![("roots", held(overlapping))])),
        refused("follow-bundle", "Another record, but which?", "follow", &follow("other", None)),
        refused("follow-same", "A record that is not another.", "follow", &follow("same", Some(bundle))),
        refused("follow-outcome", "An unknown outcome.", "follow", &follow("gone", None)),
        refused("follow-many", "129 outcomes.", "follow", &a(vec![("outcomes", many)])),
        refused("G-no-length", "An answer to G without a length.", "G", &a(vec![])),
    ]
}
