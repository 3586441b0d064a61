//! The rules alone, without a database.

use certs::{AccountId, SecretKey, Signed, UnixMillis, UnixNanos};
use proptest::prelude::*;
use wire::message::OutcomeKind::{self, Created, Superseded, Unchanged, Updated};
use wire::{
    ContentHash, ErrorCode, Kind, Record, RecordHash, RootHash, SignedRecord, Visibility, limits, record_hash,
};

use super::super::rules::{Current, Decision, Purpose, Sender, decide};
use super::{NOW, content, name, network};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn base() -> Record {
    Record {
        format: 0,
        network: network(),
        account: AccountId::from_bytes([5; 16]),
        user: name("alice"),
        node: key(2).public(),
        name: name("report.pdf"),
        kind: Kind::File,
        version: 1,
        revision: 0,
        prev: None,
        size: 5,
        mtime: UnixNanos(10),
        published: UnixNanos(1000),
        content: Some(content("one")),
        root: Some(RootHash::of(b"root")),
        visibility: Visibility::Members,
        extensions: Default::default(),
    }
}

fn signed(record: Record) -> SignedRecord {
    Signed::sign(&key(2), record)
}

fn sender() -> Sender {
    let Record { network, account, user, node, .. } = base();
    Sender { network, account, user, node }
}

fn current(record: &SignedRecord) -> Current {
    Current {
        hash: record_hash(record),
        kind: record.kind,
        version: record.version,
        revision: record.revision,
        content: record.content,
        mtime: record.mtime,
        published: record.published,
    }
}

fn against(stands: Option<&SignedRecord>, incoming: &SignedRecord) -> Decision {
    let purpose = if incoming.is_gone() { Purpose::Deregister } else { Purpose::Register };
    decide(purpose, stands.map(current).as_ref(), incoming, &sender(), 0, NOW)
}

fn refusal(decision: Decision) -> ErrorCode {
    match decision {
        Decision::Refuse(error) => error.code,
        other => panic!("{other:?}"),
    }
}

fn built_on(record: &SignedRecord, text: &str) -> Record {
    Record {
        version: record.version + 1,
        prev: Some(record_hash(record)),
        content: Some(content(text)),
        ..base()
    }
}

fn gone(record: &SignedRecord) -> SignedRecord {
    signed(record.tombstone(record_hash(record), key(2).public(), UnixNanos(2000)))
}

const ACCEPT: fn(OutcomeKind) -> Decision = Decision::Accept;
const KEEP: fn(OutcomeKind) -> Decision = Decision::Keep;

#[test]
fn first_and_again() {
    let first = signed(base());
    assert_eq!(against(None, &first), ACCEPT(Created));
    assert_eq!(against(Some(&first), &first), KEEP(Unchanged));
    let later = signed(Record { version: 7, prev: Some(RecordHash::from_bytes([1; 32])), ..base() });
    assert_eq!(against(None, &later), ACCEPT(Created), "a lost database takes what comes");
}

#[test]
fn no_record_uses_a_name_up() {
    const LEAP: u64 = 1 << 32;
    let at = |version| {
        signed(Record {
            version,
            prev: Some(RecordHash::from_bytes([1; 32])),
            mtime: UnixNanos(11),
            ..base()
        })
    };
    assert_eq!(against(None, &at(LEAP)), ACCEPT(Created));
    assert_eq!(refusal(against(None, &at(LEAP + 1))), ErrorCode::BadRecord);
    let (first, content) = (signed(base()), Some(content("two")));
    let ahead = |version| signed(Record { content, ..at(version).body().clone() });
    assert_eq!(against(Some(&first), &ahead(LEAP + 1)), ACCEPT(Updated));
    for version in [LEAP + 2, limits::VERSION] {
        assert_eq!(refusal(against(Some(&first), &ahead(version))), ErrorCode::BadRecord);
    }
    let far = at(LEAP);
    assert_eq!(against(Some(&far), &signed(built_on(&far, "two"))), ACCEPT(Updated));
    assert_eq!(against(Some(&far), &gone(&far)), ACCEPT(Updated));
}

#[test]
fn who_may_send_what() {
    let cases = [
        (Record { network: key(9).public(), ..base() }, ErrorCode::BadRecord),
        (Record { account: AccountId::from_bytes([6; 16]), ..base() }, ErrorCode::NotOwner),
        (Record { user: name("bob"), ..base() }, ErrorCode::NotOwner),
    ];
    for (record, code) in cases {
        assert_eq!(refusal(against(None, &signed(record))), code);
    }
    let elsewhere = Signed::sign(&key(3), Record { node: key(3).public(), ..base() });
    assert_eq!(refusal(against(None, &elsewhere)), ErrorCode::BadRecord);
    let first = signed(base());
    let by = |purpose, record: &SignedRecord| refusal(decide(purpose, None, record, &sender(), 0, NOW));
    assert_eq!(by(Purpose::Register, &gone(&first)), ErrorCode::BadRecord);
    assert_eq!(by(Purpose::Deregister, &first), ErrorCode::BadRecord);
}

#[test]
fn the_future_and_the_quota() {
    const DAY: u64 = 86_400_000;
    let at = |time: UnixMillis| signed(Record { published: time.into(), ..base() });
    assert_eq!(against(None, &at(NOW.plus(DAY))), ACCEPT(Created));
    assert_eq!(refusal(against(None, &at(NOW.plus(DAY + 1)))), ErrorCode::BadRecord);
    let full = |stands: Option<&Current>| {
        let incoming = signed(base());
        decide(Purpose::Register, stands, &incoming, &sender(), limits::RESOURCES_PER_ACCOUNT, NOW)
    };
    assert_eq!(refusal(full(None)), ErrorCode::Quota);
    assert_eq!(full(Some(&current(&signed(base())))), KEEP(Unchanged), "no new resource");
}

