//! Infrared blasters: codes sent and learnt (lan.md 8.6).

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::boolean;
use super::{misfit, word};

/// Old ones take JSON text at one point, newer ones have a point for each field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Infrared {
    /// JSON text `{"control":"send_ir",...}` at one point, learnt codes at another.
    Packed {
        /// Usually 201.
        send: DpId,
        /// Usually 202.
        learnt: Option<DpId>,
    },
    /// A point for each field.
    Spread {
        /// `send_ir`, `study`, `study_exit`; usually 1.
        control: DpId,
        /// Learnt codes; usually 2.
        learnt: Option<DpId>,
        /// The code's head, shared by the keys of a remote control; usually 3.
        head: Option<DpId>,
        /// The code; usually 4.
        code: DpId,
        /// Pause in ms; usually 10.
        delay: Option<DpId>,
        /// Kind of the code; usually 13.
        kind: Option<DpId>,
    },
}

const SEND: &str = "ir_send";
const LEARN: &str = "ir_learn";
const LEARNT: &str = "ir_code";
/// Pause after a code, in ms, as other programs send it.
const DELAY: i64 = 300;

/// A code as people write it: text alone, or with the head of its remote control.
struct Code {
    head: String,
    key: String,
}

impl Code {
    fn of(value: &Value) -> Result<Self, WriteError> {
        let field =
            |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
        let (head, key) = match value {
            Value::String(t) => (None, Some(t.clone())),
            Value::Object(map) => (field(map, "head"), field(map, "code").or_else(|| field(map, "key"))),
            _ => (None, None),
        };
        let key = key
            .filter(|k| !k.is_empty())
            .ok_or_else(|| misfit(SEND, "takes a code as text, or {\"head\": \"...\", \"code\": \"...\"}"))?;
        // A code without a head begins with 1 on the wire: a learnt code in base64.
        let head = head.unwrap_or_default();
        Ok(Self { key: if head.is_empty() && !key.starts_with('1') { format!("1{key}") } else { key }, head })
    }
}

impl Infrared {
    pub(super) fn points(&self) -> Vec<DpId> {
        match self {
            Self::Packed { send, learnt } => Some(*send).into_iter().chain(*learnt).collect(),
            Self::Spread { control, learnt, head, code, delay, kind } => {
                let all = [Some(*control), *learnt, *head, Some(*code), *delay, *kind];
                all.into_iter().flatten().collect()
            }
        }
    }

    const fn learnt(&self) -> Option<DpId> {
        match self {
            Self::Packed { learnt, .. } | Self::Spread { learnt, .. } => *learnt,
        }
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        if let Some(code) = self.learnt().and_then(|dp| dps.value(dp)).map(ToString::to_string)
            && !code.is_empty()
        {
            out.insert(LEARNT.to_owned(), code.into());
        }
        let control = match self {
            Self::Spread { control, .. } => dps.value(*control).and_then(word).map(str::to_owned),
            Self::Packed { send, .. } => dps
                .value(*send)
                .and_then(word)
                .and_then(|t| serde_json::from_str::<Value>(t).ok())
                .and_then(|v| v.get("control")?.as_str().map(str::to_owned)),
        };
        if let Some(control) = control {
            out.insert(LEARN.to_owned(), (control == "study").into());
        }
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        vec![SEND, LEARN]
    }

    pub(super) fn write(
        &self,
        asked: &Map<String, Value>,
        _now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        if asked.len() > 1 {
            return Err(misfit(SEND, "can't be sent while learning"));
        }
        for (name, value) in asked {
            if name == LEARN {
                let word = if boolean(name, value)? { "study" } else { "study_exit" };
                match self {
                    Self::Packed { send, .. } => {
                        out.insert(*send, DpValue::text(json!({"control": word}).to_string()));
                    }
                    Self::Spread { control, .. } => out.insert(*control, DpValue::text(word)),
                }
                continue;
            }
            let told = Code::of(value)?;
            match self {
                Self::Packed { send, .. } => {
                    let text = json!({
                        "control": "send_ir", "head": told.head, "key1": told.key, "type": 0, "delay": DELAY,
                    });
                    out.insert(*send, DpValue::text(text.to_string()));
                }
                Self::Spread { control, head, code, delay, kind, .. } => {
                    out.insert(*control, DpValue::text("send_ir"));
                    if let Some(head) = head {
                        out.insert(*head, DpValue::text(told.head));
                    }
                    out.insert(*code, DpValue::text(told.key));
                    if let Some(kind) = kind {
                        out.insert(*kind, DpValue::Value(0));
                    }
                    if let Some(delay) = delay {
                        out.insert(*delay, DpValue::Value(DELAY));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let leaf = |kind: &str, name: &str, label: &str, access: u8| json!({"type": kind, "name": name, "property": name, "label": label, "access": access});
        let mut learn = leaf("binary", LEARN, "Learn", 0b111);
        learn["value_on"] = true.into();
        learn["value_off"] = false.into();
        let mut all = vec![leaf("text", SEND, "Send", 0b010), learn];
        if self.learnt().is_some() {
            all.push(leaf("text", LEARNT, "Learnt code", 0b101));
        }
        all
    }
}
