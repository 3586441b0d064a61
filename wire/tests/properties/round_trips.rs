//! There and back.

use certs::{Enrolment, NodeId, Signed, Statement, UnixMillis, UserName};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::message::{Address, Answer, Empty, Event, Request};
use wire::{ErrorCode, ResourceName, cbor, frame, limits};

use crate::basics::{
    address, certificate, error, key, membership, millis, name, node, receipt, record, user,
};
use crate::{answers, requests};

/// What comes back from the frame of a value.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let frame = frame::encode(value, limits::MEMBER_FRAME_BYTES).expect("not too large");
    let (length, content) = frame.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().expect("4 bytes")) as usize, content.len());
    cbor::decode(content, content.len()).expect("decodes")
}

fn signed_again<T: Statement + PartialEq + std::fmt::Debug>(signed: &Signed<T>) {
    let parsed = Signed::<T>::parse(signed.bytes()).expect("holds");
    assert_eq!(parsed.body(), signed.body());
    assert_eq!((parsed.hash(), parsed.signer()), (signed.hash(), signed.signer()));
    let payload = cbor::encode(signed.body());
    assert!(signed.bytes().windows(payload.len()).any(|part| part == payload));
}

macro_rules! answers_round_trip {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(
                #[test]
                fn $name(result in $strategy, error in error()) {
                    let answer = Answer::A(result);
                    prop_assert_eq!(&again(&answer), &answer);
                    let answer = answer_like(&answer, error);
                    prop_assert_eq!(&again(&answer), &answer);
                }
            )*
        }
    };
}

fn answer_like<T>(_: &Answer<T>, error: wire::ErrorBody) -> Answer<T> {
    Answer::E(error)
}

answers_round_trip! {
    hello: requests::hello();
    enrolled: answers::enrolled();
    nothing: Just(Empty {});
    who_page: answers::who_page();
    registered: answers::registered();
    following: answers::following();
    located: answers::located();
    granted: answers::granted();
    probed: answers::probed();
    data_follows: answers::data_follows();
    page: answers::page();
}

proptest! {
    #[test]
    fn a_request(request in requests::request()) {
        prop_assert_eq!(&again(&request), &request);
        let bytes = cbor::encode(&request);
        prop_assert_eq!(cbor::check(&bytes), Ok(()));
        prop_assert_eq!(Request::decode(&bytes, bytes.len()), Ok(request));
    }

    #[test]
    fn an_event(event in answers::event()) {
        prop_assert_eq!(&again(&event), &event);
        prop_assert_eq!(Event::decode(&cbor::encode(&event)), Ok(Some(event)));
    }

    #[test]
    fn answers_that_keep_their_bounds_pass(
        granted in answers::granted(),
        located in answers::located(),
        following in answers::following(),
    ) {
        prop_assert_eq!(granted.check(), Ok(()));
        prop_assert_eq!(following.check(following.outcomes.len()), Ok(()));
        prop_assert!(following.check(following.outcomes.len() + 1).is_err());
        prop_assert_eq!(located.check(), Ok(()));
    }

    #[test]
    fn an_error(error in error()) {
        prop_assert_eq!(&again(&error), &error);
        let number = error.code.number();
        prop_assert_eq!(ErrorCode::from_number(number), error.code);
    }

    #[test]
    fn a_node_id(id in node()) {
        let text = id.to_string();
        prop_assert_eq!(text.parse(), Ok(id));
        prop_assert_eq!(again(&id), id);
        prop_assert!(text.to_uppercase().parse::<NodeId>().is_err());
    }

    #[test]
    fn names_and_addresses(name in name(), user in user(), address in address()) {
        prop_assert_eq!(&again(&name), &name);
        prop_assert_eq!(&again(&user), &user);
        prop_assert_eq!(again(&address), address);
        prop_assert_eq!(&ResourceName::normalized(name.as_str()), &Ok(name.clone()));
        prop_assert_eq!(Address::new(address.socket()), Some(address));
    }

    #[test]
    fn a_name_that_is_accepted_keeps_the_rules(text in "\\PC{0,20}|[ .a-c/:\u{200b}\u{308}]{0,6}") {
        if let Ok(name) = text.parse::<ResourceName>() {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!((1..=255).contains(&text.len()));
            let forbidden = ['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0', '\u{200b}'];
            prop_assert!(!text.contains(forbidden));
            prop_assert!(!text.starts_with(' ') && !text.ends_with([' ', '.']));
        }
        if let Ok(user) = text.parse::<UserName>() {
            prop_assert_eq!(user.as_str(), &text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_record((key, record) in record()) {
        signed_again(&Signed::sign(&key, record));
    }

    #[test]
    fn a_tombstone((key, record) in record(), now in 0_i64..i64::MAX) {
        let record = wire::Record { version: record.version.min((1 << 53) - 1), ..record };
        prop_assume!(record.prev.is_some() || record.version == 1);
        let signed = Signed::sign(&key, record);
        let hash = wire::record_hash(&signed);
        let tombstone = signed.tombstone(hash, key.public(), certs::UnixNanos(now));
        let tombstone = Signed::sign(&key, tombstone);
        signed_again(&tombstone);
        prop_assert!(tombstone.rank(wire::record_hash(&tombstone)) > signed.rank(hash));
    }

    #[test]
    fn a_receipt(index in key(), receipt in receipt()) {
        signed_again(&Signed::sign(&index, receipt));
    }

    #[test]
    fn a_membership(index in key(), membership in membership()) {
        signed_again(&Signed::sign(&index, membership));
    }

    #[test]
    fn an_index_certificate((root, certificate) in certificate()) {
        signed_again(&Signed::sign(&root, certificate));
    }

    #[test]
    fn an_enrolment(root in key(), index in key(), membership in membership(), now in millis()) {
        let certificate = certs::IndexCertificate::issue(&root, index.public(), 1, now);
        let certs::Membership { account, user, node, serial, .. } = membership;
        let membership = certs::Membership::issue(&index, &certificate, account, user, node, serial, now);
        let enrolment = Enrolment { certificate, membership };
        let bytes = enrolment.to_bytes();
        let network = root.public();
        prop_assert_eq!(Enrolment::verify(&bytes, &network, &node, now, now), Ok(enrolment));
        prop_assert!(Enrolment::verify(&bytes, &network, &network, now, now).is_err());
        prop_assert!(Enrolment::verify(&bytes, &node, &node, now, UnixMillis(0)).is_err());
    }
}
