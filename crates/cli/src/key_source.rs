//! Where a local key comes from: a file, standard input, the environment. Never an argument.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use landfall_proto::id::LocalKey;

use crate::failure::Failure;

/// The variable that may hold a key.
pub(crate) const VARIABLE: &str = "LANDFALL_LOCAL_KEY";
/// A key has 16 bytes; more than this is not a file with a key.
const MAX: u64 = 1024;

/// Reads a key; `None` when no source was named.
///
/// # Errors
/// Unreadable, or not a key. The message never holds the text.
pub(crate) fn read(file: Option<&Path>, stdin: bool) -> Result<Option<LocalKey>, Failure> {
    let (text, from) = if let Some(path) = file {
        let open = File::open(path).with_context(|| format!("can't read the key file {}", path.display()));
        let file = open
            .map_err(|error| Failure::with_hint(error, "name a file that holds the key and nothing else"))?;
        (bounded(file)?, path.display().to_string())
    } else if stdin {
        (bounded(io::stdin().lock())?, "standard input".to_owned())
    } else {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => (text.into_bytes(), VARIABLE.to_owned()),
            Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::Request {
                    error: anyhow!("{VARIABLE} holds no text"),
                    hint: Some(HINT.to_owned()),
                });
            }
        }
    };
    // A line end belongs to the file, a space may belong to the key.
    let key = text.strip_suffix(b"\n").unwrap_or(&text);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    match LocalKey::new(key) {
        Ok(key) => Ok(Some(key)),
        Err(e) => {
            Err(Failure::with_hint(anyhow::Error::new(e).context(format!("{from} holds no local key")), HINT))
        }
    }
}

const HINT: &str = "a local key is 16 characters; copy it again, all of it, without quotes around it";

fn bounded(source: impl Read) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    source.take(MAX).read_to_end(&mut text)?;
    Ok(text)
}
