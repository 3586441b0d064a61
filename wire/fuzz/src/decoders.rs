//! Every decoder that takes bytes of others.

use std::fmt::Debug;

use certs::{IndexCertificate, Membership, PublicKey, SecretKey, Signed, Statement, UserName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::catalogue::{CatalogueHead, CataloguePage};
use wire::kad::KadValue;
use wire::manifest::{Root, decode_page, encode_page};
use wire::message::{
    Answer, DataFollows, Empty, Enrolled, Event, Following, Granted, Hello, Located, Page, Probed,
    Registered, Request, Stated, WhoPage,
};
use wire::{ErrorCode, MembersHead, Presence, Receipt, Record, ResourceName, RootHash, cbor, limits};

/// Takes the bytes for everything that they could be.
///
/// # Panics
/// Where a decoder does, or refuses a request with a code that is not for that.
pub fn decode(bytes: &[u8]) {
    let well_formed = cbor::check(bytes).is_ok();
    let request = Request::decode(bytes, limits::MEMBER_FRAME_BYTES);
    assert!(well_formed || request.is_err());
    if let Err(error) = request {
        let codes = [ErrorCode::BadMessage, ErrorCode::TooLarge, ErrorCode::Unsupported];
        let codes = [codes.as_slice(), &[ErrorCode::BadCursor, ErrorCode::BadQuery]].concat();
        assert!(codes.contains(&error.code), "{error}");
        assert!(error.text.len() <= limits::ERROR_TEXT_BYTES);
    }
    each_answer(bytes, &mut Decode);
    assert!(well_formed || Event::decode(bytes).is_err());
    let _ = Signed::<Record>::parse(bytes);
    let _ = Signed::<Receipt>::parse(bytes);
    let _ = Signed::<Membership>::parse(bytes);
    let _ = Signed::<IndexCertificate>::parse(bytes);
    let _ = Signed::<CatalogueHead>::parse(bytes);
    let _ = Signed::<MembersHead>::parse(bytes);
    let _ = Signed::<Presence>::parse(bytes);
    assert!(well_formed || CataloguePage::decode(bytes).is_err());
    assert!(well_formed || KadValue::decode(bytes).is_err());
    let _ = Root::decode(bytes, &RootHash::of(bytes));
    let _ = decode_page(bytes);
    let _ = PublicKey::from_slice(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<ResourceName>();
        let _ = text.parse::<UserName>();
        let _ = text.parse::<PublicKey>();
        let _ = ResourceName::normalized(text);
    }
}

/// Encodes what the bytes are taken for, and decodes that.
///
/// # Panics
/// Where the same value does not come back.
pub fn round_trip(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes, limits::MEMBER_FRAME_BYTES) {
        let ours = cbor::encode(&request);
        assert_eq!(Request::decode(&ours, ours.len()), Ok(request));
    }
    each_answer(bytes, &mut RoundTrip);
    if let Ok(Some(event)) = Event::decode(bytes) {
        assert_eq!(Event::decode(&cbor::encode(&event)), Ok(Some(event)));
    }
    if let Ok(root) = Root::decode(bytes, &RootHash::of(bytes)) {
        assert_eq!(root.encode(), bytes);
    }
    if let Ok(items) = decode_page(bytes) {
        assert_eq!(encode_page(&items), bytes);
    }
    if let Ok(page) = CataloguePage::decode(bytes) {
        assert_eq!(page.encode(), bytes, "a page has one encoding: its hash is its name");
    }
    if let Ok(value) = KadValue::decode(bytes) {
        assert_eq!(KadValue::decode(&value.encode()), Ok(value));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        text_round_trip(text);
    }
    let key = SecretKey::from_seed([7; 32]);
    signed_round_trip::<Record>(bytes, &key, |record| record.node = key.public());
    signed_round_trip::<Receipt>(bytes, &key, |_| {});
    signed_round_trip::<Membership>(bytes, &key, |_| {});
    signed_round_trip::<CatalogueHead>(bytes, &key, |head| head.node = key.public());
    signed_round_trip::<Presence>(bytes, &key, |presence| presence.node = key.public());
    signed_round_trip::<MembersHead>(bytes, &key, |_| {});
    signed_round_trip::<IndexCertificate>(bytes, &key, |certificate| certificate.network = key.public());
}

fn text_round_trip(text: &str) {
    if let Ok(id) = text.parse::<PublicKey>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(user) = text.parse::<UserName>() {
        assert_eq!(user.as_str(), text);
    }
    if let Ok(name) = text.parse::<ResourceName>() {
        assert_eq!(name.as_str(), text);
        assert_eq!(ResourceName::normalized(text), Ok(name));
    }
    if let Ok(name) = ResourceName::normalized(text) {
        assert_eq!(name.as_str().parse(), Ok(name.clone()), "what is normalized is a name");
        assert_eq!(wire::fold(&name.folded()), name.folded(), "folding twice changes nothing");
    }
}

/// Bytes cannot guess a signature: a payload that keeps the rules is signed here.
fn signed_round_trip<T: Statement + Clone + PartialEq + Debug>(
    payload: &[u8],
    key: &SecretKey,
    make_ours: impl FnOnce(&mut T),
) {
    /// More than the envelope has around its payload.
    const ENVELOPE_BYTES: usize = 256;
    if cbor::check(payload).is_err() || T::unknown(payload).is_some() {
        return;
    }
    let Ok(mut body) = cbor::decode_one_encoding::<T>(payload, T::MAX_BYTES - ENVELOPE_BYTES) else { return };
    make_ours(&mut body);
    if body.check(&key.public()).is_err() {
        return;
    }
    let signed = Signed::sign(key, body.clone());
    let parsed = Signed::<T>::parse(signed.bytes()).expect("what was signed holds");
    assert_eq!(parsed.body(), &body);
    assert_eq!((parsed.hash(), parsed.signer()), (signed.hash(), &key.public()));
    let mut tampered = signed.bytes().to_vec();
    let at = payload.len() % tampered.len();
    tampered[at] ^= 1;
    assert!(Signed::<T>::parse(&tampered).is_err(), "byte {at} of {:?} was changed", signed.bytes());
}

trait Visit {
    fn answer<T: DeserializeOwned + Serialize + PartialEq + Debug>(&mut self, bytes: &[u8]);
}

fn each_answer(bytes: &[u8], visit: &mut impl Visit) {
    visit.answer::<Hello>(bytes);
    visit.answer::<Enrolled>(bytes);
    visit.answer::<Empty>(bytes);
    visit.answer::<WhoPage>(bytes);
    visit.answer::<Following>(bytes);
    visit.answer::<Registered>(bytes);
    visit.answer::<Located>(bytes);
    visit.answer::<Granted>(bytes);
    visit.answer::<Probed>(bytes);
    visit.answer::<DataFollows>(bytes);
    visit.answer::<Page>(bytes);
    visit.answer::<Stated>(bytes);
}

struct Decode;

impl Visit for Decode {
    fn answer<T: DeserializeOwned + Serialize + PartialEq + Debug>(&mut self, bytes: &[u8]) {
        let _ = cbor::decode::<Answer<T>>(bytes, limits::MEMBER_FRAME_BYTES);
    }
}

struct RoundTrip;

impl Visit for RoundTrip {
    fn answer<T: DeserializeOwned + Serialize + PartialEq + Debug>(&mut self, bytes: &[u8]) {
        if let Ok(answer) = cbor::decode::<Answer<T>>(bytes, limits::MEMBER_FRAME_BYTES) {
            let ours = cbor::encode(&answer);
            assert_eq!(cbor::decode(&ours, ours.len()), Ok(answer));
        }
    }
}
