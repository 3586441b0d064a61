//! What the fuzz targets check. They are run by `tests/scripts/fuzz.sh SECONDS [TARGET...]`, or by cargo-fuzz.
//!
//! | target | what its input is | what must hold |
//! | --- | --- | --- |
//! | `decode` | bytes of a stranger | every decoder refuses them or takes them, and does not panic |
//! | `round_trip` | the same | what a decoder takes, it takes again from our own encoding, as the same value |
//! | `frames` | where a stream is split, and the stream | its frames are the same, however the bytes arrive |
//! | `manifest` | pages of a manifest | a root that says the truth about them: all adds up, or it is refused |
//! | `catalogue` | a kind, a count, and pages of a tree, its root last | each page is asked for once; a tree holds what its head says, or it is refused |

pub mod catalogue;
pub mod decoders;
pub mod frames;
pub mod manifest;
