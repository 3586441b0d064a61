//! Signed objects: COSE_Sign1 (RFC 9052) over an opaque payload, with a context string for each kind.
//!
//! The envelope is `[protected, {}, payload, signature]`, untagged. The protected header has `alg` (1) = EdDSA (-8) and
//! `kid` (4) = the signer's public key; the context string is the external additional data, so that an object of one
//! kind never passes for another. An extension that must be understood is a protected parameter with a text label that
//! `crit` (2) lists; this version understands none, and refuses every object that lists one. PROTOCOL.md, "Signed
//! objects".

use std::fmt;
use std::sync::Arc;

use coset::{CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, iana};
use ed25519_dalek::Signature;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::{self, CborError};
use crate::id::PublicKey;
use crate::key::SecretKey;

/// What a kind of signed object has in common with the others.
pub trait Statement: Serialize + DeserializeOwned {
    /// The context string, such as `p2p-node/0 record`.
    const CONTEXT: &'static str;
    /// The largest envelope of this kind, in bytes; checked before anything is decoded.
    const MAX_BYTES: usize;

    /// What the types cannot say: formats that are reserved, fields that contradict one another, a signer that the
    /// body does not name.
    ///
    /// # Errors
    /// A short text that says which rule is broken.
    fn check(&self, signer: &PublicKey) -> Result<(), String>;

    /// Something in a payload that only a later version knows, such as another format; looked at before the rest, which may
    /// then have another shape. Asked with well-formed CBOR only.
    fn unknown(payload: &[u8]) -> Option<String> {
        unknown_format(payload)
    }
}

/// The format of a payload, if it has one and that is not 0. For [`Statement::unknown`].
pub fn unknown_format(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u64,
    }
    let Format { format } = cbor::decode(payload, payload.len()).ok()?;
    (format != 0).then(|| format!("format {format}"))
}

/// A signed object whose signature holds: the bytes as they came, and what they say.
///
/// Two are equal if their bytes are. Cloning is cheap for the bytes, not for the body.
#[derive(Clone)]
pub struct Signed<T> {
    bytes: Arc<[u8]>,
    hash: [u8; 32],
    signer: PublicKey,
    body: T,
}

/// Why bytes are no signed object of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// Not the accepted part of CBOR, or a payload of another shape.
    #[error("not well formed: {0}")]
    Cbor(#[from] CborError),
    /// Not an envelope as PROTOCOL.md, "Signed objects" has it.
    #[error("no COSE_Sign1 of the expected form: {0}")]
    Envelope(&'static str),
    /// It lists something in `crit` that this version does not understand.
    #[error("it needs something that this version does not understand: {0}")]
    Critical(String),
    /// Its payload is of a kind or format that this version does not know.
    #[error("it is of a kind that this version does not know: {0}")]
    Unknown(String),
    /// The signature is not the signer's, or was made for another kind of object.
    #[error("the signature does not hold")]
    Signature,
    /// It holds, and says something that its kind forbids.
    #[error("{0}")]
    Rule(String),
}

impl<T: Statement> Signed<T> {
    /// Signs a statement.
    ///
    /// # Panics
    /// Where the statement breaks the rules of its own kind, or is larger than its kind allows: the caller makes it
    /// from checked parts.
    pub fn sign(key: &SecretKey, body: T) -> Self {
        let signer = key.public();
        body.check(&signer).expect("a statement of our own keeps the rules of its kind");
        let protected =
            HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(signer.as_bytes().to_vec()).build();
        let bytes = CoseSign1Builder::new()
            .protected(protected)
            .payload(cbor::encode(&body))
            .create_signature(T::CONTEXT.as_bytes(), |message| key.sign(message).to_vec())
            .build()
            .to_vec()
            .expect("an envelope of our own encodes");
        assert!(bytes.len() <= T::MAX_BYTES, "a statement of our own fits its kind");
        Self { hash: hash_of(&bytes), bytes: bytes.into(), signer, body }
    }

    /// Checks an envelope, its signature and its payload.
    ///
    /// Who the signer may be is for the caller to say: see [`Signed::signer`].
    ///
    /// # Errors
    /// See [`SignedError`]; sizes come before decoding, the signature before the payload is looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedError> {
        Self::read(bytes, |envelope, signer| verify(envelope, signer, T::CONTEXT))
    }

    /// The same without checking the signature: of bytes that [`Signed::parse`] took before they were stored, or to see whose they
    /// say that they are before it takes them.
    ///
    /// # Errors
    /// See [`SignedError`].
    pub fn parse_stored(bytes: &[u8]) -> Result<Self, SignedError> {
        Self::read(bytes, |_, _| Ok(()))
    }

    fn read(
        bytes: &[u8],
        check_signature: impl FnOnce(&CoseSign1, &PublicKey) -> Result<(), SignedError>,
    ) -> Result<Self, SignedError> {
        if bytes.len() > T::MAX_BYTES {
            return Err(CborError::TooLarge { actual: bytes.len(), limit: T::MAX_BYTES }.into());
        }
        cbor::check(bytes)?;
        let envelope =
            CoseSign1::from_slice(bytes).map_err(|_| SignedError::Envelope("not the four parts of one"))?;
        let signer = check_header(&envelope)?;
        check_signature(&envelope, &signer)?;
        let payload = envelope.payload.as_deref().ok_or(SignedError::Envelope("no payload"))?;
        cbor::check(payload)?;
        if let Some(what) = T::unknown(payload) {
            return Err(SignedError::Unknown(what));
        }
        let body: T = cbor::decode_one_encoding(payload, T::MAX_BYTES)?;
        // A second encoding of the same statement would have another hash.
        if envelope.clone().to_vec().ok().as_deref() != Some(bytes) {
            return Err(SignedError::Envelope("not in its one encoding"));
        }
        body.check(&signer).map_err(SignedError::Rule)?;
        Ok(Self { hash: hash_of(bytes), bytes: bytes.into(), signer, body })
    }
}

