//! Frames of Zstandard (RFC 8878) that no encoder makes, byte by byte.

/// A frame that encodes something else than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// No frame at all.
    Garbage,
    /// A frame that breaks off in a block.
    Broken,
    /// A gigabyte of zeros in 32 KiB, and so on for ever.
    Bomb,
    /// One that wants 2 GiB of memory for its window.
    Window,
    /// Blocks of nothing, without an end.
    Nothing,
    /// A few bytes, and the frame is over.
    Short,
}

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Windows, by their powers of two.
const WINDOW_1_MIB: u8 = (20 - 10) << 3;
const WINDOW_2_GIB: u8 = (31 - 10) << 3;
/// The largest block.
const BLOCK_BYTES: u32 = 128 << 10;

/// Types of blocks.
const RAW: u32 = 0;
const RLE: u32 = 1;

impl Frame {
    /// At least so many bytes of it, where it has no end; else all.
    pub fn bytes(self, at_least: usize) -> Vec<u8> {
        let begin = |window: u8| [MAGIC.as_slice(), &[0, window]].concat();
        match self {
            Self::Garbage => vec![0xa5; at_least],
            Self::Broken => [begin(WINDOW_1_MIB), block(RAW, 1000, false), vec![7; 10]].concat(),
            Self::Bomb => {
                endless(begin(WINDOW_1_MIB), &[block(RLE, BLOCK_BYTES, false), vec![0]].concat(), at_least)
            }
            Self::Window => {
                endless(begin(WINDOW_2_GIB), &[block(RLE, BLOCK_BYTES, false), vec![0]].concat(), at_least)
            }
            Self::Nothing => endless(begin(WINDOW_1_MIB), &block(RAW, 0, false), at_least),
            Self::Short => [begin(WINDOW_1_MIB), block(RLE, 100, true), vec![0]].concat(),
        }
    }
}

/// The header of a block.
fn block(kind: u32, size: u32, last: bool) -> Vec<u8> {
    (size << 3 | kind << 1 | u32::from(last)).to_le_bytes()[..3].to_vec()
}

fn endless(begin: Vec<u8>, block: &[u8], at_least: usize) -> Vec<u8> {
    let blocks = block.iter().copied().cycle().take(at_least.next_multiple_of(block.len()));
    begin.into_iter().chain(blocks).collect()
}
