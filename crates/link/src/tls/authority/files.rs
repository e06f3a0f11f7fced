//! The directory of an authority: one process at a time, files replaced whole, several of them together.
//!
//! What is to be replaced is written into `renewal.tmp/`, which becomes `renewal/` when it is complete, and its files are
//! then moved to their places. A process that dies leaves either nothing that counts or a complete `renewal/`, and the
//! next one to lock the directory finishes the moving.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use zeroize::Zeroizing;

use super::AuthorityError;

/// The file that carries the advisory lock: of no use in a copy.
pub const LOCK: &str = "lock";
const RENEWAL: &str = "renewal";
const UNFINISHED: &str = "renewal.tmp";
/// How long to wait for another process: making an authority takes about a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// Our own files have some 2 KiB.
const LARGEST: u64 = 64 * 1024;

/// The files of an authority.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    CaKey,
    CaPem,
    ServerKey,
    ServerPem,
}

impl File {
    const ALL: [Self; 4] = [Self::CaKey, Self::CaPem, Self::ServerKey, Self::ServerPem];

    const fn name(self) -> &'static str {
        match self {
            Self::CaKey => "ca.key",
            Self::CaPem => "ca.pem",
            Self::ServerKey => "server.key",
            Self::ServerPem => "server.pem",
        }
    }

    const fn mode(self) -> u32 {
        match self {
            Self::CaKey | Self::ServerKey => 0o600,
            Self::CaPem | Self::ServerPem => 0o644,
        }
    }
}

/// A directory that is ours alone as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: fs::File,
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::Io { doing, path, source }
}

impl Directory {
    /// Makes the directory when it is missing, takes the lock and finishes what another process left.
    pub(super) fn lock(path: PathBuf) -> Result<Self, AuthorityError> {
        make_directory(&path, true)?;
        // It holds keys: whoever made it, others have no business in it.
        restrict(&path, 0o700)?;
        let lock_path = path.join(LOCK);
        let lock = open_new(&lock_path, 0o600, false)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(AuthorityError::Busy { path }),
                Err(TryLockError::Error(e)) => return Err(io_error("lock", &lock_path)(e)),
            }
        }
        let this = Self { path, _lock: lock };
        remove_directory(&this.path.join(UNFINISHED))?;
        this.finish_renewal()?;
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether none of the files is there.
    pub(super) fn is_empty(&self) -> Result<bool, AuthorityError> {
        for file in File::ALL {
            let path = self.path.join(file.name());
            if path.try_exists().map_err(io_error("look for", &path))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn damaged(&self, file: File, what: &'static str) -> AuthorityError {
        AuthorityError::Damaged { path: self.path.join(file.name()), what }
    }

    /// A private key; `None` if the file is missing.
    pub(super) fn key(&self, file: File) -> Result<Option<PKey<Private>>, AuthorityError> {
        let Some(text) = self.read(file)? else { return Ok(None) };
        restrict(&self.path.join(file.name()), file.mode())?;
        // An encrypted key would make OpenSSL ask for a password on the terminal.
        let key = PKey::private_key_from_pem_callback(&text, |_| Ok(0));
        key.map(Some).map_err(|_| self.damaged(file, "holds no private key"))
    }

    /// A certificate; `None` if the file is missing.
    pub(super) fn certificate(&self, file: File) -> Result<Option<X509>, AuthorityError> {
        let Some(text) = self.read(file)? else { return Ok(None) };
        X509::from_pem(&text).map(Some).map_err(|_| self.damaged(file, "holds no certificate"))
    }

    fn read(&self, file: File) -> Result<Option<Zeroizing<Vec<u8>>>, AuthorityError> {
        let path = self.path.join(file.name());
        let open = match fs::File::open(&path) {
            Ok(open) => open,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path)(e)),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
        open.take(LARGEST + 1).read_to_end(&mut text).map_err(io_error("read", &path))?;
        if text.len() as u64 > LARGEST {
            return Err(self.damaged(file, "is larger than any key or certificate"));
        }
        Ok(Some(text))
    }

    /// Replaces these files, all of them or none.
    pub(super) fn replace(&self, contents: &[(File, Zeroizing<Vec<u8>>)]) -> Result<(), AuthorityError> {
        let unfinished = self.path.join(UNFINISHED);
        make_directory(&unfinished, false)?;
        for (file, text) in contents {
            let path = unfinished.join(file.name());
            let mut new = open_new(&path, file.mode(), true)?;
            new.write_all(text).and_then(|()| new.sync_all()).map_err(io_error("write", &path))?;
        }
        sync(&unfinished)?;
        let renewal = self.path.join(RENEWAL);
        fs::rename(&unfinished, &renewal).map_err(io_error("rename", &unfinished))?;
        sync(&self.path)?;
        self.finish_renewal()
    }

    fn finish_renewal(&self) -> Result<(), AuthorityError> {
        let renewal = self.path.join(RENEWAL);
        if !renewal.try_exists().map_err(io_error("look for", &renewal))? {
            return Ok(());
        }
        for file in File::ALL {
            let from = renewal.join(file.name());
            match fs::rename(&from, self.path.join(file.name())) {
                // Not part of this renewal, or moved before somebody died.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                moved => moved.map_err(io_error("move", &from))?,
            }
        }
        sync(&self.path)?;
        remove_directory(&renewal)?;
        sync(&self.path)
    }
}

fn make_directory(path: &Path, parents: bool) -> Result<(), AuthorityError> {
    let mut make = DirBuilder::new();
    make.recursive(parents);
    #[cfg(unix)]
    make.mode(0o700);
    make.create(path).map_err(io_error("make the directory", path))
}

fn remove_directory(path: &Path) -> Result<(), AuthorityError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(io_error("remove", path)),
    }
}

fn open_new(path: &Path, mode: u32, must_be_new: bool) -> Result<fs::File, AuthorityError> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(false).create_new(must_be_new);
    #[cfg(unix)]
    open.mode(mode);
    #[cfg(not(unix))]
    let _ = mode;
    open.open(path).map_err(io_error("open", path))
}

/// Takes from others what they may do beyond `mode`.
fn restrict(path: &Path, mode: u32) -> Result<(), AuthorityError> {
    #[cfg(unix)]
    {
        let found = fs::metadata(path).map_err(io_error("read", path))?.permissions().mode() & 0o7777;
        if found & !mode != 0 {
            tracing::warn!(path = %path.display(), mode = format!("{found:o}"), "others could read keys here; not any more");
            fs::set_permissions(path, fs::Permissions::from_mode(found & mode))
                .map_err(io_error("restrict", path))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

/// A rename must survive a power cut.
fn sync(dir: &Path) -> Result<(), AuthorityError> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io_error("sync", dir))
}
