//! The query language of S: what of it this version has, parsed. PROTOCOL.md, "Queries".

use certs::UserName;
use wire::{ErrorBody, ErrorCode, fold, limits};

/// From how many characters on a term is looked for anywhere in a name; a shorter one only at the beginnings of words.
const SUBSTRING_CHARACTERS: usize = 3;

/// The filters of the query language that are not built yet.
const LATER: &[&str] = &["ext", "size", "after", "before", "kind"];

/// A query: every term must match, and the owner if one is named. Terms are folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query {
    /// Terms of three and more characters: parts of the name.
    pub(crate) substrings: Vec<String>,
    /// Terms of one and two letters or digits: beginnings of words of the name.
    pub(crate) prefixes: Vec<String>,
    /// Only this owner's.
    pub(crate) owner: Option<UserName>,
    /// The folded name that the terms are as a whole; `None` where there are no terms.
    pub(crate) exact: Option<String>,
}

impl Query {
    /// Parses one.
    ///
    /// # Errors
    /// `bad-query`, with a text that says what cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorBody> {
        let mut query = Self::default();
        let mut words = Vec::new();
        for (number, term) in text.split_whitespace().enumerate() {
            if number >= limits::QUERY_TERMS {
                return Err(bad(format!("a query has at most {} terms", limits::QUERY_TERMS)));
            }
            match classify(term)? {
                Term::Word(word) => words.push(word),
                Term::Owner(owner) if query.owner.is_none() => query.owner = Some(owner),
                Term::Owner(_) => return Err(bad("owner: may stand only once".to_owned())),
            }
        }
        if words.is_empty() && query.owner.is_none() {
            return Err(bad("the query is empty".to_owned()));
        }
        query.exact = (!words.is_empty()).then(|| words.join(" "));
        (query.substrings, query.prefixes) =
            words.into_iter().partition(|word| word.chars().count() >= SUBSTRING_CHARACTERS);
        Ok(query)
    }

    /// A short hash, by which a cursor is bound to its query.
    pub(crate) fn fingerprint(&self) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new();
        for part in [self.exact.as_deref(), self.owner.as_ref().map(UserName::as_str)] {
            // No part contains a control character.
            hasher.update(part.unwrap_or("\u{1}").as_bytes()).update(&[0]);
        }
        let mut fingerprint = [0; 8];
        hasher.finalize_xof().fill(&mut fingerprint);
        fingerprint
    }
}

enum Term {
    Word(String),
    Owner(UserName),
}

fn classify(term: &str) -> Result<Term, ErrorBody> {
    if let Some(character) = term.chars().find(|character| character.is_control()) {
        return Err(bad(format!("a query may not contain the character U+{:04X}", u32::from(character))));
    }
    if term.starts_with('"') {
        return Err(not_yet("phrases in quotes"));
    }
    if term.starts_with('-') && term.chars().count() > 1 {
        return Err(not_yet("words to leave out (-word)"));
    }
    if term.ends_with('*') && term.chars().count() > 1 {
        return Err(not_yet("prefixes (word*)"));
    }
    match term.split_once(':') {
        None => word(term),
        Some(("owner", owner)) => {
            owner.parse().map(Term::Owner).map_err(|error| bad(format!("owner:{owner}: {error}")))
        }
        Some((key, _)) if LATER.contains(&key) => Err(not_yet(&format!("the filter {key}:"))),
        Some((key, _)) => Err(bad(format!("no filter is called '{key}:', and no name contains a colon"))),
    }
}

fn word(term: &str) -> Result<Term, ErrorBody> {
    let folded = fold(term);
    let short = folded.chars().count() < SUBSTRING_CHARACTERS;
    if short && !folded.chars().all(char::is_alphanumeric) {
        let text = "a term of one or two characters is the beginning of a word: letters and digits alone";
        return Err(bad(format!("'{term}': {text}")));
    }
    Ok(Term::Word(folded))
}

fn bad(text: String) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadQuery, text)
}

fn not_yet(what: &str) -> ErrorBody {
    bad(format!("not supported yet: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Query {
        Query::parse(text).expect(text)
    }

    #[test]
    fn terms_are_folded_and_sorted_by_length() {
        let query = parse("  RePort ÜB\tab 3 ");
        assert_eq!(query.substrings, ["report"]);
        assert_eq!(query.prefixes, ["üb", "ab", "3"]);
        assert_eq!(query.exact.as_deref(), Some("report üb ab 3"));
        assert_eq!(query.owner, None);
    }

    #[test]
    fn decomposed_and_composed_are_the_same() {
        assert_eq!(parse("u\u{308}bung"), parse("ÜBUNG"));
    }

    #[test]
    fn owner() {
        let query = parse("owner:alice notes");
        assert_eq!(query.owner.as_ref().map(UserName::as_str), Some("alice"));
        assert_eq!(query.exact.as_deref(), Some("notes"));
        assert_eq!(parse("owner:alice").exact, None);
    }

    #[test]
    fn what_is_not_read() {
        for text in [
            "",
            " \t",
            "\"a phrase\"",
            "-word",
            "pre*",
            "ext:pdf",
            "size:>1g",
            "after:2026-01-01",
            "before:2026-01-01",
            "kind:folder",
            "http://x",
            "nope:1",
            ":abc",
            "owner:",
            "owner:Alice",
            "owner:a owner:b",
            "a\0b",
            "++",
            "-",
            "*",
            &"a ".repeat(limits::QUERY_TERMS + 1),
        ] {
            let error = Query::parse(text).expect_err(text);
            assert_eq!(error.code, ErrorCode::BadQuery, "{text:?}");
        }
        assert!(Query::parse(&"a ".repeat(limits::QUERY_TERMS)).is_ok());
    }

    #[test]
    fn syntax_of_others_is_literal() {
        assert_eq!(
            parse("a\"b 100% c_d (e) NEAR AND").substrings,
            ["a\"b", "100%", "c_d", "(e)", "near", "and"]
        );
    }

    #[test]
    fn fingerprints_tell_queries_apart() {
        let prints =
            ["abc", "abd", "owner:abc", "owner:abc abc", "ab c"].map(|text| parse(text).fingerprint());
        let distinct: std::collections::HashSet<_> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
        assert_eq!(parse("A  B").fingerprint(), parse("a b").fingerprint());
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = Query::parse(&text);
        }
    }
}
