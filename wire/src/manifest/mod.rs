//! Manifests: what a content consists of, as a hash tree of two levels. PROTOCOL.md, "Manifests".
//!
//! The root names pages; a page is a list of entries (a file, a folder, a link, each with its path) and of the chunks
//! that follow them. A file is a manifest of one entry with an empty path. Nothing here does I/O: [`FileManifestBuilder`]
//! and [`FolderManifestBuilder`] turn entries and chunks into pages, [`Assembler`] turns pages back and checks them on the
//! way, and a [`Layout`] says where everything lies. [`Blocks`] belong to a file's bytes, however they are cut.

mod assemble;
mod blocks;
mod build;
mod chunker;
mod entries;
mod entry;
mod folder;
mod layout;
mod link;
mod page;
mod quick;
mod root;
mod table;

pub use assemble::Assembler;
pub use blocks::{BLOCK_BYTES, BlockTree, Blocks, root_of, subtree};
pub use build::{FileFacts, FileManifestBuilder, FolderManifestBuilder, Manifest};
pub use chunker::{CHUNKER, ChunkerParams};
pub use entries::{Entries, Placed};
pub use entry::{Entry, EntryKind};
pub use folder::{FolderHasher, compare_paths};
pub use layout::{Layout, LayoutAssembler, Span};
pub use link::{TargetError, check_target};
pub use page::{CHUNK_ITEM_BYTES, Chunk, Item, decode_page, encode_page};
pub use root::{PageRef, Root};
pub use table::ChunkTable;

use crate::cbor::CborError;

/// Why bytes are no manifest, or not the one that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the accepted part of CBOR, or of another shape.
    #[error("not well formed: {0}")]
    Cbor(#[from] CborError),
    /// The bytes do not have the hash that names them.
    #[error("the bytes do not have the hash that names them")]
    Hash,
    /// A format, kind or chunker that this version does not know.
    #[error("of an unknown form: {0}")]
    Unknown(&'static str),
    /// Parts that contradict one another.
    #[error("contradicts itself: {0}")]
    Inconsistent(&'static str),
}
