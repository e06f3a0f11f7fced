//! A child of a bench: the same program once more, with other words, in a process of its own. Shared by the benches of cloud and hub.

// No bench needs all of it.
#![allow(dead_code)]

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A child of ours, ended when dropped.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    /// Starts this program with these words.
    pub(crate) fn start(args: &[impl AsRef<OsStr>]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, out })
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            return Err("a process of the bench ended".into());
        }
        Ok(line.trim().to_owned())
    }

    /// Has it go on: an empty line.
    pub(crate) fn poke(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or("no input")?;
        writeln!(stdin)?;
        Ok(stdin.flush()?)
    }

    /// Has it go on, and reads what it prints then.
    pub(crate) fn answer(&mut self) -> Result<serde_json::Value> {
        self.poke()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
