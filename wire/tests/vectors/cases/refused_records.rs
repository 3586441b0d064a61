//! Records that are refused: everything that can be wrong with an envelope, then with a payload.

use ciborium::Value;
use wire::{Record, cbor};

use super::Case;
use super::statements::record_case;
use super::world::{self, Envelope};

pub(crate) fn cases() -> Vec<Case> {
    envelopes().into_iter().chain(payloads()).collect()
}

fn refused(name: &str, about: &str, bytes: &[u8]) -> Case {
    record_case(&format!("-refused-{name}"), about, bytes).expect("bad-record")
}

/// One that the annotation cannot show, since it is not CBOR as the protocol has it.
fn refused_raw(name: &str, about: &str, lines: &[(&[u8], &str)]) -> Case {
    let bytes: Vec<u8> = lines.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
    let case = Case::new(&format!("record-refused-{name}"), "record", about)
        .expect("bad-record")
        .header("hash", super::hex(&certs::hash_of(&bytes)));
    lines.iter().fold(case, |case, (bytes, comment)| case.raw(bytes, *comment))
}

fn payload() -> Vec<u8> {
    cbor::encode(&world::record_body())
}

fn good() -> Envelope {
    Envelope::of_record(payload())
}

fn with_header(entries: &[(i64, Value)]) -> Vec<u8> {
    Envelope { protected: world::header(entries), ..good() }.sign()
}

