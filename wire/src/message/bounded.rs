//! Lists that are bounded while they are decoded, so that a frame costs memory in proportion to its bytes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// Decodes a list of a request. Keeps at most one item more than `LIMIT`: with it the message's `check` sees that there
/// are too many, and answers `too-large`.
pub(super) fn request<'de, const LIMIT: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    List::<T, LIMIT, false>::deserialize(deserializer).map(|list| list.0)
}

/// The same for a list that may be absent.
pub(super) fn request_if_any<'de, const LIMIT: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<List<T, LIMIT, false>>::deserialize(deserializer)?.map(|list| list.0))
}

/// Decodes a list of an answer, and refuses one of more than `LIMIT` items.
pub(super) fn answer<'de, const LIMIT: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    List::<T, LIMIT, true>::deserialize(deserializer).map(|list| list.0)
}

/// The same for a list that may be absent.
pub(super) fn answer_if_any<'de, const LIMIT: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<List<T, LIMIT, true>>::deserialize(deserializer)?.map(|list| list.0))
}

struct List<T, const LIMIT: usize, const REFUSE: bool>(Vec<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize, const REFUSE: bool> Deserialize<'de>
    for List<T, LIMIT, REFUSE>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_seq`: the CBOR decoder takes a byte string for an array there.
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const LIMIT: usize, const REFUSE: bool>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize, const REFUSE: bool> Visitor<'de>
    for ListVisitor<T, LIMIT, REFUSE>
{
    type Value = List<T, LIMIT, REFUSE>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {LIMIT} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() <= LIMIT {
            match array.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(List(items)),
            }
        }
        if REFUSE {
            return Err(A::Error::custom(format_args!("more than {LIMIT} items")));
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(List(items))
    }
}

#[cfg(test)]
mod tests {
    use crate::cbor;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Lists {
        #[serde(deserialize_with = "super::request::<2, _, _>")]
        request: Vec<u8>,
        #[serde(default, deserialize_with = "super::answer_if_any::<2, _, _>")]
        answer: Option<Vec<u8>>,
    }

    fn decoded(request: Vec<u8>, answer: Option<Vec<u8>>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        #[derive(serde::Serialize)]
        struct Plain {
            request: Vec<u8>,
            answer: Option<Vec<u8>>,
        }
        let bytes = cbor::encode(&Plain { request, answer });
        cbor::decode::<Lists>(&bytes, 99).ok().map(|lists| (lists.request, lists.answer))
    }

    #[test]
    fn too_many_are_cut_or_refused() {
        assert_eq!(decoded(vec![], None), Some((vec![], None)));
        assert_eq!(decoded(vec![1, 2], Some(vec![3, 4])), Some((vec![1, 2], Some(vec![3, 4]))));
        assert_eq!(decoded(vec![1, 2, 3], None), Some((vec![1, 2, 3], None)));
        assert_eq!(decoded(vec![1, 2, 3, 4, 5], None), Some((vec![1, 2, 3], None)));
        assert_eq!(decoded(vec![], Some(vec![1, 2, 3])), None);
    }

    #[test]
    fn a_byte_string_is_no_list() {
        let bytes = cbor::unhex("a1677265717565737440").expect("hex");
        assert!(cbor::decode::<Lists>(&bytes, 99).is_err());
    }
}
