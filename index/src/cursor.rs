//! Cursors: where a listing goes on, as bytes that mean nothing to the asker.
//!
//! They carry all that is needed, so that the index keeps nothing between two pages. They are not signed: whoever makes
//! one up sees a page that it could have asked for.

use certs::cbor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use wire::{ErrorBody, ErrorCode, limits};

/// A position in a listing.
pub(crate) trait Cursor: Serialize + DeserializeOwned {
    /// The letter of its message, so that a cursor of one listing is none of another.
    const LETTER: char;
}

#[derive(Serialize, Deserialize)]
struct Lettered<T>(char, T);

/// As bytes.
pub(crate) fn encode<T: Cursor>(cursor: &T) -> ByteBuf {
    ByteBuf::from(cbor::encode(&Lettered(T::LETTER, cursor)))
}

/// Back from bytes.
///
/// # Errors
/// `bad-cursor`, where the index gave no such cursor for this listing.
pub(crate) fn decode<T: Cursor>(bytes: Option<&ByteBuf>) -> Result<Option<T>, ErrorBody> {
    let Some(bytes) = bytes else { return Ok(None) };
    match cbor::decode(bytes, limits::CURSOR_BYTES) {
        Ok(Lettered(letter, cursor)) if letter == T::LETTER => Ok(Some(cursor)),
        _ => Err(bad()),
    }
}

/// The refusal of a cursor.
pub(crate) fn bad() -> ErrorBody {
    ErrorBody::new(ErrorCode::BadCursor, "the cursor is not one that this index gave for this listing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct One(u64);

    impl Cursor for One {
        const LETTER: char = 'X';
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two(u64);

    impl Cursor for Two {
        const LETTER: char = 'Y';
    }

    #[test]
    fn only_of_its_own_kind() {
        let bytes = encode(&One(7));
        assert_eq!(decode(Some(&bytes)), Ok(Some(One(7))));
        assert_eq!(decode::<One>(None), Ok(None));
        assert!(decode::<Two>(Some(&bytes)).is_err());
        assert!(decode::<One>(Some(&ByteBuf::from([0xff; 9]))).is_err());
        assert!(decode::<One>(Some(&ByteBuf::new())).is_err());
    }
}
