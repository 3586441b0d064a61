//! Requests that are refused, each with the code of the E.

use ciborium::Value;
use serde::Serialize;
use wire::limits;
use wire::message::{GetData, List, Request, Run, Search, Who};

use super::requests::{followed, get_data, head, hello, holds, probe, resource, start};
use super::{Case, world};

pub(crate) fn cases() -> Vec<Case> {
    [frames(), messages(), reserved(), hellos(), following(), fields(), alternatives(), bounds(), runs()]
        .into_iter()
        .flatten()
        .collect()
}

/// One whose content is well-formed CBOR.
pub(super) fn refused(name: &str, code: &str, about: &str, value: &impl Serialize) -> Case {
    head(&format!("refused-{name}"), about, "none").expect(code).value(value)
}

fn raw(name: &str, code: &str, about: &str, content: &[u8]) -> Case {
    let case = head(&format!("refused-{name}"), about, "none").expect(code);
    case.frame(content, |case| if content.is_empty() { case } else { case.raw(content, "") })
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}

pub(super) fn of(message: &str, entries: Vec<(&str, Value)>) -> Value {
    map(vec![(message, map(entries))])
}

fn value(body: &impl Serialize) -> Value {
    Value::serialized(body).expect("a value")
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn frames() -> Vec<Case> {
    let frame =
        |name: &str, code: &str, about: &str| head(&format!("refused-{name}"), about, "none").expect(code);
    let over = u32::try_from(limits::MEMBER_FRAME_BYTES + 1).expect("small");
    let stranger =
        Case::new("request-refused-frame-stranger", "request", "65,537 bytes of a node that is no member.")
            .expect("too-large")
            .header("message", "none")
            .header("limit", limits::FRAME_BYTES)
            .raw(&(65_537_u32).to_be_bytes(), "a frame of 65,537 bytes");
    vec![
        frame("frame-nothing", "bad-message", "The stream ends at once."),
        frame("frame-half-length", "bad-message", "The stream ends in the length.").raw(&[0, 0, 0], ""),
        frame("frame-cut", "bad-message", "The stream ends in the frame.")
            .raw(&[0, 0, 0, 9], "a frame of 9 bytes")
            .raw(&[0xa1], ""),
        frame("frame-large", "too-large", "A length over the limit of members.")
            .raw(&over.to_be_bytes(), "a frame of 1,048,577 bytes"),
        frame("frame-huge", "too-large", "The largest length.").raw(&[0xff; 4], "a frame of 2^32 - 1 bytes"),
        stranger,
        raw("empty", "bad-message", "A frame of no bytes.", b""),
        raw("trailing", "bad-message", "A byte follows the item in the frame.", b"\xa1\x64ping\xa0\x00"),
        raw(
            "key-twice",
            "bad-message",
            "A key that occurs twice.",
            b"\xa1\x61L\xa2\x65limit\x01\x65limit\x02",
        ),
        raw(
            "unknown-key-twice",
            "bad-message",
            "An unknown key that occurs twice.",
            b"\xa1\x61L\xa2\x61x\x01\x61x\x02",
        ),
        raw(
            "depth",
            "bad-message",
            "17 levels, in a value that would be ignored.",
            &[b"\xa1\x61L\xa1\x61x".as_slice(), &[0x81; 15], b"\x00"].concat(),
        ),
        raw(
            "long-number",
            "bad-message",
            "A number that is not in its shortest form.",
            b"\xa1\x61L\xa1\x65limit\x18\x01",
        ),
        raw("indefinite", "bad-message", "A map of indefinite length.", b"\xa1\x64ping\xbf\xff"),
        raw("float", "bad-message", "A float.", b"\xa1\x61L\xa1\x65limit\xf9\x3c\x00"),
        raw("noise", "bad-message", "Noise.", &world::noise("noise", 64)),
        raw("http", "bad-message", "Another protocol.", b"GET / HTTP/1.1\r\n\r\n"),
    ]
}

fn messages() -> Vec<Case> {
    let ping = map(vec![]);
    vec![
        refused("unknown-message", "unsupported", "A message of a later version.", &of("Z", vec![])),
        refused(
            "unknown-body",
            "unsupported",
            "The same with a body that is no map.",
            &map(vec![("passwd", 1.into())]),
        ),
        refused("no-map", "bad-message", "Text in place of a map.", &"ping"),
        refused("array", "bad-message", "An array in place of a map.", &vec![value(&"ping"), ping.clone()]),
        refused("empty-map", "bad-message", "A map of no entry.", &map(vec![])),
        refused(
            "two-messages",
            "bad-message",
            "A map of two entries.",
            &map(vec![("ping", ping.clone()), ("who", ping.clone())]),
        ),
        refused(
            "integer-message",
            "bad-message",
            "An integer as message.",
            &Value::Map(vec![(1.into(), ping.clone())]),
        ),
        refused("body-null", "bad-message", "A body that is null.", &map(vec![("ping", Value::Null)])),
        refused(
            "body-array",
            "bad-message",
            "A body that is an array.",
            &map(vec![("ping", Value::Array(vec![]))]),
        ),
        refused(
            "integer-key",
            "bad-message",
            "An integer as key of a body.",
            &map(vec![("L", Value::Map(vec![(1.into(), 1.into())]))]),
        ),
        refused("answer", "bad-message", "An answer as request.", &of("A", vec![])),
        refused(
            "error",
            "bad-message",
            "An error as request.",
            &of("E", vec![("code", 1.into()), ("text", "no".into())]),
        ),
    ]
}

fn reserved() -> Vec<Case> {
    let recover = map(vec![("recover", Value::Array(vec![]))]);
    vec![refused("reserved-recover", "unsupported", "The reserved field of R.", &map(vec![("R", recover)]))]
}

fn following() -> Vec<Case> {
    let follow = |name: &str, about: &str, key: &str, new: Value| {
        let resources = Value::Array(vec![world::with(&followed(), key, new)]);
        refused(name, "bad-message", about, &of("follow", vec![("resources", resources)]))
    };
    let many = |message: &str| {
        let one = value(&followed());
        let about = format!("{message} of 129 resources.");
        let request = of(message, vec![("resources", Value::Array(vec![one; 129]))]);
        refused(&format!("{message}-resources"), "too-large", &about, &request)
    };
    vec![
        refused("events-null", "bad-message", "events without a body.", &map(vec![("events", Value::Null)])),
        refused("follow-none", "bad-message", "follow without resources.", &of("follow", vec![])),
        follow("follow-account", "An account of 15 bytes.", "account", bytes(&[7; 15])),
        follow("follow-name", "A name with a separator.", "name", "a/b".into()),
        follow("follow-have", "A record's hash of 31 bytes.", "have", bytes(&[7; 31])),
        many("follow"),
        many("unfollow"),
    ]
}

fn hellos() -> Vec<Case> {
    let with = |name: &str, code: &str, about: &str, key: &str, new: Value| {
        refused(&format!("hello-{name}"), code, about, &map(vec![("hello", world::with(&hello(), key, new))]))
    };
    let addresses = |text: &str| Value::Array(vec![text.into()]);
    let many = |count: usize, one: &str| Value::Array(vec![one.into(); count]);
    let without: Vec<_> =
        world::entries(&hello()).into_iter().filter(|(key, _)| key.as_text() != Some("clock")).collect();
    vec![
        refused(
            "hello-no-clock",
            "bad-message",
            "A field is missing.",
            &map(vec![("hello", Value::Map(without))]),
        ),
        with(
            "network",
            "bad-message",
            "A network of small order.",
            "network",
            bytes(&[[1; 1].as_slice(), &[0; 31]].concat()),
        ),
        with("network-short", "bad-message", "A network of 31 bytes.", "network", bytes(&[7; 31])),
        with(
            "network-array",
            "bad-message",
            "An array of numbers where bytes belong.",
            "network",
            Value::Array(vec![7.into(); 32]),
        ),
        with("instance", "bad-message", "An instance of 15 bytes.", "instance", bytes(&[7; 15])),
        with("clock", "bad-message", "A time before 1970.", "clock", (-1).into()),
        with("minor", "bad-message", "A minor version of 33 bits.", "minor", (1_u64 << 32).into()),
        with("addresses", "too-large", "Nine addresses.", "addresses", many(9, "192.0.2.1:1")),
        with("features", "too-large", "65 features.", "features", many(65, "x")),
        with("feature", "too-large", "A feature's name of 65 bytes.", "features", many(1, &"x".repeat(65))),
        with(
            "features-bytes",
            "bad-message",
            "A byte string where an array belongs.",
            "features",
            bytes(&[]),
        ),
        with("port", "bad-message", "Port 0.", "addresses", addresses("192.0.2.1:0")),
        with("unspecified", "bad-message", "An unspecified address.", "addresses", addresses("[::]:4820")),
        with("multicast", "bad-message", "A multicast address.", "addresses", addresses("224.0.0.1:4820")),
        with("zone", "bad-message", "An address with a zone.", "addresses", addresses("[fe80::1%1]:4820")),
        with(
            "host",
            "bad-message",
            "A name in place of an address.",
            "addresses",
            addresses("localhost:4820"),
        ),
        with("enrolment", "bad-message", "Text where bytes belong.", "enrolment", "x".into()),
    ]
}

fn fields() -> Vec<Case> {
    let resource = |key: &str, new: Value| of("P", vec![("resource", world::with(&resource(), key, new))]);
    let holds = |key: &str, new: Value| of("R", vec![("holds", world::with(&holds(), key, new))]);
    let data = |key: &str, new: Value| map(vec![("G", world::with(&get_data(), key, new))]);
    let probe = |key: &str, new: Value| of("P", vec![("probe", world::with(&probe(), key, new))]);
    let login = |user: &str| of("login", vec![("user", user.into()), ("password", "correct horse".into())]);
    vec![
        refused(
            "P-name",
            "bad-message",
            "A name that leads out of its folder.",
            &resource("name", "../x".into()),
        ),
        refused(
            "P-name-decomposed",
            "bad-message",
            "A name that is not in Form C.",
            &resource("name", "u\u{308}".into()),
        ),
        refused("P-owner", "bad-message", "No user name.", &resource("owner", "Alice".into())),
        refused("P-version", "bad-message", "A version that is text.", &resource("version", "1".into())),
        refused("P-asker", "bad-message", "A node of 31 bytes.", &probe("asker", bytes(&[7; 31]))),
        refused(
            "L-node",
            "bad-message",
            "A node that is no key.",
            &of("L", vec![("node", bytes(&[[1; 1].as_slice(), &[0; 31]].concat()))]),
        ),
        refused("L-kind", "bad-message", "An unknown kind.", &of("L", vec![("kind", "pipe".into())])),
        refused(
            "L-kind-map",
            "bad-message",
            "A map in place of a word.",
            &of("L", vec![("kind", map(vec![("file", Value::Null)]))]),
        ),
        refused(
            "L-online",
            "bad-message",
            "A number in place of a truth value.",
            &of("L", vec![("online", 1.into())]),
        ),
        refused("L-name", "bad-message", "A name without an owner.", &of("L", vec![("name", "x".into())])),
        refused(
            "R-content",
            "bad-message",
            "A holding without a hash.",
            &holds("contents", Value::Array(vec![map(vec![("whole", true.into())])])),
        ),
        refused("R-last", "bad-message", "null where a truth value belongs.", &holds("last", Value::Null)),
        refused(
            "R-record",
            "bad-message",
            "A bundle without a record.",
            &of("R", vec![("records", Value::Array(vec![map(vec![])]))]),
        ),
        refused("G-grant", "bad-message", "A hash of 33 bytes.", &data("grant", bytes(&[7; 33]))),
        refused("login-user", "bad-message", "No user name.", &login("al ice")),
        refused(
            "login-password",
            "bad-message",
            "No password.",
            &of("login", vec![("user", "alice".into())]),
        ),
    ]
}

fn alternatives() -> Vec<Case> {
    let start = || ("start", value(&start()));
    let holds = || ("holds", value(&holds()));
    let hash = || Value::Array(vec![bytes(&[7; 32])]);
    let blocks_and_runs = GetData { blocks: true, runs: Some(vec![Run(0, 1)]), ..get_data() };
    let both = GetData { page: Some(wire::PageHash::of(b"page")), runs: Some(vec![Run(0, 1)]), ..get_data() };
    vec![
        refused("R-two", "bad-message", "Two of R's alternatives.", &of("R", vec![start(), holds()])),
        refused("R-none", "bad-message", "None of R's alternatives.", &of("R", vec![])),
        refused("R-only-null", "bad-message", "null is none.", &of("R", vec![("start", Value::Null)])),
        refused(
            "D-two",
            "bad-message",
            "Both of D's alternatives.",
            &of("D", vec![("tombstones", Value::Array(vec![])), ("holding", hash())]),
        ),
        refused("D-none", "bad-message", "None of D's alternatives.", &of("D", vec![])),
        refused(
            "P-two",
            "bad-message",
            "Two of P's alternatives.",
            &of("P", vec![("resource", value(&resource())), ("probe", value(&probe()))]),
        ),
        refused("P-none", "bad-message", "None of P's alternatives.", &of("P", vec![])),
        refused("G-two", "bad-message", "A page and runs.", &Request::G(both)),
        refused("G-blocks", "bad-message", "Blocks and runs.", &Request::G(blocks_and_runs)),
    ]
}

fn bounds() -> Vec<Case> {
    let empty = map(vec![("record", bytes(&[]))]);
    let records = |key: &str, message: &str, count: usize| {
        of(message, vec![(key, Value::Array(vec![empty.clone(); count]))])
    };
    let search = |query: String| Request::S(Search { query, ..Search::default() });
    let cursor =
        |bytes: usize| List { cursor: Some(serde_bytes::ByteBuf::from(vec![7; bytes])), ..List::default() };
    vec![
        refused("R-records", "too-large", "129 records.", &records("records", "R", 129)),
        refused("D-tombstones", "too-large", "129 tombstones.", &records("tombstones", "D", 129)),
        refused(
            "L-limit-0",
            "bad-message",
            "A page of no items.",
            &Request::L(List { limit: Some(0), ..List::default() }),
        ),
        refused(
            "L-limit",
            "too-large",
            "A page of 1,001 items.",
            &Request::L(List { limit: Some(1001), ..List::default() }),
        ),
        refused(
            "S-limit",
            "too-large",
            "A page of 1,001 items.",
            &Request::S(Search { limit: Some(1001), query: "x".to_owned(), ..Search::default() }),
        ),
        refused(
            "who-limit",
            "too-large",
            "A page of 1,001 users.",
            &Request::Who(Who { limit: Some(1001), cursor: None }),
        ),
        refused(
            "L-versions",
            "bad-message",
            "Versions of no resource.",
            &Request::L(List {
                owner: Some("alice".parse().expect("a name")),
                versions: true,
                ..List::default()
            }),
        ),
        refused("L-cursor", "bad-cursor", "A cursor of 1,025 bytes.", &Request::L(cursor(1025))),
        refused("S-query", "bad-query", "A query of 1,025 bytes.", &search("x".repeat(1025))),
    ]
}

fn runs() -> Vec<Case> {
    let with = |name: &str, code: &str, about: &str, runs: Value| {
        refused(
            &format!("G-runs-{name}"),
            code,
            about,
            &map(vec![("G", world::with(&get_data(), "runs", runs))]),
        )
    };
    let run = |first: u64, count: u64| Value::Array(vec![first.into(), count.into()]);
    let list =
        |runs: &[(u64, u64)]| Value::Array(runs.iter().map(|&(first, count)| run(first, count)).collect());
    let many: Vec<_> = (0..257).map(|number| (2 * number, 1)).collect();
    let largest = u64::from(u32::MAX);
    vec![
        with("none", "bad-message", "An empty list of runs.", list(&[])),
        with("empty", "bad-message", "A run of no chunks.", list(&[(0, 0)])),
        with("overlap", "bad-message", "Runs that overlap.", list(&[(0, 3), (2, 1)])),
        with("order", "bad-message", "Runs out of order.", list(&[(5, 1), (0, 1)])),
        with("overflow", "bad-message", "A run beyond 2^32 - 1.", list(&[(2, largest)])),
        with("wide", "bad-message", "A chunk's number of 33 bits.", list(&[(largest + 1, 1)])),
        with(
            "three",
            "bad-message",
            "A run of three numbers.",
            Value::Array(vec![Value::Array(vec![0.into(), 1.into(), 2.into()])]),
        ),
        with("one", "bad-message", "A run of one number.", Value::Array(vec![Value::Array(vec![0.into()])])),
        with("bytes", "bad-message", "A run that is a byte string.", Value::Array(vec![bytes(&[0, 1])])),
        with("many", "too-large", "257 runs.", list(&many)),
    ]
}
