//! Random secrets, and files that only the owner may read.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use landfall_book::digest::SALT;

/// As many random bytes as hexadecimal digits, twice as many.
pub(super) fn random_hex<const N: usize>() -> Result<String, getrandom::Error> {
    use std::fmt::Write as _;
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(N * 2);
    for byte in bytes {
        // Writing into a String never fails.
        let _never = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A salt for a digest.
pub(super) fn salt() -> Result<[u8; SALT], getrandom::Error> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

/// Puts a file that only the owner may read in place of an old one, whole or not at all.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // What a crash left behind may have other permissions.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
