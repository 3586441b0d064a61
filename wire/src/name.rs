//! The name of a resource.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A resource's name: one component that is safe as a file name everywhere.
///
/// UTF-8 in Normalization Form C, 1 to 255 bytes; no control or formatting character that hides or reorders text; none
/// of `/ \ : * ? " < > |`; not `.` or `..`; no white space or dot at the end, no white space at the start; no device name
/// of Windows (`con`, `nul`, `com1`, ...), with or without an extension. PROTOCOL.md, "Names".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Box<str>);

/// Why a text is no resource name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("a name may not be empty")]
    Empty,
    /// Too long for the file systems that it has to fit.
    #[error("a name has at most 255 bytes; this one has {0}")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("'.' and '..' are no names")]
    Dots,
    /// A character that some system gives a meaning to, or that does not show.
    #[error("a name may not contain {}", describe(*.0))]
    Character(char),
    /// White space where it does not show, or a space or dot where some systems drop it.
    #[error("a name may not begin with white space or end with white space or a dot")]
    Edge,
    /// A device on Windows.
    #[error("'{0}' is the name of a device on some systems")]
    Reserved(String),
    /// Not in Normalization Form C.
    #[error("the name is not in Unicode Normalization Form C")]
    NotNormalized,
}

impl ResourceName {
    /// The longest, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// From what a person typed or a file is called: brought into Normalization Form C, then checked.
    ///
    /// # Errors
    /// See [`NameError`]; never `NotNormalized`.
    pub fn normalized(text: &str) -> Result<Self, NameError> {
        if text.is_ascii() {
            return text.parse();
        }
        text.nfc().collect::<String>().parse()
    }

    /// Whether a text is a name in its one form.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn check(text: &str) -> Result<(), NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "." | ".." => return Err(NameError::Dots),
            _ => {}
        }
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        // Of most names the bytes are enough.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b' ');
        if !text.bytes().all(plain)
            && let Some(character) = text.chars().find(|&character| forbidden(character))
        {
            return Err(NameError::Character(character));
        }
        if text.starts_with(char::is_whitespace)
            || text.ends_with(|last: char| last.is_whitespace() || last == '.')
        {
            return Err(NameError::Edge);
        }
        if let Some(device) = device(text) {
            return Err(NameError::Reserved(device));
        }
        if !is_nfc(text) {
            return Err(NameError::NotNormalized);
        }
        Ok(())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By what names are compared where case must not matter: searching, and clashes in one folder.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// Lower case, in Normalization Form C; `ς` as `σ`, so that a word does not depend on what follows it.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase().replace('ς', "σ").nfc().collect()
}

impl FromStr for ResourceName {
    type Err = NameError;

    /// From the wire: refused unless it is in its one form.
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

fn forbidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || hides(character)
}

/// Characters that do not show, or reorder what shows: one name could be shown as another.
fn hides(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The device of Windows that a name means, if any.
fn device(text: &str) -> Option<String> {
    let stem = text.split('.').next().unwrap_or(text).trim_end_matches(' ');
    // `con` to `conout$`.
    if !(3..=7).contains(&stem.len()) {
        return None;
    }
    let stem = stem.to_ascii_lowercase();
    // Windows takes superscript digits of Latin-1 for digits.
    let digit = |rest: &str| matches!(rest, "¹" | "²" | "³") || matches!(rest.as_bytes(), [b'1'..=b'9']);
    let numbered = |prefix: &str| stem.strip_prefix(prefix).is_some_and(digit);
    let named = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$");
    let reserved = named || numbered("com") || numbered("lpt");
    reserved.then_some(stem)
}

fn describe(character: char) -> String {
    if character.is_control() || hides(character) {
        format!("the character U+{:04X}", u32::from(character))
    } else {
        format!("'{character}'")
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for ResourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for name in [
            "a",
            "report.pdf",
            "Übung 1.txt",
            ".hidden",
            "日本語",
            "con-air",
            "com10",
            "a..b",
            &"x".repeat(255),
        ] {
            assert_eq!(name.parse::<ResourceName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn bad_names() {
        use NameError::*;
        let parse = |text: &str| text.parse::<ResourceName>().expect_err(text);
        assert_eq!(parse(""), Empty);
        assert_eq!(parse("."), Dots);
        assert_eq!(parse(".."), Dots);
        assert_eq!(parse(&"x".repeat(256)), TooLong(256));
        for character in ['/', '\\', '\0', '\n', '\u{7f}', '\u{85}', '\u{202e}', '\u{200b}', ':', '*'] {
            assert_eq!(parse(&format!("a{character}b")), Character(character));
        }
        assert_eq!(parse("../x"), Character('/'));
        assert_eq!(parse("a "), Edge);
        assert_eq!(parse(" a"), Edge);
        assert_eq!(parse("\u{3000}a"), Edge);
        assert_eq!(parse("a\u{a0}"), Edge);
        assert_eq!(parse("a\u{3164}"), Character('\u{3164}'));
        assert_eq!(parse("CONIN$"), Reserved("conin$".to_owned()));
        assert_eq!(parse("com².log"), Reserved("com²".to_owned()));
        assert_eq!(parse("a."), Edge);
        assert_eq!(parse("..."), Edge);
        assert_eq!(parse("NUL"), Reserved("nul".to_owned()));
        assert_eq!(parse("com1.txt"), Reserved("com1".to_owned()));
        assert_eq!(parse("u\u{308}bung"), NotNormalized);
    }

    #[test]
    fn arguments_are_normalized() {
        let name = ResourceName::normalized("u\u{308}bung").expect("a name");
        assert_eq!(name.as_str(), "übung");
        assert_eq!(ResourceName::normalized("a/b"), Err(NameError::Character('/')));
    }

    #[test]
    fn folding() {
        assert_eq!(ResourceName::normalized("ÄBC.Txt").expect("a name").folded(), "äbc.txt");
        assert_eq!(ResourceName::normalized("ΟΔΟΣ.txt").expect("a name").folded(), "οδοσ.txt");
        assert_eq!(fold("ΟΔΟΣ"), "οδοσ");
    }
}
