//! Ids, user names, resource names.

use super::{Case, world};
use certs::{PublicKey, SecretKey};

pub(crate) fn cases() -> Vec<Case> {
    let keys = [("root", world::root()), ("index", world::index()), ("alice", world::alice())];
    let ids = keys.iter().map(|(name, key)| id(name, key));
    ids.chain(refused_ids()).chain(refused_texts()).chain(user_names()).chain(resource_names()).collect()
}

fn id(name: &str, key: &SecretKey) -> Case {
    let seed = key.seed()[0];
    let about =
        format!("An id, the public key of the Ed25519 seed of 32 bytes {seed:02x}, and how it is written.");
    Case::new(&format!("id-{name}"), "id", &about)
        .header("text", key.public())
        .raw(key.public().as_bytes(), "")
}

fn refused_ids() -> Vec<Case> {
    let refused = |name: &str, about: &str, bytes: &[u8]| {
        Case::new(&format!("id-refused-{name}"), "id", about).expect("bad-message").raw(bytes, "")
    };
    let mut neutral = [0; 32];
    neutral[0] = 1;
    vec![
        refused("small-order", "The neutral element: a point of small order.", &neutral),
        refused("no-point", "No point of the curve has this y.", &no_point()),
        refused("not-canonical", "A point whose y is written as y + p.", &not_canonical()),
        refused("short", "31 bytes.", &world::alice().public().as_bytes()[..31]),
    ]
}

fn no_point() -> [u8; 32] {
    let candidates = (2..20).map(|y| {
        let mut bytes = [0; 32];
        bytes[0] = y;
        bytes
    });
    candidates.into_iter().find(|bytes| PublicKey::from_bytes(*bytes).is_err()).expect("half of all are none")
}

/// 2^255 - 19 + y for a small y that is a point.
fn not_canonical() -> [u8; 32] {
    let is_point = |y: &u8| {
        let mut bytes = [0; 32];
        bytes[0] = *y;
        PublicKey::from_bytes(bytes).is_ok()
    };
    let y = (2..19).find(is_point).expect("half of all are points");
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + y;
    bytes[31] = 0x7f;
    bytes
}

fn refused_texts() -> Vec<Case> {
    let text = world::alice().public().to_string();
    let refused = |name: &str, about: &str, text: &str| {
        let case = Case::new(&format!("id-text-refused-{name}"), "id-text", about).expect("refused");
        case.raw(text.as_bytes(), format!("{text:?}"))
    };
    let last = text.len() - 1;
    vec![
        refused("upper-case", "An id in upper case.", &text.to_uppercase()),
        refused("short", "51 characters.", &text[1..]),
        refused("long", "53 characters.", &format!("{text}a")),
        refused("padding", "With the padding of RFC 4648.", &format!("{text}====")),
        refused("last-bits", "The 4 bits left over in the last character are not 0.", &odd(&text, last)),
        refused("digit", "1 is not in the alphabet.", &format!("1{}", &text[1..])),
    ]
}

/// The last character with its lowest bit set.
fn odd(text: &str, last: usize) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let at = ALPHABET.iter().position(|&byte| byte == text.as_bytes()[last]).expect("base32");
    format!("{}{}", &text[..last], char::from(ALPHABET[at | 1]))
}

fn user_names() -> Vec<Case> {
    let case = |name: &str, about: &str, text: &str| {
        Case::new(&format!("user-name-{name}"), "user-name", about).raw(text.as_bytes(), format!("{text:?}"))
    };
    let refused = |name: &str, about: &str, text: &str| {
        case(&format!("refused-{name}"), about, text).expect("bad-message")
    };
    vec![
        case("plain", "A user name.", "alice"),
        case("all", "A user name with every kind of character.", "0a.b_c-9"),
        case("longest", "A user name of 32 bytes.", &"x".repeat(32)),
        refused("empty", "No name.", ""),
        refused("long", "33 bytes.", &"x".repeat(33)),
        refused("upper-case", "A capital letter.", "Alice"),
        refused("first", "It begins with neither letter nor digit.", "_alice"),
        refused("letter", "A letter that is not one of a to z.", "älice"),
    ]
}

fn resource_names() -> Vec<Case> {
    let case = |name: &str, about: &str, text: &str| {
        Case::new(&format!("name-{name}"), "resource-name", about)
            .raw(text.as_bytes(), format!("{:?}", text.chars().take(40).collect::<String>()))
    };
    let refused = |name: &str, about: &str, text: &str| {
        case(&format!("refused-{name}"), about, text).expect("bad-message")
    };
    vec![
        case("plain", "A resource name.", "report.pdf"),
        case("unicode", "A resource name in Normalization Form C.", "Übung 1 – 日本語.txt"),
        case("longest", "255 bytes.", &"x".repeat(255)),
        case("hidden", "It may begin with a dot.", ".profile"),
        case("like-a-device", "Not quite the name of a device.", "com10"),
        refused("empty", "No name.", ""),
        refused("dot", "The folder itself.", "."),
        refused("dots", "The folder above.", ".."),
        refused("long", "256 bytes.", &"x".repeat(256)),
        refused("slash", "A separator.", "a/b"),
        refused("backslash", "A separator on some systems.", "a\\b"),
        refused("colon", "One of the nine characters.", "a:b"),
        refused("nul", "A control character, U+0000.", "a\0b"),
        refused("c1", "A control character, U+0085.", "a\u{85}b"),
        refused("bidi", "U+202E reorders what follows it.", "a\u{202e}fdp.exe"),
        refused("zero-width", "U+200B does not show.", "a\u{200b}b"),
        refused("tag", "U+E0041 does not show.", "a\u{e0041}b"),
        refused("space-first", "It begins with a space.", " a"),
        refused("space-last", "It ends with a space.", "a "),
        refused("dot-last", "It ends with a dot.", "a."),
        refused("device", "The name of a device.", "nul"),
        refused("device-extension", "The name of a device with an extension.", "COM1.txt"),
        refused("space-wide", "It ends with white space that is no U+0020.", "a\u{3000}"),
        refused("filler", "A character that does not show.", "a\u{3164}"),
        refused("device-console", "The name of a device.", "CONOUT$"),
        refused("device-superscript", "The name of a device, with a superscript digit.", "com\u{b2}"),
        refused("device-space", "The name of a device with a space after it.", "aux .txt"),
        refused("decomposed", "Not in Normalization Form C.", "u\u{308}bung"),
    ]
}