fn envelopes() -> Vec<Case> {
    let (alg, kid) = ((1, Value::from(-8)), (4, world::kid(&world::alice())));
    let label = Value::from("audience");
    let protected = Value::Map(vec![
        (Value::from(1), Value::from(-8)),
        (Value::from(2), Value::Array(vec![label.clone()])),
        (Value::from(4), kid.1.clone()),
        (label, Value::from("everyone")),
    ]);
    let critical = Envelope { protected: cbor::encode(&protected), ..good() }.sign();
    let noted = [cbor::encode(&Value::from("note")), cbor::encode(&Value::from(1))].concat();
    let two = world::header(&[alg.clone(), kid.clone()]);
    let ignored = Envelope { protected: [&[0xa3], &two[1..], &noted].concat(), ..good() }.sign();
    let numbered = world::header(&[alg.clone(), (3, Value::from(0)), kid.clone()]);
    let private = world::header(&[alg.clone(), kid.clone(), (-1, Value::from(0))]);
    let signed = world::record();
    let flipped = |at: usize| {
        let mut bytes = signed.bytes().to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let size = signed.bytes().len();
    let in_payload = size - 66 - 40;
    let unprotected = Value::Map(vec![(Value::from("note"), Value::from(1))]);
    let small = Value::Bytes([vec![1], vec![0; 31]].concat());
    let Ok(Value::Array(parts)) = ciborium::from_reader(signed.bytes()) else { panic!("an array") };
    let array = |parts: &[Value]| cbor::encode(&Value::Array(parts.to_vec()));
    let detached = array(&[parts[0].clone(), parts[1].clone(), Value::Null, parts[3].clone()]);
    let short = Value::Bytes(parts[3].as_bytes().expect("bytes")[..63].to_vec());
    vec![
        record_case(
            "-ignored-parameter",
            "A protected parameter that `crit` does not list is ignored.",
            &ignored,
        ),
        refused(
            "context",
            "Signed in the context of a receipt.",
            &Envelope { context: "p2p-node/0 receipt", ..good() }.sign(),
        ),
        refused("no-context", "Signed without a context.", &Envelope { context: "", ..good() }.sign()),
        refused(
            "label-3",
            "A protected parameter with a number: content type.",
            &Envelope { protected: numbered, ..good() }.sign(),
        ),
        refused(
            "label-negative",
            "A protected parameter with a negative number.",
            &Envelope { protected: private, ..good() }.sign(),
        ),
        refused("crit", "`crit` lists a parameter.", &critical).expect("unsupported"),
        refused(
            "unprotected",
            "Something in the unprotected header.",
            &Envelope { unprotected, ..good() }.sign(),
        ),
        refused("signature", "One bit of the signature is changed.", &flipped(size - 1)),
        refused("tampered", "One bit of the payload is changed.", &flipped(in_payload)),
        refused(
            "signature-short",
            "A signature of 63 bytes.",
            &array(&[parts[0].clone(), parts[1].clone(), parts[2].clone(), short]),
        ),
        refused("alg", "Another algorithm, ES256.", &with_header(&[(1, Value::from(-7)), kid.clone()])),
        refused("no-alg", "No algorithm.", &with_header(std::slice::from_ref(&kid))),
        refused("no-kid", "No kid.", &with_header(std::slice::from_ref(&alg))),
        refused(
            "kid-short",
            "A kid of 31 bytes.",
            &with_header(&[alg.clone(), (4, Value::Bytes(vec![7; 31]))]),
        ),
        refused("kid-small-order", "A kid of small order.", &with_header(&[alg.clone(), (4, small)])),
        refused(
            "kid-other",
            "The kid of another key than the one that signed.",
            &with_header(&[alg, (4, world::kid(&world::bob()))]),
        ),
        refused("detached", "The payload is not there.", &detached),
        refused("three", "An array of three.", &array(&parts[..3])),
        refused("five", "An array of five.", &array(&[parts.clone(), vec![Value::Null]].concat())),
        refused_raw(
            "tag",
            "With the tag of COSE_Sign1.",
            &[(&[0xd2], "tag 18"), (signed.bytes(), "the envelope")],
        ),
        refused_raw(
            "trailing",
            "A byte follows.",
            &[(signed.bytes(), "the envelope"), (&[0], "one byte more")],
        ),
        refused_raw(
            "long-head",
            "The array's length is not in its shortest form.",
            &[(&[0x98, 4], "array of 4"), (&signed.bytes()[1..], "the rest of the envelope")],
        ),
        refused_raw("large", "4,097 bytes.", &[(&vec![0x80; 4097], "whatever it is")]),
    ]
}

fn payloads() -> Vec<Case> {
    let signed = |payload: &Value| Envelope::of_record(cbor::encode(payload)).sign();
    let with = |key: &str, value: Value| signed(&world::with(&world::record_body(), key, value));
    let entries = world::entries(&world::record_body());
    let without_prev: Vec<_> =
        entries.iter().filter(|(key, _)| key.as_text() != Some("prev")).cloned().collect();
    let reversed: Vec<_> = entries.iter().rev().cloned().collect();
    let numbers = |bytes: &[u8]| Value::Array(bytes.iter().copied().map(Value::from).collect());
    let content = world::record_body().content.expect("no tombstone");
    let tombstone = world::tombstone().body().clone();
    let of = |record: &Record, key: &str, value: Value| signed(&world::with(record, key, value));
    let hash = || Value::Bytes(vec![8; 32]);
    let doubled = {
        let payload = payload();
        let mut bytes = payload.clone();
        bytes[0] += 1;
        bytes.extend_from_slice(b"\x66format\x00");
        Envelope::of_record(bytes).sign()
    };
    let trailing = Envelope::of_record([payload(), vec![0]].concat()).sign();
    let no_extensions = |value: Value| with("extensions", Value::Map(vec![(Value::from("x"), value)]));
    vec![
        refused("format", "Another format.", &with("format", 1.into())).expect("unsupported"),
        refused("listed", "The reserved visibility.", &with("visibility", "listed".into()))
            .expect("unsupported"),
        refused("visibility", "An unknown visibility.", &with("visibility", "all".into()))
            .expect("unsupported"),
        refused("kind", "An unknown kind.", &with("kind", "pipe".into())).expect("unsupported"),
        refused("unknown-key", "A key that is not in the schema.", &with("note", 1.into())),
        refused("left-out", "`prev` is left out where it must be null.", &signed(&Value::Map(without_prev))),
        refused("order", "The keys in another order.", &signed(&Value::Map(reversed))),
        refused("key-twice", "A key that occurs twice.", &doubled),
        refused("payload-trailing", "A byte follows the payload's item.", &trailing),
        refused(
            "array-for-bytes",
            "An array of numbers where a byte string belongs.",
            &with("content", numbers(content.as_bytes())),
        ),
        refused("hash-short", "A hash of 31 bytes.", &with("content", Value::Bytes(vec![8; 31]))),
        refused("version-0", "Versions start at 1.", &with("version", 0.into())),
        refused("version-large", "A version over 2^53.", &with("version", ((1_u64 << 53) + 1).into())),
        refused("version-negative", "A negative version.", &with("version", (-1).into())),
        refused("no-prev", "Version 2 that is built on nothing.", &with("version", 2.into())),
        refused("prev-of-first", "Version 1, revision 0, that is built on something.", &with("prev", hash())),
        refused("revision-no-prev", "Revision 1 that is built on nothing.", &with("revision", 1.into())),
        refused("size-large", "A size over 2^53.", &with("size", ((1_u64 << 53) + 1).into())),
        refused("no-content", "A file without content.", &with("content", Value::Null)),
        refused("no-root", "A file without a manifest root.", &with("root", Value::Null)),
        refused(
            "other-signer",
            "It names another node than the one that signed.",
            &with("node", world::kid(&world::bob())),
        ),
        refused(
            "node-small-order",
            "Its network is no key.",
            &with("network", Value::Bytes([vec![1], vec![0; 31]].concat())),
        ),
        refused("name", "Its name leads out of its folder.", &with("name", "../report.pdf".into())),
        refused("user", "No user name.", &with("user", "Alice".into())),
        refused("tombstone-revision", "A tombstone with a revision.", &of(&tombstone, "revision", 1.into())),
        refused(
            "tombstone-mtime",
            "A tombstone that was modified at another time than it was published.",
            &of(&tombstone, "mtime", 7.into()),
        ),
        refused("tombstone-content", "A tombstone with content.", &of(&tombstone, "content", hash())),
        refused("tombstone-root", "A tombstone with a manifest root.", &of(&tombstone, "root", hash())),
        refused("tombstone-size", "A tombstone with a size.", &of(&tombstone, "size", 1.into())),
        refused(
            "tombstone-prev",
            "A tombstone that is built on nothing.",
            &of(&tombstone, "prev", Value::Null),
        ),
        refused(
            "extension-null",
            "An extension of a type that extensions do not have.",
            &no_extensions(Value::Null),
        ),
        refused("extension-negative", "An extension that is a negative number.", &no_extensions((-1).into())),
    ]
}
