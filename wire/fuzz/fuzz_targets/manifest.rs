//! See the crate's documentation.
#![no_main]

use p2p_node_wire_fuzz::manifest::assemble;

libfuzzer_sys::fuzz_target!(|input: &[u8]| assemble(input));
