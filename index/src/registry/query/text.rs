//! What a query says about names: parts of them, beginnings of their words, and words in a row.

use std::fmt;

/// From how many characters on a word is looked for anywhere in a name; a shorter one only at the beginnings of words.
const PART_CHARACTERS: usize = 3;

/// A word, a prefix or a phrase; folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// The name has it somewhere. Three characters and more.
    Part(String),
    /// A word of the name begins at it. Begins with a letter or digit.
    Start(String),
    /// Its words stand in the name one after another, whole.
    Phrase(Phrase),
}

/// Words in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// What is between the quotes, with one space for each white space.
    text: String,
    /// How many words it has: at least one.
    words: usize,
}

impl Text {
    /// A word of a query.
    pub(super) fn word(text: &str) -> Result<Self, String> {
        let folded = wire::fold(text);
        if folded.chars().count() >= PART_CHARACTERS {
            return Ok(Self::Part(folded));
        }
        if !folded.is_empty() && folded.chars().all(char::is_alphanumeric) {
            return Ok(Self::Start(folded));
        }
        let rule = "a word of one or two characters is the beginning of a word: letters and digits alone";
        Err(format!("'{text}': {rule}"))
    }

    /// What stands before a `*`.
    pub(super) fn prefix(text: &str) -> Result<Self, String> {
        let folded = wire::fold(text);
        if folded.starts_with(char::is_alphanumeric) {
            return Ok(Self::Start(folded));
        }
        Err(format!("'{text}*': what begins a word begins with a letter or digit, such as rep*"))
    }

    /// What stands between quotes.
    pub(super) fn phrase(text: &str) -> Result<Self, String> {
        let text = wire::fold(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        match words(&text).count() {
            0 => Err("a phrase in quotes has at least one word, such as \"annual report\"".to_owned()),
            words => Ok(Self::Phrase(Phrase { text, words })),
        }
    }

    /// For how many terms it counts.
    pub(super) fn terms(&self) -> usize {
        match self {
            Self::Part(_) | Self::Start(_) => 1,
            Self::Phrase(phrase) => phrase.words,
        }
    }

    /// As it would stand in a name.
    pub(super) fn literal(&self) -> &str {
        match self {
            Self::Part(text) | Self::Start(text) | Self::Phrase(Phrase { text, .. }) => text,
        }
    }

    pub(super) fn is_in(&self, name: &str) -> bool {
        match self {
            Self::Part(part) => name.contains(part),
            Self::Start(start) => begins_word(name, start),
            Self::Phrase(phrase) => phrase.is_in(name),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => f.write_str(part),
            Self::Start(start) => write!(f, "{start}*"),
            Self::Phrase(phrase) => write!(f, "\"{}\"", phrase.text),
        }
    }
}

impl Phrase {
    /// Its words, whole.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        words(&self.text)
    }

    fn is_in(&self, name: &str) -> bool {
        let names: Vec<_> = words(name).collect();
        names.windows(self.words).any(|window| window.iter().copied().eq(self.words()))
    }
}

/// The words of a name: its runs of letters and digits.
pub(crate) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether `start`, which begins with a letter or digit, is in the name where a word begins.
fn begins_word(name: &str, start: &str) -> bool {
    let mut inside = false;
    name.char_indices().any(|(at, character)| {
        let begins = !std::mem::replace(&mut inside, character.is_alphanumeric());
        begins && name[at..].starts_with(start)
    })
}
