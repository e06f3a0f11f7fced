//! Small changes beside the book: each is one line at the end of a file, in place of the whole book anew.
//!
//! The file has its full length from the beginning, filled with zeros: a line that lies within it costs the disk one write,
//! where a file that grows costs several.
//!
//! A line is the CRC-32 of the rest in eight hexadecimal digits, a space, and JSON. The first line has the log's number,
//! which the book that it belongs to has, too; every other is an [`Amendment`] of the book and the lines before. A line is
//! on disk before anybody acts on it, so that what a power cut leaves of the last one was promised to nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use landfall_proto::crypto::crc32;
use serde::{Deserialize, Serialize};

use crate::amendment::Amendment;

/// The file in the data directory.
pub const LOG_NAME: &str = "book.log";
/// Length of the file. When it is full, the changes are put into the book.
pub(crate) const SIZE: u64 = 512 << 10;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    log: u64,
}

/// What a log holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Content {
    /// In the order in which they were made.
    pub(crate) amendments: Vec<Amendment>,
    /// Nothing is missing: another line may follow.
    pub(crate) whole: bool,
    /// Bytes in use.
    pub(crate) end: u64,
}

/// Something other than a line, with lines behind it: no power cut leaves that.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which line, counted from 1.
    pub(crate) line: usize,
}

fn line(what: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    // The place of the checksum, which is known afterwards.
    let mut line = b"00000000 ".to_vec();
    serde_json::to_writer(&mut line, what)?;
    let sum = format!("{:08x}", crc32(&line[9..]));
    line[..8].copy_from_slice(sum.as_bytes());
    line.push(b'\n');
    Ok(line)
}

/// The line of an amendment.
pub(crate) fn line_of(amendment: &Amendment) -> Result<Vec<u8>, serde_json::Error> {
    line(amendment)
}

/// The JSON of a line without its end, if it is what was written.
fn json(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32(json)).then_some(json)
}

/// Without the zeros behind the last line.
pub(crate) fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    &text[..end]
}

/// What a log of another book says: nothing, and nothing follows unless it grows.
fn foreign(text: &[u8]) -> Content {
    Content { end: text.len() as u64, ..Content::default() }
}

/// Reads the log of the book that has this number. A log with another number belongs to another book, and says nothing.
pub(crate) fn read(text: &[u8], number: u64) -> Result<Content, Broken> {
    let text = trimmed(text);
    let mut content = Content { amendments: Vec::new(), whole: true, end: text.len() as u64 };
    let mut lines = text.split_inclusive(|b| *b == b'\n').enumerate().peekable();
    let mut ours = false;
    while let Some((at, line)) = lines.next() {
        let whole = line.strip_suffix(b"\n").and_then(json);
        let understood = match whole {
            Some(json) if at == 0 => serde_json::from_slice(json).ok().map(|head: Head| {
                ours = head.log == number;
            }),
            Some(json) => serde_json::from_slice(json).ok().map(|amendment| {
                content.amendments.push(amendment);
            }),
            None => None,
        };
        match understood {
            Some(()) if !ours => return Ok(foreign(text)),
            Some(()) => {}
            None if whole.is_none() && lines.peek().is_none() => content.whole = false,
            None => return Err(Broken { line: at + 1 }),
        }
    }
    content.whole &= ours;
    Ok(content)
}

/// Makes an empty log in the place of one that no book needs any more. Returns the bytes in use.
pub(crate) fn create(path: &Path, number: u64) -> io::Result<u64> {
    remove(path)?;
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    open.mode(0o600);
    let mut file = open.open(path)?;
    let mut text = line(&Head { log: number })?;
    let end = text.len() as u64;
    text.resize(SIZE as usize, 0);
    file.write_all(&text)?;
    file.sync_all()?;
    // Its name must survive a power cut, too.
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    Ok(end)
}

/// Takes the log away, if there is one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whether a log of which this many bytes were in use has more of them now.
pub(crate) fn goes_on(path: &Path, end: u64) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(end != 0),
        Err(e) => return Err(e),
    };
    // What a line begins with has no zeros; of a longer one at least that much was written, or it is torn.
    let mut next = [0; 16];
    file.seek(SeekFrom::Start(end))?;
    let read = file.read(&mut next)?;
    Ok(next[..read].iter().any(|b| *b != 0))
}

/// Adds a line behind these bytes. On return it is on disk; on an error the log is what it was.
pub(crate) fn append(path: &Path, end: u64, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut put = |bytes: &[u8]| {
        file.seek(SeekFrom::Start(end))?;
        file.write_all(bytes)?;
        file.sync_data()
    };
    put(line).inspect_err(|_| {
        // What stays in spite of this is a torn line, or a change that nobody was told of.
        if let Err(e) = put(&vec![0; line.len()]) {
            tracing::warn!("{} may end in half a change: {e}", path.display());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize) -> Vec<u8> {
        let mut text = line(&Head { log: 7 }).unwrap();
        for _ in 0..lines {
            text.extend(line_of(&Amendment::default()).unwrap());
        }
        text
    }

    #[test]
    fn a_log_cut_anywhere_keeps_its_whole_lines() {
        let text = log(3);
        let ends: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'\n').map(|at| at + 1).collect();
        for cut in 0..=text.len() {
            let read = read(&text[..cut], 7).unwrap();
            let lines = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(read.amendments.len(), lines.saturating_sub(1), "cut at {cut}");
            assert_eq!(read.whole, ends.contains(&cut), "cut at {cut}");
            assert_eq!(read.end, cut as u64);
            // A file system may give zeros for what was not written, and the log has them from the beginning.
            let mut zeros = text[..cut].to_vec();
            zeros.resize(4_096, 0);
            assert_eq!(super::read(&zeros, 7), Ok(read), "cut at {cut}");
        }
    }

    #[test]
    fn a_log_of_another_book_says_nothing() {
        assert_eq!(read(&log(3), 8), Ok(foreign(&log(3))));
        // Not even that it is broken.
        let mut text = log(3);
        let last = text.len() - 3;
        text[last] ^= 1;
        assert_eq!(read(&text, 8), Ok(foreign(&text)));
    }

    #[test]
    fn damage_at_the_end_is_a_torn_line_and_damage_before_it_is_told() {
        let good = log(2);
        let second = good.iter().position(|b| *b == b'\n').unwrap() + 1;
        for at in 0..good.len() {
            let mut text = good.clone();
            text[at] = 0;
            let last = good.len() - (good.len() - second) / 2;
            match read(&text, 7) {
                // Without its end a line is part of the next.
                Ok(content) => assert!(at + 1 >= last && !content.whole && content.amendments.len() <= 1),
                Err(Broken { line }) => assert!(at < last && line <= 2, "{at}"),
            }
        }
    }
}
