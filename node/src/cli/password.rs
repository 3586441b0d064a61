//! Passwords: from a prompt, or one line of standard input; never from the arguments.

use std::io::{BufRead, Read};

use clap::Args;
use wire::limits::PASSWORD_BYTES;

use super::{Console, Failure};
use crate::control::ApiError;
use crate::control::api::Password;

/// Where the password comes from.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from one line of standard input, instead of a prompt
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// A password that exists.
    pub(super) fn read(&self, console: &mut Console) -> Result<Password, Failure> {
        Ok(self.obtain(console, dialoguer::Password::new().with_prompt("Password"))?)
    }

    /// A new password, which a person types twice.
    pub(super) fn choose(&self, console: &mut Console) -> Result<Password, Failure> {
        let prompt = dialoguer::Password::new()
            .with_prompt("Password")
            .validate_with(|text: &String| check_length(text))
            .with_confirmation("The same again", "These were not the same.");
        let password = self.obtain(console, prompt)?;
        check_length(&password.0).map_err(ApiError::usage)?;
        Ok(password)
    }

    fn obtain(&self, console: &mut Console, prompt: dialoguer::Password<'_>) -> Result<Password, ApiError> {
        let terminals = console.terminals();
        if self.password_stdin {
            read_line(console.input())
        } else if terminals.input && terminals.err {
            let typed = prompt.interact();
            typed.map(Password).map_err(|error| ApiError::usage(format!("no password was typed: {error}")))
        } else {
            Err(ApiError::usage("there is no terminal to ask for the password on")
                .with_hint("--password-stdin takes it from one line of standard input"))
        }
    }
}

fn check_length(password: &str) -> Result<(), String> {
    let (least, most) = (PASSWORD_BYTES.start(), PASSWORD_BYTES.end());
    if PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    Err(format!("a password has {least} to {most} bytes; this one has {}", password.len()))
}

fn read_line(input: &mut dyn BufRead) -> Result<Password, ApiError> {
    // One more than the longest with its line ending, so that a longer one is not taken for it.
    let most = *PASSWORD_BYTES.end() as u64 + 3;
    let mut line = Vec::new();
    let read = input.take(most).read_until(b'\n', &mut line);
    read.map_err(|error| ApiError::io("read the password from standard input", &error))?;
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|last| *last == b'\r');
    }
    let text = String::from_utf8(line).map_err(|_| ApiError::usage("the password is not UTF-8"))?;
    if text.is_empty() {
        return Err(ApiError::usage("standard input has no password on its first line"));
    }
    Ok(Password(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut input: &[u8]) -> Result<String, ApiError> {
        read_line(&mut input).map(|password| password.0)
    }

    #[test]
    fn one_line_is_read_without_its_ending() {
        assert_eq!(read(b"correct horse\nnext\n").as_deref(), Ok("correct horse"));
        assert_eq!(read(b"correct horse\r\n").as_deref(), Ok("correct horse"));
        assert_eq!(read(b" spaces stay ").as_deref(), Ok(" spaces stay "));
    }

    #[test]
    fn nothing_and_garbage_are_refused() {
        assert!(read(b"").is_err() && read(b"\nsecret\n").is_err() && read(b"\xff\n").is_err());
    }

    #[test]
    fn a_line_too_long_stays_too_long() {
        let longest = "x".repeat(*PASSWORD_BYTES.end());
        let read_length = |text: &str| check_length(&read(text.as_bytes()).expect("text"));
        assert_eq!(read_length(&format!("{longest}\r\n")), Ok(()));
        assert!(read_length(&format!("{longest}x\n")).is_err());
        assert!(read_length(&"x".repeat(5000)).is_err());
        assert!(check_length("1234567").is_err());
    }
}