impl<T> Signed<T> {
    /// The envelope as it was signed or received: what is stored, hashed and sent on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// BLAKE3 of the envelope.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whose signature it is.
    pub const fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// What it says.
    pub const fn body(&self) -> &T {
        &self.body
    }
}

impl<T> std::ops::Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Signed<T> {}

impl<T: fmt::Debug> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("signer", &self.signer).field("body", &self.body).finish()
    }
}

/// BLAKE3 of some bytes.
pub fn hash_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

fn check_header(envelope: &CoseSign1) -> Result<PublicKey, SignedError> {
    let protected = &envelope.protected;
    let bytes = protected.original_data.as_deref().ok_or(SignedError::Envelope("no header"))?;
    cbor::check(bytes)?;
    if let Some(label) = protected.header.crit.first() {
        return Err(SignedError::Critical(format!("{label:?}")));
    }
    if !envelope.unprotected.is_empty() {
        return Err(SignedError::Envelope("something in the unprotected header"));
    }
    if !only_text_labels(&protected.header) {
        return Err(SignedError::Envelope("a parameter with a number other than 1, 2 and 4"));
    }
    let expected = coset::RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA);
    if protected.header.alg != Some(expected) {
        return Err(SignedError::Envelope("an algorithm other than EdDSA"));
    }
    PublicKey::from_slice(&protected.header.key_id)
        .map_err(|_| SignedError::Envelope("a kid that is no public key"))
}

/// Whether what the header has besides `alg`, `crit` and `kid` has text labels: that may be ignored.
fn only_text_labels(header: &coset::Header) -> bool {
    header.content_type.is_none()
        && header.iv.is_empty()
        && header.partial_iv.is_empty()
        && header.counter_signatures.is_empty()
        && header.rest.iter().all(|(label, _)| matches!(label, coset::Label::Text(_)))
}

