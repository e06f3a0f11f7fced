//! Entity tags (RFC 9110 8.8.3): who has a thing already is not sent it again, and who changes a thing can say which one.
//!
//! All are strong: the same tag, the same bytes. What goes out compressed has other bytes, so its tag gets an ending of its
//! own ([`compressed`]), and both are taken when they come back.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Between the parts of a tag that has two.
const PART: char = '.';
/// What the tags of compressed answers end in.
const GZIP: &str = "-gzip";

/// The tag of what is there now, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self(format!("{:016x}", hasher.finish()))
    }

    /// Of something in two parts: what a client changes, and the whole as it is sent. A change is meant for the first part
    /// alone ([`is_meant`](Self::is_meant)); what a device reports every second shall not be in its way.
    pub(super) fn of_parts(changed: &[u8], whole: &[u8]) -> Self {
        Self(format!("{}{PART}{}", Self::of(changed).0, Self::of(whole).0))
    }

    /// Of bytes with this digest.
    pub(super) fn of_digest(digest: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(32);
        for byte in &digest[..16] {
            // Writing into a String never fails.
            let _never = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Puts it on an answer.
    pub(super) fn put(&self, response: &mut Response) {
        put(response, &format!("\"{}\"", self.0));
    }

    /// `304 Not Modified`, when the client says that it has this already. It carries the tag that the client has.
    pub(super) fn known_to(&self, headers: &HeaderMap) -> Option<Response> {
        let known = listed(headers, &header::IF_NONE_MATCH)
            .find(|v| *v == "*" || self.is(v.strip_prefix("W/").unwrap_or(v)))?;
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        if known == "*" {
            self.put(&mut response);
        } else {
            put(&mut response, known.strip_prefix("W/").unwrap_or(known));
        }
        Some(response)
    }

    /// Whether a change is meant for this: `If-Match` names it or its first part, or is missing.
    pub(super) fn is_meant(&self, headers: &HeaderMap) -> bool {
        let first = |tag: &str| tag.split(PART).next().unwrap_or_default().to_owned();
        let same = |v: &str| bare(v).is_some_and(|v| first(v) == first(&self.0));
        !headers.contains_key(header::IF_MATCH)
            || listed(headers, &header::IF_MATCH).any(|v| v == "*" || same(v))
    }

    fn is(&self, quoted: &str) -> bool {
        bare(quoted) == Some(self.0.as_str())
    }
}

/// A tag without its quotes and without the mark of compression.
fn bare(quoted: &str) -> Option<&str> {
    let tag = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(tag.strip_suffix(GZIP).unwrap_or(tag))
}

fn put(response: &mut Response, quoted: &str) {
    // Hexadecimal digits, or what came in a header.
    if let Ok(value) = HeaderValue::from_str(quoted) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim)
}

/// Marks the tag of an answer that was compressed on its way out.
pub(super) fn compressed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONTENT_ENCODING) {
        return;
    }
    let tag = headers.get(header::ETAG).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_suffix('"'));
    if let Some(Ok(marked)) = tag.map(|t| HeaderValue::from_str(&format!("{t}{GZIP}\""))) {
        headers.insert(header::ETAG, marked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_tag_is_known_in_each_encoding_and_meant_only_when_strong() {
        let tag = Tag::of(b"a device");
        let (plain, gzip) = (format!("\"{}\"", tag.0), format!("\"{}-gzip\"", tag.0));
        let weak = format!("W/{plain}");
        for value in [plain.as_str(), &gzip, &weak, "*", &format!("\"other\", {gzip}")] {
            let told = tag.known_to(&headers(header::IF_NONE_MATCH, value)).unwrap();
            assert_eq!(told.status(), StatusCode::NOT_MODIFIED);
            let sent = told.headers()[header::ETAG].to_str().unwrap();
            assert_eq!(sent, if value.contains("gzip") { &gzip } else { &plain }, "{value}");
        }
        for value in ["\"other\"", "", &tag.0, "\"", "\"-gzip\""] {
            assert!(tag.known_to(&headers(header::IF_NONE_MATCH, value)).is_none(), "{value}");
            assert!(!tag.is_meant(&headers(header::IF_MATCH, value)), "{value}");
        }
        for value in [plain.as_str(), &gzip, "*", &format!("\"other\",{plain}")] {
            assert!(tag.is_meant(&headers(header::IF_MATCH, value)), "{value}");
        }
        assert!(!tag.is_meant(&headers(header::IF_MATCH, &weak)), "a weak tag says nothing of bytes");
        assert!(tag.is_meant(&HeaderMap::new()) && tag.known_to(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_change_is_meant_for_what_it_changes_whatever_was_reported_since() {
        let (before, after) = (Tag::of_parts(b"name", b"name, 99 W"), Tag::of_parts(b"name", b"name, 98 W"));
        let seen = headers(header::IF_MATCH, &format!("\"{}-gzip\"", before.0));
        assert!(after.is_meant(&seen) && !Tag::of_parts(b"other", b"name, 99 W").is_meant(&seen));
        assert!(after.known_to(&headers(header::IF_NONE_MATCH, &format!("\"{}\"", before.0))).is_none());
    }

    #[test]
    fn compressed_answers_have_a_tag_of_their_own() {
        let mut all = headers(header::ETAG, "\"ab\"");
        compressed(&mut all);
        assert_eq!(all[header::ETAG], "\"ab\"");
        all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        compressed(&mut all);
        assert_eq!(all[header::ETAG], "\"ab-gzip\"");
    }
}
