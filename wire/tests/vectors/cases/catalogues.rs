//! Heads, pages, the list of members, presence, and `statements`.

use certs::{Signed, UnixMillis};
use serde_bytes::ByteBuf;
use wire::catalogue::{
    CatalogueHead, CatalogueRecord, HEAD_VALIDITY_MS, HeadBundle, MemberEntry, Revoked, Tree, TreeBuilder,
    build_held, build_members, build_records, build_revoked,
};
use wire::message::{
    Have, Known, News, Request, Stated, StatedPage, Statements, StatementsDigest, known_digest,
};
use wire::{
    Digest, IndexPlace, MembersBundle, MembersHead, PRESENCE_VALIDITY_MS, Presence, PresenceBundle, TreeHash,
    VerifiedPlace, limits,
};

use super::requests::{address, head as request_head};
use super::statements::{changed, envelope, resigned};
use super::world::{self, NOW};
use super::{Case, hex};

pub(crate) fn cases() -> Vec<Case> {
    [pages(), heads(), members(), presence(), places(), exchange(), answers(), refused()]
        .into_iter()
        .flatten()
        .collect()
}

type Pages = Vec<(TreeHash, Vec<u8>)>;

fn built(build: impl FnOnce(&mut TreeBuilder)) -> (Option<TreeHash>, Pages) {
    let mut builder = TreeBuilder::new();
    build(&mut builder);
    builder.finish()
}

fn records() -> (Option<TreeHash>, Pages) {
    let certificate = world::certificate();
    let record = |record: &[u8], receipt: Option<Vec<u8>>| CatalogueRecord {
        record: ByteBuf::from(record),
        receipt: receipt.map(ByteBuf::from),
    };
    let first = world::record();
    let second = wire::Record { name: "unreceipted.txt".parse().expect("a name"), ..world::record_body() };
    let second = Signed::sign(&world::alice(), second);
    let receipted = record(first.bytes(), Some(world::receipt().bytes().to_vec()));
    built(|builder| {
        build_records(
            builder,
            [
                ("report.pdf", receipted, Some(certificate.bytes())),
                ("unreceipted.txt", record(second.bytes(), None), None),
            ],
        );
    })
}

fn held() -> (Option<TreeHash>, Pages) {
    let content = world::record_body().content.expect("a file");
    built(|builder| build_held(builder, [content]))
}

fn member_list() -> (Option<TreeHash>, Pages) {
    let mut members = [("alice", world::alice(), 1), ("bob", world::bob(), 7)].map(|(user, key, serial)| {
        let account = certs::AccountId::from_bytes([key.public().as_bytes()[0]; 16]);
        MemberEntry { node: key.public(), account, user: user.parse().expect("a name"), serial }
    });
    members.sort_by_key(|member| member.node);
    built(|builder| build_members(builder, members))
}

fn revoked_list() -> (Option<TreeHash>, Pages) {
    built(|builder| {
        build_revoked(builder, [Revoked { node: world::bob().public(), serial: 6, since: NOW }]);
    })
}

fn page_case(name: &str, about: &str, bytes: &[u8]) -> Case {
    Case::new(&format!("tree-page-{name}"), "tree-page", about)
        .header("hash", hex(TreeHash::of(bytes).as_bytes()))
        .item(bytes)
}

fn pages() -> Vec<Case> {
    let one = |tree: (Option<TreeHash>, Pages)| tree.1[0].1.clone();
    // 300 contents make two leaves and a branch.
    let mut contents: Vec<_> = (0..300_u32).map(|at| wire::ContentHash::of(&at.to_be_bytes())).collect();
    contents.sort();
    let (root, many) = built(|builder| build_held(builder, contents));
    let branch = many.iter().find(|(hash, _)| Some(*hash) == root).expect("the root");
    let refused = |name: &str, about: &str, bytes: &[u8]| {
        page_case(&format!("refused-{name}"), about, bytes).expect("refused")
    };
    vec![
        page_case("records", "A leaf of two records, one of them without a receipt.", &one(records())),
        page_case("held", "A leaf of one content.", &one(held())),
        page_case("members", "A leaf of two members.", &one(member_list())),
        page_case("revoked", "A leaf of one ended membership.", &one(revoked_list())),
        page_case(
            "branch",
            "The root of the tree of 300 contents: the hashes of the numbers 0 to 299 in 4 bytes big-endian.",
            &branch.1,
        ),
        refused("branch-of-one", "A branch of one page.", &{
            let mut bytes = b"\xa1\x65pages\x58\x20".to_vec();
            bytes.extend([7; 32]);
            bytes
        }),
        refused("nothing", "A leaf of nothing.", b"\xa1\x64held\x40"),
        refused("half", "Half a hash more than one.", &{
            let mut bytes = b"\xa1\x64held\x58\x30".to_vec();
            bytes.extend([7; 48]);
            bytes
        }),
        refused("kind", "A kind that there is not.", b"\xa1\x65other\x40"),
    ]
}

