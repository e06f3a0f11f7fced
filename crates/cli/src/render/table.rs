//! Plain tables: columns apart by spaces, no lines, so that they are pleasant to read and easy to cut.

use comfy_table::{Attribute, Cell, ContentArrangement, presets};

use super::{Style, clean};

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(style: Style, headings: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(presets::NOTHING);
        // Never wrapped: a line stays a line for other programs.
        inner.set_content_arrangement(ContentArrangement::Disabled);
        if style.colour {
            inner.enforce_styling();
        } else {
            inner.force_no_tty();
        }
        inner.set_header(headings.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        for column in inner.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { inner }
    }

    /// Adds a row.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.inner.add_row(cells.into_iter().map(|c| Cell::new(clean(c.as_ref()))));
    }

    /// The lines, without spaces at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.inner.lines().map(|l| l.trim_end().to_owned()).collect()
    }

    /// The text, with a line end.
    pub(crate) fn text(&self) -> String {
        let mut text = self.lines().join("\n");
        text.push('\n');
        text
    }
}
