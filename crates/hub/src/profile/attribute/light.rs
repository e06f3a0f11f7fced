//! Lights: one model for switch, mode, brightness, colour temperature and colour, so that mode and value change together.

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::{boolean, text};
use super::super::number::{decimal, scale_range, whole};
use super::{misfit, number, word};

/// How a colour stands in its point (lan.md 8.3). Others' bulbs are told apart by the length of what they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `rrggbbhhhhssvv`: hue 0 to 360, saturation and value 0 to 255. Family A.
    RgbHsv,
    /// `hhhhssssvvvv`: hue 0 to 360, saturation and value 0 to 1000. Family B.
    Hsv,
}

/// The point of the colour temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Warmth {
    /// The point.
    pub(crate) dp: DpId,
    /// Its range.
    pub(crate) range: (i64, i64),
    /// The lower end is cold.
    pub(crate) inverted: bool,
    /// Mired of the cold and the warm end.
    pub(crate) mired: (i64, i64),
}

/// 6500 K and 2700 K, the ends of most bulbs: devices do not tell theirs.
pub(crate) const USUAL_MIRED: (i64, i64) = (153, 370);
/// Brightness as people have it; 0 is off.
const BRIGHT: (i64, i64) = (1, 255);

/// A light.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Light {
    /// Names of its attributes.
    pub(crate) names: Names,
    /// On and off.
    pub(crate) switch: Option<DpId>,
    /// The mode and the words it takes.
    pub(crate) mode: Option<(DpId, Box<[Box<str>]>)>,
    /// The word of the mode in which white shines.
    pub(crate) white: Box<str>,
    /// The word of the mode in which the colour shines.
    pub(crate) colour_word: Box<str>,
    /// The point of the brightness and its range.
    pub(crate) brightness: Option<(DpId, (i64, i64))>,
    /// Colour temperature.
    pub(crate) warmth: Option<Warmth>,
    /// The colour, and how it is written as long as the device shows none.
    pub(crate) colour: Option<(DpId, Encoding)>,
}

/// Names of a light's attributes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    suffix: String,
    switch: String,
    mode: String,
    brightness: String,
    color_temp: String,
    color: String,
    color_mode: String,
}

impl Names {
    /// With this at the end: empty, or `_2` for the second light.
    pub(crate) fn with(suffix: &str) -> Self {
        let named = |name: &str| format!("{name}{suffix}");
        Self {
            suffix: suffix.to_owned(),
            switch: named("switch"),
            mode: named("mode"),
            brightness: named("brightness"),
            color_temp: named("color_temp"),
            color: named("color"),
            color_mode: named("color_mode"),
        }
    }

    /// What stands at their end.
    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }
}

/// A colour: degrees, and thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    /// 0 to 360.
    pub(crate) hue: i64,
    /// 0 to 1000.
    pub(crate) saturation: i64,
    /// 0 to 1000.
    pub(crate) value: i64,
}

const THOUSAND: (i64, i64) = (0, 1000);
const BYTE: (i64, i64) = (0, 255);

impl Encoding {
    /// How this text is encoded.
    fn of_text(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.len() {
            12 if hex => Some(Self::Hsv),
            14 if hex => Some(Self::RgbHsv),
            _ => None,
        }
    }

    pub(crate) fn decode(text: &str) -> Option<Colour> {
        let hex = |from: usize, to: usize| i64::from_str_radix(text.get(from..to)?, 16).ok();
        let colour = match Self::of_text(text)? {
            Self::Hsv => Colour { hue: hex(0, 4)?, saturation: hex(4, 8)?, value: hex(8, 12)? },
            Self::RgbHsv => Colour {
                hue: hex(6, 10)?,
                saturation: scale_range(hex(10, 12)?, BYTE, THOUSAND),
                value: scale_range(hex(12, 14)?, BYTE, THOUSAND),
            },
        };
        let Colour { hue, saturation, value } = colour;
        (hue <= 360 && saturation <= 1000 && value <= 1000).then_some(colour)
    }

    pub(crate) fn encode(self, colour: Colour) -> String {
        let Colour { hue, saturation, value } = colour;
        match self {
            Self::Hsv => format!("{hue:04x}{saturation:04x}{value:04x}"),
            Self::RgbHsv => {
                let [s, v] = [saturation, value].map(|n| scale_range(n, THOUSAND, BYTE));
                let [r, g, b] = rgb(hue, s, v);
                format!("{r:02x}{g:02x}{b:02x}{hue:04x}{s:02x}{v:02x}")
            }
        }
    }
}

