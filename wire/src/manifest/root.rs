//! The root of a manifest: what it is of, and its pages.
//!
//! In CBOR a map; the pages are one byte string of 52 bytes for each: 32 of hash, then, big-endian, 4 of encoded length,
//! 4 of entries, 4 of chunks and 8 of content bytes.

use certs::bytes::byte_buf;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::build::ENTRY_WEIGHT;
use super::page::CHUNK_ITEM_BYTES;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::cbor;
use crate::hash::{ContentHash, PageHash, RootHash};
use crate::limits;
use crate::record::Kind;

const PAGE_REF_BYTES: usize = 52;
/// A page of a file beyond its entry and chunks: the head of an array of at most two items, and of one byte string.
const FILE_PAGE_HEADS: u64 = 1 + 5;

/// The root of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// 0.
    pub format: u8,
    /// A file or a folder.
    pub kind: Kind,
    /// What it is a manifest of.
    pub content: ContentHash,
    /// The content's size in bytes: the sum of the pages'.
    pub size: u64,
    /// The pages in order, at least one, at most 8,192.
    #[serde(serialize_with = "write_pages", deserialize_with = "read_pages")]
    pub pages: Vec<PageRef>,
}

/// What the root says of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    /// BLAKE3 of its encoding.
    pub hash: PageHash,
    /// The length of its encoding: 1 byte to 256 KiB.
    pub length: u32,
    /// How many entries begin in it.
    pub entries: u32,
    /// How many chunks it lists.
    pub chunks: u32,
    /// How many bytes these chunks have.
    pub content_bytes: u64,
}

impl Root {
    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the root that has this hash, and checks what can be checked without its pages.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn decode(bytes: &[u8], hash: &RootHash) -> Result<Self, ManifestError> {
        if bytes.len() <= limits::ROOT_BYTES && RootHash::of(bytes) != *hash {
            return Err(ManifestError::Hash);
        }
        let root: Self = cbor::decode_one_encoding(bytes, limits::ROOT_BYTES)?;
        root.check()?;
        Ok(root)
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        self.pages.iter().map(|page| u64::from(page.chunks)).sum()
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.pages.iter().map(|page| u64::from(page.entries)).sum()
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.format != 0 || self.kind == Kind::Gone {
            return Err(ManifestError::Unknown("format or kind"));
        }
        if self.pages.is_empty() || self.pages.len() > limits::MANIFEST_PAGES {
            return Err(Inconsistent("no pages, or too many"));
        }
        let fits = |page: &PageRef| (1..=limits::PAGE_BYTES).contains(&(page.length as usize));
        if !self.pages.iter().all(fits) {
            return Err(Inconsistent("a page that is empty or too long"));
        }
        let sum = self.pages.iter().try_fold(0_u64, |sum, page| sum.checked_add(page.content_bytes));
        if sum != Some(self.size) || self.size > limits::CONTENT_BYTES {
            return Err(Inconsistent("pages that do not add up to the size"));
        }
        // Each chunk costs its reader memory, so a file has no more of them than its chunker could make.
        let chunks = self.chunks();
        if chunks > self.size / u64::from(limits::MIN_CHUNK_BYTES) + self.entries() {
            return Err(Inconsistent("more chunks than the size allows"));
        }
        if self.pages.iter().any(|page| page.entries == 0 && page.chunks == 0) {
            return Err(Inconsistent("a page that lists nothing"));
        }
        if self.kind == Kind::File && self.entries() != 1 {
            return Err(Inconsistent("a file that is not one entry"));
        }
        if self.entries() > limits::FOLDER_ENTRIES as u64 {
            return Err(Inconsistent("more entries than a folder may have"));
        }
        if self.kind == Kind::File && !self.pages.iter().all(PageRef::fits_a_file) {
            return Err(Inconsistent("a page longer than what it lists"));
        }
        // A chunk index is 32 bits wide.
        if chunks > u64::from(u32::MAX) {
            return Err(Inconsistent("too many chunks"));
        }
        Ok(())
    }
}

impl PageRef {
    /// Whether what a file's page lists could have this length. It bounds all pages by the chunks, and so by the size.
    fn fits_a_file(&self) -> bool {
        let chunks = u64::from(self.chunks) * CHUNK_ITEM_BYTES as u64;
        let entries = u64::from(self.entries) * ENTRY_WEIGHT as u64;
        u64::from(self.length) <= FILE_PAGE_HEADS + chunks + entries
    }
}

