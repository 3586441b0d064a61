//! How names, the beginnings of their words, and owners stand in the one search table, which knows nothing but sequences
//! of three characters (FTS5's trigram tokenizer): pure.
//!
//! | column | text | found by |
//! | --- | --- | --- |
//! | `name` | the folded name | any part of three and more characters |
//! | `starts` | two [`MARK`]s and the first two characters, for each word | MARK MARK `r`, or MARK `re` |
//! | `owner` | three characters that stand for the account | the same three |
//!
//! So all terms of a query are terms of one table, which walks their matches together by row id; a table of words beside
//! it had to be joined row by row.

use super::AccountRow;
use super::query::Query;

/// Stands before a word: of the private-use area, and no letter or digit, so in no word.
const MARK: char = '\u{f8ff}';

/// The column `starts` for a folded name. A word is a run of letters and digits.
pub(super) fn starts(folded: &str) -> String {
    let words = folded.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(|word| [MARK, MARK].into_iter().chain(word.chars().take(2))).collect()
}

/// The column `owner`: base 4,096, in characters of the private-use area.
pub(super) fn owner(account: AccountRow) -> String {
    let digit = |shift: u32| {
        let value = u32::try_from((account.0 >> shift) & 0xfff).unwrap_or(0);
        char::from_u32(0xe000 + value).unwrap_or('\u{e000}')
    };
    [digit(24), digit(12), digit(0)].iter().collect()
}

/// The expression of FTS5 for a query: all of its terms.
pub(super) fn expression(query: &Query, of: Option<AccountRow>) -> String {
    let substrings = query.substrings.iter().map(|term| column("name", term));
    let prefixes = query.prefixes.iter().map(|term| column("starts", &marked(term)));
    let owner = of.map(|account| column("owner", &owner(account)));
    substrings.chain(prefixes).chain(owner).collect::<Vec<_>>().join(" AND ")
}

/// The three characters that a word with this beginning has in `starts`.
fn marked(prefix: &str) -> String {
    let marks = if prefix.chars().count() == 1 { 2 } else { 1 };
    std::iter::repeat_n(MARK, marks).chain(prefix.chars()).collect()
}

/// A column and a string of FTS5's query language that means exactly this text.
fn column(column: &str, text: &str) -> String {
    format!("{column} : \"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.replace(MARK, "^")
    }

    #[test]
    fn words_begin_after_what_is_no_letter_or_digit() {
        assert_eq!(shown(&starts("my_notes-v2 (a).txt")), "^^my^^no^^v2^^a^^tx");
        assert_eq!(shown(&starts("...übung日本")), "^^üb");
        assert_eq!(starts("+-+"), "");
    }

    #[test]
    fn owners_differ() {
        let owners = [0, 1, 4095, 4096, 1 << 24, (1 << 24) + 1].map(|row| owner(AccountRow(row)));
        let distinct: std::collections::HashSet<_> = owners.iter().collect();
        assert_eq!(distinct.len(), owners.len());
        assert!(owners.iter().all(|owner| owner.chars().count() == 3));
    }

    #[test]
    fn expressions() {
        let query = Query::parse("re\"port 2 ab").expect("read");
        let expected = "name : \"re\"\"port\" AND starts : \"^^2\" AND starts : \"^ab\"";
        assert_eq!(shown(&expression(&query, None)), expected);
        let query = Query::parse("owner:alice").expect("read");
        assert!(expression(&query, Some(AccountRow(1))).starts_with("owner : \""));
    }
}
