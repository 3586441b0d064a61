//! S: what matches, in which order, and pages while things change.

use std::collections::BTreeMap;

use super::super::search::{Asked, List, SearchKey};
use super::super::{Purpose, Query, SCANNED_ROWS, schema};
use super::Fixture;

const NONE: [&str; 0] = [];

#[tokio::test]
async fn substrings_from_three_characters_and_word_beginnings_below() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    fixture
        .share(&alice, &["Annual Report 2026.pdf", "my_notes-v2.txt", "Übung über Öl.doc", "日本語の本.pdf"])
        .await;
    let check = async |query: &str, expected: &[&str]| {
        assert_eq!(fixture.search(query).await, expected, "{query}");
    };
    let (report, notes, exercise, japanese) = (
        "alice/Annual Report 2026.pdf",
        "alice/my_notes-v2.txt",
        "alice/Übung über Öl.doc",
        "alice/日本語の本.pdf",
    );
    check("report", &[report]).await;
    check("EPO", &[report]).await;
    check("al Rep", &NONE).await;
    check("ual rep", &[report]).await;
    check("pdf", &[japanese, report]).await;
    check("r", &[report]).await;
    check("re", &[report]).await;
    check("ep", &NONE).await;
    check("no v2", &[notes]).await;
    check("my_", &[notes]).await;
    check("s-v", &[notes]).await;
    check("20 pdf annual", &[report]).await;
    check("20 pdf monthly", &NONE).await;
    check("übung", &[exercise]).await;
    check("U\u{308}BU", &[exercise]).await;
    check("ÜB", &[exercise]).await;
    check("ü", &[exercise]).await;
    check("öl.", &[exercise]).await;
    check("ubung", &NONE).await;
    check("日本", &[japanese]).await;
    check("本語の", &[japanese]).await;
    check("zzz", &NONE).await;
}

#[tokio::test]
async fn the_syntax_of_the_database_is_literal() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    fixture
        .share(&alice, &["100% sure (really).txt", "it's AND that's.txt", "a^b+c{d}.txt", "under_score"])
        .await;
    let check = async |query: &str, expected: &[&str]| {
        assert_eq!(fixture.search(query).await, expected, "{query}");
    };
    check("100%", &["alice/100% sure (really).txt"]).await;
    check("100_", &NONE).await;
    check("(really)", &["alice/100% sure (really).txt"]).await;
    check("it's", &["alice/it's AND that's.txt"]).await;
    check("AND", &["alice/it's AND that's.txt"]).await;
    check("NOT OR NEAR", &NONE).await;
    check("^b+", &["alice/a^b+c{d}.txt"]).await;
    check("c{d}", &["alice/a^b+c{d}.txt"]).await;
    check("a\"b\"c", &NONE).await;
    check("abc'; DROP TABLE entries;--x", &NONE).await;
    check("r_s", &["alice/under_score"]).await;
}

#[tokio::test]
async fn exact_names_first_then_the_newest() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["Notes", "notes 1", "my notes"]).await;
    fixture.share(&bob, &["notes", "notes 2"]).await;
    let expected = ["bob/notes", "alice/Notes", "bob/notes 2", "alice/my notes", "alice/notes 1"];
    assert_eq!(fixture.search("NOTES").await, expected);
    let renewed = alice.next(&alice.first("notes 1"), "changed");
    fixture.send(Purpose::Register, &alice, &[renewed]).await;
    let expected = ["bob/notes", "alice/Notes", "alice/notes 1", "bob/notes 2", "alice/my notes"];
    assert_eq!(fixture.search("notes").await, expected, "an update is accepted anew");
    assert_eq!(fixture.search("notes 1").await, ["alice/notes 1"]);
    for limit in 1..7 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = fixture.search_page("notes", limit, after).await;
            assert!(page.len() <= limit);
            seen.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{limit}");
    }
}

#[tokio::test]
async fn owners() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["notes", "my notes", "other"]).await;
    fixture.share(&bob, &["notes"]).await;
    let check = async |query: &str, expected: &[&str]| {
        assert_eq!(fixture.search(query).await, expected, "{query}");
    };
    check("owner:alice", &["alice/other", "alice/my notes", "alice/notes"]).await;
    check("owner:alice notes", &["alice/notes", "alice/my notes"]).await;
    check("my owner:alice", &["alice/my notes"]).await;
    check("no my owner:alice", &["alice/my notes"]).await;
    check("notes my owner:bob", &NONE).await;
    check("owner:carol notes", &NONE).await;
}