fn write_pages<S: Serializer>(pages: &[PageRef], serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(pages.len() * PAGE_REF_BYTES);
    for page in pages {
        bytes.extend_from_slice(page.hash.as_bytes());
        bytes.extend_from_slice(&page.length.to_be_bytes());
        bytes.extend_from_slice(&page.entries.to_be_bytes());
        bytes.extend_from_slice(&page.chunks.to_be_bytes());
        bytes.extend_from_slice(&page.content_bytes.to_be_bytes());
    }
    serializer.serialize_bytes(&bytes)
}

fn read_pages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PageRef>, D::Error> {
    let bytes = byte_buf(deserializer)?;
    let parts = bytes.chunks_exact(PAGE_REF_BYTES);
    if !parts.remainder().is_empty() {
        return Err(serde::de::Error::custom("pages are 52 bytes each"));
    }
    parts.map(|part| page_ref(part).ok_or_else(|| serde::de::Error::custom("no page"))).collect()
}

fn page_ref(part: &[u8]) -> Option<PageRef> {
    let (hash, rest) = part.split_first_chunk::<32>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (entries, rest) = rest.split_first_chunk::<4>()?;
    let (chunks, rest) = rest.split_first_chunk::<4>()?;
    Some(PageRef {
        hash: PageHash::from_bytes(*hash),
        length: u32::from_be_bytes(*length),
        entries: u32::from_be_bytes(*entries),
        chunks: u32::from_be_bytes(*chunks),
        content_bytes: u64::from_be_bytes(rest.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Root {
        let page =
            PageRef { hash: PageHash::of(b"page"), length: 4, entries: 1, chunks: 2, content_bytes: 7000 };
        let next = PageRef { entries: 0, chunks: 1, content_bytes: 3000, ..page };
        Root {
            format: 0,
            kind: Kind::File,
            content: ContentHash::of(b""),
            size: 10_000,
            pages: vec![page, next],
        }
    }

    fn decode(root: &Root) -> Result<Root, ManifestError> {
        let bytes = root.encode();
        Root::decode(&bytes, &RootHash::of(&bytes))
    }

    #[test]
    fn round_trips() {
        assert_eq!(decode(&root()), Ok(root()));
        assert_eq!(Root::decode(&root().encode(), &RootHash::of(b"x")), Err(ManifestError::Hash));
    }

    #[test]
    fn the_largest_fits_its_bound() {
        let page = PageRef { entries: 0, content_bytes: 0, ..root().pages[0] };
        let largest = Root { pages: vec![page; limits::MANIFEST_PAGES], size: u64::MAX, ..root() };
        assert!(largest.encode().len() <= limits::ROOT_BYTES);
    }

    #[test]
    fn a_page_has_room_for_what_it_lists() {
        let with_length = |length| {
            let mut root = root();
            root.pages[0].length = length;
            root
        };
        assert!(decode(&with_length(6 + 2 * 36 + 256)).is_ok());
        let folder = Root { kind: Kind::Folder, ..with_length(4000) };
        assert!(decode(&folder).is_ok(), "paths in a folder are as long as they like");
    }

    #[test]
    fn refuses() {
        let pages = |change: fn(&mut PageRef)| {
            let mut root = root();
            change(&mut root.pages[0]);
            root
        };
        let nothing = PageRef { entries: 0, chunks: 0, content_bytes: 0, ..root().pages[0] };
        let filler = Root { pages: [root().pages, vec![nothing]].concat(), ..root() };
        for bad in [
            Root { format: 1, ..root() },
            Root { kind: Kind::Gone, ..root() },
            Root { size: 9999, ..root() },
            Root { pages: Vec::new(), size: 0, ..root() },
            pages(|page| page.length = 0),
            pages(|page| page.length = 1 << 20),
            pages(|page| page.entries = 2),
            pages(|page| page.chunks = 10),
            pages(|page| page.content_bytes = u64::MAX),
            pages(|page| page.length = 6 + 2 * 36 + 256 + 1),
            filler,
            Root { kind: Kind::Folder, ..pages(|page| page.entries = (limits::FOLDER_ENTRIES + 1) as u32) },
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }
}