fn head() -> Signed<CatalogueHead> {
    let (records, held) = (Tree { root: records().0, count: 2 }, Tree { root: held().0, count: 1 });
    head_of(records, held)
}

fn head_of(records: Tree, held: Tree) -> Signed<CatalogueHead> {
    CatalogueHead::issue(&world::alice(), world::root().public(), NOW.0, NOW, records, held)
}

fn head_bundle() -> HeadBundle {
    HeadBundle::new(&head(), &world::enrolment())
}

fn heads() -> Vec<Case> {
    let case = |name: &str, about: &str, bytes: &[u8], now: UnixMillis| {
        Case::new(&format!("catalogue-head{name}"), "catalogue-head", about)
            .header("network", world::root().public())
            .header("now", now.0)
            .header("hash", hex(&certs::hash_of(bytes)))
            .header("enrolment", hex(&world::enrolment().to_bytes()))
            .item(bytes)
    };
    let good = head();
    let empty = head_of(Tree::default(), Tree::default());
    let end = NOW.plus(HEAD_VALIDITY_MS);
    let early = NOW.minus(600_000);
    let by_bob = resigned(&good, &world::bob());
    let of = |field: &str, value: u64| changed(&good, field, value, &world::alice());
    vec![
        case("", "Of the trees of tree-page-records.hex and tree-page-held.hex.", good.bytes(), NOW),
        case("-empty", "Of nothing.", empty.bytes(), NOW),
        case("-last", "In its last millisecond.", good.bytes(), end),
        case("-early", "Ten minutes before its time.", good.bytes(), early),
        case("-refused-over", "A millisecond after its end.", good.bytes(), end.plus(1)).expect("bad-record"),
        case("-refused-future", "A millisecond too early.", good.bytes(), early.minus(1))
            .expect("bad-record"),
        case("-refused-signer", "Signed by another node than it names.", &by_bob, NOW).expect("bad-record"),
        case("-refused-format", "Another format.", &of("format", 1), NOW).expect("bad-record"),
        case("-refused-seq", "A sequence over 2^53.", &of("seq", (1 << 53) + 1), NOW).expect("bad-record"),
        case("-refused-count", "A tree of nothing.", &of("record_count", 0), NOW).expect("bad-record"),
        case("-refused-many", "More than a node may publish.", &of("record_count", 200_001), NOW)
            .expect("bad-record"),
    ]
}

fn members_head() -> Signed<MembersHead> {
    let members = Tree { root: member_list().0, count: 2 };
    let revoked = Tree { root: revoked_list().0, count: 1 };
    MembersHead::issue(&world::index(), &world::certificate(), NOW.0, NOW, members, revoked)
}

fn members() -> Vec<Case> {
    let case = |name: &str, about: &str, bytes: &[u8], now: UnixMillis| {
        Case::new(&format!("members-head{name}"), "members-head", about)
            .header("network", world::root().public())
            .header("now", now.0)
            .header("hash", hex(&certs::hash_of(bytes)))
            .header("certificate", hex(world::certificate().bytes()))
            .item(bytes)
    };
    let good = members_head();
    let by_alice = resigned(&good, &world::alice());
    let of = |field: &str, value: u64| changed(&good, field, value, &world::index());
    let early = NOW.minus(600_001);
    vec![
        case("", "Of the trees of tree-page-members.hex and tree-page-revoked.hex.", good.bytes(), NOW),
        case("-refused-signer", "Signed by a node that is not the index.", &by_alice, NOW)
            .expect("bad-record"),
        case("-refused-future", "A millisecond too early.", good.bytes(), early).expect("bad-record"),
        case("-refused-format", "Another format.", &of("format", 1), NOW).expect("bad-record"),
        case("-refused-count", "A tree of nothing.", &of("revoked_count", 0), NOW).expect("bad-record"),
    ]
}

