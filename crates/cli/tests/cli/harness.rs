//! Runs the built command in a home of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

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

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
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

/// A command that goes on until it is told to end, with what it says line by line.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    lines: mpsc::Receiver<(Stream, String)>,
    /// Everything said so far.
    pub(crate) said: Vec<(Stream, String)>,
    /// How far `wait_for` has read each stream.
    read: [usize; 2],
}

/// Where a line was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out = 0,
    Err = 1,
}

impl Background {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let read = |source: Box<dyn Read + Send>, stream| {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(source).lines() {
                    // The test may have seen enough.
                    if send.send((stream, line.unwrap())).is_err() {
                        return;
                    }
                }
            });
        };
        read(Box::new(child.stdout.take().unwrap()), Stream::Out);
        read(Box::new(child.stderr.take().unwrap()), Stream::Err);
        Self { child, lines, said: Vec::new(), read: [0; 2] }
    }

    /// Waits for a line that has this in it, after those it found before on the same stream, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, stream: Stream, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut at = self.read[stream as usize];
        loop {
            for (i, (on, line)) in self.said.iter().enumerate().skip(at) {
                if *on == stream && line.contains(what) {
                    self.read[stream as usize] = i + 1;
                    return line.clone();
                }
            }
            at = self.said.len();
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(e) => panic!("{e} while waiting for {what:?} on {stream:?}; so far: {:#?}", self.said),
            }
        }
    }

    /// Presses Ctrl-C and waits for the end. Returns the exit code.
    #[track_caller]
    pub(crate) fn interrupt(self) -> i32 {
        self.signal("INT")
    }

    /// Sends a signal and waits for the end. Returns the exit code.
    #[track_caller]
    pub(crate) fn signal(mut self, name: &str) -> i32 {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        // Both streams end with the process.
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < deadline, "it did not end; it said {:#?}", self.said);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A simulation with its devices.json in a home of its own.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) home: Home,
    pub(crate) devices: Background,
}

impl Simulated {
    /// Runs this home file; every device listens on return. Addresses in it end in port 0.
    pub(crate) fn start(home_file: &str) -> Self {
        let mut home = Home::new();
        home.write("home.toml", home_file);
        let devices = Self::run(&home);
        for entry in serde_json::from_str::<Vec<serde_json::Value>>(&home.read("devices.json")).unwrap() {
            home.guard(entry["key"].as_str().unwrap());
        }
        Self { home, devices }
    }

    /// Starts the devices of `home.toml`.
    pub(crate) fn run(home: &Home) -> Background {
        let args = [
            "simulate",
            "--home",
            "home.toml",
            "--write-devices",
            "devices.json",
            "--no-discovery",
            "--json",
        ];
        let mut devices = Background::start(home.command(&args));
        // The file is there before the first line.
        devices.wait_for(Stream::Err, "Ctrl-C ends");
        devices
    }

    /// A command that uses the simulation's devices.json as it is.
    pub(crate) fn run_with_file(&self, args: &[&str]) -> Run {
        let mut all = vec!["--devices", "devices.json"];
        all.extend(args);
        self.home.run(&all)
    }

    /// Changes an entry of devices.json.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let mut list: Vec<serde_json::Value> = serde_json::from_str(&self.home.read("devices.json")).unwrap();
        change(list.iter_mut().find(|e| e["name"] == name).unwrap());
        self.home.write("devices.json", &serde_json::to_string(&list).unwrap());
    }
}
