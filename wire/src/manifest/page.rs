//! A page of a manifest: an array of entries and of runs of chunks.
//!
//! In CBOR an array; an entry is a map, a run of chunks is a byte string of 36 bytes for each chunk: its length as 4
//! bytes big-endian, then its hash. Neither says where it lies, so a page stays the same when something is inserted
//! before it.

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::quick;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::cbor;
use crate::hash::ChunkHash;
use crate::limits;

/// The bytes of one chunk in a page: 4 of length, 32 of hash.
pub const CHUNK_ITEM_BYTES: usize = 36;

/// A chunk as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its length in bytes: 1 to 16 MiB.
    pub length: u32,
    /// BLAKE3 of its bytes.
    pub hash: ChunkHash,
}

/// What a page lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An entry begins.
    Entry(Entry),
    /// Chunks of the entry before, be it in an earlier page.
    Chunks(Vec<Chunk>),
}

/// Encodes a page.
pub fn encode_page(items: &[Item]) -> Vec<u8> {
    cbor::encode(items)
}

/// Decodes a page and checks what can be checked without its neighbours.
///
/// # Errors
/// See [`ManifestError`].
pub fn decode_page(bytes: &[u8]) -> Result<Vec<Item>, ManifestError> {
    let items: Vec<Item> = match quick::decode(bytes) {
        Some(items) => items,
        None => cbor::decode_one_encoding(bytes, limits::PAGE_BYTES)?,
    };
    if items.is_empty() {
        return Err(Inconsistent("an empty page"));
    }
    let is_run = |item: &Item| matches!(item, Item::Chunks(_));
    if items.windows(2).any(|pair| pair.iter().all(is_run)) {
        return Err(Inconsistent("two runs of chunks that should be one"));
    }
    for item in &items {
        match item {
            Item::Entry(entry) => entry.check()?,
            Item::Chunks(chunks) => {
                let valid = |chunk: &Chunk| (1..=limits::CHUNK_BYTES).contains(&chunk.length);
                if !chunks.iter().all(valid) {
                    return Err(Inconsistent("a chunk that is empty or too long"));
                }
            }
        }
    }
    Ok(items)
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Entry(entry) => entry.serialize(serializer),
            Self::Chunks(chunks) => {
                let mut bytes = Vec::with_capacity(chunks.len() * CHUNK_ITEM_BYTES);
                for chunk in chunks {
                    bytes.extend_from_slice(&chunk.length.to_be_bytes());
                    bytes.extend_from_slice(chunk.hash.as_bytes());
                }
                serializer.serialize_bytes(&bytes)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an entry (a map) or chunks (a byte string)")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Item, E> {
        run(bytes).ok_or_else(|| E::custom("chunks are 36 bytes each, and at least one"))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Item, E> {
        self.visit_bytes(&bytes)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Entry::deserialize(de::value::MapAccessDeserializer::new(map)).map(Item::Entry)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Item, A::Error> {
        Err(de::Error::custom("an array is no item"))
    }
}

/// A run of chunks. One of none is refused here, before a page of such has taken many times its size in memory.
pub(super) fn run(bytes: &[u8]) -> Option<Item> {
    let parts = bytes.chunks_exact(CHUNK_ITEM_BYTES);
    if bytes.is_empty() || !parts.remainder().is_empty() {
        return None;
    }
    parts.map(chunk).collect::<Option<_>>().map(Item::Chunks)
}

fn chunk(part: &[u8]) -> Option<Chunk> {
    let (length, hash) = part.split_first_chunk::<4>()?;
    Some(Chunk { length: u32::from_be_bytes(*length), hash: ChunkHash::from_slice(hash)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::ContentHash;
    use crate::manifest::ChunkerParams;
    use certs::UnixNanos;
    use proptest::prelude::*;

    fn entry(path: &str, size: u64) -> Item {
        let params = ChunkerParams::for_size(size);
        let entry = Entry::file(true, UnixNanos(-5), size, ContentHash::of(path.as_bytes()), params);
        Item::Entry(Entry { path: path.to_owned(), ..entry })
    }

    fn chunks(lengths: &[u32]) -> Item {
        let chunk = |&length: &u32| Chunk { length, hash: ChunkHash::of(&length.to_be_bytes()) };
        Item::Chunks(lengths.iter().map(chunk).collect())
    }

    #[test]
    fn round_trips() {
        let page = vec![chunks(&[1, 16 << 20]), entry("a/b", 3), chunks(&[3]), entry("c", 0)];
        assert_eq!(decode_page(&encode_page(&page)), Ok(page));
    }

    #[test]
    fn refuses() {
        assert_eq!(decode_page(&encode_page(&[])), Err(Inconsistent("an empty page")));
        assert!(decode_page(&encode_page(&[chunks(&[])])).is_err());
        assert!(decode_page(&encode_page(&[chunks(&[0])])).is_err());
        assert!(decode_page(&encode_page(&[chunks(&[(16 << 20) + 1])])).is_err());
        assert!(decode_page(&encode_page(&[entry("../up", 1)])).is_err());
        assert!(decode_page(&[0x81, 0x41, 0]).is_err(), "not a multiple of 36");
        assert!(decode_page(&[0x81, 0x80]).is_err(), "an array");
        assert!(decode_page(&encode_page(&[chunks(&[1]), chunks(&[1])])).is_err(), "two runs in a row");
        assert!(decode_page(&vec![0; limits::PAGE_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode_page(&bytes);
        }
    }
}
