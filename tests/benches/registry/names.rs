//! Made-up resources, the same in each run.

/// Thirty words and ten endings, as people's files have them.
const WORDS: [&str; 30] = [
    "report", "holiday", "photo", "backup", "invoice", "project", "music", "album", "summer", "winter",
    "draft", "final", "archive", "dataset", "model", "kernel", "lecture", "chapter", "video", "scan",
    "budget", "design", "notes", "release", "ubuntu", "debian", "sample", "export", "meeting", "weekly",
];
const ENDINGS: [&str; 10] = ["pdf", "jpg", "zip", "tar.gz", "mp4", "flac", "csv", "iso", "docx", "bin"];

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).expect("below a usize")
    }

    pub(crate) fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    /// A name such as `report-winter-1f2e3d4c-draft.pdf`.
    pub(crate) fn name(&mut self) -> String {
        let (one, two, three) = (self.word(), self.word(), self.word());
        let ending = ENDINGS[self.below(ENDINGS.len())];
        format!("{one}-{two}-{:08x}-{three}.{ending}", self.draw() as u32)
    }

    pub(crate) fn hash(&mut self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.draw().to_le_bytes()));
        hash
    }
}
