//! Covers: blinds, curtains, shutters, garage doors. Eight dialects of the command (lan.md 8.4).

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::DpKind;
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::text;
use super::super::number::whole;
use super::{misfit, number, word};

/// The words of the command point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Its number in lan.md 8.4.
    pub(crate) number: u8,
    /// Words of open, close, stop, go on. Empty: there is none.
    words: [&'static str; 4],
}

/// The eight dialects, in the order in which a value decides: the words that only one of them has come first. `stop` and
/// `on` are in several; a profile decides then.
const DIALECTS: [Dialect; 8] = [
    Dialect { number: 1, words: ["open", "close", "stop", "continue"] },
    Dialect { number: 8, words: ["ZZ", "FZ", "STOP", ""] },
    Dialect { number: 3, words: ["1", "2", "0", ""] },
    Dialect { number: 4, words: ["01", "02", "00", "03"] },
    Dialect { number: 5, words: ["fopen", "fclose", "", ""] },
    Dialect { number: 7, words: ["up", "down", "stop", ""] },
    Dialect { number: 2, words: ["true", "false", "", ""] },
    Dialect { number: 6, words: ["on", "off", "stop", ""] },
];

/// What people write, in the order of [`Dialect::words`].
const COMMANDS: [&str; 4] = ["open", "close", "stop", "continue"];

impl Dialect {
    /// The one that most covers speak.
    pub(crate) const USUAL: Self = DIALECTS[0];

    /// The dialect with this number.
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        DIALECTS.into_iter().find(|d| d.number == number)
    }

    /// The dialect of a point of this type, as far as its type tells.
    pub(crate) fn of_kind(kind: &DpKind) -> Option<Self> {
        match kind {
            DpKind::Bool => Self::of_number(2),
            DpKind::Enum(range) => {
                let has = |w: &str| range.iter().any(|r| **r == *w);
                DIALECTS.into_iter().find(|d| has(d.words[0]) && has(d.words[1]))
            }
            _ => None,
        }
    }

    /// The dialect in which this is a word.
    pub(crate) fn of_value(value: &DpValue) -> Option<Self> {
        match value {
            DpValue::Bool(_) => Self::of_number(2),
            // Dialect 3 is text; a firmware that sends numbers means the same.
            DpValue::Value(0..=2) => Self::of_number(3),
            other => {
                word(other).and_then(|w| DIALECTS.into_iter().find(|d| !w.is_empty() && d.words.contains(&w)))
            }
        }
    }

    /// Words on the wire and the commands that they are.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.words.into_iter().zip(COMMANDS).filter(|(word, _)| !word.is_empty())
    }

    fn command(self, value: &DpValue) -> Option<&'static str> {
        let said = match value {
            DpValue::Bool(b) => b.to_string(),
            DpValue::Value(n) => n.to_string(),
            other => word(other)?.to_owned(),
        };
        let at = self.words.iter().position(|w| !w.is_empty() && **w == *said)?;
        Some(COMMANDS[at])
    }

    fn value(self, command: &str, numbers: bool) -> Option<DpValue> {
        let at = COMMANDS.iter().position(|c| *c == command)?;
        match self.words[at] {
            "" => None,
            "true" => Some(DpValue::Bool(true)),
            "false" => Some(DpValue::Bool(false)),
            word if numbers => word.parse().ok().map(DpValue::Value),
            word => Some(DpValue::text(word)),
        }
    }

    /// The commands that it has words for.
    pub(crate) fn commands(self) -> Vec<&'static str> {
        COMMANDS.into_iter().zip(self.words).filter(|(_, w)| !w.is_empty()).map(|(c, _)| c).collect()
    }
}

/// One cover.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cover {
    /// Names of its attributes.
    pub(crate) names: Names,
    /// The point that takes commands.
    pub(crate) control: Option<(DpId, Dialect)>,
    /// Commands are numbers on the wire.
    pub(crate) numbers: bool,
    /// The point that takes a position.
    pub(crate) target: Option<DpId>,
    /// The point that tells the position.
    pub(crate) position: Option<DpId>,
    /// The point that tells whether it moves.
    pub(crate) work_state: Option<DpId>,
    /// 100 is closed on the wire; people have 100 open.
    pub(crate) inverted: bool,
}

/// Names of a cover's attributes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    suffix: String,
    control: String,
    position: String,
    target: String,
    state: String,
}

