//! Text of peers on a terminal: what would move the cursor, reorder the line or not show is written out.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with each control, bidirectional and zero-width character as `\u{..}`.
pub(super) fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.chars().any(deceives) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if deceives(character) {
            let _ = write!(clean, "{}", character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    Cow::Owned(clean)
}

fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_text_stays() {
        for text in ["", "report.pdf", "Übung 1 – 日本語 😀", "a\\u{202e}"] {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_deceives_is_written_out() {
        assert_eq!(sanitize("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(sanitize("a\r\nb\tc\x7f\u{9b}"), "a\\u{d}\\u{a}b\\u{9}c\\u{7f}\\u{9b}");
        assert_eq!(sanitize("evil\u{202e}fdp.exe"), "evil\\u{202e}fdp.exe");
        for hidden in ['\u{200b}', '\u{200d}', '\u{2066}', '\u{2029}', '\u{feff}', '\u{e0041}'] {
            assert_eq!(sanitize(&hidden.to_string()), hidden.escape_unicode().to_string());
        }
    }
}
