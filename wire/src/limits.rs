//! Every bound of the protocol, once, with the reason for its size. PROTOCOL.md, "Limits".

/// A frame from a node without a membership: 64 KiB. `hello`, `signup` and `login` need under 12.
pub const FRAME_BYTES: usize = 64 << 10;
/// A frame from a member: 1 MiB, for batches of records and pages of a listing.
pub const MEMBER_FRAME_BYTES: usize = 1 << 20;
/// A signed record: 4 KiB. The longest name and every field at its largest need under 1 KiB; the rest is for extensions.
pub const RECORD_BYTES: usize = 4 << 10;
/// Versions and revisions: 2^53, what every language's numbers hold exactly.
pub const VERSION: u64 = 1 << 53;
/// The size of a content: 2^53 bytes, for the same reason.
pub const CONTENT_BYTES: u64 = 1 << 53;
/// Addresses that a node claims in `hello`, and that are handed on for it.
pub const ADDRESSES: usize = 8;
/// Features in `hello`.
pub const FEATURES: usize = 64;
/// The bytes of one feature's name.
pub const FEATURE_BYTES: usize = 64;
/// A password: 8 to 1,024 bytes.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;
/// Records in one R and resources in one `follow`: 128 of the largest records, with everything that goes with them, stay
/// under [`MEMBER_FRAME_BYTES`].
pub const BATCH_RECORDS: usize = 128;
/// Contents in one R or D: 4,096 of 50 bytes are 200 KiB.
pub const BATCH_HOLDINGS: usize = 4096;
/// Items on a page of L, S or `who`: 1,000 entries with the longest names stay under [`MEMBER_FRAME_BYTES`]. A page of
/// users with many nodes ends earlier.
pub const PAGE_ITEMS: usize = 1000;
/// Items on a page where the asker names no limit.
pub const DEFAULT_PAGE_ITEMS: usize = 256;
/// A cursor: opaque to the asker.
pub const CURSOR_BYTES: usize = 1024;
/// A search query.
pub const QUERY_BYTES: usize = 1024;
/// Terms of a search query; each word of a phrase is one.
pub const QUERY_TERMS: usize = 16;
/// Holders in one answer to P.
pub const HOLDERS: usize = 32;
/// Manifest roots that a holder answers for one content: one holder can have several cuts of one content.
pub const ROOTS: usize = 8;
/// Ranges of chunks in one answer to P; a holder with more gaps names the first ones.
pub const RANGES: usize = 8192;
/// Runs of chunks in one G.
pub const RUNS: usize = 256;
/// The window of an encoded answer to G: what its reader keeps in memory for each.
pub const ZSTD_WINDOW_BYTES: usize = 1 << 20;
/// By so much, and a 1,024th of it, an encoded answer to G may be longer than what it encodes.
pub const ENCODING_BYTES: usize = 1024;
/// Pages that a manifest root names.
pub const MANIFEST_PAGES: usize = 8192;
/// The encoding of a manifest page: 256 KiB.
pub const PAGE_BYTES: usize = 256 << 10;
/// The encoding of a manifest root: [`MANIFEST_PAGES`] of 52 bytes, and 1 KiB for the rest.
pub const ROOT_BYTES: usize = MANIFEST_PAGES * 52 + 1024;
/// Blocks of a file, where it has any: of 64 GiB. They have 8 MiB, which a requester keeps in memory.
pub const FILE_BLOCKS: usize = 1 << 18;
/// A chunk: 16 MiB, the chunker's largest maximum.
pub const CHUNK_BYTES: u32 = 16 << 20;
/// A chunk that is not the last of its file: 1 KiB, the chunker's smallest minimum.
pub const MIN_CHUNK_BYTES: u32 = 1 << 10;
/// Entries of a folder: a million files, and as many folders and links. A reader keeps some 100 bytes of each in memory.
pub const FOLDER_ENTRIES: usize = 2 << 20;
/// A path inside a folder's manifest.
pub const PATH_BYTES: usize = 4096;
/// The text of an E, for people.
pub const ERROR_TEXT_BYTES: usize = 1024;
/// Nodes of one account.
pub const NODES_PER_ACCOUNT: usize = 64;
/// Resources of one account, tombstones included: the largest node plans for 100,000.
pub const RESOURCES_PER_ACCOUNT: usize = 200_000;
/// Contents that one node is known to hold.
pub const HOLDINGS_PER_NODE: usize = 200_000;
/// Resources that one connection follows: the largest node plans for as many.
pub const FOLLOWED: usize = 100_000;
/// A frame of an `events` stream, but for the A: the largest record with all that goes with it needs under 8 KiB.
pub const EVENT_BYTES: usize = FRAME_BYTES;
/// The signed head of a catalogue or of the list of members, and a word of presence: they need under 512 bytes, and one
/// with 8 addresses under 800.
pub const HEAD_BYTES: usize = 1 << 10;
/// A page of the tree of a catalogue or of a list: 12 KiB, so that one fits into a packet of Kademlia.
pub const TREE_PAGE_BYTES: usize = 12 << 10;
/// Heads, words of presence and pages in one `statements`: 64 pages are 768 KiB.
pub const STATEMENTS: usize = 64;
/// Nodes in one `have`: 4,096 of some 110 bytes stay under [`MEMBER_FRAME_BYTES`].
pub const KNOWN_NODES: usize = 4096;
/// Members of a network, and memberships that ended before their time: far above the 10,000 that are planned for.
pub const MEMBERS: u64 = 1 << 20;
/// Unreadable requests on one connection: the last of these closes it.
pub const BAD_MESSAGES: u32 = 3;
/// The value of a DHT record: 12 KiB. With the addresses of 20 closer nodes beside it, it fits [`DHT_PACKET_BYTES`].
pub const DHT_VALUE_BYTES: usize = 12 << 10;
/// The key of a DHT record: a hash with room for a prefix.
pub const DHT_KEY_BYTES: usize = 64;
/// A DHT message: 32 KiB. The largest answer holds a value and 20 nodes with [`ADDRESSES`] of some 75 bytes each, 25 KiB.
pub const DHT_PACKET_BYTES: usize = 32 << 10;
