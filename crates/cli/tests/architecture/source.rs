//! Rust source as a list of words and signs, without comments and literals, so that a rule can't be set off by prose.

/// One identifier, path separator or sign, with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The text: an identifier, `::`, or one character.
    pub(crate) text: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
}

/// Cuts `source` into tokens. Comments, strings and character literals are left out; lifetimes too.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut line = 1;
    let mut i = 0;
    while i < chars.len() {
        let end = match at(i) {
            '/' if at(i + 1) == '/' => end_of_line(&chars, i),
            '/' if at(i + 1) == '*' => end_of_block_comment(&chars, i),
            '"' => end_of_string(&chars, i),
            'b' | 'c' if at(i + 1) == '"' => end_of_string(&chars, i + 1),
            'b' if at(i + 1) == '\'' => end_of_quote(&chars, i + 1),
            '\'' => end_of_quote(&chars, i),
            c if c == '_' || c.is_alphabetic() => {
                if let Some(end) = end_of_raw_string(&chars, i) {
                    end
                } else {
                    let raw = if at(i) == 'r' && at(i + 1) == '#' { 2 } else { 0 };
                    let mut end = i + raw;
                    while at(end) == '_' || at(end).is_alphanumeric() {
                        end += 1;
                    }
                    found.push(Token { text: chars[i + raw..end].iter().collect(), line });
                    end
                }
            }
            c if c.is_ascii_digit() => {
                let mut end = i;
                while at(end) == '_' || at(end).is_alphanumeric() {
                    end += 1;
                }
                end
            }
            ':' if at(i + 1) == ':' => {
                found.push(Token { text: "::".into(), line });
                i + 2
            }
            c => {
                if !c.is_whitespace() {
                    found.push(Token { text: c.into(), line });
                }
                i + 1
            }
        };
        let end = end.min(chars.len()).max(i + 1);
        line += chars[i..end].iter().filter(|&&c| c == '\n').count();
        i = end;
    }
    found
}

fn end_of_line(chars: &[char], start: usize) -> usize {
    (start..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut i = start;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

/// `start` is at the opening double quote.
fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `start` is at an apostrophe: a character literal, or a lifetime (then only the apostrophe and its name go).
fn end_of_quote(chars: &[char], start: usize) -> usize {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    if at(start + 1) == '\\' {
        let mut i = start + 3;
        while i < chars.len() && at(i) != '\'' {
            i += 1;
        }
        return i + 1;
    }
    if at(start + 2) == '\'' {
        return start + 3;
    }
    let mut i = start + 1;
    while at(i) == '_' || at(i).is_alphanumeric() {
        i += 1;
    }
    i
}

/// The end of `r"..."`, `r#"..."#`, `br"..."` and the like, if one starts here.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = start;
    if matches!(at(i), 'b' | 'c') {
        i += 1;
    }
    if at(i) != 'r' {
        return None;
    }
    i += 1;
    let first_hash = i;
    while at(i) == '#' {
        i += 1;
    }
    let hashes = i - first_hash;
    if at(i) != '"' {
        return None;
    }
    i += 1;
    while i < chars.len() {
        if chars[i] == '"' && (0..hashes).all(|n| at(i + 1 + n) == '#') {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn prose_and_literals_are_no_tokens() {
        let source = r##"
            // unsafe in a line comment
            /* unsafe /* nested unsafe */ unsafe */
            let a = "unsafe \" unsafe"; let b = r#"unsafe " unsafe"#; let c = b"unsafe"; let d = br"unsafe";
            let e = 'u'; let f = '\''; let g = b'\''; let h = '\u{75}'; let i = c"unsafe";
        "##;
        assert!(!words(source).contains(&"unsafe".to_owned()), "{:?}", words(source));
        assert_eq!(words(source).iter().filter(|w| *w == "let").count(), 9);
    }

    #[test]
    fn code_after_a_lifetime_or_a_literal_is_seen() {
        assert_eq!(words("fn f<'a>(x: &'a str) { unsafe }").last().unwrap(), "}");
        assert!(words("fn f<'a>(x: &'a str) { unsafe }").contains(&"unsafe".into()));
        assert!(words("let c = 'x'; unsafe").contains(&"unsafe".into()));
        assert!(words("let r#type = br_name; unsafe").contains(&"unsafe".into()));
        assert!(words("let n = 0xff_u8; unsafe").contains(&"unsafe".into()));
    }

    #[test]
    fn paths_and_lines_survive() {
        let found = tokens("use std::time;\n\"a\nb\"\nfoo");
        assert_eq!(found[1].text, "std");
        assert_eq!(found[2].text, "::");
        assert_eq!(found.last().unwrap(), &Token { text: "foo".into(), line: 4 });
    }
}
