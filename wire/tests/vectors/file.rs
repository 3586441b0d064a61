//! The format of a vector's file: comments, headers among them, and hex. PROTOCOL.md, "Test vectors".

use std::collections::BTreeMap;

use wire::cbor::unhex;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Vector {
    name: String,
    headers: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
}

impl Vector {
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let (mut headers, mut hex) = (BTreeMap::new(), String::new());
        for line in text.lines() {
            let (digits, comment) = line.split_once('#').unwrap_or((line, ""));
            hex.extend(digits.split_whitespace());
            if let Some((key, value)) = header(comment).filter(|_| hex.is_empty()) {
                let before = headers.insert(key.to_owned(), value.to_owned());
                assert_eq!(before, None, "{name}: {key} occurs twice");
            }
        }
        let bytes = unhex(&hex).unwrap_or_else(|| panic!("{name}: not hex"));
        Self { name: name.to_owned(), headers, bytes }
    }

    /// A header that the kind of file must have.
    pub(crate) fn header(&self, key: &str) -> &str {
        self.optional(key).unwrap_or_else(|| panic!("{}: no header {key}", self.name))
    }

    pub(crate) fn optional(&self, key: &str) -> Option<&str> {
        self.headers.get(key).map(String::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.header(key).parse().unwrap_or_else(|_| panic!("{}: {key} is no number", self.name))
    }

    pub(crate) fn hex(&self, key: &str) -> Vec<u8> {
        unhex(self.header(key)).unwrap_or_else(|| panic!("{}: {key} is not hex", self.name))
    }
}

/// ` key: value`, the key of lower-case letters and hyphens.
fn header(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.strip_prefix(' ')?.split_once(": ")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    (!key.is_empty() && key.bytes().all(plain)).then_some((key, value))
}
