//! Takes fields out of a TOML table one by one, so that every error names entry and field, and no field is unknown.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use toml::{Table, Value};

use super::HomeError;

/// A table that is being read.
pub(super) struct Reader<'a> {
    file: &'a Path,
    entry: String,
    /// `habits.` inside `[device.habits]`.
    prefix: &'static str,
    table: Table,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, entry: String, table: Table) -> Self {
        Self { file, entry, prefix: "", table, known: Vec::new() }
    }

    pub(super) fn entry(&self) -> &str {
        &self.entry
    }

    /// From now on errors speak of this entry.
    pub(super) fn call_it(&mut self, entry: String) {
        self.entry = entry;
    }

    pub(super) fn error(&self, field: &str, problem: impl Into<String>) -> HomeError {
        HomeError::Field {
            file: self.file.to_owned(),
            entry: self.entry.clone(),
            field: format!("{}{field}", self.prefix),
            problem: problem.into(),
        }
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.table.remove(field)
    }

    fn wrong(&self, field: &str, want: &str, have: &Value) -> HomeError {
        self.error(field, format!("takes {want}, not the {} {}", have.type_str(), shown(have)))
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<Option<String>, HomeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, "a text", &other)),
        }
    }

    pub(super) fn secret(&mut self, field: &'static str) -> Result<Option<String>, HomeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(field, format!("takes a text, not a {}", other.type_str()))),
        }
    }

    /// A text that stands for something else.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        field: &'static str,
    ) -> Result<Option<T>, HomeError> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e: T::Err| self.error(field, e.to_string())),
        }
    }

    /// One of a list of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        field: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, HomeError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*value));
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Err(self.error(field, unknown_word(&text, &list)))
    }

    pub(super) fn number(
        &mut self,
        field: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, HomeError> {
        let want = || format!("a whole number from {} to {}", range.start(), range.end());
        match self.take(field) {
            None => Ok(None),
            Some(Value::Integer(n)) => match u64::try_from(n) {
                Ok(n) if range.contains(&n) => Ok(Some(n)),
                _ => Err(self.error(field, format!("takes {}, not {n}", want()))),
            },
            Some(other) => Err(self.wrong(field, &want(), &other)),
        }
    }

    /// A chance.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn chance(&mut self, field: &'static str) -> Result<Option<f64>, HomeError> {
        let want = "a chance from 0.0 to 1.0";
        let p = match self.take(field) {
            None => return Ok(None),
            Some(Value::Float(p)) => p,
            Some(Value::Integer(n)) => n as f64,
            Some(other) => return Err(self.wrong(field, want, &other)),
        };
        if (0.0..=1.0).contains(&p) {
            Ok(Some(p))
        } else {
            Err(self.error(field, format!("takes {want}, not {p}")))
        }
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, HomeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Boolean(b)) => Ok(Some(b)),
            Some(other) => Err(self.wrong(field, "true or false", &other)),
        }
    }

    /// A sub-table. `prefix` is its name with a dot, for errors.
    pub(super) fn table(
        &mut self,
        field: &'static str,
        prefix: &'static str,
    ) -> Result<Option<Self>, HomeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Table(table)) => {
                Ok(Some(Self { prefix, ..Self::new(self.file, self.entry.clone(), table) }))
            }
            Some(other) => Err(self.wrong(field, "a table", &other)),
        }
    }

    /// A list of tables, each called `name` and its number, from 1.
    pub(super) fn tables(&mut self, field: &'static str, name: &str) -> Result<Vec<Self>, HomeError> {
        let list = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(other) => {
                return Err(
                    self.error(field, format!("is a list: write [[{field}]], not a {}", other.type_str()))
                );
            }
        };
        let mut readers = Vec::with_capacity(list.len());
        for (i, value) in list.into_iter().enumerate() {
            match value {
                Value::Table(table) => readers.push(Self::new(self.file, format!("{name}{}", i + 1), table)),
                other => return Err(self.wrong(field, "tables", &other)),
            }
        }
        Ok(readers)
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), HomeError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(field) => {
                Err(self.error(field, format!("unknown field; {}", suggestion(field, &self.known))))
            }
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Table(_) => "...".to_owned(),
        other => other.to_string().chars().take(60).collect(),
    }
}

pub(super) fn unknown_word(text: &str, words: &[&str]) -> String {
    let text: String = text.chars().take(60).collect();
    format!("unknown word {text:?}; {}", suggestion(&text, words))
}

/// `did you mean "x"?` or the whole list.
fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (distance(word, k), *k)).min();
    match near {
        Some((d, k)) if d <= 2.max(word.len() / 3) => format!("did you mean {k:?}?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// Edit distance (Levenshtein), for words of a few characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kind", "kind"), 0);
        assert_eq!(distance("knid", "kind"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(suggestion("versoin", &["name", "version"]), "did you mean \"version\"?");
        assert_eq!(suggestion("zzzzzz", &["name", "version"]), "known are name, version");
    }
}