fn verify(envelope: &CoseSign1, signer: &PublicKey, context: &str) -> Result<(), SignedError> {
    let key = signer.verifying_key().ok_or(SignedError::Signature)?;
    envelope.verify_signature(context.as_bytes(), |signature, message| {
        let signature = Signature::from_slice(signature).map_err(|_| SignedError::Signature)?;
        key.verify_strict(message, &signature).map_err(|_| SignedError::Signature)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        text: String,
    }

    impl Statement for Note {
        const CONTEXT: &'static str = "p2p-node/0 note";
        const MAX_BYTES: usize = 1024;

        fn check(&self, _: &PublicKey) -> Result<(), String> {
            if self.text == "no" { Err("no is no note".to_owned()) } else { Ok(()) }
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        text: String,
    }

    impl Statement for Other {
        const CONTEXT: &'static str = "p2p-node/0 other";
        const MAX_BYTES: usize = 1024;

        fn check(&self, _: &PublicKey) -> Result<(), String> {
            Ok(())
        }
    }

    fn key() -> SecretKey {
        SecretKey::from_seed([3; 32])
    }

    fn note() -> Signed<Note> {
        Signed::sign(&key(), Note { text: "hello".to_owned() })
    }

    /// An envelope with whatever header and payload.
    fn envelope(header: coset::Header, unprotected: coset::Header, payload: Vec<u8>) -> Vec<u8> {
        CoseSign1Builder::new()
            .protected(header)
            .unprotected(unprotected)
            .payload(payload)
            .create_signature(Note::CONTEXT.as_bytes(), |message| key().sign(message).to_vec())
            .build()
            .to_vec()
            .expect("encodes")
    }

    fn header() -> HeaderBuilder {
        HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(key().public().as_bytes().to_vec())
    }

    fn payload(text: &str) -> Vec<u8> {
        cbor::encode(&Note { text: text.to_owned() })
    }

    #[test]
    fn round_trips() {
        let note = note();
        let parsed = Signed::<Note>::parse(note.bytes()).expect("parses");
        assert_eq!(parsed, note);
        assert_eq!(parsed.signer(), &key().public());
        assert_eq!(parsed.text, "hello");
        assert_eq!(parsed.hash(), blake3::hash(note.bytes()).as_bytes());
    }

    #[test]
    fn another_context_is_refused() {
        assert_eq!(Signed::<Other>::parse(note().bytes()).err(), Some(SignedError::Signature));
    }

    #[test]
    fn critical_parameters_are_refused_and_others_pass() {
        let empty = || HeaderBuilder::new().build();
        let label = coset::RegisteredLabelWithPrivate::Text("audience".to_owned());
        let critical = header()
            .add_critical_label(label)
            .text_value("audience".to_owned(), ciborium::Value::Bool(true))
            .build();
        assert!(matches!(
            Signed::<Note>::parse(&envelope(critical, empty(), payload("hi"))),
            Err(SignedError::Critical(_))
        ));
        let optional = header().text_value("colour".to_owned(), ciborium::Value::Bool(true)).build();
        assert!(Signed::<Note>::parse(&envelope(optional, empty(), payload("hi"))).is_ok());
    }

    #[test]
    fn other_forms_are_refused() {
        let empty = || HeaderBuilder::new().build();
        let mut tagged = vec![0xd2];
        tagged.extend_from_slice(note().bytes());
        assert!(matches!(Signed::<Note>::parse(&tagged), Err(SignedError::Cbor(_))));
        let unprotected = HeaderBuilder::new().value(99, ciborium::Value::Null).build();
        let bytes = envelope(header().build(), unprotected, payload("hi"));
        assert!(matches!(Signed::<Note>::parse(&bytes), Err(SignedError::Envelope(_))));
        let es256 = HeaderBuilder::new().algorithm(iana::Algorithm::ES256).build();
        let bytes = envelope(es256, empty(), payload("hi"));
        assert!(matches!(Signed::<Note>::parse(&bytes), Err(SignedError::Envelope(_))));
        let unknown = cbor::encode(&std::collections::BTreeMap::from([("text", "a"), ("x", "b")]));
        let bytes = envelope(header().build(), empty(), unknown);
        assert!(matches!(Signed::<Note>::parse(&bytes), Err(SignedError::Cbor(_))));
        let later = cbor::encode(&std::collections::BTreeMap::from([("format", 1), ("x", 2)]));
        let bytes = envelope(header().build(), empty(), later);
        assert_eq!(Signed::<Note>::parse(&bytes).err(), Some(SignedError::Unknown("format 1".to_owned())));
        let bytes = envelope(header().build(), empty(), payload("no"));
        assert_eq!(Signed::<Note>::parse(&bytes).err(), Some(SignedError::Rule("no is no note".to_owned())));
        let bytes = envelope(header().build(), empty(), payload(&"x".repeat(2000)));
        assert!(matches!(Signed::<Note>::parse(&bytes), Err(SignedError::Cbor(CborError::TooLarge { .. }))));
    }

    proptest! {
        #[test]
        fn every_changed_bit_is_found(at in 0_usize..1024, bit in 0_u8..8) {
            let mut bytes = note().bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(Signed::<Note>::parse(&bytes).is_err());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Signed::<Note>::parse(&bytes);
        }
    }
}
