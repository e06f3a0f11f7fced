//! The files of the journal: found, read back, appended to, followed by new ones.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Stamp;

use super::state::State;
use super::{JournalError, LastEnd, line, state};

/// What lines are written to; a disk that is full or broken, in tests.
pub(super) trait Disk: Send + Sync {
    /// Opens a file for appending, making it (0600) when it is missing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Out>>;
}

/// A file that is appended to.
pub(super) trait Out: Send {
    /// Writes all of it, or part of it and an error.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Has the disk keep what was written.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what stands after so many bytes.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    /// Whether somebody removed the file.
    fn is_gone(&self) -> bool;
}

/// The file system.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?))
    }
}

impl Out for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
    fn is_gone(&self) -> bool {
        self.metadata().is_ok_and(|m| m.nlink() == 0)
    }
}

/// What a start finds.
#[derive(Debug)]
pub(super) struct Found {
    /// The last number of each device.
    pub(super) stamps: HashMap<DeviceId, Stamp>,
    /// How the cloud before ended.
    pub(super) last_end: LastEnd,
    /// Lines that could not be read.
    pub(super) damaged: u64,
}

/// The files, the last of them open.
pub(super) struct Files {
    dir: PathBuf,
    /// Held as long as this cloud runs.
    _lock: File,
    disk: Box<dyn Disk>,
    /// Number of the file that is written.
    number: u64,
    out: Box<dyn Out>,
    /// Bytes of it that are whole lines.
    len: u64,
    /// Older files with their sizes.
    old: BTreeMap<u64, u64>,
    file_bytes: u64,
    keep: usize,
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { doing, path, source }
}

/// Makes a directory that only its owner may enter.
fn make_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("make the directory", path))
}

fn name(number: u64) -> String {
    format!("{number:08}.jsonl")
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}

impl Files {
    /// Takes hold of the directory and reads what is there.
    pub(super) fn open(
        data_dir: &Path,
        disk: Box<dyn Disk>,
        file_bytes: u64,
        keep: usize,
    ) -> Result<(Self, Found), JournalError> {
        let cloud = data_dir.join("cloud");
        let dir = cloud.join("journal");
        make_dir(&dir)?;
        let lock = take(&cloud.join("cloud.lock"), data_dir)?;
        let mut sizes = sizes(&dir)?;
        let state_path = dir.join(state::NAME);
        let state = State::read(&state_path).map_err(io_error("read", &state_path))?;
        let last_end = match &state {
            Some(s) if s.orderly => LastEnd::Orderly,
            None if sizes.is_empty() => LastEnd::None,
            _ => LastEnd::Killed,
        };
        let (from, offset) = state.as_ref().map_or((0, 0), |s| (s.file, s.offset));
        let mut found =
            Found { stamps: state.map(State::into_stamps).unwrap_or_default(), last_end, damaged: 0 };
        for (&n, size) in sizes.iter_mut().filter(|(n, _)| **n >= from) {
            let at = if n == from { offset } else { 0 };
            *size = read_back(&dir.join(name(n)), at.min(*size), &mut found)?;
        }
        let current = sizes.pop_last();
        let (number, len) = current.unwrap_or((1, 0));
        let path = dir.join(name(number));
        let mut out = disk.open(&path).map_err(io_error("open", &path))?;
        // A line torn by the end of the process before us.
        out.cut(len).map_err(io_error("mend", &path))?;
        Ok((Self { dir, _lock: lock, disk, number, out, len, old: sizes, file_bytes, keep }, found))
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends whole lines and has the disk keep them. After an error none of them count as written: what stands there
    /// of them is taken back at the next try.
    pub(super) fn append(
        &mut self,
        lines: &[u8],
        stamps: &HashMap<DeviceId, Stamp>,
    ) -> Result<(), JournalError> {
        if self.out.is_gone() {
            let path = self.dir.join(name(self.number));
            tracing::warn!("{} was removed; a new one is begun", path.display());
            self.begin(self.number.saturating_add(1))?;
        } else if self.len >= self.file_bytes {
            self.save_state(stamps, false)?;
            self.old.insert(self.number, self.len);
            self.begin(self.number.saturating_add(1))?;
        }
        let path = self.dir.join(name(self.number));
        let written =
            self.out.cut(self.len).and_then(|()| self.out.append(lines)).and_then(|()| self.out.sync());
        written.map_err(io_error("write", &path))?;
        self.len += lines.len() as u64;
        Ok(())
    }

    /// Begins a file, and removes the oldest when there are too many.
    fn begin(&mut self, number: u64) -> Result<(), JournalError> {
        let path = self.dir.join(name(number));
        self.out = self.disk.open(&path).map_err(io_error("open", &path))?;
        self.number = number;
        self.len = 0;
        while self.old.len() >= self.keep.max(1) {
            let Some((oldest, _)) = self.old.pop_first() else { break };
            let path = self.dir.join(name(oldest));
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error("remove", &path)(e)),
            }
        }
        File::open(&self.dir).and_then(|d| d.sync_all()).map_err(io_error("sync", &self.dir))
    }

    /// Writes `state.json` anew.
    pub(super) fn save_state(
        &mut self,
        stamps: &HashMap<DeviceId, Stamp>,
        orderly: bool,
    ) -> Result<(), JournalError> {
        let path = self.dir.join(state::NAME);
        let state = State::new(orderly, self.number, self.len, stamps);
        let text = serde_json::to_vec(&state).map_err(|e| io_error("write", &path)(e.into()))?;
        replace(&path, &text).map_err(io_error("write", &path))
    }
}

