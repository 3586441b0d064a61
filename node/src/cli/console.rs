//! What a command reads from and writes to.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::pin::Pin;
use std::task::Poll;

use clap::builder::StyledStr;
use serde::Serialize;

use super::sanitize::sanitize;

/// Ready when the user, or the system, wants the command to end.
pub type Interrupt = Pin<Box<dyn Future<Output = ()>>>;

/// The streams of a command, and how it shall use them.
///
/// Lines of text are escaped on their way out, since they may hold text of peers.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Box<dyn BufRead>,
    terminals: Terminals,
    interrupt: Box<dyn Fn() -> Interrupt>,
    json: bool,
    quiet: bool,
}

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminals {
    /// Standard input.
    pub input: bool,
    /// Standard output.
    pub out: bool,
    /// Standard error.
    pub err: bool,
}

impl Console {
    /// Of this process. Ctrl-C and SIGTERM interrupt.
    pub fn system() -> Self {
        let terminals = Terminals {
            input: io::stdin().is_terminal(),
            out: io::stdout().is_terminal(),
            err: io::stderr().is_terminal(),
        };
        Self::new(
            Box::new(BufWriter::new(io::stdout())),
            Box::new(io::stderr()),
            Box::new(BufReader::new(io::stdin())),
            terminals,
            Box::new(signalled),
        )
    }

    /// Of these streams.
    pub fn new(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        input: Box<dyn BufRead>,
        terminals: Terminals,
        interrupt: Box<dyn Fn() -> Interrupt>,
    ) -> Self {
        Self { out, err, input, terminals, interrupt, json: false, quiet: false }
    }

    pub(super) fn configure(&mut self, json: bool, quiet: bool) {
        self.json = json;
        self.quiet = quiet;
    }

    /// Whether documents are wanted, not text.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Whether no progress is wanted, in any form.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether nothing but results and errors is wanted.
    pub(super) fn silent(&self) -> bool {
        self.json || self.quiet
    }

    pub(super) fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// Ready when this command shall end; signals count from this call on. Inside a runtime.
    pub(super) fn interrupt(&self) -> Interrupt {
        (self.interrupt)()
    }

    pub(super) fn input(&mut self) -> &mut dyn BufRead {
        &mut *self.input
    }

    /// For what is not a line of text: parts of documents.
    pub(super) fn out(&mut self) -> &mut dyn Write {
        &mut *self.out
    }

    pub(super) fn err(&mut self) -> &mut dyn Write {
        &mut *self.err
    }

    /// The result of a command: a document, or lines of text made of it.
    pub(super) fn result<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(&T) -> Vec<String>,
    ) -> io::Result<()> {
        if self.json {
            return self.document(document);
        }
        text(document).iter().try_for_each(|line| self.line(line))
    }

    /// One JSON document on one line.
    pub(super) fn document<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, document)?;
        self.out.write_all(b"\n")
    }

    /// One line on standard output.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", sanitize(text))
    }

    /// One line on standard error, unless nothing but results is wanted.
    pub(super) fn note(&mut self, text: impl Display) {
        if !self.silent() {
            self.complain(text);
        }
    }

    /// One line on standard error. Where nobody reads that, there is nobody to tell.
    pub(super) fn complain(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{}", sanitize(&text.to_string()));
    }

    /// Help that was asked for.
    pub(super) fn help(&mut self, text: &StyledStr) -> io::Result<()> {
        write!(self.out, "{}", styled(text, self.terminals.out))
    }

    /// What clap says about a mistake in the arguments.
    pub(super) fn mistake(&mut self, text: &StyledStr) {
        let _ = write!(self.err, "{}", styled(text, self.terminals.err));
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether escape sequences for colours are welcome on a terminal: <https://no-color.org>.
pub(super) fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn styled(text: &StyledStr, terminal: bool) -> String {
    if colours(terminal) { text.ansi().to_string() } else { text.to_string() }
}

/// Watches for signals from this call on, not from the first poll: one that comes in between is not lost.
fn signalled() -> Interrupt {
    use tokio::signal::unix::{SignalKind, signal};
    let watched = [SignalKind::interrupt(), SignalKind::terminate()];
    // Where the system cannot watch for a signal, that one does what it does by default.
    let mut signals: Vec<_> = watched.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    Box::pin(poll_fn(move |context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { Poll::Ready(()) } else { Poll::Pending }
    }))
}
