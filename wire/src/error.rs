//! The one table of error codes: in E, and as QUIC stream and connection codes. PROTOCOL.md, "Errors".

use serde::{Deserialize, Serialize};

use crate::limits;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, retry $retry:literal;)*) => {
        /// What went wrong, as both ends name it.
        ///
        /// A number that this version does not know is kept as [`ErrorCode::Unknown`] and treated like `internal`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
            /// A code of a later version.
            Unknown(u32),
        }

        impl ErrorCode {
            /// Every code that this version knows.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its number on the wire: in E, in RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE.
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// The code of a number.
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }

            /// Its name, as PROTOCOL.md and the command line's JSON have it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown(_) => "unknown",
                }
            }

            /// Whether the same request may succeed later without anything being changed.
            pub const fn retry(self) -> bool {
                match self {
                    $(Self::$variant => $retry,)*
                    Self::Unknown(_) => false,
                }
            }
        }
    };
}

error_codes! {
    /// Nothing went wrong: a stream or connection that is no longer needed.
    Done = 0, "done", retry false;
    /// Not a frame, not CBOR, not a message, or a field that has no such value.
    BadMessage = 1, "bad-message", retry false;
    /// A record that does not verify, or contradicts itself or what it is sent with.
    BadRecord = 2, "bad-record", retry false;
    /// A frame, batch, list or value over its bound.
    TooLarge = 3, "too-large", retry false;
    /// Something that this version reserves or does not know.
    Unsupported = 4, "unsupported", retry false;
    /// A cursor that this answerer did not give.
    BadCursor = 5, "bad-cursor", retry false;
    /// A search query that cannot be read.
    BadQuery = 6, "bad-query", retry false;
    /// A name that breaks the rules for names.
    BadName = 7, "bad-name", retry false;
    /// The sender has no valid membership of this network.
    NotMember = 16, "not-member", retry false;
    /// No such user, or another password.
    BadCredentials = 17, "bad-credentials", retry false;
    /// The user name is somebody's.
    NameTaken = 18, "name-taken", retry false;
    /// Another program with the same key is connected and alive: a home was copied.
    IdentityInUse = 19, "identity-in-use", retry false;
    /// The resource is another account's.
    NotOwner = 20, "not-owner", retry false;
    /// The sender may not do this, to something that it may see.
    NotAllowed = 21, "not-allowed", retry false;
    /// The sender is of another network, or expects another.
    OtherNetwork = 22, "other-network", retry false;
    /// The index takes no new accounts.
    SignupClosed = 23, "signup-closed", retry false;
    /// The password is too short or too long.
    BadPassword = 24, "bad-password", retry false;
    /// This node is enrolled for another account.
    OtherAccount = 25, "other-account", retry false;
    /// There is none, or none that the asker may see.
    NotFound = 32, "not-found", retry false;
    /// Nobody who has it is online.
    NoHolder = 33, "no-holder", retry true;
    /// The asking node itself publishes it.
    SelfOwned = 34, "self-owned", retry false;
    /// The file is no longer what was published.
    Changed = 35, "changed", retry false;
    /// Chunks that the manifest does not have, or that this holder does not have.
    OutOfRange = 36, "out-of-range", retry false;
    /// A tombstone or a record that is not built on the current record.
    StaleVersion = 37, "stale-version", retry false;
    /// A higher record of the same resource exists.
    Superseded = 38, "superseded", retry false;
    /// Too much at once: come back after `retry_after_ms`.
    Busy = 48, "busy", retry true;
    /// More than one account or node may have.
    Quota = 49, "quota", retry false;
    /// Too many attempts: come back after `retry_after_ms`.
    RateLimited = 50, "rate-limited", retry true;
    /// The index cannot be reached.
    Unavailable = 51, "unavailable", retry true;
    /// No answer in time.
    Timeout = 52, "timeout", retry true;
    /// The answerer failed; its operator's log says how.
    Internal = 64, "internal", retry true;
    /// The program is stopping.
    ShuttingDown = 65, "shutting-down", retry true;
    /// The one who asked no longer wants it.
    Cancelled = 66, "cancelled", retry false;
    /// A newer connection of the same program took this one's place.
    Replaced = 67, "replaced", retry false;
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.number())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::from_number)
    }
}

/// The body of E.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {text}")]
pub struct ErrorBody {
    /// What went wrong.
    pub code: ErrorCode,
    /// The same for people: what was wrong, and with what. At most 1 KiB; what is longer is cut when it is read.
    #[serde(deserialize_with = "cut_text")]
    pub text: String,
    /// After how many milliseconds it is worth asking again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `busy` of a holder: the place in its queue, from 1 upwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_place: Option<u64>,
}

impl ErrorBody {
    /// Makes one; a text over its bound is cut.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: cut(text.into()), retry_after_ms: None, queue_place: None }
    }

    /// With a time to wait.
    #[must_use]
    pub fn retry_after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// With a place in a queue, from 1 upwards.
    #[must_use]
    pub fn queue_place(mut self, place: u64) -> Self {
        self.queue_place = Some(place);
        self
    }
}

fn cut(mut text: String) -> String {
    if text.len() > limits::ERROR_TEXT_BYTES {
        let end = (0..=limits::ERROR_TEXT_BYTES).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
    }
    text
}

fn cut_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_distinct_and_come_back() {
        let mut seen = std::collections::HashSet::new();
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), code);
            assert!(seen.insert(code.number().to_string()), "{code}");
            assert!(seen.insert(code.name().to_owned()), "{code}");
        }
        assert_eq!(ErrorCode::from_number(9999), ErrorCode::Unknown(9999));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let body = ErrorBody::new(ErrorCode::Internal, "ä".repeat(1000));
        assert!(body.text.len() <= limits::ERROR_TEXT_BYTES);
        assert!(body.text.chars().all(|character| character == 'ä'));
        let long = ErrorBody { text: "ä".repeat(1000), ..body.clone() };
        let read: ErrorBody = certs::cbor::decode(&certs::cbor::encode(&long), 9999).expect("read");
        assert_eq!(read, body);
    }
}