/// Replaces a file by one with this content and mode 0600: at any moment one of the two is whole.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    landfall_book::store::replace_file(path, content).map_err(|e| match e {
        landfall_book::StoreError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
    })
}

/// Holds the directory of the cloud against a second one.
fn take(path: &Path, data_dir: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { data_dir: data_dir.to_owned() }),
        Err(TryLockError::Error(e)) => Err(io_error("lock", path)(e)),
    }
}

/// The journal's files by number, with their sizes. Other files are left alone.
fn sizes(dir: &Path) -> Result<BTreeMap<u64, u64>, JournalError> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
        let entry = entry.map_err(io_error("read", dir))?;
        if let Some(n) = entry.file_name().to_str().and_then(number) {
            let path = entry.path();
            sizes.insert(n, entry.metadata().map_err(io_error("read", &path))?.len());
        }
    }
    Ok(sizes)
}

/// Takes the numbers of a file's lines from this byte on; says how many of its bytes are whole lines.
fn read_back(path: &Path, from: u64, found: &mut Found) -> Result<u64, JournalError> {
    let read = |e| io_error("read", path)(e);
    let mut file = File::open(path).map_err(read)?;
    file.seek(SeekFrom::Start(from)).map_err(read)?;
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut whole = from;
    let mut text = Vec::new();
    loop {
        text.clear();
        let n = (&mut reader).take(line::MAX as u64).read_until(b'\n', &mut text).map_err(read)?;
        if n == 0 {
            return Ok(whole);
        }
        if text.last() != Some(&b'\n') {
            found.damaged += 1;
            if n < line::MAX {
                // The end of the file, in the middle of a line.
                return Ok(whole);
            }
            // No line of ours; the next ones may be.
            skip_line(&mut reader, &mut whole).map_err(read)?;
            whole += n as u64;
            continue;
        }
        whole += n as u64;
        match serde_json::from_slice::<line::Read>(&text) {
            Ok(l) => {
                if let Some(stamp) = l.stamp() {
                    found.stamps.insert(l.device, stamp);
                }
            }
            Err(_) => found.damaged += 1,
        }
    }
}

/// Goes on to the next line.
fn skip_line(reader: &mut impl BufRead, whole: &mut u64) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (n, end) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(n);
        *whole += n as u64;
        if end {
            return Ok(());
        }
    }
}