#[tokio::test]
async fn what_does_not_change_appears_exactly_once() {
    for query in ["file", "-other", "owner:alice", "\"file\" size:>0 fi", "ext:txt before:2026-01-01"] {
        let fixture = Fixture::new();
        let alice = fixture.publisher("alice", 2).await;
        let names: Vec<_> = (0..150).map(|number| format!("file {number:04}.txt")).collect();
        fixture.share(&alice, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (mut after, mut seen) = (None, BTreeMap::<String, u32>::new());
        for round in 0.. {
            let (page, next) = fixture.search_page(query, 7, after).await;
            for path in page {
                *seen.entry(path).or_default() += 1;
            }
            for number in [3 * (round * 13 % 50), 3 * (round * 7 % 50) + 1] {
                let current = alice.first(&names[number]);
                let change = match number % 3 {
                    0 => (Purpose::Register, alice.next(&current, "changed")),
                    _ => (Purpose::Deregister, alice.tombstone(&current)),
                };
                fixture.send(change.0, &alice, &[change.1]).await;
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        for name in names.iter().skip(2).step_by(3) {
            assert_eq!(seen.get(&format!("alice/{name}")), Some(&1), "{query}: {name}");
        }
        let once = seen.values().all(|&times| times == 1);
        assert!(once, "{query}: what moves to the front is not seen again behind");
    }
}

#[tokio::test]
async fn the_change_to_a_shorter_list_loses_nothing() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    // The first list that is tried has all names, the shortest one has one in 20.
    let name = |number| format!("common {number:04}{}", if number % 20 == 0 { " rare" } else { "" });
    let names: Vec<_> = (0..500).map(name).collect();
    fixture.share(&alice, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rare = names.iter().rev().filter(|name| name.ends_with("rare")).map(|name| format!("alice/{name}"));
    let expected: Vec<_> = rare.collect();
    for limit in [1, 4, 5, 6, 20, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = fixture.search_page("common rare", limit, after).await;
            assert!(page.len() <= limit);
            found.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} on a page");
    }
}

#[tokio::test]
async fn what_few_pass_makes_short_pages_not_slow_ones() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let names: Vec<_> = (0..SCANNED_ROWS + 10).map(|number| format!("file {number:04}")).collect();
    fixture.share(&alice, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for query in ["file -file", "owner:alice size:>1t", "\"fi\" fil"] {
        let (found, next) = fixture.search_page(query, 1000, None).await;
        assert!(found.is_empty() && next.is_some(), "{query}");
        assert_eq!(fixture.search_page(query, 1000, next).await, (Vec::new(), None), "{query}");
    }
}

#[test]
fn the_shortest_list_is_walked() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = schema::open_writer(&folder.path().join("index.db")).expect("made");
    database
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO accounts(account, user, created) VALUES (zeroblob(16), 'alice', 0);
             WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
             INSERT INTO entries SELECT n, iif(n % 50, 2, 1), 1, 'x', n, n, 0, 1, 0, 0, 0, 0, 0, NULL, x'00'
             FROM numbers;
             INSERT INTO search(rowid, text)
             SELECT seq, 'aaa' || iif(seq % 3, '', 'bbb') || iif(seq % 100, '', 'ccc') FROM entries;",
        )
        .expect("filled");
    for (text, list) in [
        ("aaa", List::Trigram(0)),
        ("aaa bbb", List::Trigram(1)),
        ("bbb aaa", List::Trigram(0)),
        ("aaa bbb ccc", List::Trigram(2)),
        ("aaa ddd", List::Trigram(1)),
        ("aaa owner:alice", List::Owner),
        ("owner:alice", List::Owner),
        ("-aaa", List::All),
    ] {
        let query = Query::parse(text).expect(text);
        let asked = Asked::new(&database, &query).expect("read").expect("an owner");
        assert_eq!(asked.shortest(&database, &asked.lists()).expect("read"), list, "{text}");
    }
}

#[tokio::test]
async fn what_stands_beside_names_in_the_search_table_is_no_part_of_them() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    // Names with the characters that the table marks ends and beginnings with.
    fixture
        .share(
            &alice,
            &["notes.txt", "x\u{f8ff}no.doc", "all.pdf\u{f8fe}x", "folder\u{f8fe}\u{f8fe}\u{f8fe}"],
        )
        .await;
    let check = async |query: &str, expected: &[&str]| {
        assert_eq!(fixture.search(query).await, expected, "{query}");
    };
    check("txt\u{f8fe}", &NONE).await;
    check("\u{f8ff}\u{f8ff}n", &NONE).await;
    check("\u{f8ff}no", &["alice/x\u{f8ff}no.doc"]).await;
    check("no", &["alice/x\u{f8ff}no.doc", "alice/notes.txt"]).await;
    check("ext:pdf", &NONE).await;
    check("kind:folder", &NONE).await;
}

#[test]
fn every_search_is_a_walk_along_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = schema::open_writer(&folder.path().join("index.db")).expect("made");
    database
        .execute("INSERT INTO accounts(account, user, created) VALUES (zeroblob(16), 'alice', 0)", [])
        .expect("an account");
    for text in ["report re", "owner:alice", "owner:alice report", "-report", "\"a b\" size:1", "ext:pdf"] {
        let query = Query::parse(text).expect(text);
        let asked = Asked::new(&database, &query).expect("read").expect("an owner");
        for list in asked.lists().into_iter().chain([List::Exact, List::All]) {
            let Some((source, values)) = asked.source(SearchKey::first(list)) else { continue };
            for sql in [source.walk(), source.probe()] {
                let plan = super::plan(&database, &sql, values.clone());
                // FTS5 shows its own index as "VIRTUAL TABLE INDEX"; a sort of the matches would be a temporary tree.
                let walks = plan.iter().all(|step| {
                    ["SEARCH ", "CO-ROUTINE ", "SCAN (subquery"].iter().any(|walk| step.starts_with(walk))
                        || step.starts_with("SCAN ") && step.contains("VIRTUAL TABLE INDEX")
                });
                assert!(walks, "{sql}\n{plan:#?}");
            }
        }
    }
}
