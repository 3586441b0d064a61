//! What is measured, and how much.

use p2p_node_tests::clock;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many nodes are killed.
    Kill(usize),
    /// So many shares are made, one after the other.
    Spread(usize),
    /// For so many minutes nothing is done.
    Idle(u64),
}

/// The arguments, checked.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) nodes: usize,
    pub(crate) part: Part,
    pub(crate) seed: u64,
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        let mut this = Self { nodes: 30, part: Part::Spread(20), seed: clock::wall_millis().0 };
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            let mut value = |default: Option<u64>| {
                let given = words.next_if(|next| !next.starts_with("--"));
                let given =
                    given.map(|given| given.parse().unwrap_or_else(|error| panic!("{given}: {error}")));
                given.or(default).unwrap_or_else(|| panic!("{word} needs a number"))
            };
            match word.as_str() {
                // cargo's own.
                "--bench" => {}
                "--nodes" => this.nodes = value(None) as usize,
                "--kill" => this.part = Part::Kill(value(None) as usize),
                "--spread" => this.part = Part::Spread(value(Some(20)) as usize),
                "--idle" => this.part = Part::Idle(value(Some(10))),
                "--seed" => this.seed = value(None),
                _ => panic!("{word}: see the head of tests/benches/fallback/main.rs"),
            }
        }
        assert!(!matches!(this.part, Part::Kill(count) if count >= this.nodes), "somebody must be left");
        this
    }
}
