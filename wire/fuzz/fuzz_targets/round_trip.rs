//! See the crate's documentation.
#![no_main]

use p2p_node_wire_fuzz::decoders::round_trip;

libfuzzer_sys::fuzz_target!(|input: &[u8]| round_trip(input));
