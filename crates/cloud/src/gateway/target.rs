//! Request targets as devices write them.
//!
//! Devices put JSON into the target as it is: `other={"token":"00000000","region":"US"}` (cloud.md 2.1). Hyper takes
//! braces, but refuses quotes, blanks and angle brackets and cuts a target at `#`. So what it would not take is escaped
//! before hyper reads it, and unescaped afterwards. `%` itself is escaped too, which makes the way back exact:
//! signatures are taken over the characters of the wire.

/// What opens the rest of a request line after the target.
const VERSION: &[u8] = b" HTTP/";

/// Whether hyper takes this byte in a target, and we read it unescaped.
const fn plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'#' | b'%' | b'<' | b'>')
}

/// A request line with its target escaped. The target reaches from the first blank to the last `HTTP/`, whatever blanks
/// it holds itself. A line of another form comes back as it is: hyper says no to it.
pub(super) fn escape(line: &[u8]) -> Vec<u8> {
    let target = line.iter().position(|b| *b == b' ').map(|at| at + 1).and_then(|from| {
        let to = line.windows(VERSION.len()).rposition(|w| w == VERSION)?;
        (from < to).then_some((from, to))
    });
    let Some((from, to)) = target else { return line.to_vec() };
    let (before, rest) = line.split_at(from);
    let (target, after) = rest.split_at(to - from);
    let mut escaped = Vec::with_capacity(line.len() + 32);
    escaped.extend_from_slice(before);
    for byte in target {
        // Control characters are left to hyper's refusal.
        if plain(*byte) || byte.is_ascii_control() {
            escaped.push(*byte);
        } else {
            escaped.push(b'%');
            escaped.extend([byte >> 4, byte & 15].map(hex_digit));
        }
    }
    escaped.extend_from_slice(after);
    escaped
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

/// The target as it stood on the wire. What is no UTF-8 there is replaced: no real device sends it, and its signature
/// will not fit.
pub(super) fn unescape(target: &str) -> String {
    let mut bytes = Vec::with_capacity(target.len());
    let mut rest = target.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
        match digits {
            [Some(high), Some(low)] => bytes.extend(u8::try_from(high << 4 | low)),
            // Only `escape` writes `%`, always with two digits.
            _ => bytes.push(b'%'),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(target: &str) -> String {
        let line = escape(format!("POST {target} HTTP/1.1\r\n").as_bytes());
        let line = String::from_utf8(line).unwrap();
        let escaped = line.strip_prefix("POST ").unwrap().strip_suffix(" HTTP/1.1\r\n").unwrap();
        assert!(escaped.bytes().all(|b| b == b'%' || plain(b)), "{escaped}");
        unescape(escaped)
    }

    #[test]
    fn targets_come_through_as_they_were() {
        for target in [
            "/gw.json?a=s.gw.token.get&other={\"token\":\"00000000\",\"region\":\"US\"}&t=7&sign=00",
            "/d.json?a=x&other={\"ssid\": \"my net <5> #1\"}",
            "/d.json?a=x&other=%7B%22token%22%3A1%7D&p=100%",
            "/d.json?a=x&other={\"netName\":\"Büro\"}",
            "http://a.tuyaus.com/gw.json?a=x HTTP/1.1&b=\"",
        ] {
            assert_eq!(round(target), target);
        }
    }

    #[test]
    fn lines_of_another_form_are_left_alone() {
        for line in ["", "\r\n", "GET\r\n", "GET /\r\n", "GET /a\"b\r\n", "\u{0} HTTP/", " HTTP/1.1\r\n"] {
            assert_eq!(escape(line.as_bytes()), line.as_bytes(), "{line:?}");
        }
        assert_eq!(unescape("%"), "%");
        assert_eq!(unescape("%zz"), "%");
    }
}
