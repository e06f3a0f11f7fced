//! Lines that are redrawn in place on a terminal.

use crate::failure::Outcome;
use crate::out;
use crate::render::Style;

/// What stands on the terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    style: Style,
    /// Lines drawn so far; the cursor stands below them.
    drawn: usize,
}

impl Screen {
    /// Nothing drawn yet.
    pub(crate) const fn new(style: Style) -> Self {
        Self { style, drawn: 0 }
    }

    /// Draws the lines over those of before. The first is a heading. Lines and columns that don't fit are left out.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(crate) fn draw(&mut self, lines: &[String]) -> Outcome {
        let (width, height) = terminal_size::terminal_size()
            .map_or((80, 24), |(w, h)| (usize::from(w.0).max(20), usize::from(h.0).max(3)));
        out::data(&self.frame(lines, width, height))
    }

    fn frame(&mut self, lines: &[String], width: usize, height: usize) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A\r", self.drawn));
        }
        // A line below stays free for the cursor: drawing on it would scroll.
        let fit = lines.len().min(height - 1);
        for (i, line) in lines.iter().take(fit).enumerate() {
            let cut: String = if i + 1 == fit && fit < lines.len() {
                format!("... {} more lines", lines.len() - fit + 1)
            } else {
                line.chars().take(width - 1).collect()
            };
            text.push_str(&if i == 0 { self.style.bold(&cut) } else { cut });
            // Clear what an older, longer line left.
            text.push_str("\u{1b}[K\n");
        }
        text.push_str("\u{1b}[J");
        self.drawn = fit;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_in_place_and_cut_to_size() {
        let mut s = Screen::new(Style { colour: false });
        let lines: Vec<String> = ["head", "a long line that does not fit", "c"].map(String::from).into();
        assert_eq!(s.frame(&lines, 12, 24), "head\u{1b}[K\na long line\u{1b}[K\nc\u{1b}[K\n\u{1b}[J");
        let again = s.frame(&lines[..1], 80, 24);
        assert!(again.starts_with("\u{1b}[3A\rhead\u{1b}[K\n\u{1b}[J"), "{again:?}");
        let small = s.frame(&lines, 80, 3);
        assert!(small.contains("... 2 more lines") && small.starts_with("\u{1b}[1A"), "{small:?}");
    }
}
