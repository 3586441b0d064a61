//! Taking a manifest apart: pages in order, each checked against the root and against those before.

use super::chunker::ChunkerParams;
use super::entry::{Entry, EntryKind};
use super::folder::FolderHasher;
use super::page::{Chunk, Item, decode_page};
use super::root::Root;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::PageHash;
use crate::record::Kind;

/// Takes the pages of one manifest in order.
#[derive(Debug)]
pub struct Assembler {
    root: Root,
    next: usize,
    /// The entry whose chunks come now; `None` before the first entry.
    current: Option<Current>,
    /// What there is so far of a folder; `None` for a file.
    folder: Option<FolderHasher>,
}

/// An entry that began.
#[derive(Debug)]
struct Current {
    /// How many of its bytes no chunk has covered yet.
    uncovered: u64,
    params: Option<ChunkerParams>,
}

impl Assembler {
    /// For the manifest with this root.
    pub fn new(root: Root) -> Self {
        let folder = (root.kind == Kind::Folder).then(FolderHasher::new);
        Self { root, next: 0, current: None, folder }
    }

    /// The hash and encoded length of the page that comes next, or `None` after the last.
    pub fn wants(&self) -> Option<(PageHash, u32)> {
        self.root.pages.get(self.next).map(|page| (page.hash, page.length))
    }

