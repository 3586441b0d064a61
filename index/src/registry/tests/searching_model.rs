//! S against a model: names, changes and queries at random.

use std::collections::BTreeMap;

use certs::UnixNanos;
use wire::message::OutcomeKind;
use wire::{Kind, Record, SignedRecord, record_hash};

use super::super::Purpose;
use super::{Fixture, Publisher};

const WORDS: &[&str] =
    &["report", "Reports", "re", "a", "film", "Film2", "notes", "Übung", "annual", "2026", "on"];
const BETWEEN: &[&str] = &[" ", "_", "-", ".", " - ", ""];
const ENDS: &[&str] = &["", ".pdf", ".PDF", ".tar.gz", ".gz", ".c"];
const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * NANOS;
/// The begin of 2026.
const YEAR: i64 = 1_767_225_600 * NANOS;

/// xorshift64: the seed is not 0.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// An entry as the model has it.
#[derive(Clone)]
struct Row {
    record: SignedRecord,
    accepted: usize,
}

impl Row {
    fn name(&self) -> String {
        self.record.name.as_str().to_lowercase()
    }

    fn path(&self) -> String {
        format!("{}/{}", self.record.user, self.record.name)
    }

    /// Its words with a space at each end.
    fn spaced(&self) -> String {
        let apart = self.name().replace(|character: char| !character.is_alphanumeric(), " ");
        format!(" {} ", apart.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// A term of a query, and what it means in the plainest way.
struct Term {
    text: String,
    name: Option<String>,
    meets: Box<dyn Fn(&Row) -> bool>,
}

fn named(text: String, name: &str, meets: impl Fn(&Row) -> bool + 'static) -> Term {
    Term { text, name: Some(name.to_lowercase()), meets: Box::new(meets) }
}

fn filter(text: String, meets: impl Fn(&Row) -> bool + 'static) -> Term {
    Term { text, name: None, meets: Box::new(meets) }
}

fn name_term(random: &mut Random) -> Term {
    let (word, second) = (random.of(WORDS), random.of(WORDS));
    let folded = word.to_lowercase();
    match random.below(4) {
        0 if word.chars().count() >= 3 => {
            named(word.to_owned(), word, move |row| row.name().contains(&folded))
        }
        0 | 1 => {
            let star = if word.chars().count() >= 3 { "*" } else { "" };
            named(format!("{word}{star}"), word, move |row| row.spaced().contains(&format!(" {folded}")))
        }
        2 => {
            let part: String = word.chars().skip(word.len().min(2) - 1).collect();
            let folded = part.to_lowercase();
            let whole = part.chars().count() >= 3;
            named(part.clone(), &part, move |row| {
                if whole {
                    row.name().contains(&folded)
                } else {
                    row.spaced().contains(&format!(" {folded}"))
                }
            })
        }
        _ => {
            let (text, words) = (format!("{word} {second}"), format!(" {folded} {} ", second.to_lowercase()));
            named(format!("\"{text}\""), &text, move |row| row.spaced().contains(&words))
        }
    }
}

fn other_term(random: &mut Random) -> Term {
    let (size, day) = (random.below(6) as u64, random.below(5) as i64);
    let begin = YEAR + day * DAY;
    let date = format!("2026-01-{:02}", day + 1);
    match random.below(8) {
        0 => filter(format!("size:>{size}k"), move |row| row.record.size > size * 1024),
        1 => filter(format!("size:<={size}k"), move |row| row.record.size <= size * 1024),
        2 => filter(format!("size:1k..{}k", size + 1), move |row| {
            (1024..=(size + 1) * 1024).contains(&row.record.size)
        }),
        3 => filter(format!("after:{date}"), move |row| row.record.mtime.0 >= begin),
        4 => filter(format!("before:{date}"), move |row| row.record.mtime.0 < begin),
        5 => filter("kind:folder".to_owned(), |row| row.record.kind == Kind::Folder),
        6 => filter("owner:bob".to_owned(), |row| row.record.user.as_str() == "bob"),
        _ => {
            let end = random.of(&["pdf", "gz", "tar.gz", "c"]);
            filter(format!("ext:{end}"), move |row| {
                row.name().strip_suffix(&format!(".{end}")).is_some_and(|stem| !stem.is_empty())
            })
        }
    }
}

/// A query, and what it finds in the model.
fn query(random: &mut Random, rows: &[Row]) -> (String, Vec<String>) {
    let mut terms: Vec<(bool, Term)> = Vec::new();
    for _ in 0..1 + random.below(3) {
        let term = if random.below(3) > 0 { name_term(random) } else { other_term(random) };
        // Some filters may stand only once.
        let key = |term: &Term| term.text.split_once(':').map(|(key, _)| key.to_owned());
        let again = |(_, other): &(bool, Term)| key(other).is_some_and(|other| Some(other) == key(&term));
        if !terms.iter().any(again) {
            terms.push((random.below(4) == 0, term));
        }
    }
    let texts = terms.iter().map(|(not, term)| format!("{}{}", if *not { "-" } else { "" }, term.text));
    let exact = terms.iter().filter(|(not, _)| !not).filter_map(|(_, term)| term.name.as_deref());
    let exact = exact.collect::<Vec<_>>().join(" ");
    let mut found: Vec<_> =
        rows.iter().filter(|row| terms.iter().all(|(not, term)| (term.meets)(row) != *not)).collect();
    found.sort_by_key(|row| (row.name() != exact, std::cmp::Reverse(row.accepted)));
    (texts.collect::<Vec<_>>().join(" "), found.into_iter().map(Row::path).collect())
}

fn record(random: &mut Random, by: &Publisher, name: &str, before: Option<&SignedRecord>) -> SignedRecord {
    let version = before.map_or(1, |before| before.version + 1);
    let plain = by.record(name, version, before.map(record_hash), &format!("{name} {version}"));
    let mtime = UnixNanos(YEAR + (random.below(9) as i64) * DAY / 2 - 1);
    let size = (random.below(12) as u64) * 512;
    by.sign(Record { mtime, size, ..Record::clone(&plain) })
}

/// Registers, updates or takes back, in the registry and in the model.
async fn change(fixture: &Fixture, random: &mut Random, by: &Publisher, model: &mut Model) {
    let words = (0..1 + random.below(3)).map(|_| random.of(WORDS).to_owned() + random.of(BETWEEN));
    let name = words.collect::<String>().trim_end_matches([' ', '.']).to_owned() + random.of(ENDS);
    let key = (by.user.to_string(), name.clone());
    let before = model.rows.get(&key).or(model.gone.get(&key)).map(|row| row.record.clone());
    let live = model.rows.contains_key(&key);
    let (purpose, record, outcome) = match before {
        Some(before) if live && random.below(2) == 0 => {
            (Purpose::Deregister, by.tombstone(&before), OutcomeKind::Updated)
        }
        before => {
            let outcome = if live { OutcomeKind::Updated } else { OutcomeKind::Created };
            (Purpose::Register, record(random, by, &name, before.as_ref()), outcome)
        }
    };
    let outcomes = fixture.send(purpose, by, std::slice::from_ref(&record)).await;
    assert_eq!(outcomes[0].outcome, outcome, "{name}: {outcomes:?}");
    model.accepted += 1;
    let (into, from) = match purpose {
        Purpose::Deregister => (&mut model.gone, &mut model.rows),
        _ => (&mut model.rows, &mut model.gone),
    };
    from.remove(&key);
    into.insert(key, Row { record, accepted: model.accepted });
}

/// All resources, live and taken back.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(String, String), Row>,
    gone: BTreeMap<(String, String), Row>,
    accepted: usize,
}

async fn all_pages(fixture: &Fixture, query: &str, limit: usize) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = fixture.search_page(query, limit, after).await;
        assert!(page.len() <= limit);
        seen.extend(page);
        match next {
            Some(_) => after = next,
            None => return seen,
        }
    }
}

#[tokio::test]
async fn whatever_is_asked_the_model_finds_the_same() {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| getrandom::u64().expect("random") | 1);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let fixture = Fixture::new();
    let publishers = [fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await];
    let mut model = Model::default();
    for round in 0..40 {
        for _ in 0..10 {
            let by = random.below(2);
            change(&fixture, &mut random, &publishers[by], &mut model).await;
        }
        let rows: Vec<_> = model.rows.values().cloned().collect();
        for _ in 0..20 {
            let (text, expected) = query(&mut random, &rows);
            let found = all_pages(&fixture, &text, 1 + random.below(40)).await;
            assert_eq!(found, expected, "SEED={seed}, round {round}: {text}");
        }
    }
}
