//! The state of a device in a few words, from whatever points it reports. By the vendor's standard codes, so that
//! products that join the demo later show something sensible too.

use landfall_proto::dp::{DpValue, Dps};
use landfall_proto::schema::{DpKind, Schema};

use crate::render::points::reading;

/// Points by code.
struct View<'a> {
    schema: &'a Schema,
    dps: &'a Dps,
}

impl View<'_> {
    fn value(&self, code: &str) -> Option<&DpValue> {
        self.dps.value(self.schema.by_code(code)?)
    }

    fn reading(&self, code: &str) -> Option<String> {
        let id = self.schema.by_code(code)?;
        Some(reading(self.schema.spec(id), self.dps.value(id)?))
    }

    fn is_on(&self, code: &str) -> Option<bool> {
        match self.value(code)? {
            DpValue::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Where a value stands in its range, in percent.
    fn percent(&self, code: &str) -> Option<i64> {
        let id = self.schema.by_code(code)?;
        match (&self.schema.spec(id)?.kind, self.dps.value(id)?) {
            (DpKind::Value { max, .. }, DpValue::Value(n)) if *max > 0 => {
                i64::try_from((i128::from(*n) * 100 + i128::from(*max) / 2) / i128::from(*max)).ok()
            }
            _ => None,
        }
    }
}

/// The state in a few words; empty when there is nothing to say.
pub(crate) fn state(schema: &Schema, dps: &Dps) -> String {
    let v = View { schema, dps };
    light(&v)
        .or_else(|| cover(&v))
        .or_else(|| thermostat(&v))
        .or_else(|| climate(&v))
        .or_else(|| v.reading("feed_state"))
        .or_else(|| switches(&v))
        .unwrap_or_else(|| anything(&v))
}

/// The power it takes, with unit.
pub(crate) fn power(schema: &Schema, dps: &Dps) -> Option<String> {
    View { schema, dps }.reading("cur_power")
}

/// The power in tenths of a watt, to add up.
pub(crate) fn deciwatts(schema: &Schema, dps: &Dps) -> Option<i64> {
    let id = schema.by_code("cur_power")?;
    match (&schema.spec(id)?.kind, dps.value(id)?) {
        (DpKind::Value { scale, .. }, DpValue::Value(n)) => match scale {
            0 => n.checked_mul(10),
            1 => Some(*n),
            s => Some(n / 10_i64.checked_pow(u32::from(*s) - 1)?),
        },
        _ => None,
    }
}

fn light(v: &View<'_>) -> Option<String> {
    if !v.is_on("switch_led")? {
        return Some("off".to_owned());
    }
    let mode = v.reading("work_mode").unwrap_or_else(|| "white".to_owned());
    let brightness = v.percent("bright_value_v2").or_else(|| v.percent("bright_value"));
    Some(match (mode.as_str(), brightness) {
        ("white", Some(p)) => format!("on, {p} %"),
        (mode, _) => format!("on, {mode}"),
    })
}

fn cover(v: &View<'_>) -> Option<String> {
    let open = v.percent("percent_state").or_else(|| v.percent("percent_control"))?;
    let at = match open {
        0 => "shut".to_owned(),
        100 => "open".to_owned(),
        p => format!("{p} % open"),
    };
    Some(match v.reading("work_state").as_deref() {
        Some(moving @ ("opening" | "closing")) => format!("{moving}, {at}"),
        _ => at,
    })
}

fn thermostat(v: &View<'_>) -> Option<String> {
    let wants = v.reading("temp_set")?;
    let is = v.reading("temp_current")?;
    if v.is_on("switch") == Some(false) {
        return Some(format!("off, {is}"));
    }
    let heating = if v.reading("valve_state").as_deref() == Some("open") { ", heating" } else { "" };
    Some(format!("{is}, wants {wants}{heating}"))
}

fn climate(v: &View<'_>) -> Option<String> {
    let temperature = v.reading("va_temperature")?;
    Some(match v.reading("va_humidity") {
        Some(h) => format!("{temperature}, {h}"),
        None => temperature,
    })
}

/// One switch: on or off; several: each with its number.
fn switches(v: &View<'_>) -> Option<String> {
    let mut all = Vec::new();
    for (id, spec) in &v.schema.0 {
        let is_switch = &*spec.code == "switch" || spec.code.starts_with("switch_");
        if let Some(DpValue::Bool(on)) = v.dps.value(*id).filter(|_| is_switch) {
            let name = spec.code.trim_start_matches("switch_").trim_start_matches("switch");
            all.push((name, if *on { "on" } else { "off" }));
        }
    }
    match all[..] {
        [] => None,
        [(_, on)] => Some(on.to_owned()),
        _ => Some(all.iter().map(|(n, on)| format!("{n} {on}")).collect::<Vec<_>>().join(", ")),
    }
}

/// The first few points as they are.
fn anything(v: &View<'_>) -> String {
    let some: Vec<String> = v
        .dps
        .iter()
        .take(3)
        .map(|(id, value)| {
            let spec = v.schema.spec(id);
            format!("{} {}", crate::render::points::name(v.schema, id), reading(spec, value))
        })
        .collect();
    some.join(", ")
}

#[cfg(test)]
mod tests {
    use landfall_sim::kind::Kind;
    use landfall_sim::product::Product;

    use super::*;

    fn text(kind: Kind, json: &str) -> String {
        let schema = Product::of(kind).schema();
        let mut dps: Dps = serde_json::from_str(json).unwrap();
        schema.refine(&mut dps);
        state(schema, &dps)
    }

    #[test]
    fn every_kind_has_words() {
        assert_eq!(text(Kind::Plug, r#"{"1":true,"19":1234}"#), "on");
        assert_eq!(text(Kind::PlugOldUsb, r#"{"1":true,"7":false}"#), "1 on, usb1 off");
        assert_eq!(text(Kind::Bulb, r#"{"20":true,"21":"white","22":500}"#), "on, 50 %");
        assert_eq!(text(Kind::BulbOld, r#"{"1":true,"2":"colour","3":255}"#), "on, colour");
        assert_eq!(text(Kind::Bulb, r#"{"20":false,"22":500}"#), "off");
        assert_eq!(text(Kind::Cover, r#"{"2":50,"3":35,"7":"opening"}"#), "opening, 35 % open");
        assert_eq!(text(Kind::Cover, r#"{"3":0,"7":"standby"}"#), "shut");
        assert_eq!(
            text(Kind::Thermostat, r#"{"1":true,"2":210,"3":195,"36":"open"}"#),
            "19.5 ℃, wants 21.0 ℃, heating"
        );
        assert_eq!(text(Kind::BatterySensor, r#"{"1":208,"2":48}"#), "20.8 ℃, 48 %");
        assert_eq!(text(Kind::Feeder, r#"{"4":"standby","19":false}"#), "standby");
        assert_eq!(text(Kind::Gateway, r#"{"9":5}"#), "dp 9 5");
        assert_eq!(text(Kind::Gateway, "{}"), "");
    }

    #[test]
    fn power_adds_up() {
        let schema = Product::of(Kind::Plug).schema();
        let dps: Dps = serde_json::from_str(r#"{"19":1234}"#).unwrap();
        assert_eq!(power(schema, &dps).as_deref(), Some("123.4 W"));
        assert_eq!(deciwatts(schema, &dps), Some(1234));
    }
}