#[test]
fn built_on_the_current_one() {
    let first = signed(base());
    let next = built_on(&first, "two");
    assert_eq!(against(Some(&first), &signed(next.clone())), ACCEPT(Updated));
    let touched = Record { content: first.content, ..next.clone() };
    assert_eq!(against(Some(&first), &signed(touched)), ACCEPT(Updated));
    let revised = Record { version: 1, revision: 1, content: first.content, ..next.clone() };
    assert_eq!(against(Some(&first), &signed(revised.clone())), ACCEPT(Updated));
    for wrong in [
        Record { version: 3, ..next.clone() },
        Record { version: 1, revision: 3, ..next },
        Record { revision: 2, ..revised.clone() },
        Record { content: Some(content("two")), ..revised },
    ] {
        assert_eq!(refusal(against(Some(&first), &signed(wrong))), ErrorCode::BadRecord);
    }
}

#[test]
fn two_machines() {
    let first = signed(base());
    let newer = signed(Record { content: Some(content("two")), mtime: UnixNanos(11), ..base() });
    assert_eq!(against(Some(&first), &newer), ACCEPT(Updated));
    assert_eq!(against(Some(&newer), &first), KEEP(Superseded));
    let same = signed(Record { mtime: UnixNanos(11), ..base() });
    assert_eq!(against(Some(&first), &same), KEEP(Unchanged), "the same content is no conflict");
    let ahead = Record { version: 3, prev: Some(RecordHash::from_bytes([1; 32])), ..base() };
    assert_eq!(
        against(Some(&first), &signed(ahead.clone())),
        ACCEPT(Updated),
        "versions do not go backwards"
    );
    assert_eq!(against(Some(&signed(ahead)), &first), KEEP(Unchanged));
}

#[test]
fn tombstones() {
    let first = signed(base());
    let tombstone = gone(&first);
    assert_eq!(refusal(against(None, &tombstone)), ErrorCode::NotFound);
    assert_eq!(against(Some(&first), &tombstone), ACCEPT(Updated));
    assert_eq!(against(Some(&tombstone), &tombstone), KEEP(Unchanged));
    let second = signed(built_on(&first, "two"));
    assert_eq!(refusal(against(Some(&second), &tombstone)), ErrorCode::StaleVersion);
    assert_eq!(against(Some(&tombstone), &gone(&second)), KEEP(Unchanged), "gone is gone");
    assert_eq!(against(Some(&tombstone), &first), KEEP(Superseded));
    let again = signed(built_on(&tombstone, "one"));
    assert_eq!(against(Some(&tombstone), &again), ACCEPT(Created));
    let stale = Record { version: 2, revision: 0, ..tombstone.body().clone() };
    let stale = signed(Record { mtime: UnixNanos(2), published: UnixNanos(2), ..stale });
    assert_ne!(record_hash(&stale), record_hash(&tombstone));
    assert_eq!(against(Some(&tombstone), &stale), KEEP(Unchanged));
}

/// Records of one resource: each is a first one or built on an earlier one of the list.
fn records(contents: impl Strategy<Value = u8>, with_gone: bool) -> impl Strategy<Value = Vec<SignedRecord>> {
    let one = (any::<prop::sample::Index>(), 0_i64..4, contents, prop::bool::weighted(0.2));
    prop::collection::vec(one, 1..8).prop_map(move |drawn| {
        let mut made: Vec<SignedRecord> = Vec::new();
        for (number, (parent, mtime, text, tombstone)) in drawn.into_iter().enumerate() {
            let text = if with_gone { text.to_string() } else { number.to_string() };
            let parent = parent.index(made.len() + 1);
            let record = match made.get(parent) {
                Some(parent) if tombstone && with_gone && !parent.is_gone() => gone(parent).body().clone(),
                Some(parent) => built_on(parent, &text),
                None => Record { content: Some(ContentHash::of(text.as_bytes())), ..base() },
            };
            let mtime = if record.is_gone() { record.published } else { UnixNanos(mtime) };
            made.push(signed(Record { mtime, ..record }));
        }
        made
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_order_of_delivery_ends_with_the_highest(
        (made, order) in records(Just(0), false).prop_flat_map(|made| {
            let order = Just((0..made.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(made), order)
        })
    ) {
        let mut stands: Option<&SignedRecord> = None;
        for index in order {
            if matches!(against(stands, &made[index]), Decision::Accept(_)) {
                stands = Some(&made[index]);
            }
        }
        let highest = made.iter().max_by_key(|record| record.rank(record_hash(record)));
        prop_assert_eq!(stands.map(record_hash), highest.map(record_hash));
    }

    #[test]
    fn nothing_goes_down(made in records(0_u8..3, true), order in prop::collection::vec(any::<prop::sample::Index>(), 0..24)) {
        let mut stands: Option<&SignedRecord> = None;
        for index in order {
            let incoming = index.get(&made);
            if matches!(against(stands, incoming), Decision::Accept(_)) {
                if let Some(stands) = stands {
                    prop_assert!(incoming.rank(record_hash(incoming)) > stands.rank(record_hash(stands)));
                }
                stands = Some(incoming);
            }
        }
    }
}
