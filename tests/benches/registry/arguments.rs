//! What is measured, and how much.

use std::path::PathBuf;

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Registry,
    Writers,
    Search,
    List,
    Mixed,
    Idle,
}

const PARTS: &[(&str, Part)] = &[
    ("registry", Part::Registry),
    ("writers", Part::Writers),
    ("search", Part::Search),
    ("list", Part::List),
    ("mixed", Part::Mixed),
    ("idle", Part::Idle),
];

/// The arguments, checked.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// Resources that are registered before anything is asked.
    pub(crate) resources: usize,
    /// Accounts that own them.
    pub(crate) accounts: usize,
    /// Peers that register at once.
    pub(crate) peers: usize,
    /// Peers that each wait for one registration at a time.
    pub(crate) writers: usize,
    /// Connections that ask nothing.
    pub(crate) idle: usize,
    /// What measures SQLite alone.
    pub(crate) regb: Option<PathBuf>,
    pub(crate) only: Vec<Part>,
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        let mut this = Self {
            resources: 1_000_000,
            accounts: 1000,
            peers: 100,
            writers: 64,
            idle: 1000,
            regb: None,
            only: PARTS.iter().map(|(_, part)| *part).collect(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                // cargo's own.
                "--bench" => {}
                "--resources" => this.resources = number(&value()),
                "--accounts" => this.accounts = number(&value()),
                "--peers" => this.peers = number(&value()),
                "--writers" => this.writers = number(&value()),
                "--idle" => this.idle = number(&value()),
                "--regb" => this.regb = Some(value().into()),
                "--only" => this.only = value().split(',').map(part).collect(),
                _ => panic!("{word}: see the head of tests/benches/registry/main.rs"),
            }
        }
        assert!(this.peers.max(this.writers) <= this.accounts, "more peers than accounts");
        this
    }
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
}

fn part(word: &str) -> Part {
    let known = PARTS.iter().find(|(name, _)| *name == word);
    known.unwrap_or_else(|| panic!("{word} is no part; there are {PARTS:?}")).1
}
