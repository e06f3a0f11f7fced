//! The owner's own definition of a device, changed as a whole or in one point. What a change of one point does not touch stays
//! to the letter: other points, entities, comments, and how values are written.

use std::ops::Range;

use landfall_proto::dp::DpId;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::Definitions;
use crate::model::{DefinitionEdit, Problem, ProblemKind};

/// The text after a change, checked; `None` where nothing of it is left.
///
/// # Errors
/// It can't be read, and the words say where; it is in a form of which one point can't be changed.
pub(crate) fn edited(is: Option<&str>, edit: DefinitionEdit) -> Result<Option<String>, Problem> {
    let is = is.unwrap_or_default();
    let text = match edit {
        DefinitionEdit::Whole(text) => text,
        DefinitionEdit::Point { id, words: Some(words) } => with_point(is, id, &words)?,
        DefinitionEdit::Point { id, words: None } => without_point(is, id)?,
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    match Definitions::check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(e) => Err(Problem::new(ProblemKind::Asked, "definition.invalid", e.to_string()).hint(
            "a definition is a profile in TOML, Tuya's thing model, a mapping or an activation schema",
        )),
    }
}

fn other_form(what: &str) -> Problem {
    let text = format!("one point of the owner's definition can't be changed: {what}");
    Problem::new(ProblemKind::Conflict, "definition.other_form", text).hint(
        "read the definition with ?format=toml, edit it and give the whole back; or take the owner's away first",
    )
}

/// A field of a point as it stands in the text.
struct Field<'t> {
    word: String,
    key: Range<usize>,
    value: Range<usize>,
    is: DeValue<'t>,
}

/// A point as it stands in the text.
struct Row<'t> {
    /// Where its `[[point]]` begins.
    start: usize,
    fields: Vec<Field<'t>>,
}

impl Row<'_> {
    /// Where the line behind the last of these fields begins.
    fn end(&self, text: &str, counts: impl Fn(&Field<'_>) -> bool) -> usize {
        let ends = self.fields.iter().filter(|field| counts(field)).map(|field| field.value.end);
        next_line(text, ends.max().unwrap_or(self.start))
    }
}

/// The point with this number, if the text has it.
fn row(text: &str, id: DpId) -> Result<Option<Row<'_>>, Problem> {
    // What a device's owner gave may be the vendor's JSON or a file of tuya-local as well.
    let root = DeTable::parse(text).map_err(|_| other_form("it is no profile in TOML"))?;
    let Some((_, points)) = root.into_inner().into_iter().find(|(key, _)| key.get_ref() == "point") else {
        return Ok(None);
    };
    let DeValue::Array(points) = points.into_inner() else { return Ok(None) };
    let mut found = None;
    for point in points {
        let start = point.span().start;
        let DeValue::Table(table) = point.into_inner() else { continue };
        if !text.get(start..).is_some_and(|at| at.starts_with("[[")) {
            return Err(other_form("its points stand in one list, and not under [[point]]"));
        }
        if !table.iter().any(|(key, is)| key.get_ref() == "id" && number(is.get_ref()) == Some(id.0.into())) {
            continue;
        }
        let field = |(key, value): (toml::Spanned<_>, toml::Spanned<_>)| {
            let (at, stands) = (key.span(), value.span());
            let word: std::borrow::Cow<'_, str> = key.into_inner();
            Field { word: word.into_owned(), key: at, value: stands, is: value.into_inner() }
        };
        found = Some(Row { start, fields: table.into_iter().map(field).collect() });
    }
    Ok(found)
}

fn number(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(digits) = value else { return None };
    i64::from_str_radix(digits.as_str(), digits.radix()).ok()
}

/// Whether the text says this value already, in whatever notation.
fn says(is: &DeValue<'_>, wanted: &Value) -> bool {
    match (is, wanted) {
        (DeValue::String(is), Value::String(wanted)) => is == wanted,
        (DeValue::Boolean(is), Value::Bool(wanted)) => is == wanted,
        (DeValue::Integer(_), Value::Number(wanted)) => number(is).is_some() && number(is) == wanted.as_i64(),
        (DeValue::Array(is), Value::Array(wanted)) => {
            is.len() == wanted.len() && is.iter().zip(wanted).all(|(is, wanted)| says(is.get_ref(), wanted))
        }
        _ => false,
    }
}

