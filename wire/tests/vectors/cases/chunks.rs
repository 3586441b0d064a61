//! Cut points.

use wire::ChunkHash;
use wire::manifest::ChunkerParams;

use super::{Case, world};
use crate::chunker;

const SEED: &str = "p2p-node/0 chunks";

pub(crate) fn cases() -> Vec<Case> {
    let noise = |length| (Some(SEED), world::noise(SEED, length));
    let of = |average_of: u64| ChunkerParams::for_size(average_of);
    let (least, small) = (of(0), ChunkerParams::in_folder(0));
    let table = chunker::gear();
    let gear = Case::new(
        "gear",
        "gear",
        "The gear table, 256 numbers of 8 bytes: the first 8 bytes of MD5 of 64 equal bytes.",
    );
    let gear = (0..=u8::MAX)
        .zip(table)
        .fold(gear, |case, (value, number)| case.raw(&number.to_be_bytes(), format!("{value:02x}")));
    vec![
        gear,
        case("4k", "100,001 bytes, average 4 KiB.", noise(100_001), least),
        case("8k", "200,001 bytes, average 8 KiB.", noise(200_001), of(1 << 29)),
        case("16k", "A million bytes, average 16 KiB.", noise(1_000_001), small),
        case("32k", "The same with average 32 KiB.", noise(1_000_001), of(2 << 30)),
        case("4m", "30 million bytes, average 4 MiB.", noise(30_000_000), of(1 << 40)),
        case("even", "All bytes are 0: no cut point but the maximum.", (None, vec![0; 150_001]), small),
        case("min", "As many bytes as the minimum: one chunk.", noise(1024), least),
        case("nothing", "No bytes: no chunk.", noise(0), small),
    ]
}

fn case(name: &str, about: &str, (seed, input): (Option<&str>, Vec<u8>), params: ChunkerParams) -> Case {
    let source = match seed {
        Some(_) => "the first `length` bytes of the extendable output of BLAKE3 for `seed`",
        None => "`length` bytes that are 0",
    };
    let about = format!("{about}\nThe input: {source}.\nFor each chunk its length in 4 bytes, and its hash.");
    let case = Case::new(&format!("chunks-{name}"), "chunks", &about)
        .header("length", input.len())
        .header("params", format!("{} {} {}", params.min(), params.average(), params.max()));
    let case = match seed {
        Some(seed) => case.header("seed", seed),
        None => case,
    };
    let mut rest = input.as_slice();
    chunker::cut(&input, params, &chunker::gear()).into_iter().fold(case, |case, length| {
        let (chunk, after) = rest.split_at(length);
        rest = after;
        let head = u32::try_from(length).expect("small").to_be_bytes();
        case.raw(&[head.as_slice(), ChunkHash::of(chunk).as_bytes()].concat(), length.to_string())
    })
}
