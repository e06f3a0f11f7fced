//! Runs the built command in a home of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than any command may take in a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It failed with this exit code, this error and this hint, and printed no data.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, error: &str, hint: &str) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        assert!(self.stderr.contains(error), "no {error:?} in {self:#?}");
        let said =
            self.stderr.lines().find(|l| l.starts_with("hint: ")).unwrap_or_else(|| panic!("{self:#?}"));
        assert!(said.contains(hint), "no {hint:?} in {said:?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// A home directory with its book.
#[derive(Debug)]
pub(crate) struct Home {
    dir: tempfile::TempDir,
    /// Keys that must never show.
    secrets: Vec<String>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), secrets: Vec::new() }
    }

    /// From now on every output is searched for this key.
    pub(crate) fn guard(&mut self, key: &str) {
        self.secrets.push(key.to_owned());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn book(&self) -> PathBuf {
        self.path(".local/state/landfall/book.json")
    }

    /// The command with nothing of our own environment but where the system's things are.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("TZ", "UTC")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        self.guarded(finish(self.command(args).spawn().unwrap()))
    }

    /// With this on standard input.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: &str) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A command that doesn't read its input closes it: then there is nothing to write to.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        self.guarded(finish(child))
    }

    /// With these variables.
    pub(crate) fn run_with_env<S: AsRef<OsStr>>(&self, args: &[S], env: &[(&str, &Path)]) -> Run {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        self.guarded(finish(command.spawn().unwrap()))
    }

    /// A command that is allowed to show keys.
    pub(crate) fn run_showing_keys<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        finish(self.command(args).spawn().unwrap())
    }

    #[track_caller]
    fn guarded(&self, run: Run) -> Run {
        for secret in &self.secrets {
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "a key shows: {run:#?}");
        }
        run
    }
}

/// Waits for the end, but not forever.
pub(crate) fn finish(mut child: Child) -> Run {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, outs) = mpsc::channel();
    let reader = |source: Option<Box<dyn Read + Send>>, which: usize| {
        let out = out.clone();
        thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut source) = source {
                source.read_to_string(&mut text).unwrap();
            }
            out.send((which, text)).unwrap();
        });
    };
    reader(stdout.map(|s| Box::new(s) as _), 0);
    reader(stderr.map(|s| Box::new(s) as _), 1);
    let mut texts = [String::new(), String::new()];
    for _ in 0..2 {
        if let Ok((which, text)) = outs.recv_timeout(PATIENCE) {
            texts[which] = text;
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the command did not end within {PATIENCE:?}; so far: {texts:?}");
        }
    }
    let [stdout, stderr] = texts;
    // Both ends are closed, so it has ended or is about to.
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Run { stdout, stderr, code }
}
