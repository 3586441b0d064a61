//! The query language of S, parsed: pure. PROTOCOL.md, "Queries".
//!
//! | concept | file |
//! | --- | --- |
//! | from text to conditions | `parse` |
//! | words, prefixes and phrases | `text` |
//! | `ext:`, `size:`, `after:`, `before:`, `kind:` | `filters` |

mod filters;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use certs::{UnixNanos, UserName};
use wire::{ErrorBody, ErrorCode, Kind};

pub(crate) use self::filters::{Date, Extension, Sizes};
pub(crate) use self::text::{Text, words};

/// A query: what an entry must meet, and what it must not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query {
    must: Vec<Condition>,
    must_not: Vec<Condition>,
    /// The folded name that the words and phrases are as a whole; `None` where there are none.
    exact: Option<String>,
}

/// One term of a query, without its `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// About the name.
    Text(Text),
    /// `ext:`
    Extension(Extension),
    /// `kind:`
    Kind(Kind),
    /// `owner:`
    Owner(UserName),
    /// `size:`
    Size(Sizes),
    /// `after:`: last changed on this day or later.
    After(Date),
    /// `before:`: last changed before this day.
    Before(Date),
}

/// What of an entry a query looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// The folded name.
    pub(crate) name: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) mtime: UnixNanos,
}

impl Query {
    /// Parses one.
    ///
    /// # Errors
    /// `bad-query`, with a text that says what cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorBody> {
        parse::query(text).map_err(|text| ErrorBody::new(ErrorCode::BadQuery, text))
    }

    fn new(must: Vec<Condition>, must_not: Vec<Condition>) -> Self {
        let texts: Vec<_> = must.iter().filter_map(Condition::text).map(Text::literal).collect();
        let exact = (!texts.is_empty()).then(|| texts.join(" "));
        Self { must, must_not, exact }
    }

    /// Whether an entry is found. A tombstone never is.
    pub(crate) fn matches(&self, candidate: &Candidate<'_>) -> bool {
        candidate.kind != Kind::Gone
            && self.must.iter().all(|condition| condition.is_met_by(candidate))
            && !self.must_not.iter().any(|condition| condition.is_met_by(candidate))
    }

    /// What all must be met.
    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.must
    }

    /// The folded name that comes before all others.
    pub(crate) fn exact(&self) -> Option<&str> {
        self.exact.as_deref()
    }

    /// The one whose entries alone are asked for.
    pub(crate) fn owner(&self) -> Option<&UserName> {
        self.must.iter().find_map(|condition| match condition {
            Condition::Owner(owner) => Some(owner),
            _ => None,
        })
    }

    /// A short hash, by which a cursor is bound to its query.
    pub(crate) fn fingerprint(&self) -> [u8; 8] {
        let mut fingerprint = [0; 8];
        blake3::Hasher::new().update(self.to_string().as_bytes()).finalize_xof().fill(&mut fingerprint);
        fingerprint
    }
}

/// Text that parses to the same query again, the same for all texts that do.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let must = self.must.iter().map(|condition| ("", condition));
        let must_not = self.must_not.iter().map(|condition| ("-", condition));
        for (number, (sign, condition)) in must.chain(must_not).enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{sign}{condition}")?;
        }
        Ok(())
    }
}

impl Condition {
    fn text(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is_met_by(&self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::Text(text) => text.is_in(candidate.name),
            Self::Extension(extension) => extension.ends(candidate.name),
            Self::Kind(kind) => *kind == candidate.kind,
            Self::Owner(owner) => owner.as_str() == candidate.owner,
            Self::Size(sizes) => sizes.contains(candidate.size),
            Self::After(date) => !date.is_after(candidate.mtime),
            Self::Before(date) => date.is_after(candidate.mtime),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Extension(extension) => write!(f, "ext:{extension}"),
            Self::Kind(kind) => write!(f, "kind:{}", kind.as_str()),
            Self::Owner(owner) => write!(f, "owner:{owner}"),
            Self::Size(sizes) => write!(f, "size:{sizes}"),
            Self::After(date) => write!(f, "after:{date}"),
            Self::Before(date) => write!(f, "before:{date}"),
        }
    }
}
