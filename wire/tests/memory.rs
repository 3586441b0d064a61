//! What hostile frames cost in memory: at most a few times their own bytes. Alone in its program, since it looks at the
//! most memory that the program ever had.
#![cfg(target_os = "linux")]

use p2p_node_wire::manifest::decode_page;
use p2p_node_wire::message::{Answer, Granted, Registered, Request};
use p2p_node_wire::{cbor, limits};

/// More than a frame and what is made of it while it is checked; far less than an entry for each of its bytes.
const ALLOWED_KIB: u64 = 8 << 10;

fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the most memory");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// `before`, an array of as many of `item` as fit into the limit, `after`.
fn filled(before: &[u8], item: &[u8], after: &[u8], limit: usize) -> Vec<u8> {
    let count = (limit - before.len() - after.len() - 5) / item.len();
    let head = [&[0x9a], u32::try_from(count).expect("small").to_be_bytes().as_slice()].concat();
    [before, &head, &item.repeat(count), after].concat()
}

fn frames() -> Vec<Vec<u8>> {
    let limit = limits::MEMBER_FRAME_BYTES;
    let of = |before: &[u8], item: &[u8]| filled(before, item, b"", limit);
    let keys: Vec<u8> =
        (256..50_000_u16).flat_map(|key| [&[0x19], key.to_be_bytes().as_slice(), &[0]].concat()).collect();
    let count = u16::try_from(50_000 - 256).expect("small");
    vec![
        of(b"\xa1\x65hello\xa1\x68features", b"\x60"),
        of(b"\xa1\x61R\xa1\x67records", b"\xa1\x66record\x40"),
        of(b"\xa1\x61G\xa1\x64runs", b"\x82\x00\x01"),
        of(b"\xa1\x61L\xa1\x61x", b"\x80"),
        of(b"\xa1\x61Z", b"\x60"),
        of(b"\xa1\x6astatements", b"\xa0"),
        [b"\xa1\x61L\xa1\x61x\xb9", count.to_be_bytes().as_slice(), &keys].concat(),
    ]
}

#[test]
fn hostile_frames_cost_little_more_than_their_bytes() {
    let frames = frames();
    let of = |before: &[u8], item: &[u8]| filled(before, item, b"", limits::MEMBER_FRAME_BYTES);
    let outcomes = of(b"\xa1\x61A\xa1\x68outcomes", b"\xa1\x67outcome\x67created");
    let roots = of(b"\xa1\x61A\xa1\x65roots", b"\xa1\x64root\x40");
    let page = filled(b"", b"\x40", b"", limits::PAGE_BYTES);
    let before = most_memory_kib();
    for frame in &frames {
        assert_eq!(cbor::check(frame), Ok(()));
        let _ = Request::decode(frame, limits::MEMBER_FRAME_BYTES);
    }
    assert!(cbor::decode::<Answer<Registered>>(&outcomes, limits::MEMBER_FRAME_BYTES).is_err());
    assert!(cbor::decode::<Answer<Granted>>(&roots, limits::MEMBER_FRAME_BYTES).is_err());
    assert!(decode_page(&page).is_err());
    let cost = most_memory_kib() - before;
    assert!(cost <= ALLOWED_KIB, "{cost} KiB");
}
