//! The messages: requests, and what each is answered with. PROTOCOL.md, "Messages".
//!
//! A request is a map of one entry, its letter or word and its body; so is an answer, `A` or `E`. Unknown keys of a body
//! are ignored; an unknown message is not.

mod account;
mod address;
mod bounded;
mod data;
mod deregister;
mod download;
mod follow;
mod hello;
mod list;
mod register;
mod search;
mod statements;
mod who;

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use account::{Credentials, Empty, Enrolled};
pub use address::Address;
pub use data::{DataFollows, GetData, Run};
pub use deregister::{Deregister, Deregistered};
pub use download::{
    Grant, Granted, HeldRoot, HolderInfo, Located, Probe, Probed, RecordBundle, RequestDownload,
    ResourceQuery,
};
pub use follow::{
    Event, Follow, FollowOutcome, FollowOutcomeKind, Followed, Following, ResourceKey, Unfollow,
};
pub use hello::{Hello, MINOR_VERSION, Revocations};
pub use list::{ENTRY_SOURCE_CACHE, ENTRY_SOURCE_DHT, ENTRY_SOURCE_INDEX, Entry, List, Page};
pub use register::{
    Held, Holds, Outcome, OutcomeKind, Register, RegisterStart, Registered, holdings_digest, records_digest,
};
pub use search::Search;
pub use statements::{Have, Known, News, Stated, StatedPage, Statements, StatementsDigest, known_digest};
pub use who::{OnlineNode, OnlineUser, Who, WhoPage};

use crate::cbor::{self, CborError};
use crate::error::{ErrorBody, ErrorCode};

/// The letters and words of [`Request`].
const REQUESTS: [&str; 17] = [
    "hello",
    "signup",
    "login",
    "logout",
    "renew",
    "ping",
    "who",
    "events",
    "follow",
    "unfollow",
    "R",
    "D",
    "P",
    "G",
    "L",
    "S",
    "statements",
];

/// The letters of [`Answer`].
const ANSWERS: [&str; 2] = ["A", "E"];

/// A request. The letters are the resource protocol, the words are the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first on each connection, both ways.
    #[serde(rename = "hello")]
    Hello(Hello),
    /// Peer → index: make an account and enrol this node.
    #[serde(rename = "signup")]
    Signup(Credentials),
    /// Peer → index: enrol this node for an account.
    #[serde(rename = "login")]
    Login(Credentials),
    /// Peer → index: end this node's enrolment.
    #[serde(rename = "logout")]
    Logout(Empty),
    /// Peer → index: a new membership in place of the one that ends.
    #[serde(rename = "renew")]
    Renew(Empty),
    /// Either way: are you there?
    #[serde(rename = "ping")]
    Ping(Empty),
    /// Peer → index: who is online?
    #[serde(rename = "who")]
    Who(Who),
    /// Peer → index: the stream on which news of what is followed come.
    #[serde(rename = "events")]
    Events(Empty),
    /// Peer → index: tell me of new records of these.
    #[serde(rename = "follow")]
    Follow(Follow),
    /// Peer → index: no longer of these.
    #[serde(rename = "unfollow")]
    Unfollow(Unfollow),
    /// Peer → index: register.
    R(Register),
    /// Peer → index: deregister.
    D(Deregister),
    /// Request download: peer → index, peer → holder, index → holder.
    P(RequestDownload),
    /// Peer → holder: get data.
    G(GetData),
    /// Peer → index: list.
    L(List),
    /// Peer → index: search.
    S(Search),
    /// Between members: catalogues, presence, the list of members.
    #[serde(rename = "statements")]
    Statements(Statements),
}

