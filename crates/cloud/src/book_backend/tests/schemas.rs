use landfall_book::Mapping;
use landfall_proto::dp::DpId;
use landfall_proto::schema::{Access, DpKind};
use serde_json::json;

use super::super::profiles::built_in;
use super::*;

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn count(text: &str) -> usize {
    text.matches("\"mode\"").count()
}

#[test]
fn what_is_known_of_the_very_device_goes_before_its_product_and_a_guess() {
    let number = id("02200194dc4f22135606");
    let profile = told(built_in(), None, None, Some(&number), 1);
    assert_eq!((profile.id.as_str(), profile.guess), ("000000066z", false));
    assert_eq!(count(&profile.text), 6);
    let mut device = Device::new(number.clone(), "Plug");
    assert_eq!(told(built_in(), Some(&device), None, None, 1), profile);
    let earlier = ToldSchema { id: "earlier".into(), text: "[]".into(), guess: false };
    device.cloud.told = Some(earlier.clone());
    assert_eq!(told(built_in(), Some(&device), None, None, 1), earlier);
    device.cloud.told = Some(ToldSchema { guess: true, ..earlier });
    assert_eq!(told(built_in(), Some(&device), None, None, 1), profile, "a guess is no knowledge");
    let mapping = json!({"1": {"code": "switch_1", "type": "Boolean", "values": {}}});
    device.mapping = Mapping::new(mapping).ok();
    let own = told(built_in(), Some(&device), None, None, 1);
    assert_eq!(own.text, r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"}]"#);
    assert!(own.id.len() == 10 && own.id.starts_with("lf"));
    assert_eq!(told(built_in(), Some(&device), None, None, 5), own);
}

#[test]
fn a_guess_has_twenty_points_and_sometimes_one() {
    let points = |attempt| count(&told(built_in(), None, None, None, attempt).text);
    assert_eq!([1, 2, 3, 4, 5, 6].map(points), [20, 20, 1, 20, 1, 20]);
    let guess = told(built_in(), None, None, None, 1);
    assert_eq!((guess.id.as_str(), guess.guess), (GUESS_ID, true));
    schema_text::parse(&guess.text).unwrap();
}

#[test]
fn reports_are_read_by_all_that_is_known() {
    let mut device = Device::new(id("02200194dc4f22135606"), "Plug");
    assert_eq!(known(built_in(), &device).by_code("cur_power"), Some(DpId(5)));
    // Told by somebody else's cloud: no names, no units.
    device.cloud.told = Some(ToldSchema {
        id: "x".into(),
        text: r#"[{"mode":"ro","property":{"type":"value","min":0,"max":9,"scale":1,"step":1},"id":5,"type":"obj"}]"#.into(),
        guess: false,
    });
    let schema = known(built_in(), &device);
    let power = schema.spec(DpId(5)).unwrap();
    assert_eq!((&*power.code, power.access, schema.0.len()), ("cur_power", Access::Ro, 1));
    assert!(matches!(&power.kind, DpKind::Value { max: 9, unit, .. } if &**unit == "W"));
    let stranger = Device::new(id("bf01"), "X");
    assert!(known(built_in(), &stranger).0.is_empty(), "an empty schema lets everything pass");
}
