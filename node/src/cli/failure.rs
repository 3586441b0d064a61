//! Why a command does not end well, and how the user is told.

use std::io;

use serde::Serialize;

use super::{Console, Exit};
use crate::control::ApiError;

/// Why a command stops.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something went wrong; the user is not told yet.
    Error(ApiError),
    /// Standard output does not take what was to be written.
    Output(io::Error),
    /// The user was told.
    Reported(Exit),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Tells the user what is not told yet, and says how the program ends. A pipe that its reader closed is no failure: the
/// reader has what it wanted.
pub(super) fn report(result: Result<(), Failure>, console: &mut Console) -> Exit {
    let (exit, written) = match result {
        Ok(()) => (Exit::Done, Ok(())),
        Err(Failure::Reported(exit)) => (exit, Ok(())),
        Err(Failure::Error(error)) => (error.code.into(), tell(&error, console)),
        Err(Failure::Output(error)) => (Exit::Done, Err(error)),
    };
    match written.and_then(|()| console.flush()) {
        Ok(()) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(error) => {
            console.complain(format_args!("error: cannot write the output: {error}"));
            Exit::Failed
        }
    }
}

/// Prints an error: as a document, or as lines on standard error.
pub(super) fn tell(error: &ApiError, console: &mut Console) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        error: &'a ApiError,
    }
    if console.json() {
        return console.document(&Document { error });
    }
    // What was written before the error comes before it where both go to one terminal.
    let flushed = console.flush();
    console.complain(format_args!("error: {}", error.message));
    if let Some(hint) = &error.hint {
        console.complain(format_args!("hint: {hint}"));
    }
    flushed
}
