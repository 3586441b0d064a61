//! See the crate's documentation.
#![no_main]

use p2p_node_wire_fuzz::decoders::decode;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode(input));
