//! What the demonstration says of each step.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::control::{ApiError, ApiResult};

/// One step as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Step {
    /// What was done.
    step: String,
    /// Of how many bytes, where that says something.
    bytes: Option<u64>,
    /// How long it took.
    seconds: f64,
    /// Bytes a second.
    rate: Option<u64>,
}

/// Says each step as it is done, or all in one document.
pub(super) struct Report<'a> {
    json: bool,
    out: &'a mut dyn Write,
    steps: Vec<Step>,
}

impl<'a> Report<'a> {
    pub(super) fn new(json: bool, out: &'a mut dyn Write) -> Self {
        Self { json, out, steps: Vec::new() }
    }

    /// A step without bytes to speak of.
    pub(super) fn done(&mut self, step: impl Into<String>, took: Duration) -> ApiResult<()> {
        self.say(Step { step: step.into(), bytes: None, seconds: took.as_secs_f64(), rate: None })
    }

    /// A step that went through so many bytes.
    pub(super) fn moved(&mut self, step: impl Into<String>, bytes: u64, took: Duration) -> ApiResult<()> {
        let seconds = took.as_secs_f64();
        // Below a microsecond a rate says nothing.
        let rate = (seconds > 1e-6).then(|| (bytes as f64 / seconds) as u64);
        self.say(Step { step: step.into(), bytes: Some(bytes), seconds, rate })
    }

    /// Ends it.
    pub(super) fn end(self) -> ApiResult<()> {
        if !self.json {
            return written(writeln!(
                self.out,
                "done: everything worked, and the temporary folder is removed"
            ));
        }
        let document = serde_json::json!({ "steps": self.steps });
        written(writeln!(self.out, "{document}"))
    }

    fn say(&mut self, step: Step) -> ApiResult<()> {
        let number = self.steps.len() + 1;
        if !self.json {
            written(writeln!(self.out, "{number:2}. {}", line(&step)))?;
            written(self.out.flush())?;
        }
        self.steps.push(step);
        Ok(())
    }
}

fn line(step: &Step) -> String {
    let time = format!("{:.2} s", step.seconds);
    match (step.bytes, step.rate) {
        (Some(bytes), Some(rate)) => format!("{} ({}, {}/s, {time})", step.step, size(bytes), size(rate)),
        (Some(bytes), None) => format!("{} ({}, {time})", step.step, size(bytes)),
        _ => format!("{} ({time})", step.step),
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A closed pipe ends the demonstration like any other failure to write.
fn written(result: io::Result<()>) -> ApiResult<()> {
    result.map_err(|error| ApiError::io("write the report", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(json: bool) -> String {
        let mut out = Vec::new();
        let mut report = Report::new(json, &mut out);
        report.done("started", Duration::from_millis(20)).expect("written");
        report.moved("moved", 3 << 20, Duration::from_secs(2)).expect("written");
        report.end().expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines() {
        let text = steps(false);
        assert!(
            text.starts_with(" 1. started (0.02 s)\n 2. moved (3.00 MiB, 1.50 MiB/s, 2.00 s)\n"),
            "{text}"
        );
    }

    #[test]
    fn a_document() {
        let document: serde_json::Value = serde_json::from_str(&steps(true)).expect("one document");
        assert_eq!(document["steps"][1]["bytes"], 3 << 20);
        assert_eq!(document["steps"][1]["rate"], 3 << 19);
        assert_eq!(document["steps"][0]["rate"], serde_json::Value::Null);
    }
}
