//! The hashes of the protocol, each a type of its own. All are BLAKE3 with 32 bytes.

use certs::byte_string;

byte_string!(
    /// A file: BLAKE3 of its bytes. A folder: BLAKE3 of its canonical list. PROTOCOL.md, "Content hash".
    ContentHash,
    32
);
byte_string!(
    /// A signed record: BLAKE3 of its envelope.
    RecordHash,
    32
);
byte_string!(
    /// A chunk: BLAKE3 of its bytes.
    ChunkHash,
    32
);
byte_string!(
    /// A page of a manifest: BLAKE3 of its encoding.
    PageHash,
    32
);
byte_string!(
    /// The root of a manifest: BLAKE3 of its encoding.
    RootHash,
    32
);
byte_string!(
    /// A page of the tree of a catalogue or of a list of members: BLAKE3 of its encoding.
    TreeHash,
    32
);
byte_string!(
    /// A digest over a set, by which two ends see whether they have the same. Each message says over what.
    Digest,
    32
);
byte_string!(
    /// Random bytes that a program draws at its start, so that two programs with one key are told apart.
    InstanceId,
    16
);

macro_rules! blake3_of {
    ($($name:ident),*) => {$(
        impl $name {
            /// BLAKE3 of these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self::from_bytes(*blake3::hash(bytes).as_bytes())
            }
        }
    )*};
}

blake3_of!(ContentHash, ChunkHash, PageHash, RootHash, TreeHash, Digest);
