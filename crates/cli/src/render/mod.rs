//! How things look: tables and words for people, JSON for programs.

pub(crate) mod change;
pub(crate) mod device;
pub(crate) mod points;
pub(crate) mod progress;
mod table;

pub(crate) use table::Table;

/// Whether colours may be used on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// A terminal that wants colours.
    pub(crate) colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    /// Errors.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }
    /// Doubts.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// Good news.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// Headings.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    /// Asides.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Text from a device or a file, fit for a terminal: no control characters, bounded.
pub(crate) fn clean(text: &str) -> String {
    const MAX: usize = 400;
    let mut out = String::with_capacity(text.len().min(MAX));
    for (i, c) in text.chars().enumerate() {
        if i == MAX {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A count with its noun: `1 device`, `2 devices`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_controls_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), 401);
    }
}
