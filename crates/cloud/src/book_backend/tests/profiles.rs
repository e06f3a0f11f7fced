use landfall_sim::kind::Kind;
use landfall_sim::product::{Point as SimPoint, Product, Shape};

use super::*;

fn product(text: &str) -> ProductId {
    ProductId::new(text).unwrap()
}

#[test]
fn the_built_in_profiles_are_sound_and_none_is_forgotten() {
    Profiles::read(FILES).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    there.sort();
    let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, listed, "profiles/ and the list in profiles.rs, in the order of the alphabet");
}

#[test]
fn profiles_of_virtual_devices_say_what_the_devices_do() {
    let step = |points: &'static [SimPoint], id: DpId| {
        points.iter().find(|p| p.id == id.0).and_then(|p| match p.shape {
            Shape::Value { step, .. } => Some(step),
            _ => None,
        })
    };
    for kind in Kind::ALL {
        let sim = Product::of(kind);
        let profile =
            built_in().of_product(&product(sim.id)).unwrap_or_else(|| panic!("{kind} has no profile"));
        assert_eq!(profile.name, sim.name);
        let mut schema = profile.schema.as_ref().clone();
        for (id, spec) in &mut schema.0 {
            if let DpKind::Value { step: said, .. } = &mut spec.kind {
                // The virtual firmware does not insist on it.
                assert_eq!(Some(*said), step(sim.points, *id), "{kind} {id}");
                *said = 1;
            }
        }
        assert_eq!(&schema, sim.schema(), "{kind}");
    }
}

#[test]
fn the_plug_of_the_captures_is_known_by_the_number_in_its_id() {
    let plug = built_in().of_device(&DeviceId::new("02200194dc4f22135606").unwrap()).unwrap();
    let code = |n| plug.schema.spec(DpId(n)).map(|s| (&*s.code, s.passive));
    assert_eq!(code(1), Some(("switch_1", false)));
    assert_eq!(code(2), Some(("countdown_1", true)));
    for (n, name, unit, scale) in
        [(4, "cur_current", "mA", 0), (5, "cur_power", "W", 1), (6, "cur_voltage", "V", 1)]
    {
        let spec = plug.schema.spec(DpId(n)).unwrap();
        assert_eq!((&*spec.code, spec.access), (name, Access::Ro));
        assert!(matches!(&spec.kind, DpKind::Value { unit: u, scale: s, .. } if **u == *unit && *s == scale));
    }
    assert!(built_in().of_device(&DeviceId::new("bf0220019400000000000a").unwrap()).is_none());
    assert!(built_in().of_device(&DeviceId::new("02200194").unwrap()).is_none());
}

#[test]
fn faults_name_file_and_point() {
    let fault = |text: &str| Profiles::read(&[("x.toml", text)]).unwrap_err().to_string();
    let point = |rest: &str| fault(&format!("name = \"X\"\n[[point]]\nid = 7\n{rest}"));
    assert!(fault("name = 5").starts_with("x.toml: "));
    assert!(fault("name = \"X\"\ncolour = 1").contains("colour"));
    assert_eq!(point("type = \"value\"\nmin = 0"), "x.toml: line 3: point 7: the type value has min and max");
    assert_eq!(
        point("type = \"enum\""),
        "x.toml: line 3: point 7: the type enum has a range, other types have none"
    );
    assert_eq!(
        point("type = \"bool\"\nunit = \"W\""),
        "x.toml: line 3: point 7: min, max, step, scale and unit are for the type value"
    );
    assert_eq!(
        point("type = \"bool\"\nlabels = [\"a\"]"),
        "x.toml: line 3: point 7: the type bitmap has labels, other types have none"
    );
    assert_eq!(
        point("type = \"bool\"\nmaxlen = 3"),
        "x.toml: line 3: point 7: maxlen is for the types string and raw"
    );
    assert!(point("type = \"value\"\nmin = 5\nmax = 1").contains("min is above max"));
    assert_eq!(
        point("type = \"bool\"\n[[point]]\nid = 7\ntype = \"bool\""),
        "x.toml: line 6: point 7: listed twice"
    );
    assert_eq!(
        fault("name = \"X\"\nproduct_numbers = [\"22\"]"),
        "x.toml: \"22\" is no product number of 8 digits"
    );
    let twice =
        [("x.toml", "name = \"X\"\nproducts = [\"a\"]"), ("y.toml", "name = \"Y\"\nproducts = [\"a\"]")];
    let e = Profiles::read(&twice).unwrap_err().to_string();
    assert_eq!(e, "y.toml: another profile has the product a");
    assert!(fault("name = \"X\"\nschema_id = \"12345678901234567\"").contains("1 to 16"));
}