impl Request {
    /// Its letter or word, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Signup(_) => "signup",
            Self::Login(_) => "login",
            Self::Logout(_) => "logout",
            Self::Renew(_) => "renew",
            Self::Ping(_) => "ping",
            Self::Who(_) => "who",
            Self::Events(_) => "events",
            Self::Follow(_) => "follow",
            Self::Unfollow(_) => "unfollow",
            Self::R(_) => "R",
            Self::D(_) => "D",
            Self::P(_) => "P",
            Self::G(_) => "G",
            Self::L(_) => "L",
            Self::S(_) => "S",
            Self::Statements(_) => "statements",
        }
    }

    /// Decodes a request and checks the bounds of its lists.
    ///
    /// # Errors
    /// The E to answer: `bad-message`, `too-large`, or `unsupported` for what is reserved or unknown.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Self, ErrorBody> {
        let request: Self = cbor::decode(bytes, limit).map_err(|error| unreadable(bytes, &error))?;
        match &request {
            Self::Hello(hello) => hello.check()?,
            Self::R(register) => register.check()?,
            Self::D(deregister) => deregister.check()?,
            Self::P(download) => download.check()?,
            Self::G(data) => data.check()?,
            Self::L(list) => list.check()?,
            Self::S(search) => search.check()?,
            Self::Who(who) => who.check()?,
            Self::Follow(follow) => follow.check()?,
            Self::Unfollow(unfollow) => unfollow.check()?,
            Self::Statements(statements) => statements.check()?,
            _ => {}
        }
        Ok(request)
    }
}

/// What to answer to a request that does not decode: a message of a later version is no fault of its sender.
fn unreadable(bytes: &[u8], error: &CborError) -> ErrorBody {
    let code = match error {
        CborError::TooLarge { .. } => ErrorCode::TooLarge,
        CborError::Schema(_) => match message_name(bytes) {
            Some(name) if !REQUESTS.contains(&&*name) && !ANSWERS.contains(&&*name) => {
                return unsupported("this message");
            }
            _ => ErrorCode::BadMessage,
        },
        _ => ErrorCode::BadMessage,
    };
    ErrorBody::new(code, error.to_string())
}

/// The key of a well-formed map of one entry, if that is text.
fn message_name(bytes: &[u8]) -> Option<String> {
    const MAP_OF_ONE: u8 = 0xa1;
    let of_one = bytes.first() == Some(&MAP_OF_ONE);
    let map: BTreeMap<String, IgnoredAny> = of_one.then(|| cbor::decode(bytes, bytes.len()).ok())??;
    map.into_keys().next()
}

/// An answer: the request's own result, or an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer<T> {
    /// Done; the result.
    A(T),
    /// Not done; why.
    E(ErrorBody),
}

impl<T> From<Result<T, ErrorBody>> for Answer<T> {
    fn from(result: Result<T, ErrorBody>) -> Self {
        match result {
            Ok(body) => Self::A(body),
            Err(body) => Self::E(body),
        }
    }
}

impl<T> From<Answer<T>> for Result<T, ErrorBody> {
    fn from(answer: Answer<T>) -> Self {
        match answer {
            Answer::A(body) => Ok(body),
            Answer::E(body) => Err(body),
        }
    }
}

/// The body of a message, or a value in one, that this version reserves: any CBOR, not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved;

impl Serialize for Reserved {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Empty {}.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reserved {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

fn unsupported(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Unsupported, format!("{what} is not supported by this version"))
}

fn too_large(what: &str, limit: usize) -> ErrorBody {
    ErrorBody::new(ErrorCode::TooLarge, format!("more than {limit} {what}"))
}

fn bad_message(text: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadMessage, text)
}

/// Refuses a list over its bound.
fn at_most(what: &str, actual: usize, limit: usize) -> Result<(), ErrorBody> {
    if actual > limit { Err(too_large(what, limit)) } else { Ok(()) }
}

/// Refuses a cursor over its bound: nobody gave one so long.
fn check_cursor(cursor: Option<&serde_bytes::ByteBuf>) -> Result<(), ErrorBody> {
    match cursor {
        Some(cursor) if cursor.len() > crate::limits::CURSOR_BYTES => {
            Err(ErrorBody::new(ErrorCode::BadCursor, "the cursor is too long to be one of ours"))
        }
        _ => Ok(()),
    }
}

/// Refuses a body in which not exactly one of its alternatives is present.
fn exactly_one(present: &[bool], names: &str) -> Result<(), ErrorBody> {
    match present.iter().filter(|&&present| present).count() {
        1 => Ok(()),
        _ => Err(bad_message(&format!("exactly one of {names} must be present"))),
    }
}