/// Red, green and blue, 0 to 255, of a hue in degrees and saturation and value of 0 to 255. Whole numbers, rounded.
fn rgb(hue: i64, s: i64, v: i64) -> [i64; 3] {
    let hue = hue % 360;
    // How far a part is from its brightest, in 60ths of the saturation.
    let channel = |shift: i64| {
        let k = (shift * 60 + hue) % 360;
        let dimmed = k.min(240 - k).clamp(0, 60);
        let scaled = v * (255 * 60) - v * s * dimmed;
        (scaled + 255 * 30) / (255 * 60)
    };
    [channel(5), channel(3), channel(1)]
}

/// Hue, saturation and value of red, green and blue of 0 to 255.
fn of_rgb(r: i64, g: i64, b: i64) -> Colour {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let span = max - min;
    let hue = if span == 0 {
        0
    } else {
        let (base, diff) = if max == r {
            (360, g - b)
        } else if max == g {
            (120, b - r)
        } else {
            (240, r - g)
        };
        (base + (diff * 120 + span * diff.signum()) / (span * 2)).rem_euclid(360)
    };
    let saturation = if max == 0 { 0 } else { (span * 2000 + max) / (max * 2) };
    Colour { hue, saturation, value: scale_range(max, BYTE, THOUSAND) }
}

impl Light {
    pub(super) fn points(&self) -> Vec<DpId> {
        let mode = self.mode.as_ref().map(|(dp, _)| *dp);
        let brightness = self.brightness.map(|(dp, _)| dp);
        let all = [self.switch, mode, brightness, self.warmth.map(|w| w.dp), self.colour.map(|(dp, _)| dp)];
        all.into_iter().flatten().collect()
    }

