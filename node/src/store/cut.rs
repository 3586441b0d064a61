//! Where a file is cut into chunks: FastCDC as `wire::manifest::CHUNKER` names it, over a window of the file.

mod marks;

use fastcdc::v2020::{self, Normalization};
use wire::manifest::ChunkerParams;

pub(super) use self::marks::{HISTORY, Marks};

/// Cuts a file of which only a window is in memory.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    min: usize,
    average: usize,
    max: usize,
    mask_s: u64,
    mask_l: u64,
}

impl Cutter {
    /// With these parameters, normalization level 1 and no seed.
    pub fn new(params: ChunkerParams) -> Self {
        let average = params.average() as usize;
        let (mask_s, mask_l) = v2020::select_masks(average, Normalization::Level1);
        Self { min: params.min() as usize, average, max: params.max() as usize, mask_s, mask_l }
    }

    /// The most bytes that one cut looks at, and the largest chunk.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// The length of the first chunk of `window`, which holds at least [`Cutter::max`] bytes or all that is left of the
    /// file: so every cut is where it would be with the whole file in memory. 0 only for an empty window.
    pub fn cut(&self, window: &[u8]) -> usize {
        let Self { min, average, max, mask_s, mask_l } = *self;
        let (_, length) = v2020::cut(window, min, average, max, mask_s, mask_l, mask_s << 1, mask_l << 1);
        length
    }

    /// [`cut`](Self::cut) where the marks of the window are known: it looks at a few bytes only. `at` is where in the file
    /// the window begins.
    pub(super) fn cut_at_mark(&self, window: &[u8], at: u64, marks: &Marks) -> usize {
        // The hash of a cut begins after the smallest chunk, that of a mark long before; from here on they are the same.
        let same = self.min + marks::HISTORY;
        let length = window.len().min(self.max);
        if length <= same || marks.is_unknown(at, at + length as u64) {
            return self.cut(window);
        }
        let first = self.cut(&window[..same]);
        if first < same {
            return first;
        }
        // It goes in steps of two bytes: an odd last one is not looked at.
        let end = length & !1;
        let place = |offset: usize| at + offset as u64;
        let average = self.average.min(end);
        let mark =
            marks.strict(place(same)..place(average)).or_else(|| marks.loose(place(average)..place(end)));
        mark.map_or(length, |mark| usize::try_from(mark - at).unwrap_or(length))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use fastcdc::v2020::FastCDC;

    /// The same bytes on every machine: the extensible output of BLAKE3 for a seed.
    pub(in crate::store) fn noise(seed: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    pub(in crate::store) fn whole_cuts(bytes: &[u8], params: ChunkerParams) -> Vec<usize> {
        let size = |size: u32| size as usize;
        FastCDC::new(bytes, size(params.min()), size(params.average()), size(params.max()))
            .map(|chunk| chunk.length)
            .collect()
    }

    fn cuts(mut bytes: &[u8], params: ChunkerParams) -> Vec<usize> {
        let cutter = Cutter::new(params);
        let mut cuts = Vec::new();
        while !bytes.is_empty() {
            let (chunk, rest) = bytes.split_at(cutter.cut(&bytes[..cutter.max().min(bytes.len())]));
            cuts.push(chunk.len());
            bytes = rest;
        }
        cuts
    }

    /// Bytes of a released version never change, and the cut points decide them: a crate that cuts elsewhere fails here.
    #[test]
    fn golden_cut_points() {
        let small = ChunkerParams::in_folder(0);
        let found = cuts(&noise("golden", 400_000), small);
        assert_eq!(found, GOLDEN_16_KIB);
        let large = ChunkerParams::for_size(2 << 30);
        assert_eq!(large.average(), 32 << 10);
        assert_eq!(cuts(&noise("golden", 400_000), large), GOLDEN_32_KIB);
        let largest = ChunkerParams::for_size(u64::MAX);
        assert_eq!(cuts(&noise("golden", 30_000_000), largest), GOLDEN_4_MIB);
        assert_eq!(cuts(&vec![0; 150_001], small), [65_536, 65_536, 18_929]);
    }

    #[rustfmt::skip]
    const GOLDEN_16_KIB: &[usize] = &[
        19_980, 17_085, 4_138, 8_594, 21_994, 22_015, 27_274, 32_230, 8_285, 33_881, 7_326, 18_183, 24_329, 24_952, 7_127,
        23_591, 16_819, 9_267, 17_605, 18_678, 32_330, 4_317,
    ];
    #[rustfmt::skip]
    const GOLDEN_32_KIB: &[usize] = &[
        36_110, 16_935, 33_887, 34_148, 40_515, 33_881, 22_129, 34_302, 65_896, 50_209, 31_988,
    ];
    #[rustfmt::skip]
    const GOLDEN_4_MIB: &[usize] = &[5_065_664, 4_412_768, 1_399_934, 4_684_160, 12_224_728, 2_212_746];

    #[test]
    fn a_window_is_enough() {
        for average_size in [0, 2 << 30, 5 << 30] {
            let params = ChunkerParams::for_size(average_size);
            let bytes = noise("window", 3_000_001);
            assert_eq!(cuts(&bytes, params), whole_cuts(&bytes, params));
        }
    }
}
