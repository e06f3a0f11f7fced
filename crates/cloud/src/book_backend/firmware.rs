//! Images that the owner approved: files beside the book, named by their digest.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use landfall_book::cloud_side::Image;
use landfall_book::store::replace_file;
use landfall_proto::gateway::firmware::sha256_text;

use crate::backend::BackendError;

/// The folder in the data directory.
const FOLDER: &str = "firmware";
/// No image of these chips is larger.
const MAX_IMAGE: u64 = 16 << 20;
/// Longest version text that devices take.
const MAX_VERSION: usize = 10;

/// The files, and those in use in memory.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    loaded: Mutex<HashMap<String, Bytes>>,
}

fn failed(what: String) -> BackendError {
    BackendError { what }
}

/// Checks a version text: a device compares it and keeps it in ten characters.
pub(super) fn check_version(version: &str) -> Result<(), BackendError> {
    let good = version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if version.is_empty() || version.len() > MAX_VERSION || !good {
        let version: String = version.chars().take(32).collect();
        return Err(failed(format!(
            "{version:?} is no version; 1 to {MAX_VERSION} letters, digits and . - _ are"
        )));
    }
    Ok(())
}

/// Reads the owner's file.
pub(super) fn read(file: &Path) -> Result<Bytes, BackendError> {
    let said = |e: std::io::Error| failed(format!("can't read {}: {e}", file.display()));
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(said)?;
    // A file may grow while it is read, and a pipe has no size.
    opened.take(MAX_IMAGE + 1).read_to_end(&mut bytes).map_err(said)?;
    match bytes.len() as u64 {
        0 => Err(failed(format!("{} is empty", file.display()))),
        n if n > MAX_IMAGE => Err(failed(format!("{} has more than {MAX_IMAGE} bytes", file.display()))),
        _ => Ok(bytes.into()),
    }
}

impl Files {
    /// The files of this data directory. Nothing is made yet.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(FOLDER), loaded: Mutex::default() }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{sha256}.bin"))
    }

    /// Keeps an image. Returns its digest.
    pub(super) fn keep(&self, bytes: &Bytes) -> Result<String, BackendError> {
        let mut make = DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(&self.dir).map_err(|e| failed(format!("can't make {}: {e}", self.dir.display())))?;
        let sha256 = sha256_text(bytes);
        replace_file(&self.path(&sha256), bytes).map_err(|e| {
            let cause = std::error::Error::source(&e).map(|c| format!(": {c}")).unwrap_or_default();
            failed(format!("{e}{cause}"))
        })?;
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.clone(), bytes.clone());
        Ok(sha256)
    }

    /// The bytes of an approved image; none, and a warning, when the file is gone or was changed.
    pub(super) fn load(&self, image: &Image) -> Option<Bytes> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = loaded.get(&image.sha256) {
            return Some(bytes.clone());
        }
        // The name comes from a file: it may lead nowhere else.
        let named = image.sha256.len() == 64 && image.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes = named.then(|| read(&self.path(&image.sha256)));
        match bytes {
            Some(Ok(bytes)) if sha256_text(&bytes) == image.sha256 => {
                loaded.insert(image.sha256.clone(), bytes.clone());
                Some(bytes)
            }
            Some(Err(e)) => {
                tracing::warn!("the approved image {} is not offered: {e}", image.version);
                None
            }
            Some(Ok(_)) | None => {
                tracing::warn!("the approved image {} is not offered: its file was changed", image.version);
                None
            }
        }
    }

    /// Forgets, and takes away, what no approval names any more.
    pub(super) fn drop_unused(&self, sha256: &str, in_use: bool) {
        if in_use {
            return;
        }
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).remove(sha256);
        let path = self.path(sha256);
        if let Err(e) = fs::remove_file(&path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("can't remove {}: {e}", path.display());
        }
    }
}
