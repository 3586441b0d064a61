//! Bytes that nobody means well with: decoders refuse them and never panic, and what is signed cannot be changed.

use certs::{Enrolment, Signed, UnixMillis};
use ciborium::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use wire::message::Answer;
use wire::{Record, cbor};

use crate::basics::{node, signed_record};
use crate::{answers, decoders, requests};

/// What a fault or an attacker does to bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Cut(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
        (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let place = |at: &Index| at.index(bytes.len());
        let range = |from: &Index, to: &Index| place(from).min(place(to))..place(from).max(place(to));
        match change {
            Change::Flip(at, bit) => {
                let at = place(at);
                bytes[at] ^= 1 << bit;
            }
            Change::Set(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Change::Cut(from, to) => {
                let range = range(from, to);
                bytes.drain(range);
            }
            Change::Repeat(from, to) => {
                let range = range(from, to);
                let part = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, part);
            }
            Change::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
    bytes
}

/// Every decoder that takes bytes of others: what it takes comes back from our own encoding, the rest has a code of its own.
fn decode_as_everything(bytes: &[u8]) {
    decoders::decode(bytes);
    decoders::round_trip(bytes);
}

/// Any CBOR that the protocol accepts, with words of the protocol among its text.
fn value() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "file",
        "gone",
        "members",
        "created",
        "start",
        "records",
        "holds",
        "resources",
        "account",
        "have",
        "limit",
        "cursor",
        "runs",
        "page",
        "root",
        "grant",
        "resource",
        "owner",
        "name",
        "content",
        "whole",
        "last",
        "code",
        "text",
        "format",
    ]);
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        Just(Value::Bytes(vec![7; 32])),
        word.prop_map(Value::from),
        "\\PC{0,10}".prop_map(Value::from),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::Array),
            vec((any::<u8>(), inner.clone()), 0..8).prop_map(|entries| {
                Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
            }),
            proptest::collection::btree_map("[a-z]{1,5}", inner, 0..8).prop_map(|entries| {
                Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
            }),
        ]
    })
}

/// A valid request with some values in its body replaced.
fn twisted() -> impl Strategy<Value = Vec<u8>> {
    (requests::request(), vec((any::<Index>(), value()), 1..4)).prop_map(|(request, changes)| {
        let mut message = Value::serialized(&request).expect("a value");
        for (at, new) in changes {
            let mut places = Vec::new();
            collect(&mut message, &mut places);
            let at = at.index(places.len());
            *places.swap_remove(at) = new;
        }
        cbor::encode(&message)
    })
}

/// The leaves of a value.
fn collect<'a>(value: &'a mut Value, places: &mut Vec<&'a mut Value>) {
    if matches!(value, Value::Array(items) if !items.is_empty())
        || matches!(value, Value::Map(entries) if !entries.is_empty())
    {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| collect(item, places)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| collect(value, places)),
            _ => {}
        }
    } else {
        places.push(value);
    }
}

proptest! {
    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..1024)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn any_cbor(value in value()) {
        decode_as_everything(&cbor::encode(&value));
    }

    #[test]
    fn any_body(value in value(), name in "[A-Z]|[a-z]{3,6}|R|D|P|G|L|S|hello|who|follow|unfollow|events|record|A|E") {
        decode_as_everything(&cbor::encode(&Value::Map(vec![(Value::from(name), value)])));
    }

    #[test]
    fn twisted_requests(bytes in twisted()) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn changed_requests(request in requests::request(), changes in vec(change(), 1..4)) {
        decode_as_everything(&changed(cbor::encode(&request), &changes));
    }

    #[test]
    fn changed_answers(page in answers::page(), located in answers::located(), registered in answers::registered(), following in answers::following(), event in answers::event(), changes in vec(change(), 1..4)) {
        decode_as_everything(&changed(cbor::encode(&Answer::A(page)), &changes));
        decode_as_everything(&changed(cbor::encode(&Answer::A(located)), &changes));
        decode_as_everything(&changed(cbor::encode(&Answer::A(registered)), &changes));
        decode_as_everything(&changed(cbor::encode(&Answer::A(following)), &changes));
        decode_as_everything(&changed(cbor::encode(&event), &changes));
    }

    #[test]
    fn enrolments(bytes in vec(any::<u8>(), 0..256), node in node()) {
        let now = UnixMillis(0);
        prop_assert!(Enrolment::verify(&bytes, &node, &node, now, now).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_record_is_no_record(bytes in signed_record(), changes in vec(change(), 1..4)) {
        let other = changed(bytes.clone(), &changes);
        decode_as_everything(&other);
        prop_assert_eq!(Signed::<Record>::parse(&other).is_ok(), other == bytes);
    }
}
