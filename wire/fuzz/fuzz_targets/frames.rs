//! See the crate's documentation.
#![no_main]

use p2p_node_wire_fuzz::frames::read_in_pieces;

libfuzzer_sys::fuzz_target!(|input: &[u8]| read_in_pieces(input));
