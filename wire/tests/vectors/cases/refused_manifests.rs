//! Manifests, roots and pages that are refused.

use ciborium::Value;
use wire::manifest::{Chunk, Entry, EntryKind, Item, PageRef, Root, encode_page};
use wire::{ChunkHash, ContentHash, Kind, RootHash, cbor};

use super::manifests::{case, file_entry, folder_hash, folder_items, of_one_page, other_entry};
use super::{Case, world};

pub(crate) fn cases() -> Vec<Case> {
    [roots(), pages(), files(), folders()].into_iter().flatten().collect()
}

fn root_case(name: &str, about: &str, bytes: &[u8]) -> Case {
    Case::new(&format!("manifest-root-refused-{name}"), "manifest-root", about)
        .expect("refused")
        .header("root", RootHash::of(bytes))
        .item(bytes)
}

fn roots() -> Vec<Case> {
    let good = world::manifest_of(&world::file()).root;
    let with = |change: fn(&mut Root)| {
        let mut root = good.clone();
        change(&mut root);
        root.encode()
    };
    let page = |change: fn(&mut PageRef)| {
        let mut root = good.clone();
        change(&mut root.pages[0]);
        root.encode()
    };
    let field = |key: &str, value: Value| cbor::encode(&world::with(&good, key, value));
    let reversed = Value::Map(world::entries(&good).into_iter().rev().collect());
    vec![
        root_case("hash", "Not the bytes that were asked for.", &good.encode()).of_other_bytes(),
        root_case("format", "Another format.", &field("format", 1.into())),
        root_case("gone", "A manifest of a tombstone.", &with(|root| root.kind = Kind::Gone)),
        root_case("no-pages", "No pages.", &field("pages", Value::Bytes(Vec::new()))),
        root_case("half-page", "51 bytes of pages.", &field("pages", Value::Bytes(vec![1; 51]))),
        root_case("pages-array", "Pages that are no byte string.", &field("pages", Value::Array(Vec::new()))),
        root_case("size", "Pages that do not add up to the size.", &with(|root| root.size += 1)),
        root_case("page-length-0", "A page of no bytes.", &page(|page| page.length = 0)),
        root_case("page-length", "A page of 262,145 bytes.", &page(|page| page.length = (256 << 10) + 1)),
        root_case("two-entries", "A file of two entries.", &page(|page| page.entries = 2)),
        root_case("chunks", "More chunks than a file of this size can have.", &page(|page| page.chunks = 99)),
        root_case(
            "page-of-nothing",
            "A second page, without an entry and without chunks.",
            &with(|root| {
                let nothing =
                    PageRef { length: 40, entries: 0, chunks: 0, content_bytes: 0, ..root.pages[0] };
                root.pages.push(nothing);
            }),
        ),
        root_case(
            "page-too-long",
            "A page of a file that is longer by a byte than its chunks and its entry can be.",
            &page(|page| page.length = 6 + 36 * page.chunks + 256 + 1),
        ),
        root_case(
            "overflow",
            "Sizes whose sum overflows.",
            &with(|root| {
                root.pages = vec![PageRef { content_bytes: u64::MAX, ..root.pages[0] }; 2];
            }),
        ),
        root_case("unknown-key", "A key that is not in the schema.", &field("note", 1.into())),
        root_case("order", "The keys in another order.", &cbor::encode(&reversed)),
    ]
}

impl Case {
    /// With a hash that is not the one of the bytes.
    fn of_other_bytes(mut self) -> Self {
        self.headers.retain(|(key, _)| *key != "root");
        self.header("root", RootHash::of(b"other bytes"))
    }
}

