//! Pages read in one pass: a folder of a million files has some hundred megabytes of them.
//!
//! A page has one encoding, so whoever reads its bytes in their one order need not encode them again to compare. What is
//! anything else is left to the general way, which also says what is wrong with it.

use certs::UnixNanos;

use super::chunker::ChunkerParams;
use super::entry::{Entry, EntryKind};
use super::page::{Item, run};
use crate::cbor::Reader;
use crate::cbor::major::{ARRAY, BYTES, MAP, SIMPLE, TEXT, UNSIGNED};
use crate::hash::ContentHash;
use crate::limits;

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;
/// The fields of an entry.
const FIELDS: u64 = 9;
/// No item is shorter: a run of one chunk.
const ITEM_BYTES: usize = 38;

/// The items of a page in its one encoding; `None` for anything else.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Item>> {
    if bytes.len() > limits::PAGE_BYTES {
        return None;
    }
    let mut reader = Fields(Reader::new(bytes));
    let count = usize::try_from(reader.0.argument(ARRAY)?).ok()?;
    let mut items = Vec::with_capacity(count.min(bytes.len() / ITEM_BYTES));
    for _ in 0..count {
        items.push(reader.item()?);
    }
    reader.0.is_at_end().then_some(items)
}

struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    fn item(&mut self) -> Option<Item> {
        match self.0.head().ok()? {
            (BYTES, length) => run(self.0.take(length).ok()?),
            (MAP, FIELDS) => self.entry().map(Item::Entry),
            _ => None,
        }
    }

    /// The fields in the order of [`Entry`].
    fn entry(&mut self) -> Option<Entry> {
        self.key("path")?;
        let path = self.text()?.to_owned();
        self.key("kind")?;
        let kind = match self.text()? {
            "file" => EntryKind::File,
            "folder" => EntryKind::Folder,
            "link" => EntryKind::Link,
            _ => return None,
        };
        self.key("executable")?;
        let executable = match self.0.argument(SIMPLE)? {
            TRUE => true,
            FALSE => false,
            _ => return None,
        };
        self.key("mtime")?;
        let mtime = UnixNanos(self.0.integer()?);
        self.key("size")?;
        let size = self.0.argument(UNSIGNED)?;
        self.key("hash")?;
        let hash = ContentHash::from_slice(self.0.byte_string()?)?;
        self.key("chunker")?;
        let chunker = self.text()?.to_owned();
        self.key("params")?;
        let params = match self.0.head().ok()? {
            (SIMPLE, NULL) => None,
            (ARRAY, 3) => Some(ChunkerParams::of_numbers([self.number()?, self.number()?, self.number()?])),
            _ => return None,
        };
        self.key("target")?;
        let target = match self.0.head().ok()? {
            (SIMPLE, NULL) => None,
            (TEXT, length) => Some(self.content(length)?.to_owned()),
            _ => return None,
        };
        Some(Entry { path, kind, executable, mtime, size, hash, chunker, params, target })
    }

    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.0.argument(UNSIGNED)?).ok()
    }

    fn key(&mut self, name: &str) -> Option<()> {
        (self.text()? == name).then_some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.0.argument(TEXT)?;
        self.content(length)
    }

    fn content(&mut self, length: u64) -> Option<&'a str> {
        std::str::from_utf8(self.0.take(length).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::{Chunk, encode_page};
    use super::*;
    use crate::cbor;
    use crate::hash::ChunkHash;

    fn slow(bytes: &[u8]) -> Option<Vec<Item>> {
        cbor::decode_one_encoding(bytes, limits::PAGE_BYTES).ok()
    }

    fn hash() -> impl Strategy<Value = ContentHash> {
        any::<[u8; 32]>().prop_map(ContentHash::from_bytes)
    }

    fn params() -> impl Strategy<Value = Option<ChunkerParams>> {
        prop::option::of(any::<[u32; 3]>().prop_map(ChunkerParams::of_numbers))
    }

    prop_compose! {
        fn entry()(
            (path, chunker, target) in (".{0,20}", ".{0,12}", prop::option::of(".{0,12}")),
            kind in prop::sample::select(vec![EntryKind::File, EntryKind::Folder, EntryKind::Link]),
            (executable, mtime, size) in (any::<bool>(), any::<i64>(), any::<u64>()),
            (hash, params) in (hash(), params()),
        ) -> Item {
            let mtime = UnixNanos(mtime);
            Item::Entry(Entry { path, kind, executable, mtime, size, hash, chunker, params, target })
        }
    }

    fn chunks() -> impl Strategy<Value = Item> {
        let chunk = (any::<u32>(), any::<[u8; 32]>())
            .prop_map(|(length, hash)| Chunk { length, hash: ChunkHash::from_bytes(hash) });
        prop::collection::vec(chunk, 1..4).prop_map(Item::Chunks)
    }

    fn page() -> impl Strategy<Value = Vec<Item>> {
        prop::collection::vec(prop_oneof![entry(), chunks()], 0..6)
    }

    proptest! {
        #[test]
        fn it_reads_every_page(page in page()) {
            prop_assert_eq!(decode(&encode_page(&page)), Some(page));
        }

        /// Changed, cut or lengthened bytes: a different page, or none, the same either way.
        #[test]
        fn both_ways_read_the_same(
            page in page(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
            more in prop::collection::vec(any::<u8>(), 0..2),
        ) {
            let mut bytes = encode_page(&page);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.extend(more);
            prop_assert_eq!(decode(&bytes), slow(&bytes));
        }
    }

    #[test]
    fn what_is_in_another_order_or_form_is_left_to_the_general_way() {
        assert_eq!(decode(&[0x80]), Some(Vec::new()));
        for other in [&[0x98, 0][..], &[0x9f, 0xff], &[0x80, 0], &[0x81, 0x40], &[0xa0], &[]] {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