fn literal(word: &str, value: &Value) -> Result<String, Problem> {
    toml::Value::try_from(value).map(|value| value.to_string()).map_err(|e| {
        Problem::new(ProblemKind::Asked, "definition.invalid", format!("{word}: not a value of TOML: {e}"))
    })
}

/// Where the line of this place begins.
fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Where the line after the one of this place begins, or the text ends.
fn next_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

/// These words said of a point; `null` takes a word back.
fn with_point(text: &str, id: DpId, words: &Map<String, Value>) -> Result<String, Problem> {
    let row = row(text, id)?;
    let fields = row.as_ref().map_or(&[][..], |row| row.fields.as_slice());
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    let mut added = String::new();
    for (word, value) in words {
        match fields.iter().find(|field| field.word == *word) {
            Some(field) if value.is_null() => {
                let lines = line_start(text, field.key.start)..next_line(text, field.value.end);
                changes.push((lines, String::new()));
            }
            Some(field) if says(&field.is, value) => {}
            Some(field) => changes.push((field.value.clone(), literal(word, value)?)),
            None if value.is_null() => {}
            None => added.push_str(&format!("{word} = {}\n", literal(word, value)?)),
        }
    }
    if !added.is_empty() {
        let stays = |field: &Field<'_>| !words.get(&field.word).is_some_and(Value::is_null);
        let at = row.as_ref().map_or(text.len(), |row| row.end(text, stays));
        let open = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
        let added = match row {
            Some(_) => format!("{open}{added}"),
            None => {
                let apart = if text.trim().is_empty() { "" } else { "\n" };
                format!("{open}{apart}[[point]]\nid = {}\n{added}", id.0)
            }
        };
        changes.push((at..at, added));
    }
    // From the back, so that the places of the others stay true.
    changes.sort_by_key(|(at, _)| std::cmp::Reverse((at.start, at.end)));
    let mut text = text.to_owned();
    for (at, new) in changes {
        text.replace_range(at, &new);
    }
    Ok(text)
}