fn pages() -> Vec<Case> {
    let page = |name: &str, about: &str, bytes: &[u8]| {
        Case::new(&format!("manifest-page-refused-{name}"), "manifest-page", about)
            .expect("refused")
            .item(bytes)
    };
    let run = |lengths: &[u32]| {
        Item::Chunks(lengths.iter().map(|&length| Chunk { length, hash: ChunkHash::of(b"chunk") }).collect())
    };
    let entry = |entry: Entry| encode_page(&[Item::Entry(entry)]);
    let good = || file_entry("a", b"");
    let field = |key: &str, value: Value| cbor::encode(&[world::with(&good(), key, value)]);
    let numbers = |numbers: &[u32]| Value::Array(numbers.iter().copied().map(Value::from).collect());
    let link = |target: &str| other_entry("a", EntryKind::Link, Some(target));
    vec![
        page("empty", "Nothing in it.", b"\x80"),
        page("empty-run", "A run without chunks.", b"\x81\x40"),
        page("half-chunk", "A run of 35 bytes.", &cbor::encode(&[Value::Bytes(vec![1; 35])])),
        page("number", "An item that is neither an entry nor a run.", b"\x81\x01"),
        page("array", "An array as item.", b"\x81\x80"),
        page("chunk-0", "A chunk of no bytes.", &encode_page(&[run(&[0])])),
        page("chunk-large", "A chunk of 16,777,217 bytes.", &encode_page(&[run(&[(16 << 20) + 1])])),
        page("two-runs", "Two runs that should be one.", &encode_page(&[run(&[5000]), run(&[5000])])),
        page("path-above", "A path that leads out of the folder.", &entry(file_entry("../a", b""))),
        page("path-absolute", "A path that begins with a slash.", &entry(file_entry("/a", b""))),
        page("path-empty-part", "A path with an empty part.", &entry(file_entry("a//b", b""))),
        page("path-name", "A path with a part that is no name.", &entry(file_entry("a/nul/b", b""))),
        page("path-long", "A path of 4,097 bytes.", &entry(file_entry(&["a"; 2049].join("/"), b""))),
        page("kind", "An unknown kind.", &field("kind", "pipe".into())),
        page("chunker", "An unknown chunker.", &field("chunker", "fixed".into())),
        page(
            "params",
            "Parameters that do not belong together.",
            &field("params", numbers(&[4096, 16_384, 65_535])),
        ),
        page("params-small", "An average of 2 KiB.", &field("params", numbers(&[512, 2048, 8192]))),
        page("params-two", "Two parameters.", &field("params", numbers(&[4096, 16_384]))),
        page("params-four", "Four parameters.", &field("params", numbers(&[4096, 16_384, 65_536, 0]))),
        page("no-params", "A file without parameters.", &field("params", Value::Null)),
        page("target", "A file with a target.", &field("target", "b".into())),
        page("link-no-target", "A link without a target.", &entry(Entry { target: None, ..link("b") })),
        page("link-empty-target", "A link to nothing.", &entry(link(""))),
        page(
            "link-hash",
            "A link with another hash than its target's.",
            &entry(Entry { target: Some("c".to_owned()), ..link("b") }),
        ),
        page("link-absolute", "A link to an absolute path.", &entry(link("/b"))),
        page("link-above", "A link that leads out of the folder.", &entry(link("../b"))),
        page("link-up-inside", "A link that goes up after it went down.", &entry(link("b/../c"))),
        page("link-dot", "A link whose target has a part that is no name.", &entry(link("./b"))),
        page("link-size", "A link with a size.", &entry(Entry { size: 1, ..link("b") })),
        page(
            "folder-executable",
            "A folder that is executable.",
            &entry(Entry { executable: true, ..other_entry("a", EntryKind::Folder, None) }),
        ),
        page("left-out", "`target` is left out where it must be null.", &left_out(&good())),
    ]
}

fn left_out(entry: &Entry) -> Vec<u8> {
    let entries: Vec<_> =
        world::entries(entry).into_iter().filter(|(key, _)| key.as_text() != Some("target")).collect();
    cbor::encode(&[Value::Map(entries)])
}

/// A manifest of one page, whose root says truly what is in it.
fn refused(name: &str, about: &str, kind: Kind, content: ContentHash, items: &[Item]) -> Case {
    let (root, page) = of_one_page(kind, content, items);
    case(&format!("manifest-refused-{name}"), about, &root, &[&page]).expect("refused")
}

