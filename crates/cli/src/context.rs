//! What every command needs: where the book is, how to talk.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use landfall_book::{Book, BookStore, DevicesFile, FileStore};
use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::failure::Failure;
use crate::out;
use crate::render::Style;

/// The global options, resolved where they can be.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    devices: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    verbose: u8,
    quiet: bool,
    plain: bool,
}

/// A variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|v| !v.is_empty())
}

impl Context {
    /// From the command line and the environment.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            devices: global.devices.clone(),
            data_dir: global.data_dir.clone().filter(|d| !d.as_os_str().is_empty()),
            verbose: global.verbose,
            quiet: global.quiet,
            plain: variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|t| t == "dumb"),
        }
    }

    /// Sends the log to stderr: warnings, more with `-v`, errors only with `-q`.
    pub(crate) fn start_log(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, 0) => "warn",
            (_, 1) => "info,landfall_link=debug",
            _ => "trace",
        };
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level))
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && !self.plain)
            .with_target(self.verbose > 1)
            .init();
    }

    /// How data may look on stdout.
    pub(crate) fn data_style(&self) -> Style {
        Style { colour: io::stdout().is_terminal() && !self.plain }
    }

    /// How talk may look on stderr.
    pub(crate) fn talk_style(&self) -> Style {
        Style { colour: io::stderr().is_terminal() && !self.plain }
    }

    /// Whether the owner wants quiet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The data directory with a book that we may write to; `None` when a devices.json is used in its place.
    pub(crate) fn own_book(&self) -> Option<PathBuf> {
        if self.devices.is_some() { None } else { self.data_dir().ok() }
    }

    /// The directory given by `--data-dir`, if one was.
    pub(crate) fn chosen_data_dir(&self) -> Option<&PathBuf> {
        self.data_dir.as_ref()
    }

    /// What was given as `--devices`.
    pub(crate) fn devices_option(&self) -> Option<&PathBuf> {
        self.devices.as_ref()
    }

    /// Tells the owner something on stderr, unless they want quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            out::talk(&format!("{text}\n"));
        }
    }

    /// The data directory: `--data-dir`, `LANDFALL_DATA_DIR`, `STATE_DIRECTORY`, else `$XDG_STATE_HOME/landfall`, else
    /// `~/.local/state/landfall`. Never the working directory.
    ///
    /// # Errors
    /// None of these is set.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        if let Some(dir) = variable("LANDFALL_DATA_DIR") {
            return Ok(dir.into());
        }
        // systemd writes a list when a unit has several; the first is ours.
        if let Some(list) = variable("STATE_DIRECTORY")
            && let Some(first) = std::env::split_paths(&list).next()
        {
            return Ok(first);
        }
        // The XDG specification wants relative paths ignored.
        let absolute = |name| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
        if let Some(state) = absolute("XDG_STATE_HOME") {
            return Ok(state.join("landfall"));
        }
        if let Some(home) = absolute("HOME") {
            return Ok(home.join(".local/state/landfall"));
        }
        Err(Failure::misuse(
            anyhow!("there is no place for Landfall's files: HOME is not set"),
            "name a directory with --data-dir or LANDFALL_DATA_DIR",
        ))
    }

    /// Where the devices come from: `--devices FILE` as it is, else the book.
    ///
    /// # Errors
    /// There is no data directory.
    pub(crate) fn store(&self) -> Result<Box<dyn BookStore>, Failure> {
        match &self.devices {
            Some(file) => Ok(Box::new(DevicesFile::new(file))),
            None => Ok(Box::new(FileStore::new(self.data_dir()?))),
        }
    }

    /// The devices.
    ///
    /// # Errors
    /// They can't be read.
    pub(crate) fn book(&self) -> Result<Book, Failure> {
        Ok(self.store()?.load()?)
    }

    /// Now, in seconds since 1970-01-01 UTC.
    pub(crate) fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }
}