    fn shown_mode<'a>(&self, dps: &'a Dps) -> Option<&'a str> {
        self.mode.as_ref().and_then(|(dp, _)| dps.value(*dp)).and_then(word)
    }

    fn shown_colour(&self, dps: &Dps) -> Option<Colour> {
        let (dp, _) = self.colour?;
        Encoding::decode(dps.value(dp).and_then(word)?)
    }

    /// Whether the colour is what shines.
    fn coloured(&self, dps: &Dps) -> bool {
        match self.shown_mode(dps) {
            Some(mode) => *mode == *self.colour_word,
            None => self.mode.is_none() && self.brightness.is_none() && self.colour.is_some(),
        }
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        let n = &self.names;
        if let Some(DpValue::Bool(on)) = self.switch.and_then(|dp| dps.value(dp)) {
            out.insert(n.switch.clone(), (*on).into());
        }
        let mode = self.shown_mode(dps);
        if let Some(mode) = mode {
            out.insert(n.mode.clone(), mode.into());
        }
        let coloured = self.coloured(dps);
        let colour = self.shown_colour(dps);
        let brightness = match colour {
            Some(colour) if coloured => Some(scale_range(colour.value, self.values(), BRIGHT)),
            _ => self
                .brightness
                .and_then(|(dp, range)| number(dps.value(dp)).map(|v| scale_range(v, range, BRIGHT))),
        };
        if let Some(brightness) = brightness {
            out.insert(n.brightness.clone(), brightness.into());
        }
        if let Some(w) = self.warmth
            && let Some(v) = number(dps.value(w.dp))
        {
            out.insert(n.color_temp.clone(), scale_range(v, w.range, w.target()).into());
        }
        if let Some(Colour { hue, saturation, .. }) = colour {
            out.insert(n.color.clone(), json!({"hue": hue, "saturation": decimal(saturation, 1)}));
        }
        if self.colour.is_some() && (mode.is_some() || coloured) {
            let white = if self.warmth.is_some() { "color_temp" } else { "white" };
            let word = match mode {
                _ if coloured => "hs",
                Some(mode) if *mode != *self.white => "effect",
                _ => white,
            };
            out.insert(n.color_mode.clone(), word.into());
        }
    }

    /// The range of a colour's value for brightness. Dark colours below the bulb's least white do not shine.
    fn values(&self) -> (i64, i64) {
        match self.colour {
            Some((_, Encoding::Hsv)) => (10, 1000),
            // 1 of 255, in thousandths: so that brightness is the byte itself.
            _ => (4, 1000),
        }
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        let n = &self.names;
        let has = [
            (self.switch.is_some(), &n.switch),
            (self.mode.is_some(), &n.mode),
            (self.brightness.is_some() || self.colour.is_some(), &n.brightness),
            (self.warmth.is_some(), &n.color_temp),
            (self.colour.is_some(), &n.color),
        ];
        has.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.as_str()).collect()
    }

    pub(super) fn write(
        &self,
        asked: &Map<String, Value>,
        now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        let n = &self.names;
        let (colour, warmth) = (asked.get(&n.color), asked.get(&n.color_temp));
        if colour.is_some() && warmth.is_some() {
            return Err(misfit(&n.color, format!("can't shine together with {}", n.color_temp)));
        }
        if let (Some(value), Some(dp)) = (asked.get(&n.switch), self.switch) {
            out.insert(dp, DpValue::Bool(boolean(&n.switch, value)?));
        }
        let bright = match asked.get(&n.brightness) {
            Some(value) => {
                let bright = whole(value, 0).ok().filter(|b| (0..=255).contains(b));
                let wrong = || misfit(&n.brightness, format!("takes 0 (off) to 255, not {value}"));
                match bright.ok_or_else(wrong)? {
                    0 => {
                        let dp = self.switch.ok_or_else(wrong)?;
                        out.insert(dp, DpValue::Bool(false));
                        return Ok(());
                    }
                    bright => Some(bright),
                }
            }
            None => None,
        };
        let mode = match asked.get(&n.mode) {
            Some(value) => {
                let word =
                    text(value).ok_or_else(|| misfit(&n.mode, format!("takes a word, not {value}")))?;
                self.set_mode(&word, out)?;
                Some(word)
            }
            None => None,
        };
        if let Some(value) = colour {
            return self.write_colour(value, bright, now, out);
        }
        if let (Some(value), Some(w)) = (warmth, self.warmth) {
            let (cold, warm) = w.mired;
            let mired = whole(value, 0).ok().filter(|m| (cold..=warm).contains(m));
            let mired = mired.ok_or_else(|| {
                misfit(&n.color_temp, format!("takes {cold} (cold) to {warm} (warm) mired, not {value}"))
            })?;
            if mode.is_none() {
                self.set_mode(&self.white, out)?;
            }
            out.insert(w.dp, DpValue::Value(scale_range(mired, w.target(), w.range)));
        }
        if let Some(bright) = bright {
            let stays_coloured = match &mode {
                Some(mode) => **mode == *self.colour_word,
                None => warmth.is_none() && self.coloured(now),
            };
            match (self.colour, self.shown_colour(now), self.brightness) {
                // The colour that shines is dimmed. To jump to white would be a surprise.
                (Some(_), Some(colour), _) if stays_coloured => {
                    let value = scale_range(bright, BRIGHT, self.values());
                    self.put_colour(Colour { value, ..colour }, now, out);
                }
                (_, _, Some((dp, range))) => {
                    if mode.is_none() {
                        self.set_mode(&self.white, out)?;
                    }
                    out.insert(dp, DpValue::Value(scale_range(bright, BRIGHT, range)));
                }
                _ => return Err(misfit(&n.brightness, "can't be set before the light has shown its colour")),
            }
        }
        Ok(())
    }

    fn set_mode(&self, word: &str, out: &mut Dps) -> Result<(), WriteError> {
        let Some((dp, words)) = &self.mode else { return Ok(()) };
        let known = words.is_empty() || words.iter().any(|w| **w == *word);
        if !known {
            let words = words.join(", ");
            return Err(misfit(&self.names.mode, format!("takes one of {words}, not {word}")));
        }
        out.insert(*dp, DpValue::text(word));
        Ok(())
    }

    fn put_colour(&self, colour: Colour, now: &Dps, out: &mut Dps) {
        let Some((dp, usual)) = self.colour else { return };
        let shown = now.value(dp).and_then(word).and_then(Encoding::of_text);
        out.insert(dp, DpValue::text(shown.unwrap_or(usual).encode(colour)));
    }

    fn write_colour(
        &self,
        value: &Value,
        bright: Option<i64>,
        now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        let mut colour = self.parse_colour(value)?;
        let shown = self.shown_colour(now).map(|c| c.value).filter(|v| *v > 0);
        // Without a word about brightness the light stays as bright as it is.
        let white = self
            .brightness
            .and_then(|(dp, range)| number(now.value(dp)).map(|v| scale_range(v, range, self.values())));
        let kept = if self.coloured(now) { shown.or(white) } else { white.or(shown) };
        if let Some(bright) = bright {
            colour.value = scale_range(bright, BRIGHT, self.values());
        } else if let (None, Some(kept)) = (value.get("r"), kept) {
            colour.value = kept;
        }
        self.set_mode(&self.colour_word, out)?;
        self.put_colour(colour, now, out);
        Ok(())
    }

    /// `{"hue": 0-360, "saturation": 0-100}` (also `h` and `s`), `{"r", "g", "b"}`, or `#rrggbb`.
    fn parse_colour(&self, value: &Value) -> Result<Colour, WriteError> {
        let wrong = || {
            let want = r##"takes {"hue": 0 to 360, "saturation": 0 to 100}, {"r", "g", "b"} or "#rrggbb""##;
            misfit(&self.names.color, format!("{want}, not {value}"))
        };
        let part = |long: &str, short: &str, places: i8, max: i64| {
            let value = value.get(long).or_else(|| value.get(short))?;
            let rounded;
            // Pickers send hues and saturations with more digits than any lamp has.
            let value = match value.as_f64() {
                Some(f) if places == 0 || f.fract() != 0.0 => {
                    let factor = 10_f64.powi(i32::from(places));
                    rounded = Value::from((f * factor).round() / factor);
                    &rounded
                }
                _ => value,
            };
            whole(value, places).ok().filter(|n| (0..=max).contains(n))
        };
        if let Some(hex) = value.as_str() {
            let hex = hex.trim().trim_start_matches('#');
            let byte = |at: usize| i64::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            return match (hex.len(), byte(0), byte(2), byte(4)) {
                (6, Some(r), Some(g), Some(b)) => Ok(of_rgb(r, g, b)),
                _ => Err(wrong()),
            };
        }
        if value.get("r").is_some() {
            return match (part("r", "r", 0, 255), part("g", "g", 0, 255), part("b", "b", 0, 255)) {
                (Some(r), Some(g), Some(b)) => Ok(of_rgb(r, g, b)),
                _ => Err(wrong()),
            };
        }
        match (part("hue", "h", 0, 360), part("saturation", "s", 1, 1000)) {
            (Some(hue), Some(saturation)) => Ok(Colour { hue, saturation, value: 1000 }),
            _ => Err(wrong()),
        }
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let n = &self.names;
        let mut features = Vec::new();
        if self.switch.is_some() {
            features.push(json!({
                "type": "binary", "name": n.switch, "property": n.switch, "label": "Switch", "access": 0b111,
                "value_on": true, "value_off": false,
            }));
        }
        if self.brightness.is_some() || self.colour.is_some() {
            features.push(json!({
                "type": "numeric", "name": n.brightness, "property": n.brightness, "label": "Brightness",
                "access": 0b111, "value_min": BRIGHT.0, "value_max": BRIGHT.1,
            }));
        }
        if let Some(Warmth { mired: (cold, warm), .. }) = self.warmth {
            features.push(json!({
                "type": "numeric", "name": n.color_temp, "property": n.color_temp, "label": "Color temperature",
                "access": 0b111, "unit": "mired", "value_min": cold, "value_max": warm,
            }));
        }
        if self.colour.is_some() {
            let part = |name: &str, max: i64| json!({"type": "numeric", "name": name, "property": name, "access": 0b111, "value_min": 0, "value_max": max});
            features.push(json!({
                "type": "composite", "name": "color_hs", "property": n.color, "label": "Color", "access": 0b111,
                "features": [part("hue", 360), part("saturation", 100)],
            }));
            features.push(json!({
                "type": "enum", "name": n.color_mode, "property": n.color_mode, "label": "Color mode", "access": 0b101,
                "values": ["hs", if self.warmth.is_some() { "color_temp" } else { "white" }, "effect"],
            }));
        }
        let mut all = vec![json!({"type": "light", "features": features})];
        if let Some((_, words)) = &self.mode {
            all.push(json!({
                "type": "enum", "name": n.mode, "property": n.mode, "label": "Mode", "access": 0b111, "values": words,
            }));
        }
        all
    }
}

impl Warmth {
    /// The mired that the lower and the upper end of the point stand for: the lower one is warm on most (lan.md 8.3).
    fn target(&self) -> (i64, i64) {
        let (cold, warm) = self.mired;
        if self.inverted { (cold, warm) } else { (warm, cold) }
    }
}