fn files() -> Vec<Case> {
    let bytes = world::file();
    let manifest = world::manifest_of(&bytes);
    let items = wire::manifest::decode_page(&manifest.pages[0]).expect("a page");
    let content = manifest.root.content;
    let (Item::Entry(entry), Item::Chunks(run)) = (&items[0], &items[1]) else { panic!("an entry, a run") };
    let of = |name: &str, about: &str, items: &[Item]| refused(name, about, Kind::File, content, items);
    let with_entry = |entry: Entry| vec![Item::Entry(entry), items[1].clone()];
    let nothing = ContentHash::of(b"");
    let short = |lengths: &[u32]| {
        let bytes: Vec<u8> = vec![7; lengths.iter().sum::<u32>() as usize];
        let chunks = lengths.iter().map(|&length| Chunk { length, hash: ChunkHash::of(b"chunk") }).collect();
        (ContentHash::of(&bytes), vec![Item::Entry(file_entry("", &bytes)), Item::Chunks(chunks)])
    };
    let (too_short, short_items) = short(&[1024, 1023, 1024]);
    let (too_long, long_items) = short(&[16_385]);
    let mut lying = manifest.root.clone();
    lying.pages[0].chunks -= 1;
    vec![
        of("chunk-missing", "A chunk is missing.", &[items[0].clone(), Item::Chunks(run[1..].to_vec())]),
        of(
            "chunk-more",
            "A chunk too many.",
            &[items[0].clone(), Item::Chunks([run.as_slice(), &run[..1]].concat())],
        ),
        of("run-first", "The chunks come before their entry.", &[items[1].clone(), items[0].clone()]),
        of(
            "path",
            "A path in a manifest of one file.",
            &with_entry(Entry { path: "a".to_owned(), ..entry.clone() }),
        ),
        of(
            "content",
            "An entry of another content than the root's.",
            &with_entry(Entry { hash: nothing, ..entry.clone() }),
        ),
        refused(
            "short-chunk",
            "A chunk below the chunker's minimum that is not the last.",
            Kind::File,
            too_short,
            &short_items,
        ),
        refused("long-chunk", "A chunk above the chunker's maximum.", Kind::File, too_long, &long_items),
        refused(
            "folder",
            "A folder in place of an empty file.",
            Kind::File,
            nothing,
            &[Item::Entry(other_entry("", EntryKind::Folder, None))],
        ),
        case(
            "manifest-refused-count",
            "A page with more chunks than the root says.",
            &lying,
            &[&manifest.pages[0]],
        )
        .expect("refused"),
    ]
}

fn folders() -> Vec<Case> {
    let items = folder_items();
    let content = folder_hash(&items);
    let of = |name: &str, about: &str, items: &[Item]| {
        refused(&format!("folder-{name}"), about, Kind::Folder, content, items)
    };
    let pick = |picked: &[usize]| picked.iter().map(|&at| items[at].clone()).collect::<Vec<_>>();
    vec![
        of("missing", "An entry is missing: the content hash is another.", &pick(&[0, 1, 2, 3])),
        of("order", "Entries out of order.", &pick(&[3, 0, 1, 2, 4])),
        of("twice", "An entry that occurs twice.", &pick(&[0, 1, 2, 3, 4, 4])),
        of("parent", "A path in a folder that is not listed.", &pick(&[1, 2, 3, 4])),
        of("chunks", "Chunks of an empty file.", &pick(&[0, 1, 2, 3, 2, 4])),
        of(
            "file-as-parent",
            "A path in a file.",
            &[Item::Entry(file_entry("a", b"")), Item::Entry(file_entry("a/b", b""))],
        ),
        of(
            "empty-path",
            "An entry without a path.",
            &[Item::Entry(other_entry("", EntryKind::Folder, None))],
        ),
    ]
}
