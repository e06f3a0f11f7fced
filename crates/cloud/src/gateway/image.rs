//! Downloads of firmware (cloud.md 5.4). Their URL holds a token that nobody guesses; the images are those that the
//! owner approved.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use landfall_proto::gateway::firmware;

use super::Ask;
use super::answer::{Answer, BINARY};
use crate::backend::{ApprovedImage, Registration};
use crate::shared::Shared;

/// What comes before the token in the path of an image.
pub const PATH: &str = "/firmware/";
/// What comes after it: some devices want a name with an ending.
const ENDING: &str = ".bin";

/// The path of an image.
pub fn path(token: &str) -> String {
    format!("{PATH}{token}{ENDING}")
}

/// The image whose URL this is, by its token; scheme, host and port are not looked at. For downloads by calls over MQTT
/// (cloud.md 2.9), which name the URL that was offered.
pub fn by_url(shared: &Shared, url: &str) -> Option<Arc<ApprovedImage>> {
    let (_, token) = url.split_once(PATH)?;
    shared.backend.image_by_token(token.strip_suffix(ENDING).unwrap_or(token))
}

/// Bytes of an image for a call over MQTT: `range` as in HTTP, without one all of it. `None`: no such image, or nothing
/// in that range. Only the image that is approved for this very device is given.
pub fn piece(shared: &Shared, device: &Registration, url: &str, range: Option<&str>) -> Option<Bytes> {
    let image = by_url(shared, url)?;
    let approved = shared.backend.image(&device.id, image.kind)?;
    if approved.token != image.token {
        return None;
    }
    let size = image.bytes.len() as u64;
    match range {
        None => Some(image.bytes.clone()),
        Some(range) => firmware::range(range, size).and_then(|(from, to)| cut(&image.bytes, from, to)),
    }
}

/// Bytes from and to, both included.
fn cut(bytes: &Bytes, from: u64, to: u64) -> Option<Bytes> {
    let (from, end) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?.checked_add(1)?);
    (from < end && end <= bytes.len()).then(|| bytes.slice(from..end))
}

/// Answers a download: 206 where a range is asked for that can be, with exactly its bytes; 416 where it starts behind
/// the end; else the whole file.
pub(super) fn answer(ask: &Ask<'_>, token: &str, range: Option<&HeaderValue>) -> Answer {
    let token = token.split('?').next().unwrap_or("");
    let token = token.strip_suffix(ENDING).unwrap_or(token);
    let Some(image) = ask.shared.backend.image_by_token(token).filter(|_| !token.is_empty()) else {
        return Answer::status(StatusCode::NOT_FOUND);
    };
    let size = image.bytes.len() as u64;
    let range = range.and_then(|r| r.to_str().ok());
    let part = range.and_then(|r| firmware::range(r, size));
    tracing::debug!(peer = %ask.link.peer, version = image.version, size, ?part, "firmware download");
    match (range, part) {
        (_, Some((from, to))) => match cut(&image.bytes, from, to) {
            Some(bytes) => Answer {
                status: StatusCode::PARTIAL_CONTENT,
                range: Some((from, to, size)),
                ..Answer::ok(BINARY, bytes)
            },
            None => Answer::status(StatusCode::INTERNAL_SERVER_ERROR),
        },
        (Some(range), None) if starts_behind(range, size) => Answer {
            // From after to: "bytes */size".
            range: Some((1, 0, size)),
            ..Answer::status(StatusCode::RANGE_NOT_SATISFIABLE)
        },
        _ => Answer::ok(BINARY, image.bytes.clone()),
    }
}

/// Whether a range can be read, and begins where the file has ended: a device that has it all asks so.
fn starts_behind(range: &str, size: u64) -> bool {
    let from = range.trim().strip_prefix("bytes=").and_then(|r| r.split('-').next());
    from.and_then(|from| from.trim().parse::<u64>().ok()).is_some_and(|from| from >= size)
}
