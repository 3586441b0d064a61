//! What is read as what, what is refused, and what matches.

use proptest::prelude::*;

use super::*;
use wire::limits;

fn parse(text: &str) -> Query {
    Query::parse(text).expect(text)
}

/// A file of 1 MiB that was changed in the first second of 2026.
fn file(name: &str) -> Candidate<'_> {
    let mtime = UnixNanos(1_767_225_600_000_000_000);
    Candidate { name, owner: "alice", kind: Kind::File, size: 1 << 20, mtime }
}

fn matching<'a>(query: &str, names: &[&'a str]) -> Vec<&'a str> {
    let query = parse(query);
    names.iter().copied().filter(|name| query.matches(&file(name))).collect()
}

#[test]
fn what_is_read_as_what() {
    for (text, canonical) in [
        ("  RePort\u{3000}ÜB\tab 3 ", "report üb* ab* 3*"),
        ("u\u{308}bung", "übung"),
        ("-draft film", "film -draft"),
        ("\"Annual \t Report.pdf\" x", "\"annual report.pdf\" x*"),
        ("-\"a b\" -re -rep* -ext:.GZ -owner:bob", "-\"a b\" -re* -rep* -ext:gz -owner:bob"),
        ("foo-B* a*", "foo-b* a*"),
        ("ab** it's", "ab** it's"),
        ("ext:tar.gz", "ext:tar.gz"),
        (
            "size:>1k size:>=1K size:<1m size:<=1g",
            "size:1025.. size:1024.. size:0..1048575 size:0..1073741824",
        ),
        (
            "size:5 size:=5 size:1m..2T size:7.. size:..7",
            "size:5..5 size:5..5 size:1048576..2199023255552 size:7.. size:0..7",
        ),
        ("after:2026-01-01 before:0001-02-28 kind:folder", "after:2026-01-01 before:0001-02-28 kind:folder"),
        ("a\"b 100% c_d (e) NEAR AND", "a\"b 100% c_d (e) near and"),
    ] {
        let canonical = canonical.replace(".. ", "..18446744073709551615 ");
        assert_eq!(parse(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn the_exact_name() {
    for (text, exact) in [
        ("RePort  3", Some("report 3")),
        ("ext:pdf \"Annual  Report.pdf\" -x owner:bob rep*", Some("annual report.pdf rep")),
        ("owner:bob", None),
        ("-film", None),
    ] {
        assert_eq!(parse(text).exact(), exact, "{text}");
    }
}

#[test]
fn what_is_refused_and_why() {
    for (text, why) in [
        ("", "empty"),
        (" \t", "empty"),
        ("a\0b", "U+0000"),
        ("++", "letters and digits"),
        ("-", "letters and digits"),
        ("x -", "letters and digits"),
        ("*", "letter or digit"),
        ("-*", "letter or digit"),
        ("_a*", "letter or digit"),
        ("--x", "one '-'"),
        ("\"open", "not closed"),
        ("\"", "not closed"),
        ("\"a\"b", "white space"),
        ("\"\"", "at least one word"),
        ("\"--\"", "at least one word"),
        ("http://x", "no filter is called 'http:'"),
        (":abc", "no filter is called ':'"),
        ("EXT:pdf", "there are ext:"),
        ("owner:", "owner:"),
        ("owner:Alice", "owner:"),
        ("owner:a owner:b", "only once"),
        ("kind:file kind:folder", "only once"),
        ("ext:gz ext:tar.gz", "only once"),
        ("ext:", "ext:pdf"),
        ("ext:.", "ext:pdf"),
        ("ext:pdf,doc", "ext:pdf"),
        ("ext:\"pdf\"", "ext:pdf"),
        ("ext:*", "ext:pdf"),
        ("size:", "whole number"),
        ("size:>", "whole number"),
        ("size:1.5g", "whole number"),
        ("size:1gb", "whole number"),
        ("size:>>1", "whole number"),
        ("size:..", "whole number"),
        ("size:1..2..3", "whole number"),
        ("size:-1", "whole number"),
        ("size:+1", "whole number"),
        ("size:١", "whole number"),
        ("size:18446744073709551616", "whole number"),
        ("size:16777216t", "that large"),
        ("size:2g..1g", "no size"),
        ("size:<0", "no size"),
        ("size:>18446744073709551615", "no size"),
        ("after:", "YYYY-MM-DD"),
        ("after:2026-1-1", "YYYY-MM-DD"),
        ("after:2026-02-29", "YYYY-MM-DD"),
        ("before:2026-13-01", "YYYY-MM-DD"),
        ("before:-026-01-01", "YYYY-MM-DD"),
        ("before:yesterday", "YYYY-MM-DD"),
        ("before:2026-01-01T00:00", "YYYY-MM-DD"),
        ("kind:gone", "file or folder"),
        ("kind:File", "file or folder"),
    ] {
        let error = Query::parse(text).expect_err(text);
        assert_eq!(error.code, ErrorCode::BadQuery, "{text:?}");
        assert!(error.text.contains(why), "{text:?}: {}", error.text);
    }
}

#[test]
fn terms_are_counted_with_the_words_of_phrases() {
    let most = limits::QUERY_TERMS;
    assert!(Query::parse(&"a ".repeat(most)).is_ok());
    assert!(Query::parse(&"a ".repeat(most + 1)).is_err());
    assert!(Query::parse(&format!("\"{}\"", "a ".repeat(most))).is_ok());
    assert!(Query::parse(&format!("\"{}\" b", "a ".repeat(most))).is_err());
    assert!(Query::parse(&"-a ".repeat(most + 1)).is_err());
}

#[test]
fn names() {
    let names =
        ["annual report.pdf", "annual_report-2.pdf", "report annual", "annual reports", "biannual report"];
    let [plain, underscored, reverse, plural, biannual] = names;
    for (query, expected) in [
        ("annual report", &names[..]),
        ("\"annual report\"", &[plain, underscored]),
        ("\"Annual-Report 2\"", &[underscored]),
        ("\"annual\"", &[plain, underscored, reverse, plural]),
        ("annual*", &[plain, underscored, reverse, plural]),
        ("report* -\"annual report\"", &[reverse, plural, biannual]),
        ("re -bi", &[plain, underscored, reverse, plural]),
        ("-annual", &[]),
        ("report-* ", &[underscored]),
        ("report -ext:pdf", &[reverse, plural, biannual]),
        ("l_r", &[underscored]),
    ] {
        assert_eq!(matching(query, &names), expected, "{query}");
    }
    assert_eq!(matching("a-a*", &["xa-a-a", "xa-a", "a-a"]), ["xa-a-a", "a-a"], "begins that overlap");
    assert_eq!(matching("\"a a b\"", &["a a a b", "a ab"]), ["a a a b"]);
}

#[test]
fn extensions() {
    let names = ["a.pdf", "a.tar.gz", ".gz", "gz", "a.gz.txt", "a.agz"];
    for (query, expected) in [
        ("ext:PDF", &["a.pdf"][..]),
        ("ext:gz", &["a.tar.gz"]),
        ("ext:tar.gz", &["a.tar.gz"]),
        ("ext:g", &[]),
    ] {
        assert_eq!(matching(query, &names), expected, "{query}");
    }
}

#[test]
fn numbers_and_the_rest() {
    for (query, expected) in [
        ("size:1m", true),
        ("size:>1m", false),
        ("size:>=1m", true),
        ("size:<1m", false),
        ("size:<=1024k", true),
        ("size:1m..1m", true),
        ("size:..1048575", false),
        ("-size:>1m", true),
        ("after:2026-01-01", true),
        ("after:2026-01-02", false),
        ("before:2026-01-01", false),
        ("before:2026-01-02", true),
        ("after:0000-01-01 before:9999-12-31", true),
        ("kind:file", true),
        ("kind:folder", false),
        ("owner:alice", true),
        ("owner:bob", false),
        ("-owner:bob", true),
        ("-owner:bob -owner:alice", false),
    ] {
        assert_eq!(parse(query).matches(&file("x")), expected, "{query}");
    }
    let earliest = Candidate { mtime: UnixNanos(i64::MIN), ..file("x") };
    assert!(parse("before:1678-01-01 after:1677-01-01").matches(&earliest));
    let latest = Candidate { mtime: UnixNanos(i64::MAX), ..file("x") };
    assert!(parse("before:9999-12-31 after:2262-01-01").matches(&latest));
    assert!(!parse("-zzz").matches(&Candidate { kind: Kind::Gone, ..file("x") }));
}

#[test]
fn fingerprints_tell_queries_apart() {
    let texts = [
        "abc",
        "abd",
        "-abc",
        "\"abc\"",
        "abc*",
        "ext:abc",
        "owner:abc",
        "owner:abc abc",
        "ab c",
        "c ab",
        "\"ab c\"",
        "size:1",
        "size:>1",
        "after:2026-01-01",
        "before:2026-01-01",
        "kind:file",
        "kind:folder",
        "-kind:folder",
    ];
    let distinct: std::collections::HashSet<_> = texts.iter().map(|text| parse(text).fingerprint()).collect();
    assert_eq!(distinct.len(), texts.len());
    assert_eq!(parse("A  B -x").fingerprint(), parse("a -x b").fingerprint());
}

/// Pieces of the language in any order, and other characters between them.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zÄßΣİ .\"*:<>=-]{0,6}",
        "(ext|size|after|before|kind|owner|x):",
        "(<|>|<=|>=|=|)[0-9]{1,20}(k|m|g|t|b|)",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "(file|folder|pdf|tar\\.gz|alice)",
        " ",
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn never_panics_and_what_is_shown_is_read_as_the_same(text in prop_oneof![".{0,80}", pieces()]) {
        if let Ok(query) = Query::parse(&text) {
            let shown = query.to_string();
            prop_assert_eq!(Query::parse(&shown), Ok(query.clone()), "{}", shown);
            prop_assert_eq!(parse(&shown).fingerprint(), query.fingerprint());
        }
    }

    #[test]
    fn a_name_is_found_by_itself(name in "[a-zA-ZÄß0-9][a-zA-ZÄß0-9 ._+-]{0,30}") {
        let folded = wire::fold(&name);
        if let Ok(query) = Query::parse(&format!("\"{name}\"")) {
            prop_assert!(query.matches(&file(&folded)), "{}", name);
        }
    }
}
