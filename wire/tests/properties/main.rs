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

extern crate p2p_node_wire as wire;

mod answers;
mod basics;
mod hostile;
mod manifests;
mod requests;
mod round_trips;