fn word() -> Signed<Presence> {
    let addresses = vec![address("192.0.2.1:4821"), address("[2001:db8::1]:4821")];
    Presence::issue(&world::alice(), world::root().public(), NOW, NOW.minus(60_000), addresses)
}

fn presence_bundle() -> PresenceBundle {
    PresenceBundle {
        presence: ByteBuf::from(word().bytes()),
        enrolment: Some(ByteBuf::from(world::enrolment().to_bytes())),
    }
}

fn presence() -> Vec<Case> {
    let case = |name: &str, about: &str, bytes: &[u8], now: UnixMillis| {
        Case::new(&format!("presence{name}"), "presence", about)
            .header("network", world::root().public())
            .header("now", now.0)
            .header("hash", hex(&certs::hash_of(bytes)))
            .item(bytes)
    };
    let good = word();
    let stops = Signed::sign(&world::alice(), Presence { addresses: Vec::new(), ..good.body().clone() });
    let many = vec![address("192.0.2.1:4821"); 9];
    let many = wire::cbor::encode(&Presence { addresses: many, ..good.body().clone() });
    let many = envelope::<Presence>(many, &world::alice());
    let end = NOW.plus(PRESENCE_VALIDITY_MS);
    let by_bob = resigned(&good, &world::bob());
    vec![
        case("", "A node says where it is.", good.bytes(), NOW),
        case("-stops", "It stops.", stops.bytes(), NOW),
        case("-last", "In its last millisecond.", good.bytes(), end),
        case("-refused-over", "A millisecond after its end.", good.bytes(), end.plus(1)).expect("bad-record"),
        case("-refused-signer", "Signed by another node than it names.", &by_bob, NOW).expect("bad-record"),
        case("-refused-addresses", "Nine addresses.", &many, NOW).expect("bad-record"),
    ]
}

fn place(time: UnixMillis) -> Signed<Presence> {
    let addresses = vec![address("192.0.2.7:4820")];
    Presence::issue(&world::index(), world::root().public(), time, NOW.minus(60_000), addresses)
}

fn index_place() -> IndexPlace {
    VerifiedPlace { presence: place(NOW), certificate: world::certificate() }.bundle()
}

fn places() -> Vec<Case> {
    let case = |name: &str, about: &str, bytes: &[u8], now: UnixMillis| {
        Case::new(&format!("index-place{name}"), "index-place", about)
            .header("network", world::root().public())
            .header("now", now.0)
            .header("hash", hex(&certs::hash_of(bytes)))
            .header("certificate", hex(world::certificate().bytes()))
            .item(bytes)
    };
    let (good, network) = (place(NOW), world::root().public());
    let nowhere = Presence::issue(&world::index(), network, NOW, NOW, Vec::new());
    let of_alice = Presence::issue(&world::alice(), network, NOW, NOW, vec![address("192.0.2.7:4820")]);
    let (year, early) = (NOW.plus(365 * 86_400_000), NOW.minus(600_001));
    vec![
        case("", "The index says where it is.", good.bytes(), NOW),
        case("-year", "It has no end.", good.bytes(), year),
        case("-refused-future", "A millisecond too early.", good.bytes(), early).expect("bad-record"),
        case("-refused-signer", "The word of a node that is not the index.", of_alice.bytes(), NOW)
            .expect("bad-record"),
        case("-refused-nowhere", "Without an address.", nowhere.bytes(), NOW).expect("bad-record"),
    ]
}

fn known() -> Known {
    Known {
        node: world::alice().public(),
        seq: NOW.0,
        head: Some(Digest::from_bytes(*head().hash())),
        presence: NOW,
    }
}

fn news() -> News {
    let members = MembersBundle::new(&members_head(), &world::certificate());
    News {
        heads: vec![head_bundle()],
        presence: vec![presence_bundle()],
        members: Some(members),
        index: None,
    }
}

fn digest() -> StatementsDigest {
    let members = Some(Digest::from_bytes(*members_head().hash()));
    StatementsDigest { known: known_digest([known()]), members, index: None }
}

