//! A terminal that a program writes to.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A pseudo-terminal, as the far end of which a program has its standard error.
#[derive(Debug)]
pub struct Terminal {
    near: OwnedFd,
    /// What was read of it.
    seen: Vec<u8>,
}

impl Terminal {
    /// Gives a command one of so many columns, and 24 rows.
    pub fn stderr_of(command: &mut Command, columns: u16) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&near).expect("granted");
        unlockpt(&near).expect("unlocked");
        let path = ptsname(&near, Vec::new()).expect("a name");
        let far = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the far end");
        command.stderr(Stdio::from(File::from(far)));
        let terminal = Self { near, seen: Vec::new() };
        terminal.resize(columns);
        terminal
    }

    /// Its user makes it wider or narrower.
    pub fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.near, size).expect("resized");
    }

    /// Reads on until what came since the last call is as wanted, and returns that. Blocks.
    ///
    /// # Panics
    /// Where the program closes it before.
    pub fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.seen).into_owned();
            if wanted(&text) {
                self.seen.clear();
                return text;
            }
            assert!(self.read() > 0, "it was closed; the last that was seen: {text}");
        }
    }

    /// Reads what is left, until all programs have closed it. Blocks.
    pub fn rest(mut self) -> String {
        while self.read() > 0 {}
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// How many bytes came; none where the far end is closed, which Linux tells as an error.
    fn read(&mut self) -> usize {
        let mut piece = [0; 4096];
        let mut near = File::from(self.near.try_clone().expect("a copy"));
        let read = near.read(&mut piece).unwrap_or(0);
        self.seen.extend_from_slice(&piece[..read]);
        read
    }
}
