//! What becomes of a vector's bytes: `Ok`, or the name of the error code, or `refused` where no message carries one.

use certs::{Enrolment, IndexCertificate, Membership, MembershipError, PublicKey, Signed, UnixMillis};
use certs::{IndexCertificateError, UserName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::catalogue::{CataloguePage, HeadBundle};
use wire::manifest::{Assembler, ChunkerParams, Root, decode_page};
use wire::message::{
    Answer, DataFollows, Empty, Enrolled, Event, FollowOutcome, Following, Granted, Held, Hello, Located,
    Page, Probed, Registered, Request, Stated, WhoPage, holdings_digest, records_digest,
};
use wire::{
    ChunkHash, ContentHash, ErrorCode, IndexPlace, MembersBundle, PageHash, PresenceBundle, Receipt, Record,
    RecordHash, ResourceName, RootHash, TreeHash, cbor, frame, limits, record_hash, record_refusal,
};

use crate::chunker;
use crate::file::Vector;

pub(crate) type Verdict = Result<(), String>;

pub(crate) fn of(vector: &Vector) -> Verdict {
    match vector.header("kind") {
        "cbor" => cbor::check(&vector.bytes).map_err(|_| name(ErrorCode::BadMessage)),
        "id" => id(vector),
        "id-text" => id_text(&vector.bytes),
        "user-name" => parsed::<UserName>(vector),
        "resource-name" => parsed::<ResourceName>(vector),
        "index-certificate" => index_certificate(vector),
        "membership" => membership(vector),
        "enrolment" => enrolment(vector),
        "record" => record(vector),
        "receipt" => receipt(vector),
        "manifest" => manifest(vector),
        "manifest-root" => manifest_root(vector),
        "manifest-page" => manifest_page(vector),
        "gear" => gear(vector),
        "chunks" => chunks(vector),
        "records-digest" => the_records_digest(vector),
        "holdings-digest" => the_holdings_digest(vector),
        "tree-page" => tree_page(vector),
        "catalogue-head" => catalogue_head(vector),
        "members-head" => members_head(vector),
        "index-place" => index_place(vector),
        "presence" => presence(vector),
        "request" => request(vector),
        "answer" => answer(vector),
        "event" => event(vector),
        other => panic!("unknown kind {other}"),
    }
}

fn name(code: ErrorCode) -> String {
    code.name().to_owned()
}

fn refused<T>(_: T) -> String {
    "refused".to_owned()
}

fn id(vector: &Vector) -> Verdict {
    let id = PublicKey::from_slice(&vector.bytes).map_err(|_| name(ErrorCode::BadMessage))?;
    assert_eq!(id.to_string(), vector.header("text"));
    assert_eq!(vector.header("text").parse(), Ok(id));
    Ok(())
}

fn id_text(bytes: &[u8]) -> Verdict {
    let text = std::str::from_utf8(bytes).map_err(refused)?;
    text.parse::<PublicKey>().map(drop).map_err(refused)
}

fn parsed<T: std::str::FromStr>(vector: &Vector) -> Verdict {
    let text = std::str::from_utf8(&vector.bytes).expect("UTF-8");
    text.parse::<T>().map(drop).map_err(|_| name(ErrorCode::BadMessage))
}

fn network(vector: &Vector) -> PublicKey {
    vector.header("network").parse().expect("a network's id")
}

fn millis(vector: &Vector, key: &str) -> UnixMillis {
    UnixMillis(vector.number(key))
}

fn certificate_error(error: &IndexCertificateError) -> String {
    match error {
        IndexCertificateError::OtherNetwork { .. } => name(ErrorCode::OtherNetwork),
        IndexCertificateError::Signed(_) | IndexCertificateError::Expired => name(ErrorCode::NotMember),
    }
}

fn index_certificate(vector: &Vector) -> Verdict {
    IndexCertificate::verify(&vector.bytes, &network(vector), millis(vector, "now"))
        .map(|certificate| check_hash(vector, certificate.hash()))
        .map_err(|error| certificate_error(&error))
}

fn membership(vector: &Vector) -> Verdict {
    let membership = Signed::<Membership>::parse(&vector.bytes).map_err(|_| name(ErrorCode::NotMember))?;
    assert_eq!(membership.signer().to_string(), vector.header("index"));
    check_hash(vector, membership.hash());
    Ok(())
}

fn enrolment(vector: &Vector) -> Verdict {
    let node = vector.header("node").parse().expect("a node's id");
    let (now, seen) = (millis(vector, "now"), millis(vector, "index-seen"));
    let verified = Enrolment::verify(&vector.bytes, &network(vector), &node, now, seen);
    verified.map(drop).map_err(|error| match error {
        MembershipError::Certificate(error) => certificate_error(&error),
        _ => name(ErrorCode::NotMember),
    })
}

fn check_hash(vector: &Vector, hash: &[u8; 32]) {
    assert_eq!(vector.hex("hash"), hash);
}

fn record(vector: &Vector) -> Verdict {
    let record = Signed::<Record>::parse(&vector.bytes).map_err(|error| name(record_refusal(&error).code))?;
    check_hash(vector, record_hash(&record).as_bytes());
    Ok(())
}

fn receipt(vector: &Vector) -> Verdict {
    let certificate = vector.hex("certificate");
    let certificate = IndexCertificate::verify(&certificate, &network(vector), millis(vector, "now"));
    let record = RecordHash::from_slice(&vector.hex("record")).expect("a hash");
    Receipt::verify(&vector.bytes, &certificate.expect("holds"), record)
        .map(drop)
        .map_err(|_| name(ErrorCode::BadRecord))
}

fn tree_page(vector: &Vector) -> Verdict {
    assert_eq!(vector.hex("hash"), TreeHash::of(&vector.bytes).as_bytes());
    CataloguePage::decode(&vector.bytes).map(drop).map_err(refused)
}

fn catalogue_head(vector: &Vector) -> Verdict {
    let (head, enrolment) = (vector.bytes.clone().into(), vector.hex("enrolment").into());
    let verified =
        HeadBundle { head, enrolment }.verify(&network(vector), millis(vector, "now"), UnixMillis(0));
    let verified = verified.map_err(|error| name(error.code))?;
    check_hash(vector, verified.hash().as_bytes());
    Ok(())
}

fn members_head(vector: &Vector) -> Verdict {
    let (head, certificate) = (vector.bytes.clone().into(), vector.hex("certificate").into());
    let verified = MembersBundle { head, certificate }.verify(&network(vector), millis(vector, "now"));
    let verified = verified.map_err(|error| name(error.code))?;
    check_hash(vector, verified.head.hash());
    Ok(())
}

fn index_place(vector: &Vector) -> Verdict {
    let (presence, certificate) = (vector.bytes.clone().into(), vector.hex("certificate").into());
    let verified = IndexPlace { presence, certificate }.verify(&network(vector), millis(vector, "now"));
    let verified = verified.map_err(|error| name(error.code))?;
    check_hash(vector, verified.hash().as_bytes());
    Ok(())
}

fn presence(vector: &Vector) -> Verdict {
    let bundle = PresenceBundle { presence: vector.bytes.clone().into(), enrolment: None };
    let verified = bundle.verify(&network(vector), millis(vector, "now"), UnixMillis(0));
    let (presence, _) = verified.map_err(|error| name(error.code))?;
    check_hash(vector, presence.hash());
    Ok(())
}

fn manifest(vector: &Vector) -> Verdict {
    let mut rest = vector.bytes.as_slice();
    let mut parts = vector.header("lengths").split(' ').map(|length| {
        let (part, after) = rest.split_at(length.parse().expect("a length"));
        rest = after;
        part
    });
    let root = parts.next().expect("a root comes first");
    let root_hash = RootHash::from_slice(&vector.hex("root")).expect("a hash");
    let mut assembler = Assembler::new(Root::decode(root, &root_hash).map_err(refused)?);
    for page in parts {
        let (hash, length) = assembler.wants().ok_or("refused")?;
        assert_eq!((hash, length as usize), (PageHash::of(page), page.len()));
        assembler.push(page).map_err(refused)?;
    }
    assert_eq!(assembler.wants(), None);
    assert!(rest.is_empty());
    Ok(())
}

fn manifest_root(vector: &Vector) -> Verdict {
    let hash = RootHash::from_slice(&vector.hex("root")).expect("a hash");
    Root::decode(&vector.bytes, &hash).map(drop).map_err(refused)
}

fn manifest_page(vector: &Vector) -> Verdict {
    decode_page(&vector.bytes).map(drop).map_err(refused)
}

fn gear(vector: &Vector) -> Verdict {
    let table = chunker::gear().map(u64::to_be_bytes).concat();
    assert_eq!(table, vector.bytes);
    Ok(())
}

fn chunks(vector: &Vector) -> Verdict {
    let length = usize::try_from(vector.number("length")).expect("small");
    let mut input = vec![0; length];
    if let Some(seed) = vector.optional("seed") {
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut input);
    }
    let params: ChunkerParams = params(vector.header("params"));
    let mut at = 0;
    let mut expected = Vec::new();
    for length in chunker::cut(&input, params, &chunker::gear()) {
        expected.extend_from_slice(&u32::try_from(length).expect("small").to_be_bytes());
        expected.extend_from_slice(ChunkHash::of(&input[at..at + length]).as_bytes());
        at += length;
    }
    assert_eq!(expected, vector.bytes);
    Ok(())
}

