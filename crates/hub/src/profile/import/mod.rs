//! What other programs and the vendor write of points: Tuya's thing model and specifications, tinytuya's `mapping`,
//! activation schemas, tuya-local's device files, and our own TOML.

mod json;
pub(crate) mod tuya_local;

use landfall_cloud::book_backend::profiles;

use super::Source;
use super::layer::Layer;

/// Longest text that is read as a definition, in bytes.
pub(crate) const MAX_TEXT: usize = 1024 * 1024;

/// Reads a definition that the owner gave, in whatever form it is. The error says what is wrong and where.
pub(crate) fn read(file: &str, text: &str) -> Result<Layer, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("{file}: {} bytes are more than the {MAX_TEXT} of any definition", text.len()));
    }
    let start = text.trim_start().trim_start_matches('\u{feff}');
    if start.starts_with('{') || looks_like_list(start) {
        return json::read(start).map_err(|e| format!("{file}: {e}"));
    }
    if is_yaml(start) {
        return tuya_local::read(file, start).map(|read| read.layer);
    }
    let parsed = profiles::parse(file, text).map_err(|e| e.to_string())?;
    Layer::of_file(Source::Owner, &parsed).map_err(|e| format!("{file}: {e}"))
}

/// A device file of tuya-local has its list of entities; TOML has no such line.
fn is_yaml(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "entities:")
}

/// A list in JSON, and not a table of TOML, which begins with the same bracket.
fn looks_like_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['{', ']']))
}

#[cfg(test)]
mod tests;
