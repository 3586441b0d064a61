//! What the files are made of.

mod answers;
mod catalogues;
mod cbor;
mod chunks;
mod ids;
mod manifests;
mod refused_manifests;
mod refused_records;
mod refused_requests;
mod requests;
mod statements;
mod world;

use std::fmt::Write as _;

use serde::Serialize;
use wire::frame;

use crate::annotate::{self, Line};

/// One file to be.
pub(crate) struct Case {
    name: String,
    about: String,
    headers: Vec<(&'static str, String)>,
    lines: Vec<Line>,
}

pub(crate) fn all() -> Vec<Case> {
    [
        ids::cases(),
        cbor::cases(),
        statements::cases(),
        refused_records::cases(),
        manifests::cases(),
        refused_manifests::cases(),
        chunks::cases(),
        requests::cases(),
        refused_requests::cases(),
        answers::cases(),
        catalogues::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Case {
    /// A case that is accepted, so far without bytes.
    pub(crate) fn new(name: &str, kind: &str, about: &str) -> Self {
        let headers = vec![("kind", kind.to_owned()), ("expect", "ok".to_owned())];
        Self { name: name.to_owned(), about: about.to_owned(), headers, lines: Vec::new() }
    }

    /// Refused with this.
    pub(crate) fn expect(mut self, expect: &str) -> Self {
        self.headers[1].1 = expect.to_owned();
        self
    }

    pub(crate) fn header(mut self, key: &'static str, value: impl ToString) -> Self {
        self.headers.push((key, value.to_string()));
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8], comment: impl Into<String>) -> Self {
        self.lines.push(Line::new(bytes, comment));
        self
    }

    pub(crate) fn item(mut self, bytes: &[u8]) -> Self {
        self.lines.extend(annotate::item(bytes));
        self
    }

    /// A frame with this content, whatever that is.
    pub(crate) fn frame(self, content: &[u8], lines: impl FnOnce(Self) -> Self) -> Self {
        let length = u32::try_from(content.len()).expect("small");
        let case = self.raw(&length.to_be_bytes(), format!("a frame of {length} bytes"));
        lines(case)
    }

    /// A frame with this value.
    pub(crate) fn value(self, value: &impl Serialize) -> Self {
        let frame = frame::encode(value, wire::limits::MEMBER_FRAME_BYTES).expect("not too large");
        self.frame(&frame[4..], |case| case.item(&frame[4..]))
    }

    pub(crate) fn name(&self) -> String {
        format!("{}.hex", self.name)
    }

    pub(crate) fn render(&self) -> String {
        let mut out = format!("# {}\n#\n", self.about.replace('\n', "\n# "));
        for (key, value) in &self.headers {
            writeln!(out, "# {key}: {value}").expect("a string takes everything");
        }
        out.push('\n');
        self.lines.iter().for_each(|line| line.render(&mut out));
        out
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