fn params(text: &str) -> ChunkerParams {
    let numbers: Vec<u32> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
    cbor::decode(&cbor::encode(&numbers), 99).expect("three numbers")
}

fn the_records_digest(vector: &Vector) -> Verdict {
    let records: Vec<(ResourceName, RecordHash)> = pairs(vector.optional("records"))
        .map(|(name, hash)| (name.parse().expect("a name"), RecordHash::from_hex(hash).expect("a hash")))
        .collect();
    let digest = records_digest(records.iter().map(|(name, hash)| (name, *hash)));
    assert_eq!(vector.bytes, digest.as_bytes());
    Ok(())
}

fn the_holdings_digest(vector: &Vector) -> Verdict {
    let held = pairs(vector.optional("holdings")).map(|(part, hash)| Held {
        content: ContentHash::from_hex(hash).expect("a hash"),
        whole: part == "whole",
    });
    assert_eq!(vector.bytes, holdings_digest(held).as_bytes());
    Ok(())
}

/// `a=b c=d`
fn pairs(text: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    text.into_iter().flat_map(|text| text.split(' ')).map(|pair| pair.split_once('=').expect("a pair"))
}

fn frame_of(vector: &Vector) -> Result<Vec<u8>, String> {
    let limit = usize::try_from(vector.number("limit")).expect("small");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut reader = vector.bytes.as_slice();
    runtime.block_on(frame::read_bytes(&mut reader, limit)).map_err(|error| name(error.to_body().code))
}

