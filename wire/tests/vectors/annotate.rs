//! Hex with a comment on each part.

use std::fmt::Write as _;

use wire::cbor;

/// Bytes of a content in one line.
const LINE_BYTES: usize = 32;
/// Where comments begin, unless the hex is longer.
const COMMENT_COLUMN: usize = 44;

/// One line: what it says, how deep it lies, and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    depth: usize,
    head: Vec<u8>,
    content: Vec<u8>,
    comment: String,
}

impl Line {
    pub(crate) fn new(bytes: &[u8], comment: impl Into<String>) -> Self {
        Self { depth: 0, head: bytes.to_vec(), content: Vec::new(), comment: comment.into() }
    }

    pub(crate) fn render(&self, out: &mut String) {
        let indent = "  ".repeat(self.depth);
        let mut pieces = self.content.chunks(LINE_BYTES);
        let mut first = format!("{indent}{}", hex(&self.head));
        if let Some(piece) = pieces.next() {
            first = format!("{first} {}", hex(piece)).replace("  \u{20}", "   ");
        }
        match self.comment.is_empty() {
            true => writeln!(out, "{}", first.trim_end()),
            false => writeln!(out, "{first:COMMENT_COLUMN$} # {}", self.comment),
        }
        .expect("a string takes everything");
        for piece in pieces {
            writeln!(out, "{indent}   {}", hex(piece)).expect("a string takes everything");
        }
    }
}

/// The lines of one well-formed item and nothing else.
pub(crate) fn item(bytes: &[u8]) -> Vec<Line> {
    cbor::check(bytes).expect("well-formed CBOR");
    let mut reader = Reader { rest: bytes, lines: Vec::new() };
    reader.item(0);
    reader.lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Reader<'a> {
    rest: &'a [u8],
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn item(&mut self, depth: usize) {
        let start = self.rest;
        let (major, argument) = self.head();
        let head = start[..start.len() - self.rest.len()].to_vec();
        let length = usize::try_from(argument).unwrap_or(usize::MAX);
        let mut line = Line { depth, head, content: Vec::new(), comment: String::new() };
        match major {
            0 => line.comment = argument.to_string(),
            1 => line.comment = (-1 - i128::from(argument)).to_string(),
            2 => return self.bytes(line, length),
            3 => {
                line.content = self.take(length);
                line.comment = format!("{:?}", String::from_utf8_lossy(&line.content));
                if line.comment.len() > 80 {
                    line.comment = format!("text of {length} bytes");
                }
            }
            4 => line.comment = format!("array of {length}"),
            5 => line.comment = format!("map of {length}"),
            _ => line.comment = ["false", "true", "null"][usize::from(start[0] - 0xf4)].to_owned(),
        }
        self.lines.push(line);
        let items = match major {
            4 => length,
            5 => 2 * length,
            _ => 0,
        };
        (0..items).for_each(|_| self.item(depth + 1));
    }

    /// A byte string; what is CBOR of its own is shown as such.
    fn bytes(&mut self, mut line: Line, length: usize) {
        let content = self.take(length);
        let depth = line.depth;
        let nested = length > 2 && matches!(content[0] >> 5, 4 | 5) && cbor::check(&content).is_ok();
        line.comment = format!("{length} bytes{}", if nested { ":" } else { "" });
        if !nested {
            line.content = content;
            return self.lines.push(line);
        }
        self.lines.push(line);
        let inner = item(&content);
        self.lines.extend(inner.into_iter().map(|line| Line { depth: line.depth + depth + 1, ..line }));
    }

    fn head(&mut self) -> (u8, u64) {
        let first = self.take(1)[0];
        let argument = match first & 0x1f {
            info @ 0..=23 => u64::from(info),
            info => self.take(1 << (info - 24)).iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        (first >> 5, if first >> 5 == 7 { 0 } else { argument })
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken.to_vec()
    }
}
