//! FastCDC as PROTOCOL.md, "Cut points" has it, written from that text alone.

use wire::manifest::ChunkerParams;

/// The masks of the averages 4 KiB, 8 KiB, ... 4 MiB: strict, loose.
const MASKS: [(u64, u64); 11] = [
    (0x0000_d903_0353_0000, 0x0000_d900_0353_0000),
    (0x0000_d903_1353_0000, 0x0000_d901_0353_0000),
    (0x0000_d90f_0353_0000, 0x0000_d903_0353_0000),
    (0x0000_d903_0353_7000, 0x0000_d903_1353_0000),
    (0x0000_d907_0353_7000, 0x0000_d90f_0353_0000),
    (0x0000_d907_0753_7000, 0x0000_d903_0353_7000),
    (0x0000_d917_0753_7000, 0x0000_d907_0353_7000),
    (0x0000_d917_4753_7000, 0x0000_d907_0753_7000),
    (0x0000_d917_6753_7000, 0x0000_d917_0753_7000),
    (0x0000_d937_6753_7000, 0x0000_d917_4753_7000),
    (0x0000_d937_7753_7000, 0x0000_d917_6753_7000),
];

/// The lengths of the chunks of some bytes.
pub(crate) fn cut(mut bytes: &[u8], params: ChunkerParams, gear: &[u64; 256]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !bytes.is_empty() {
        let length = first(bytes, params, gear);
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}

fn first(source: &[u8], params: ChunkerParams, gear: &[u64; 256]) -> usize {
    let [min, average, max] = [params.min(), params.average(), params.max()].map(|size| size as usize);
    let (strict, loose) = MASKS[average.ilog2() as usize - 12];
    let n = source.len().min(max);
    if n <= min {
        return n;
    }
    let mut h = 0_u64;
    for (i, &byte) in source.iter().enumerate().take(n / 2 * 2).skip(min) {
        h = h.wrapping_mul(2).wrapping_add(gear[usize::from(byte)]);
        let mask = if i < average { strict } else { loose };
        if h & mask == 0 {
            return i;
        }
    }
    n
}

/// The first 8 bytes of MD5 (RFC 1321) of 64 bytes that all have one value, for each value.
pub(crate) fn gear() -> [u64; 256] {
    std::array::from_fn(|value| {
        let digest = md5_of_64([u8::try_from(value).expect("below 256"); 64]);
        u64::from_be_bytes(digest[..8].try_into().expect("8 bytes"))
    })
}

/// MD5 of 64 bytes: one block of them and one of padding.
fn md5_of_64(message: [u8; 64]) -> [u8; 16] {
    let mut padding = [0; 64];
    padding[0] = 0x80;
    padding[56..].copy_from_slice(&512_u64.to_le_bytes());
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476_u32];
    for block in [message, padding] {
        md5_block(&mut state, &block);
    }
    let mut digest = [0; 16];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn md5_block(state: &mut [u32; 4], block: &[u8; 64]) {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let words: Vec<u32> =
        block.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes"))).collect();
    let [mut a, mut b, mut c, mut d] = *state;
    for i in 0..64 {
        let (f, word) = match i / 16 {
            0 => ((b & c) | (!b & d), i),
            1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
            2 => (b ^ c ^ d, (3 * i + 5) % 16),
            _ => (c ^ (b | !d), 7 * i % 16),
        };
        // 2^32 |sin(i + 1)|: of 53 bits of a double, more than enough are right.
        let constant = ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(f).wrapping_add(constant).wrapping_add(words[word]);
        (a, d, c) = (d, c, b);
        b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastcdc::v2020::FastCDC;

    #[test]
    fn the_gear_table_is_the_named_one() {
        let gear = gear();
        assert_eq!(gear[0], 0x3b5d_3c7d_207e_37dc);
        assert_eq!(gear[1], 0x784d_68ba_9112_3086);
        assert_eq!(gear[255], 0xaabd_2b2a_4515_04e1);
    }

    #[test]
    fn the_text_and_the_crate_cut_alike() {
        let gear = gear();
        let mut noise = vec![0; 3_000_001];
        blake3::Hasher::new().update(b"alike").finalize_xof().fill(&mut noise);
        noise[500_000..1_000_000].fill(7);
        let sizes = [
            0,
            257 << 20,
            1 << 30,
            (1 << 30) + 1,
            3 << 30,
            5 << 30,
            9 << 30,
            17 << 30,
            33 << 30,
            65 << 30,
            1 << 40,
        ];
        for (number, size) in sizes.into_iter().enumerate() {
            let params = ChunkerParams::for_size(size);
            assert_eq!(params.average(), 4096 << number);
            for length in
                [0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 16_385, 65_535, 65_537, 300_001, 3_000_001]
            {
                let [min, average, max] =
                    [params.min(), params.average(), params.max()].map(|size| size as usize);
                let crates: Vec<_> =
                    FastCDC::new(&noise[..length], min, average, max).map(|chunk| chunk.length).collect();
                assert_eq!(cut(&noise[..length], params, &gear), crates, "{average} {length}");
            }
        }
    }
}