impl Names {
    /// With this at the end: empty, or `_2` for the second cover.
    pub(crate) fn with(suffix: &str) -> Self {
        let named = |name: &str| format!("{name}{suffix}");
        Self {
            suffix: suffix.to_owned(),
            control: named("control"),
            position: named("position"),
            target: named("target_position"),
            state: named("state"),
        }
    }

    /// What stands at their end.
    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }
}

impl Cover {
    pub(super) fn points(&self) -> Vec<DpId> {
        [self.control.map(|(dp, _)| dp), self.target, self.position, self.work_state]
            .into_iter()
            .flatten()
            .collect()
    }

    fn turned(&self, n: i64) -> i64 {
        if self.inverted { 100 - n } else { n }
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        if let Some((dp, dialect)) = self.control
            && let Some(command) = dps.value(dp).and_then(|v| dialect.command(v))
        {
            out.insert(self.names.control.clone(), command.into());
        }
        let at = |dp: Option<DpId>| number(dp.and_then(|dp| dps.value(dp))).map(|n| self.turned(n));
        let (is, wanted) = (at(self.position), at(self.target));
        if let Some(position) = is.or(wanted) {
            out.insert(self.names.position.clone(), position.into());
        }
        if let (Some(_), Some(wanted)) = (self.position, wanted) {
            out.insert(self.names.target.clone(), wanted.into());
        }
        let moving = self.work_state.and_then(|dp| dps.value(dp)).and_then(word);
        let state = match (is.or(wanted), moving) {
            // An end that is reached counts more than a work state: many covers leave it at the last direction.
            (Some(0), _) => Some("closed"),
            (Some(100), _) => Some("open"),
            (_, Some("opening")) => Some("opening"),
            (_, Some("closing")) => Some("closing"),
            (Some(_), _) => Some("open"),
            (None, _) => None,
        };
        if let Some(state) = state {
            out.insert(self.names.state.clone(), state.into());
        }
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        let mut names = Vec::new();
        if self.control.is_some() {
            names.push(self.names.control.as_str());
        }
        if self.target.is_some() {
            names.push(self.names.position.as_str());
        }
        names
    }

    /// zigbee2mqtt's name of the command is that of the state.
    pub(super) fn also_takes(&self, name: &str) -> bool {
        (self.control.is_some() && name == self.names.state)
            || (self.target.is_some() && name == self.names.target)
    }

    pub(super) fn write(
        &self,
        asked: &Map<String, Value>,
        now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        if asked.len() > 1 {
            return Err(misfit(
                &self.names.control,
                "takes either a command or a position, not both at once",
            ));
        }
        for (name, value) in asked {
            if *name == self.names.position || *name == self.names.target {
                let Some(dp) = self.target else { continue };
                let n = whole(value, 0).ok().filter(|n| (0..=100).contains(n));
                let n =
                    n.ok_or_else(|| misfit(name, format!("takes 0 (closed) to 100 (open), not {value}")))?;
                out.insert(dp, DpValue::Value(self.turned(n)));
            } else if let Some((dp, dialect)) = self.control {
                let command = text(value).unwrap_or_default().to_ascii_lowercase();
                let numbers = self.numbers || matches!(now.value(dp), Some(DpValue::Value(_)));
                let value = dialect.value(&command, numbers).ok_or_else(|| {
                    misfit(name, format!("takes one of {}, not {value}", dialect.commands().join(", ")))
                })?;
                out.insert(dp, value);
            }
        }
        Ok(())
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let mut features = Vec::new();
        let n = &self.names;
        if let Some((_, dialect)) = self.control {
            features.push(json!({
                "type": "enum", "name": n.control, "property": n.control, "label": "Control",
                "access": 0b111, "values": dialect.commands(),
            }));
        }
        if self.target.is_some() || self.position.is_some() {
            let access = if self.target.is_some() { 0b111 } else { 0b101 };
            features.push(json!({
                "type": "numeric", "name": n.position, "property": n.position, "label": "Position", "access": access,
                "value_min": 0, "value_max": 100, "unit": "%",
            }));
            features.push(json!({
                "type": "enum", "name": n.state, "property": n.state, "label": "State", "access": 0b101,
                "values": ["open", "closed", "opening", "closing"],
            }));
        }
        vec![json!({"type": "cover", "features": features})]
    }
}