/// Nothing said of a point any more. The comment right above it goes with it, but not the one that begins the text.
fn without_point(text: &str, id: DpId) -> Result<String, Problem> {
    let Some(row) = row(text, id)? else { return Ok(text.to_owned()) };
    let mut start = line_start(text, row.start);
    let header = start;
    while start > 0 {
        let above = line_start(text, start - 1);
        if !text[above..start].trim_start().starts_with('#') {
            break;
        }
        start = above;
    }
    if start == 0 {
        start = header;
    }
    let mut end = row.end(text, |_| true);
    while end < text.len() && text[end..next_line(text, end)].trim().is_empty() {
        end = next_line(text, end);
    }
    Ok(format!("{}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HAND: &str = r##"# The lamp on Ann's desk; dumped in March.
name = "Desk lamp"

# Measured with a lux meter.
[[point]]
id = 0x16           # 22
code = 'bright_value'
type = "value"
min = 10
max = 1_000         # the app says 100 %
unit = "%"          # of what?
history = false

# The scenes.
[[point]]
id = 25
code = "scene_data"
type = "enum"
range = [
  "a",  # reading
  "b",
]

[[entity]]          # they belong together
kind = "light"
switch = 20
brightness = 22
brightness_range = [10, 1000]
"##;

    fn words(value: Value) -> Option<Map<String, Value>> {
        Some(value.as_object().unwrap().clone())
    }

    fn point(text: &str, id: u16, value: Value) -> Result<Option<String>, Problem> {
        edited(Some(text), DefinitionEdit::Point { id: DpId(id), words: words(value) })
    }

    fn drop_point(text: &str, id: u16) -> String {
        edited(Some(text), DefinitionEdit::Point { id: DpId(id), words: None }).unwrap().unwrap_or_default()
    }

    #[test]
    fn one_word_of_a_point_changes_and_nothing_else_does() {
        let same = json!({"code": "bright_value", "type": "value", "min": 10, "max": 1000, "unit": "%"});
        assert_eq!(
            point(HAND, 22, same).unwrap().unwrap(),
            HAND,
            "what was said already stays as it was written"
        );
        let asked = json!({"max": 900, "unit": null, "name": "glow", "scale": null, "code": "bright_value"});
        let text = point(HAND, 22, asked).unwrap().unwrap();
        let wanted = HAND
            .replace("1_000 ", "900 ")
            .replace("unit = \"%\"          # of what?\n", "")
            .replace("history = false\n", "history = false\nname = \"glow\"\n");
        assert_eq!(text, wanted);
        let words = json!({"range": ["a", "it's \"c\"\n"], "maxlen": null});
        let text = point(HAND, 25, words).unwrap().unwrap();
        assert!(text.starts_with(&HAND[..HAND.find("range").unwrap()]), "{text}");
        assert!(text.ends_with(&HAND[HAND.find("\n[[entity]]").unwrap()..]), "{text}");
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["point"][1]["range"][1].as_str(), Some("it's \"c\"\n"));
    }

    #[test]
    fn a_point_is_added_behind_all_else_and_taken_back() {
        let text = point(HAND, 101, json!({"name": "hours", "type": "bool", "unit": null})).unwrap().unwrap();
        assert_eq!(text, format!("{HAND}\n[[point]]\nid = 101\nname = \"hours\"\ntype = \"bool\"\n"));
        assert_eq!(drop_point(&text, 101), format!("{HAND}\n"));
        assert_eq!(drop_point(HAND, 7), HAND, "nothing was said of it");
        assert_eq!(point(HAND, 7, json!({"name": null})).unwrap().unwrap(), HAND);
        let less = drop_point(HAND, 25);
        assert_eq!(
            less,
            format!(
                "{}{}",
                &HAND[..HAND.find("# The scenes").unwrap()],
                &HAND[HAND.find("[[entity]]").unwrap()..]
            )
        );
        // The last word of a text takes the definition away.
        let alone = point("", 1, json!({"name": "socket"})).unwrap().unwrap();
        assert_eq!(alone, "[[point]]\nid = 1\nname = \"socket\"\n");
        assert_eq!(edited(Some(&alone), DefinitionEdit::Point { id: DpId(1), words: None }).unwrap(), None);
        // What begins the text is about more than its first point; and not every text ends with a line's end.
        let text = "# My own.\n[[point]]\r\nid = 1\r\nname = 'a'";
        assert_eq!(
            point(text, 1, json!({"hidden": true})).unwrap().unwrap(),
            format!("{text}\nhidden = true\n")
        );
        assert_eq!(
            point(text, 1, json!({"name": null, "event": true})).unwrap().unwrap(),
            "# My own.\n[[point]]\r\nid = 1\r\nevent = true\n"
        );
        assert_eq!(drop_point(text, 1), "# My own.\n");
    }

    #[test]
    fn what_looks_like_a_point_in_a_text_is_none() {
        let text = "name = '''\n[[point]]\nid = 1\n'''\n[[point]]\nid = 1\nname = \"a\"\n[[point]]\nid = 11\nname = \"b\"\n";
        let wanted = text.replace("\"a\"", "\"c\"");
        assert_eq!(point(text, 1, json!({"name": "c"})).unwrap().unwrap(), wanted);
    }

    #[test]
    fn a_form_of_which_no_point_can_be_changed_is_left_alone() {
        for text in [
            r#"[{"dpId": 1, "code": "switch_1", "type": "bool"}]"#,
            r#"{"1": {"code": "switch_1", "type": "Boolean", "values": "{}"}}"#,
            "name: Lamp\nentities:\n  - entity: light\n",
            "point = [{ id = 1, name = \"a\" }]\n",
        ] {
            let refused = point(text, 1, json!({"name": "b"})).unwrap_err();
            assert_eq!(
                (refused.code, refused.kind),
                ("definition.other_form", ProblemKind::Conflict),
                "{text}"
            );
            assert!(refused.hint.unwrap().contains("format=toml"));
        }
        let refused = point(HAND, 22, json!({"min": 2000})).unwrap_err();
        assert_eq!(refused.code, "definition.invalid");
        assert!(refused.message.contains("line 6") && refused.message.contains("point 22"), "{refused:?}");
    }
}
