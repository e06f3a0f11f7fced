//! Where the socket is. A path in a socket's address has room for about a hundred bytes only, which a data directory
//! may exceed: then the directory is opened and the socket named beside that handle.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What every system takes, its closing NUL included.
const MAX_PATH: usize = 100;

/// A path that fits into a socket's address. The handle must live as long as the path is used.
pub(super) fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    use std::os::fd::AsRawFd as _;
    if path.as_os_str().len() < MAX_PATH {
        return Ok((path.to_owned(), None));
    }
    let too_long = || io::Error::new(io::ErrorKind::InvalidFilename, "the path is too long for a socket");
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Err(too_long()) };
    if !cfg!(target_os = "linux") {
        return Err(too_long());
    }
    let dir = File::open(dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((short, Some(dir)))
}
