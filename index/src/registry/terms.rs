//! What of names stands in the search table, which knows nothing but sequences of three characters (FTS5's trigram
//! tokenizer) and in which entries each of them is: pure.
//!
//! The text of an entry is its folded name, [`END`] (three times after a folder's name), and for each word of the name
//! two [`MARK`]s and the word's first two characters.
//!
//! | what is looked for | among its trigrams are |
//! | --- | --- |
//! | a part of a name, of three and more characters | its own |
//! | the beginning of a word | MARK MARK `r`, or MARK `re` |
//! | the end of a name, for `ext:` | those of `.pdf` END |
//! | a folder | END END END |
//!
//! A name may have these characters too. All that is found is compared with the query again, so that it is found once
//! more in vain, never wrongly.

use wire::Kind;

use super::query::{Condition, Query, Text, words};

/// Stands before a word: of the private-use area, and no letter or digit, so in no word.
const MARK: char = '\u{f8ff}';

/// Stands behind a name.
const END: char = '\u{f8fe}';

/// Characters that the search table keeps together.
const TOGETHER: usize = 3;

/// The text of an entry in the search table.
pub(super) fn text(folded: &str, kind: Kind) -> String {
    let ends = if kind == Kind::Folder { 3 } else { 1 };
    let starts = words(folded).flat_map(|word| [MARK, MARK].into_iter().chain(word.chars().take(2)));
    folded.chars().chain(std::iter::repeat_n(END, ends)).chain(starts).collect()
}

/// Trigrams that every entry has which matches the query; each once, in an order that depends on the query alone.
pub(super) fn trigrams(query: &Query) -> Vec<String> {
    let mut trigrams: Vec<String> = Vec::new();
    for trigram in query.conditions().iter().flat_map(of_condition) {
        if !trigrams.contains(&trigram) {
            trigrams.push(trigram);
        }
    }
    trigrams
}

/// The expression of FTS5 for what has this trigram.
pub(super) fn expression(trigram: &str) -> String {
    format!("\"{}\"", trigram.replace('"', "\"\""))
}

fn of_condition(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Text(Text::Part(part)) => of_text(part),
        Condition::Text(Text::Start(start)) => of_start(start),
        Condition::Text(Text::Phrase(phrase)) => phrase.words().flat_map(of_start).collect(),
        Condition::Extension(extension) => of_text(&format!(".{extension}{END}")),
        Condition::Kind(Kind::Folder) => of_text(&String::from_iter([END; TOGETHER])),
        // What most entries are, and what is no text.
        Condition::Kind(_)
        | Condition::Owner(_)
        | Condition::Size(_)
        | Condition::After(_)
        | Condition::Before(_) => Vec::new(),
    }
}

fn of_start(start: &str) -> Vec<String> {
    let word = words(start).next().unwrap_or_default();
    let marks = if word.chars().nth(1).is_some() { 1 } else { 2 };
    let begin: String = std::iter::repeat_n(MARK, marks).chain(word.chars().take(2)).collect();
    [of_text(start), vec![begin]].concat()
}

fn of_text(text: &str) -> Vec<String> {
    let characters: Vec<_> = text.chars().collect();
    characters.windows(TOGETHER).map(|window| window.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.replace(MARK, "^").replace(END, "$")
    }

    fn of(query: &str) -> String {
        shown(&trigrams(&Query::parse(query).expect(query)).join(","))
    }

    #[test]
    fn words_begin_after_what_is_no_letter_or_digit() {
        let text = |name| shown(&text(name, Kind::File));
        assert_eq!(text("my_notes-v2 (a).txt"), "my_notes-v2 (a).txt$^^my^^no^^v2^^a^^tx");
        assert_eq!(text("...übung日本"), "...übung日本$^^üb");
        assert_eq!(text("+-+"), "+-+$");
    }

    #[test]
    fn folders_end_otherwise() {
        assert_eq!(shown(&text("a.d", Kind::Folder)), "a.d$$$^^a^^d");
    }

    #[test]
    fn what_an_entry_must_have() {
        assert_eq!(of("report"), "rep,epo,por,ort");
        assert_eq!(of("re 2"), "^re,^^2");
        assert_eq!(of("rep* a-b*"), "rep,^re,a-b,^^a");
        assert_eq!(of("\"an \u{e4} report\""), "^an,^^\u{e4},rep,epo,por,ort,^re");
        assert_eq!(of("ext:pdf"), ".pd,pdf,df$");
        assert_eq!(of("ext:c"), ".c$");
        assert_eq!(of("aaaa"), "aaa");
        assert_eq!(of("kind:folder"), "$$$");
        assert_eq!(of("owner:alice size:1 after:2026-01-01 -report kind:file"), "");
    }

    #[test]
    fn the_syntax_of_the_database_is_quoted() {
        assert_eq!(expression("a\"*"), "\"a\"\"*\"");
    }
}
