//! The accepted part of CBOR.

use super::{Case, world};

pub(crate) fn cases() -> Vec<Case> {
    let accepted = Case::new("cbor-accepted", "cbor", "Every form that is accepted.").item(&accepted());
    let deep = nested(16);
    let deepest = Case::new("cbor-deepest", "cbor", "16 levels of arrays.").item(&deep);
    [accepted, deepest].into_iter().chain(refused()).collect()
}

fn accepted() -> Vec<u8> {
    use ciborium::Value;
    let numbers = [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
    let negative = [-1, -24, -25, -256, -257, i64::MIN];
    let map = vec![
        (Value::from(1), Value::Null),
        (Value::from(-1), Value::Bool(true)),
        (Value::from("text"), Value::Bool(false)),
        (Value::from(""), Value::from("ü")),
        (Value::from("bytes"), Value::Bytes(world::noise("bytes", 24))),
        (Value::from("map"), Value::Map(Vec::new())),
    ];
    let parts = vec![
        Value::Array(numbers.map(Value::from).to_vec()),
        Value::Array(negative.map(Value::from).to_vec()),
        Value::Map(map),
    ];
    wire::cbor::encode(&Value::Array(parts))
}

fn nested(levels: usize) -> Vec<u8> {
    [vec![0x81; levels], vec![0]].concat()
}

fn refused() -> Vec<Case> {
    let refused = |name: &str, about: &str, bytes: &[u8]| {
        Case::new(&format!("cbor-refused-{name}"), "cbor", about).expect("bad-message").raw(bytes, "")
    };
    vec![
        refused("nothing", "No item.", b""),
        refused("truncated", "A byte string that ends before its length says so.", b"\x42\x01"),
        refused("truncated-head", "A head that ends in its middle.", b"\x19\x01"),
        refused("huge-string", "A length of 2^64 - 1.", b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
        refused("huge-array", "A count of 2^64 - 1.", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        refused("trailing", "A byte follows the item.", b"\x01\x00"),
        refused("tag", "A tag.", b"\xc0\x60"),
        refused("bignum", "A number as a tagged byte string.", b"\xc2\x41\x01"),
        refused("half", "A float of 16 bits.", b"\xf9\x3c\x00"),
        refused("single", "A float of 32 bits.", b"\xfa\x3f\x80\x00\x00"),
        refused("double", "A float of 64 bits.", b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        refused("undefined", "The simple value `undefined`.", b"\xf7"),
        refused("simple", "An unassigned simple value.", b"\xe0"),
        refused("simple-byte", "A simple value in a byte of its own.", b"\xf8\x20"),
        refused("indefinite-bytes", "A byte string in pieces.", b"\x5f\x41\x01\xff"),
        refused("indefinite-text", "A text string in pieces.", b"\x7f\x61\x61\xff"),
        refused("indefinite-array", "An array of indefinite length.", b"\x9f\xff"),
        refused("indefinite-map", "A map of indefinite length.", b"\xbf\xff"),
        refused("break", "A break alone.", b"\xff"),
        refused("reserved-length", "A length of a reserved form.", b"\x1c"),
        refused("long-number", "23 in two bytes.", b"\x18\x17"),
        refused("long-number-16", "255 in three bytes.", b"\x19\x00\xff"),
        refused("long-number-32", "65,535 in five bytes.", b"\x1a\x00\x00\xff\xff"),
        refused("long-number-64", "2^32 - 1 in nine bytes.", b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff"),
        refused("long-length", "A byte string whose length could be shorter.", b"\x58\x01\x00"),
        refused("not-utf-8", "Text that is not UTF-8.", b"\x62\xc3\x28"),
        refused("surrogate", "Text with a surrogate.", b"\x63\xed\xa0\x80"),
        refused("key-twice", "A key that occurs twice.", b"\xa2\x61a\x00\x61a\x01"),
        refused("key-twice-inside", "The same in a map inside.", b"\x81\xa2\x01\x00\x01\x00"),
        refused("key-bytes", "A byte string as key.", b"\xa1\x41a\x00"),
        refused("key-array", "An array as key.", b"\xa1\x80\x00"),
        refused("key-true", "`true` as key.", b"\xa1\xf5\x00"),
        refused("depth", "17 levels of arrays.", &nested(17)),
        refused("depth-map", "17 levels of maps.", &[b"\xa1\x00".repeat(17), vec![0]].concat()),
    ]
}