    /// Takes the next page.
    ///
    /// # Errors
    /// See [`ManifestError`]; the assembler is of no use afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Item>, ManifestError> {
        let expected = *self.root.pages.get(self.next).ok_or(Inconsistent("more pages than named"))?;
        if PageHash::of(bytes) != expected.hash || bytes.len() != expected.length as usize {
            return Err(ManifestError::Hash);
        }
        let items = decode_page(bytes)?;
        let (mut entries, mut chunks, mut content_bytes) = (0_u64, 0_u64, 0_u64);
        for item in &items {
            match item {
                Item::Entry(entry) => {
                    entries += 1;
                    self.begin(entry)?;
                }
                Item::Chunks(run) => {
                    chunks += run.len() as u64;
                    content_bytes += run.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
                    run.iter().try_for_each(|chunk| self.cover(chunk))?;
                }
            }
        }
        let said = (expected.entries.into(), expected.chunks.into(), expected.content_bytes);
        if (entries, chunks, content_bytes) != said {
            return Err(Inconsistent("a page that is not what the root says of it"));
        }
        self.next += 1;
        if self.next == self.root.pages.len() {
            self.end()?;
        }
        Ok(items)
    }

    fn end(&self) -> Result<(), ManifestError> {
        if self.current.as_ref().is_none_or(|current| current.uncovered != 0) {
            return Err(Inconsistent("a file with fewer chunks than its size needs"));
        }
        match &self.folder {
            Some(folder) if folder.finish() != self.root.content => {
                Err(Inconsistent("entries that are not the content that the root names"))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), ManifestError> {
        if self.current.as_ref().is_some_and(|current| current.uncovered != 0) {
            return Err(Inconsistent("a file with fewer chunks than its size needs"));
        }
        match &mut self.folder {
            Some(folder) => folder.push(entry)?,
            None => {
                let expected = ("", EntryKind::File, self.root.size, self.root.content);
                if (entry.path.as_str(), entry.kind, entry.size, entry.hash) != expected {
                    return Err(Inconsistent("an entry that is not the content that the root names"));
                }
            }
        }
        self.current = Some(Current { uncovered: entry.size, params: entry.params });
        Ok(())
    }

    fn cover(&mut self, chunk: &Chunk) -> Result<(), ManifestError> {
        let beyond = Inconsistent("chunks beyond the end of their file");
        let Some(Current { uncovered, params: Some(params) }) = &mut self.current else { return Err(beyond) };
        *uncovered = uncovered.checked_sub(chunk.length.into()).ok_or(beyond)?;
        let last = *uncovered == 0;
        if chunk.length > params.max() || (chunk.length < params.min() && !last) {
            return Err(Inconsistent("a chunk of a length that its chunker does not make"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::{chunk, manifest};
    use super::super::{Layout, Manifest, PageRef, encode_page};
    use super::*;
    use crate::hash::{ContentHash, RootHash};

    fn assemble(manifest: &Manifest) -> Result<Layout, ManifestError> {
        let root = Root::decode(&manifest.root_bytes, &manifest.root_hash)?;
        Layout::assemble(root, manifest.pages.iter().map(Vec::as_slice))
    }

    #[test]
    fn what_was_built_comes_back() {
        for count in [0, 1, 2, 1000, 20_000] {
            let chunks: Vec<_> = (0..count).map(chunk).collect();
            let layout = assemble(&manifest(chunks.iter().copied())).expect("assembles");
            assert_eq!(layout.chunks.len(), count);
            assert_eq!(layout.chunks.size(), layout.entries.first().expect("one").size);
            let mut offset = 0;
            for (index, chunk) in (0..).zip(&chunks) {
                assert_eq!(layout.chunks.chunk(index), Some(*chunk));
                let end = offset + u64::from(chunk.length);
                assert_eq!(layout.chunks.bytes_of(index..index + 1), Some(offset..end));
                offset = end;
            }
            assert_eq!(layout.chunks.bytes_of(0..count + 1), None);
        }
    }

    /// The same manifest with its first page replaced, everything about it said truly.
    fn with_first_page(manifest: &Manifest, items: &[Item]) -> Manifest {
        let bytes = encode_page(items);
        let count = |one: fn(&Item) -> u64| items.iter().map(one).sum::<u64>();
        let mut root = manifest.root.clone();
        root.pages[0] = PageRef {
            hash: PageHash::of(&bytes),
            length: bytes.len() as u32,
            entries: count(|item| matches!(item, Item::Entry(_)).into()) as u32,
            chunks: count(|item| if let Item::Chunks(run) = item { run.len() as u64 } else { 0 }) as u32,
            content_bytes: count(|item| match item {
                Item::Chunks(run) => run.iter().map(|chunk| u64::from(chunk.length)).sum(),
                Item::Entry(_) => 0,
            }),
        };
        root.size = root.pages.iter().map(|page| page.content_bytes).sum();
        let root_bytes = root.encode();
        let mut pages = manifest.pages.clone();
        pages[0] = bytes;
        Manifest { root_hash: RootHash::of(&root_bytes), root, root_bytes, pages, blocks: None }
    }

    #[test]
    fn contradictions_are_found() {
        let good = manifest((0..10).map(chunk));
        let items = decode_page(&good.pages[0]).expect("a page");
        assert!(assemble(&with_first_page(&good, &items)).is_ok());
        let chunks_first = [items[1].clone(), items[0].clone()];
        assert!(assemble(&with_first_page(&good, &chunks_first)).is_err());
        let Item::Chunks(run) = &items[1] else { panic!("chunks follow the entry") };
        let fewer = [items[0].clone(), Item::Chunks(run[1..].to_vec())];
        assert!(assemble(&with_first_page(&good, &fewer)).is_err());
        let more = [items[0].clone(), Item::Chunks([run.as_slice(), run].concat())];
        assert!(assemble(&with_first_page(&good, &more)).is_err());
        let Item::Entry(entry) = &items[0] else { panic!("an entry comes first") };
        let named = Item::Entry(Entry { path: "x".to_owned(), ..entry.clone() });
        assert!(assemble(&with_first_page(&good, &[named, items[1].clone()])).is_err());
        let other = Item::Entry(Entry { hash: ContentHash::of(b"other"), ..entry.clone() });
        assert!(assemble(&with_first_page(&good, &[other, items[1].clone()])).is_err());
    }

    /// A manifest of one page, everything about it said truly.
    fn of_one_page(kind: Kind, content: ContentHash, items: &[Item]) -> Result<(), ManifestError> {
        let template = manifest((0..1).map(chunk));
        let root = Root { kind, content, ..template.root.clone() };
        let built = with_first_page(&Manifest { root, ..template }, items);
        let mut assembler = Assembler::new(Root::decode(&built.root_bytes, &built.root_hash)?);
        assembler.push(&built.pages[0]).map(drop)
    }

    #[test]
    fn a_file_is_no_link() {
        let nothing = ContentHash::of(b"");
        let empty = Entry::file(false, certs::UnixNanos(1), 0, nothing, ChunkerParams::for_size(0));
        let fits = |entry: Entry| of_one_page(Kind::File, nothing, &[Item::Entry(entry)]);
        assert_eq!(fits(empty.clone()), Ok(()));
        let folder = Entry { kind: EntryKind::Folder, chunker: String::new(), params: None, ..empty };
        assert!(fits(folder).is_err());
    }

    #[test]
    fn chunks_keep_their_chunkers_bounds() {
        let fits = |lengths: &[u32]| {
            let chunks = lengths.iter().map(|&length| Chunk { length, ..chunk(length) });
            assemble(&manifest(chunks)).is_ok()
        };
        assert!(fits(&[1024, 16_384, 1]));
        assert!(fits(&[1]));
        assert!(!fits(&[1023, 1024]));
        assert!(!fits(&[16_385]));
    }

    #[test]
    fn a_folder_is_its_entries() {
        use super::super::folder::tests::{file, folder};
        let entries = [folder("a"), file("a/b", b"12345"), file("c", b"")];
        let mut hasher = FolderHasher::new();
        entries.iter().try_for_each(|entry| hasher.push(entry)).expect("in order");
        let run = Item::Chunks(vec![Chunk { length: 5, ..chunk(0) }]);
        let [a, b, c] = entries.map(Item::Entry);
        let fits = |items: &[Item]| of_one_page(Kind::Folder, hasher.finish(), items);
        assert_eq!(fits(&[a.clone(), b.clone(), run.clone(), c.clone()]), Ok(()));
        assert!(fits(&[a.clone(), b.clone(), run.clone()]).is_err(), "an entry is missing");
        assert!(fits(&[c.clone(), a.clone(), b.clone(), run.clone()]).is_err(), "out of order");
        assert!(fits(&[a, run, b, c]).is_err(), "chunks of a folder");
    }

    #[test]
    fn pages_must_be_the_named_ones() {
        let good = manifest((0..20_000).map(chunk));
        assert!(good.pages.len() > 2);
        let mut swapped = good.clone();
        swapped.pages.swap(1, 2);
        assert_eq!(assemble(&swapped).err(), Some(ManifestError::Hash));
        let mut short = good.clone();
        short.pages.pop();
        assert!(assemble(&short).is_err());
        let mut long = good.clone();
        long.pages.push(good.pages[0].clone());
        assert!(assemble(&long).is_err());
    }
}
