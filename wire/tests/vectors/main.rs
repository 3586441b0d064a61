//! The vectors in `wire/vectors`: each file says of its bytes what becomes of them, and this checks it.
//!
//! The files are made by `cases`: with `P2P_NODE_WRITE_VECTORS=1` in the environment they are written anew. Bytes of a
//! released version never change.
//!
//! | concept | file |
//! | --- | --- |
//! | the format of a file | `file` |
//! | what becomes of the bytes | `verdict` |
//! | CBOR with a comment on each part | `annotate` |
//! | the chunker, written from PROTOCOL.md alone | `chunker` |
//! | what the files are made of | `cases/` |

extern crate p2p_node_wire as wire;

mod annotate;
mod cases;
mod chunker;
mod file;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use file::Vector;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn names() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the folder of vectors");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn each_file_says_what_becomes_of_its_bytes() {
    let names = names();
    assert!(names.len() > 150, "only {} vectors", names.len());
    for name in names {
        let text = fs::read_to_string(folder().join(&name)).expect("a text file");
        let vector = Vector::parse(&name, &text);
        let verdict = verdict::of(&vector);
        assert_eq!(verdict.as_ref().err().map_or("ok", String::as_str), vector.header("expect"), "{name}");
    }
}

#[test]
fn the_files_are_what_the_code_makes() {
    let cases = cases::all();
    let made: BTreeSet<String> = cases.iter().map(|case| case.name()).collect();
    assert_eq!(made.len(), cases.len(), "two cases with one name");
    if std::env::var_os("P2P_NODE_WRITE_VECTORS").is_some_and(|value| value == "1") {
        for name in names().difference(&made) {
            fs::remove_file(folder().join(name)).expect("removed");
        }
        for case in &cases {
            fs::write(folder().join(case.name()), case.render()).expect("written");
        }
    }
    for case in &cases {
        let found = fs::read_to_string(folder().join(case.name())).unwrap_or_default();
        assert!(found == case.render(), "{} is not what the code makes", case.name());
    }
    assert_eq!(names(), made);
}