fn request(name: &str, about: &str, statements: Statements) -> Case {
    request_head(&format!("statements-{name}"), about, "statements").value(&Request::Statements(statements))
}

fn exchange() -> Vec<Case> {
    let none = Statements::default;
    let nobody = Known { node: world::bob().public(), seq: 0, head: None, presence: UnixMillis(0) };
    let mut nodes = vec![known(), nobody];
    nodes.sort_by_key(|known| known.node);
    let part = Have { after: Some(nodes[0].node), up_to: Some(nodes[1].node), known: vec![nodes[1]] };
    let all = Have { after: None, up_to: None, known: nodes };
    let nothing = StatementsDigest { known: known_digest([]), members: None, index: None };
    let place_hash = Digest::from_bytes(*place(NOW).hash());
    vec![
        request("digest", "statements, a digest.", Statements { digest: Some(digest()), ..none() }),
        request(
            "digest-nothing",
            "statements, the digest of one that knows nothing.",
            Statements { digest: Some(nothing), ..none() },
        ),
        request("have", "statements, what the sender knows.", Statements { have: Some(all), ..none() }),
        request(
            "have-part",
            "statements, what the sender knows of some nodes.",
            Statements { have: Some(part), ..none() },
        ),
        request("news", "statements, one of each.", Statements { news: Some(news()), ..none() }),
        request(
            "news-index",
            "statements, where the index is.",
            Statements { news: Some(News { index: Some(index_place()), ..News::default() }), ..none() },
        ),
        request(
            "digest-index",
            "statements, a digest of one that knows where the index is.",
            Statements { digest: Some(StatementsDigest { index: Some(place_hash), ..digest() }), ..none() },
        ),
        request(
            "pages",
            "statements, a page.",
            Statements { pages: Some(records().0.into_iter().collect()), ..none() },
        ),
    ]
}

fn answers() -> Vec<Case> {
    let answer = |name: &str, about: &str, stated: Stated| {
        Case::new(&format!("answer-statements-{name}"), "answer", about)
            .header("to", "statements")
            .header("limit", limits::MEMBER_FRAME_BYTES)
            .value(&wire::message::Answer::A(stated))
    };
    let page = records().1[0].1.clone();
    let pages = vec![StatedPage(Some(ByteBuf::from(page))), StatedPage(None)];
    let want = vec![world::bob().public()];
    vec![
        answer("digest", "The answer to a digest.", Stated { digest: Some(digest()), ..Stated::default() }),
        answer(
            "have",
            "The answer to what the asker knows: news, and what the answerer wants.",
            Stated { news: Some(news()), more: true, want, ..Stated::default() },
        ),
        answer("nothing", "The answer to news.", Stated::default()),
        answer(
            "pages",
            "A page, and one that the answerer does not have.",
            Stated { pages, ..Stated::default() },
        ),
    ]
}

fn refused() -> Vec<Case> {
    use super::refused_requests::{of, refused};
    use ciborium::Value;
    let hashes = |count: usize| Value::Array(vec![Value::Bytes(vec![7; 32]); count]);
    let have = |count: usize| {
        let one = Value::serialized(&known()).expect("a value");
        Value::Map(vec![("known".into(), Value::Array(vec![one; count]))])
    };
    let heads = |count: usize| {
        let one = Value::Map(vec![
            ("head".into(), Value::Bytes(vec![])),
            ("enrolment".into(), Value::Bytes(vec![])),
        ]);
        Value::Map(vec![("heads".into(), Value::Array(vec![one; count]))])
    };
    let case = |name: &str, code: &str, about: &str, fields: Vec<(&str, Value)>| {
        refused(&format!("statements-{name}"), code, about, &of("statements", fields))
    };
    vec![
        case("none", "bad-message", "statements of none of the four.", vec![]),
        case("two", "bad-message", "statements of two.", vec![("pages", hashes(1)), ("have", have(0))]),
        case("pages", "too-large", "65 pages.", vec![("pages", hashes(65))]),
        case("have", "too-large", "4,097 nodes.", vec![("have", have(4097))]),
        case("heads", "too-large", "65 heads.", vec![("news", heads(65))]),
        case("known", "bad-message", "have of nothing.", vec![("have", Value::Map(vec![]))]),
    ]
}
