//! Writes the first inputs of each target, from the protocol's test vectors: `seeds FOLDER`.

#[expect(dead_code, reason = "the tests of the vectors use more of it")]
#[path = "../../../tests/vectors/file.rs"]
mod file;

use std::path::Path;
use std::{env, fs};

use ciborium::Value;
use file::Vector;
use wire::catalogue::{CataloguePage, TreeKind};

/// Frames arrive in pieces of these sizes: a count, and so many sizes.
const PIECES: &[u8] = &[3, 1, 5, 200];

fn main() {
    let into = env::args_os().nth(1).expect("usage: seeds FOLDER");
    let into = Path::new(&into);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let mut written = 0;
    for entry in fs::read_dir(vectors).expect("the folder of vectors") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8");
        let vector = Vector::parse(name, &fs::read_to_string(&path).expect("a text file"));
        for (target, bytes) in seeds(&vector) {
            let folder = into.join(target);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(name), bytes).expect("written");
            written += 1;
        }
    }
    println!("{written} seeds");
}

fn seeds(vector: &Vector) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = vector.bytes.clone();
    let both = |bytes: Vec<u8>| vec![("decode", bytes.clone()), ("round_trip", bytes)];
    match vector.header("kind") {
        "request" | "answer" => {
            let frames = ("frames", [PIECES, &bytes].concat());
            let content = bytes.get(4..).unwrap_or_default().to_vec();
            [both(content), vec![frames]].concat()
        }
        "record" | "receipt" | "membership" | "index-certificate" | "catalogue-head" | "members-head"
        | "presence" => {
            let payload = payload(&bytes).unwrap_or_default();
            vec![("decode", bytes), ("round_trip", payload)]
        }
        "manifest" => vec![("manifest", pages(vector))],
        "cbor" | "id" | "id-text" | "user-name" | "resource-name" | "enrolment" => both(bytes),
        "manifest-root" => both(bytes),
        "tree-page" => [both(bytes.clone()), vec![("catalogue", tree_of(&bytes))]].concat(),
        "manifest-page" => [both(bytes.clone()), vec![("manifest", with_length(&bytes))]].concat(),
        _ => Vec::new(),
    }
}

/// What a signed object signs: the third of its four parts.
fn payload(envelope: &[u8]) -> Option<Vec<u8>> {
    let Ok(Value::Array(parts)) = ciborium::from_reader(envelope) else { return None };
    parts.into_iter().nth(2)?.into_bytes().ok()
}

/// The pages of a manifest, as the target has them; its root comes first.
fn pages(vector: &Vector) -> Vec<u8> {
    let mut rest = vector.bytes.as_slice();
    let mut pages = Vec::new();
    for (number, length) in vector.header("lengths").split(' ').enumerate() {
        let (part, after) = rest.split_at(length.parse().expect("a length"));
        if number > 0 {
            pages.extend(with_length(part));
        }
        rest = after;
    }
    pages
}

/// A tree of one page, of the kind of that.
fn tree_of(page: &[u8]) -> Vec<u8> {
    let decoded = CataloguePage::decode(page).ok();
    let kind = match decoded.as_ref().and_then(CataloguePage::leaf) {
        Some(TreeKind::Records) | None => 0,
        Some(TreeKind::Held) => 1,
        Some(TreeKind::Members) => 2,
        Some(TreeKind::Revoked) => 3,
    };
    let count = u16::try_from(decoded.map_or(0, |page| page.items())).expect("a page is small");
    [vec![kind], count.to_be_bytes().to_vec(), with_length(page)].concat()
}

fn with_length(page: &[u8]) -> Vec<u8> {
    let length = u16::try_from(page.len()).expect("a vector's page is small");
    [length.to_be_bytes().as_slice(), page].concat()
}
