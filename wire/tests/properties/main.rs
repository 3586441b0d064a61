//! What holds for every value and for every input: values come back from their encoding as they were, and nothing that
//! arrives makes a decoder panic.
//!
//! | concept | file |
//! | --- | --- |
//! | arbitrary ids, names, times, statements | `basics` |
//! | arbitrary requests | `requests` |
//! | arbitrary answers | `answers` |
//! | there and back | `round_trips` |
//! | manifests there and back | `manifests` |
//! | bytes that nobody means well with | `hostile` |
//! | every decoder, for `hostile` and for the fuzz targets | `../../fuzz/src/decoders.rs` |

extern crate p2p_node_wire as wire;

mod answers;
mod basics;
#[path = "../../fuzz/src/decoders.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets are other crates")]
mod decoders;
mod hostile;
mod manifests;
mod requests;
mod round_trips;
