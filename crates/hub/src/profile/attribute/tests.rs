use landfall_proto::schema::Access;
use proptest::prelude::*;
use serde_json::json;

use super::light::Colour;
use super::*;

fn dps(list: &[(u16, DpValue)]) -> Dps {
    list.iter().map(|(id, v)| (DpId(*id), v.clone())).collect()
}

fn read(attribute: &Attribute, dps: &Dps) -> Value {
    let mut out = Map::new();
    attribute.read(dps, &mut out);
    Value::Object(out)
}

fn write(attribute: &Attribute, asked: Value, now: &Dps) -> Result<Dps, String> {
    let Value::Object(asked) = asked else { panic!("an object") };
    for name in asked.keys() {
        assert!(attribute.takes(name), "{name}");
    }
    let mut out = Dps::new();
    attribute.write(&asked, now, &mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

fn bulb(new: bool) -> Attribute {
    let base = if new { 20 } else { 1 };
    let words = ["white", "colour", "scene", "music"].map(Into::into);
    let top = if new { 1000 } else { 255 };
    Attribute::Light(Light {
        names: light::Names::with(""),
        switch: Some(DpId(base)),
        mode: Some((DpId(base + 1), words.into())),
        white: "white".into(),
        colour_word: "colour".into(),
        brightness: Some((DpId(base + 2), (if new { 10 } else { 25 }, top))),
        warmth: Some(Warmth { dp: DpId(base + 3), range: (0, top), inverted: false, mired: USUAL_MIRED }),
        colour: Some((DpId(base + 4), if new { Encoding::Hsv } else { Encoding::RgbHsv })),
    })
}

#[test]
fn colours_of_both_families_say_the_same() {
    // Red at full, in the text of the virtual bulbs; and green of half saturation by hand.
    let red = Colour { hue: 0, saturation: 1000, value: 1000 };
    assert_eq!(Encoding::decode("000003e803e8"), Some(red));
    assert_eq!(Encoding::decode("ff00000000ffff"), Some(red));
    assert_eq!(Encoding::Hsv.encode(red), "000003e803e8");
    assert_eq!(Encoding::RgbHsv.encode(red), "ff00000000ffff");
    for (hue, rgb) in [(60, "ffff00"), (120, "00ff00"), (180, "00ffff"), (240, "0000ff"), (300, "ff00ff")] {
        let text = Encoding::RgbHsv.encode(Colour { hue, saturation: 1000, value: 1000 });
        assert_eq!(text, format!("{rgb}{hue:04x}ffff"));
    }
    assert_eq!(Encoding::RgbHsv.encode(Colour { hue: 120, saturation: 502, value: 1000 }), "7fff7f007880ff");
    for wrong in ["", "000003e803", "ffff03e803e8", "zz0003e803e8", "ff0000ffffffff"] {
        assert_eq!(Encoding::decode(wrong), None, "{wrong}");
    }
}

#[test]
fn a_light_changes_mode_and_value_together() {
    let new = bulb(true);
    let white = dps(&[
        (20, DpValue::Bool(true)),
        (21, DpValue::text("white")),
        (22, DpValue::Value(1000)),
        (23, DpValue::Value(0)),
        (24, DpValue::text("000003e803e8")),
    ]);
    assert_eq!(
        read(&new, &white),
        json!({"switch": true, "mode": "white", "brightness": 255, "color_temp": 370,
               "color": {"hue": 0, "saturation": 100.0}, "color_mode": "color_temp"})
    );
    let blue = write(&new, json!({"color": {"hue": 240, "saturation": 50}}), &white).unwrap();
    assert_eq!(blue, dps(&[(21, DpValue::text("colour")), (24, DpValue::text("00f001f403e8"))]));
    let mut shining = white.clone();
    shining.merge(&blue);
    assert_eq!(read(&new, &shining)["color_mode"], "hs");
    // Dimmed, it stays blue; a colour temperature makes it white again.
    let dimmed = write(&new, json!({"brightness": 1}), &shining).unwrap();
    assert_eq!(dimmed, dps(&[(24, DpValue::text("00f001f4000a"))]));
    let warm = write(&new, json!({"color_temp": 153, "brightness": 255}), &shining).unwrap();
    let want = [(21, DpValue::text("white")), (23, DpValue::Value(1000)), (22, DpValue::Value(1000))];
    assert_eq!(warm, dps(&want));
    let plain = write(&new, json!({"brightness": 128}), &white).unwrap();
    assert_eq!(plain, dps(&[(21, DpValue::text("white")), (22, DpValue::Value(505))]));
    assert_eq!(write(&new, json!({"brightness": 0}), &white).unwrap(), dps(&[(20, DpValue::Bool(false))]));
    let hex = write(&new, json!({"color": "#00ff00", "switch": "ON"}), &white).unwrap();
    assert_eq!(hex.value(DpId(24)), Some(&DpValue::text("007803e803e8")));
    assert_eq!(hex.value(DpId(20)), Some(&DpValue::Bool(true)));
}

#[test]
fn a_light_says_what_it_does_not_take() {
    let new = bulb(true);
    let none = Dps::new();
    let fault = |asked| write(&new, asked, &none).unwrap_err();
    assert_eq!(fault(json!({"brightness": 256})), "brightness: takes 0 (off) to 255, not 256");
    assert_eq!(fault(json!({"color_temp": 10})), "color_temp: takes 153 (cold) to 370 (warm) mired, not 10");
    assert_eq!(fault(json!({"mode": "disco"})), "mode: takes one of white, colour, scene, music, not disco");
    assert!(fault(json!({"color": {"hue": 361, "saturation": 1}})).contains("0 to 360"));
    assert!(fault(json!({"color": "red"})).contains("#rrggbb"));
    assert!(fault(json!({"color": "#ffffff", "color_temp": 200})).contains("can't shine together"));
    assert!(fault(json!({"switch": "toggle"})).contains("absolute"));
}

fn cover(dialect: u8, inverted: bool) -> Attribute {
    Attribute::Cover(Cover {
        names: cover::Names::with(""),
        control: Dialect::of_number(dialect).map(|d| (DpId(1), d)),
        numbers: false,
        target: Some(DpId(2)),
        position: Some(DpId(3)),
        work_state: Some(DpId(7)),
        inverted,
    })
}

#[test]
fn covers_speak_all_eight_dialects() {
    // lan.md 8.4.
    let table: [(u8, [Option<DpValue>; 3]); 8] = [
        (1, ["open", "close", "stop"].map(|w| Some(DpValue::text(w)))),
        (2, [Some(DpValue::Bool(true)), Some(DpValue::Bool(false)), None]),
        (3, ["1", "2", "0"].map(|w| Some(DpValue::text(w)))),
        (4, ["01", "02", "00"].map(|w| Some(DpValue::text(w)))),
        (5, [Some(DpValue::text("fopen")), Some(DpValue::text("fclose")), None]),
        (6, ["on", "off", "stop"].map(|w| Some(DpValue::text(w)))),
        (7, ["up", "down", "stop"].map(|w| Some(DpValue::text(w)))),
        (8, ["ZZ", "FZ", "STOP"].map(|w| Some(DpValue::text(w)))),
    ];
    for (number, words) in table {
        let cover = cover(number, false);
        for (command, wire) in ["open", "close", "stop"].into_iter().zip(words) {
            match (write(&cover, json!({"control": command}), &Dps::new()), wire) {
                (Ok(set), Some(wire)) => {
                    assert_eq!(set, dps(&[(1, wire)]), "dialect {number} {command}");
                    assert_eq!(read(&cover, &set)["control"], command, "dialect {number}");
                }
                (Err(e), None) => assert!(e.contains("takes one of open, close, not"), "{e}"),
                (got, want) => panic!("dialect {number} {command}: {got:?}, not {want:?}"),
            }
        }
    }
}

#[test]
fn dialects_are_found_by_their_words() {
    let of = |v: DpValue| Dialect::of_value(&v).map(|d| d.number);
    let words =
        [("open", 1), ("ZZ", 8), ("1", 3), ("01", 4), ("fopen", 5), ("up", 7), ("on", 6), ("stop", 1)];
    for (word, number) in words {
        assert_eq!(of(DpValue::text(word)), Some(number), "{word}");
    }
    assert_eq!(of(DpValue::Bool(false)), Some(2));
    assert_eq!(of(DpValue::Value(2)), Some(3));
    assert_eq!(of(DpValue::text("sideways")), None);
    let range = |words: &[&str]| {
        let kind = landfall_proto::schema::DpKind::Enum(words.iter().map(|w| (*w).into()).collect());
        Dialect::of_kind(&kind).map(|d| d.number)
    };
    assert_eq!(range(&["on", "off", "stop"]), Some(6));
    assert_eq!(range(&["stop", "up", "down"]), Some(7));
    assert_eq!(range(&["left", "right"]), None);
}

#[test]
fn a_cover_shows_where_it_is() {
    let cover_at = |inverted, n: i64, work: &str| {
        let dps = dps(&[(2, DpValue::Value(40)), (3, DpValue::Value(n)), (7, DpValue::text(work))]);
        let state = read(&cover(1, inverted), &dps);
        (state["position"].clone(), state["target_position"].clone(), state["state"].clone())
    };
    assert_eq!(cover_at(false, 30, "opening"), (json!(30), json!(40), json!("opening")));
    assert_eq!(cover_at(true, 30, "closing"), (json!(70), json!(60), json!("closing")));
    assert_eq!(cover_at(false, 0, "closing").2, "closed");
    assert_eq!(cover_at(true, 0, "opening").2, "open");
    let set = write(&cover(1, true), json!({"position": 70}), &Dps::new()).unwrap();
    assert_eq!(set, dps(&[(2, DpValue::Value(30))]));
    assert!(
        write(&cover(1, false), json!({"position": 101}), &Dps::new()).unwrap_err().contains("0 (closed)")
    );
    let both = write(&cover(1, false), json!({"position": 1, "control": "stop"}), &Dps::new());
    assert!(both.unwrap_err().contains("not both"));
}

#[test]
fn two_states_have_their_words() {
    let leak = Attribute::Binary(Binary {
        name: "water_leak".into(),
        dp: DpId(1),
        on: vec![DpValue::text("alarm"), DpValue::text("1")],
        off: None,
        access: Access::Ro,
    });
    for (word, wet) in [("alarm", true), ("1", true), ("normal", false)] {
        assert_eq!(read(&leak, &dps(&[(1, DpValue::Enum(word.into()))])), json!({"water_leak": wet}));
    }
    assert!(leak.writes().is_empty());
}

#[test]
fn a_phase_is_three_readings() {
    let phase = Attribute::Phase(Phase { name: "phase_a".into(), dp: DpId(6) });
    // 230.5 V, 4.321 A, 987 W.
    let bytes = [0x09, 0x01, 0x00, 0x10, 0xe1, 0x00, 0x03, 0xdb];
    let want = json!({"phase_a": {"voltage": 230.5, "current": 4.321, "power": 987}});
    assert_eq!(read(&phase, &dps(&[(6, DpValue::Raw(bytes.into()))])), want);
    assert_eq!(read(&phase, &dps(&[(6, DpValue::text("CQEAEOEAA9s="))])), want);
    assert_eq!(read(&phase, &dps(&[(6, DpValue::text("short"))])), json!({"phase_a": "short"}));
}

#[test]
fn infrared_is_sent_in_both_forms() {
    let old = Attribute::Infrared(Infrared::Packed { send: DpId(201), learnt: Some(DpId(202)) });
    let none = Dps::new();
    let sent = write(&old, json!({"ir_send": "abc"}), &none).unwrap();
    let Some(DpValue::String(text)) = sent.value(DpId(201)) else { panic!("{sent:?}") };
    let told: Value = serde_json::from_str(text).unwrap();
    assert_eq!(told["control"], "send_ir");
    assert_eq!(told["key1"], "1abc");
    let learning = write(&old, json!({"ir_learn": true}), &none).unwrap();
    assert_eq!(read(&old, &learning), json!({"ir_learn": true}));
    assert_eq!(read(&old, &dps(&[(202, DpValue::text("code"))])), json!({"ir_code": "code"}));

    let new = Attribute::Infrared(Infrared::Spread {
        control: DpId(1),
        learnt: Some(DpId(2)),
        head: Some(DpId(3)),
        code: DpId(4),
        delay: Some(DpId(10)),
        kind: Some(DpId(13)),
    });
    let sent = write(&new, json!({"ir_send": {"head": "010ed2", "code": "002$$"}}), &none).unwrap();
    let want = [
        (1, DpValue::text("send_ir")),
        (3, DpValue::text("010ed2")),
        (4, DpValue::text("002$$")),
        (13, DpValue::Value(0)),
        (10, DpValue::Value(300)),
    ];
    assert_eq!(sent, dps(&want));
    assert!(write(&new, json!({"ir_send": ""}), &none).unwrap_err().contains("takes a code"));
}

fn round(attribute: &Attribute, now: &Dps, asked: &Value) -> Value {
    let mut after = now.clone();
    after.merge(&write(attribute, asked.clone(), now).unwrap());
    read(attribute, &after)
}

proptest! {
    #[test]
    fn what_is_written_to_a_new_bulb_is_read(
        bright in 1_i64..=255, mired in 153_i64..=370, hue in 0_i64..=360, tenths in 0_i64..=1000,
    ) {
        let bulb = bulb(true);
        let now = dps(&[(21, DpValue::text("white")), (22, DpValue::Value(300))]);
        let white = round(&bulb, &now, &json!({"brightness": bright, "color_temp": mired}));
        prop_assert_eq!(&white["brightness"], &json!(bright));
        prop_assert_eq!(&white["color_temp"], &json!(mired));
        let color = json!({"hue": hue, "saturation": decimal(tenths)});
        let coloured = round(&bulb, &now, &json!({"color": color.clone(), "brightness": bright}));
        prop_assert_eq!(&coloured["color"], &color);
        prop_assert_eq!(&coloured["brightness"], &json!(bright));
        prop_assert_eq!(&coloured["color_mode"], "hs");
    }

    #[test]
    fn what_an_old_bulb_shows_is_written_as_the_same(
        bright in 25_i64..=255, hue in 0_i64..=360, s in 0_i64..=255, v in 1_i64..=255,
    ) {
        let bulb = bulb(false);
        let white = dps(&[(2, DpValue::text("white")), (3, DpValue::Value(bright))]);
        let shown = read(&bulb, &white);
        let set = write(&bulb, json!({"brightness": shown["brightness"].clone()}), &white).unwrap();
        prop_assert!(white.shows(&set), "{:?} {:?}", white, set);
        // Whatever its red, green and blue say: hue, saturation and value are what is read.
        let text = format!("000000{hue:04x}{s:02x}{v:02x}");
        let coloured = dps(&[(2, DpValue::text("colour")), (5, DpValue::text(text.as_str()))]);
        let shown = read(&bulb, &coloured);
        let asked = json!({"color": shown["color"].clone(), "brightness": shown["brightness"].clone()});
        let set = write(&bulb, asked, &coloured).unwrap();
        let Some(DpValue::String(written)) = set.value(DpId(5)) else { panic!("{set:?}") };
        prop_assert_eq!(&written[6..], &text[6..]);
    }

    #[test]
    fn red_green_and_blue_survive(r in 0_i64..=255, g in 0_i64..=255, b in 0_i64..=255) {
        let bulb = bulb(false);
        let set = write(&bulb, json!({"color": {"r": r, "g": g, "b": b}}), &Dps::new()).unwrap();
        let Some(DpValue::String(text)) = set.value(DpId(5)) else { panic!("{set:?}") };
        for (at, want) in [(0, r), (2, g), (4, b)] {
            let got = i64::from_str_radix(&text[at..at + 2], 16).unwrap();
            prop_assert!((got - want).abs() <= 3, "{} {} {} gave {}", r, g, b, text);
        }
    }

    #[test]
    fn positions_survive_both_ways(n in 0_i64..=100, inverted in any::<bool>()) {
        let mut cover = cover(1, inverted);
        if let Attribute::Cover(c) = &mut cover {
            c.position = None;
        }
        prop_assert_eq!(&round(&cover, &Dps::new(), &json!({"position": n}))["position"], &json!(n));
    }

    #[test]
    fn no_text_of_a_device_makes_it_panic(text in "\\PC{0,20}") {
        let _colour = Encoding::decode(&text);
        for attribute in [bulb(true), bulb(false), cover(1, true)] {
            let all: Dps = (1..30).map(|id| (DpId(id), DpValue::text(text.as_str()))).collect();
            let _state = read(&attribute, &all);
        }
    }
}

fn decimal(tenths: i64) -> Value {
    super::super::number::decimal(tenths, 1)
}
