//! Made-up resources, the same in each run.

pub(crate) use p2p_node_tests::Random;

/// Thirty words and ten endings, as people's files have them.
const WORDS: [&str; 30] = [
    "report", "holiday", "photo", "backup", "invoice", "project", "music", "album", "summer", "winter",
    "draft", "final", "archive", "dataset", "model", "kernel", "lecture", "chapter", "video", "scan",
    "budget", "design", "notes", "release", "ubuntu", "debian", "sample", "export", "meeting", "weekly",
];
const ENDINGS: [&str; 10] = ["pdf", "jpg", "zip", "tar.gz", "mp4", "flac", "csv", "iso", "docx", "bin"];

/// What a resource is made up of.
pub(crate) trait Names {
    fn word(&mut self) -> &'static str;
    /// A name such as `report-winter-1f2e3d4c-draft.pdf`.
    fn name(&mut self) -> String;
    fn hash(&mut self) -> [u8; 32];
}

impl Names for Random {
    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn name(&mut self) -> String {
        let (one, two, three) = (self.word(), self.word(), self.word());
        let ending = ENDINGS[self.below(ENDINGS.len())];
        format!("{one}-{two}-{:08x}-{three}.{ending}", self.draw() as u32)
    }

    fn hash(&mut self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.draw().to_le_bytes()));
        hash
    }
}