fn request(vector: &Vector) -> Verdict {
    let content = frame_of(vector)?;
    let request = Request::decode(&content, content.len()).map_err(|error| name(error.code))?;
    assert_eq!(request.name(), vector.header("message"));
    check_one_form(vector, &request)
}

fn answer(vector: &Vector) -> Verdict {
    match vector.header("to") {
        "hello" => answer_as::<Hello>(vector, |hello| hello.check().is_ok()),
        "signup" | "login" | "renew" => answer_as::<Enrolled>(vector, |_| true),
        "logout" | "ping" | "events" | "unfollow" => answer_as::<Empty>(vector, |_| true),
        "who" => answer_as::<WhoPage>(vector, |_| true),
        "follow" => answer_as::<Following>(vector, |following| {
            following.outcomes.iter().all(|outcome| FollowOutcome::check(outcome).is_ok())
        }),
        "statements" => answer_as::<Stated>(vector, |_| true),
        "R" | "D" => answer_as::<Registered>(vector, |_| true),
        "P resource" => answer_as::<Located>(vector, |located| located.check().is_ok()),
        "P grant" => answer_as::<Granted>(vector, |granted| granted.check().is_ok()),
        "P probe" => answer_as::<Probed>(vector, |_| true),
        "G" => answer_as::<DataFollows>(vector, |_| true),
        "L" | "S" => answer_as::<Page>(vector, |_| true),
        other => panic!("an answer to {other}"),
    }
}

fn event(vector: &Vector) -> Verdict {
    let content = frame_of(vector)?;
    let event = Event::decode(&content).map_err(|_| name(ErrorCode::BadMessage))?;
    match event {
        Some(event) => check_one_form(vector, &event),
        None => {
            assert_eq!(vector.optional("form"), Some("another"));
            Ok(())
        }
    }
}

fn answer_as<T: Serialize + DeserializeOwned>(vector: &Vector, check: fn(&T) -> bool) -> Verdict {
    let content = frame_of(vector)?;
    let answer: Answer<T> = cbor::decode(&content, content.len()).map_err(|_| name(ErrorCode::BadMessage))?;
    match &answer {
        Answer::A(body) if !check(body) => return Err(name(ErrorCode::BadMessage)),
        Answer::A(_) => assert_eq!(vector.optional("error"), None),
        Answer::E(error) => assert_eq!(vector.optional("error"), Some(error.code.name())),
    }
    check_one_form(vector, &answer)
}

/// What a writer of this version writes; a vector that others may write is marked.
fn check_one_form<T: Serialize>(vector: &Vector, value: &T) -> Verdict {
    let ours = frame::encode(value, limits::MEMBER_FRAME_BYTES).expect("not too large");
    assert_eq!(ours == vector.bytes, vector.optional("form") != Some("another"), "{vector:?}");
    Ok(())
}
