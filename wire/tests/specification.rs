//! PROTOCOL.md and protocol.cddl against the code: numbers, names and schemas stand in one place each, and this keeps the
//! copies equal.

use std::collections::{BTreeMap, BTreeSet};

use certs::{Enrolment, IndexCertificate, Membership, Statement, UserName};
use p2p_node_wire::{ErrorCode, Receipt, ResourceName, cbor, limits};

const TEXT: &str = include_str!("../PROTOCOL.md");
const CDDL: &str = include_str!("../protocol.cddl");
const LIMITS: &str = include_str!("../src/limits.rs");

/// The rows of the first table after a heading, each cell without its white space and quotes.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = TEXT.split_once(&format!("\n# {heading}\n")).expect("the heading");
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    rows.skip(2).map(cells).collect()
}

fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().ok().expect("not negative").to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Every limit by its name, as the text should have it.
fn limits() -> BTreeMap<&'static str, String> {
    macro_rules! numbers {
        ($($name:ident),* $(,)?) => { [$((stringify!($name), number(limits::$name))),*] };
    }
    let numbers = numbers![
        FRAME_BYTES,
        MEMBER_FRAME_BYTES,
        RECORD_BYTES,
        VERSION,
        CONTENT_BYTES,
        ADDRESSES,
        FEATURES,
        FEATURE_BYTES,
        BATCH_RECORDS,
        BATCH_HOLDINGS,
        PAGE_ITEMS,
        DEFAULT_PAGE_ITEMS,
        CURSOR_BYTES,
        QUERY_BYTES,
        QUERY_TERMS,
        HOLDERS,
        ROOTS,
        RANGES,
        RUNS,
        ZSTD_WINDOW_BYTES,
        ENCODING_BYTES,
        MANIFEST_PAGES,
        PAGE_BYTES,
        ROOT_BYTES,
        FILE_BLOCKS,
        CHUNK_BYTES,
        MIN_CHUNK_BYTES,
        PATH_BYTES,
        FOLDER_ENTRIES,
        ERROR_TEXT_BYTES,
        NODES_PER_ACCOUNT,
        RESOURCES_PER_ACCOUNT,
        HOLDINGS_PER_NODE,
        FOLLOWED,
        EVENT_BYTES,
        HEAD_BYTES,
        TREE_PAGE_BYTES,
        DHT_VALUE_BYTES,
        DHT_KEY_BYTES,
        DHT_PACKET_BYTES,
        STATEMENTS,
        KNOWN_NODES,
        MEMBERS,
        BAD_MESSAGES,
    ];
    let password = limits::PASSWORD_BYTES;
    let others = [
        ("PASSWORD_BYTES", format!("{} to {}", number(*password.start()), number(*password.end()))),
        ("MAX_DEPTH", number(cbor::MAX_DEPTH)),
        ("INDEX_CERTIFICATE_BYTES", number(IndexCertificate::MAX_BYTES)),
        ("MEMBERSHIP_BYTES", number(Membership::MAX_BYTES)),
        ("ENROLMENT_BYTES", number(Enrolment::MAX_BYTES)),
        ("RECEIPT_BYTES", number(Receipt::MAX_BYTES)),
        ("USER_NAME_BYTES", number(UserName::MAX_BYTES)),
        ("RESOURCE_NAME_BYTES", number(ResourceName::MAX_BYTES)),
    ];
    numbers.into_iter().chain(others).collect()
}

#[test]
fn the_limits_are_those_of_the_code() {
    let rows = table("Limits");
    let said: BTreeMap<&str, String> = rows.iter().map(|row| (row[0].as_str(), row[1].clone())).collect();
    assert_eq!(rows.len(), said.len(), "a name that occurs twice");
    assert_eq!(said, limits());
}

#[test]
fn no_limit_of_the_code_is_left_out() {
    let names = LIMITS.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'));
    let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
    assert!(names.len() > 25);
    let known = limits();
    assert_eq!(names.iter().filter(|name| !known.contains_key(*name)).collect::<Vec<_>>(), [&""; 0]);
}

#[test]
fn the_error_codes_are_those_of_the_code() {
    let said: Vec<_> = table("Errors").into_iter().map(|row| row[..3].to_vec()).collect();
    let retry = |code: &ErrorCode| if code.retry() { "yes" } else { "no" };
    let known =
        |code: &ErrorCode| vec![code.number().to_string(), code.name().to_owned(), retry(code).to_owned()];
    assert_eq!(said, ErrorCode::ALL.iter().map(known).collect::<Vec<_>>());
    assert!(table("Errors").iter().all(|row| row.len() == 5 && row.iter().all(|cell| !cell.is_empty())));
}

#[test]
fn the_context_strings_are_those_of_the_code() {
    let contexts = [
        IndexCertificate::CONTEXT,
        Membership::CONTEXT,
        p2p_node_wire::Record::CONTEXT,
        Receipt::CONTEXT,
        p2p_node_wire::catalogue::CatalogueHead::CONTEXT,
        p2p_node_wire::MembersHead::CONTEXT,
        p2p_node_wire::Presence::CONTEXT,
    ];
    for context in contexts {
        assert!(TEXT.contains(&format!("| `{context}` |")), "{context}");
    }
}

/// The blocks of schemas, in order.
fn blocks() -> impl Iterator<Item = &'static str> {
    TEXT.split("```cddl\n").skip(1).map(|rest| rest.split_once("```").expect("a block that ends").0)
}

#[test]
fn the_schemas_are_those_of_the_file() {
    let plain = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(';'));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let all: String = blocks().map(plain).collect();
    assert!(all.len() > 5000);
    assert!(all == plain(CDDL), "the schemas of PROTOCOL.md and protocol.cddl differ");
}

#[test]
fn every_name_of_a_schema_is_defined_once() {
    let defined = |line: &'static str| Some(line.split_once(" = ")?.0.split('<').next().unwrap_or_default());
    let at_start = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let names: Vec<_> = CDDL.lines().filter(at_start).filter_map(defined).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), distinct.len());
    assert!(distinct.len() > 60, "{}", distinct.len());
}

#[test]
fn the_example_is_the_vector() {
    assert!(TEXT.contains(include_str!("../vectors/request-G-runs.hex")));
}
