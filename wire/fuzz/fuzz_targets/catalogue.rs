//! See the crate's documentation.
#![no_main]

use p2p_node_wire_fuzz::catalogue::walk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| walk(input));
