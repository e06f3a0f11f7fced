//! `landfall device ...`: the book and its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::harness::Home;

const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
const GATEWAY_KEY: &str = "ABCDEFGHabcdefgh";

fn devices() -> String {
    json!([
        {"name": "Kitchen / plug", "id": "bf0123456789abcdefvx01", "key": KEY, "ip": "127.0.0.9", "version": "3.3",
         "category": "cz", "icon": "https://example.org/plug.png", "biz_type": 18,
         "mapping": {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
                     "19": {"code": "cur_power", "type": "Integer",
                            "values": "{\"unit\":\"W\",\"min\":0,\"max\":50000,\"scale\":1,\"step\":1}"}}},
        {"name": "Hub", "id": "bfgateway0000000000001", "key": GATEWAY_KEY, "ip": "127.0.0.10", "version": "3.4"},
        {"name": "Leak", "id": "bfchild000000000000001", "key": GATEWAY_KEY, "sub": true, "node_id": "a4c1"}
    ])
    .to_string()
}

fn home() -> Home {
    let mut home = Home::new();
    home.guard(KEY);
    home.guard(GATEWAY_KEY);
    home
}

fn imported() -> Home {
    let home = home();
    home.write("devices.json", &devices());
    home.run(&["device", "import", "devices.json"]).ok();
    home
}

#[test]
fn import_list_show() {
    let home = home();
    home.write("devices.json", &devices());
    let run = home.run(&["device", "import", "devices.json"]).ok();
    assert_eq!(run.stdout, "added      Kitchen / plug\nadded      Hub\nadded      Leak\n");
    assert!(run.stderr.starts_with("3 devices: 3 added, 0 updated, 0 unchanged; kept in "), "{run:#?}");
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.book()), 0o600);
    assert_eq!(mode(home.book().parent().unwrap()), 0o700);
    assert_eq!(
        home.run(&["device", "list"]).ok().stdout,
        "NAME            KIND  VERSION  ADDRESS     KEY        ID\n\
         Kitchen / plug  plug  3.3      127.0.0.9   yes        bf0123456789abcdefvx01\n\
         Hub                   3.4      127.0.0.10  yes        bfgateway0000000000001\n\
         Leak                           behind Hub  gateway's  bfchild000000000000001\n"
    );
    let shown = home.run(&["device", "show", "KITCHEN / plug"]).ok().stdout;
    assert!(shown.contains("\n19  cur_power  value  0..50000 x 10^-1 W  read, write\n"), "{shown}");
    let list = home.run(&["device", "list", "--json"]).ok().json();
    assert_eq!(list[0]["has_key"], json!(true));
    assert_eq!(list[2]["gateway"], json!("bfgateway0000000000001"));
}

#[test]
fn importing_again_says_what_changed_and_nothing_else() {
    let home = imported();
    let before = fs::read(home.book()).unwrap();
    let again = home.run(&["device", "import", "devices.json"]).ok();
    assert!(again.stderr.starts_with("3 devices: 0 added, 0 updated, 3 unchanged"), "{again:#?}");
    assert_eq!(fs::read(home.book()).unwrap(), before);
    let changed = devices().replace(KEY, "NEWKEYNEWKEYNEWK").replace("127.0.0.9", "127.0.0.7");
    home.write("devices.json", &changed);
    let run = home.run(&["device", "import", "devices.json"]).ok();
    assert_eq!(
        run.stdout.lines().next(),
        Some(
            "updated    Kitchen / plug: key changed (the old one is in the key history), \
             address 127.0.0.9 -> 127.0.0.7"
        )
    );
    assert_eq!(home.run(&["device", "show", "Kitchen / plug", "--json"]).ok().json()["past_keys"], json!(1));
}

#[test]
fn malformed_files_name_entry_and_field_and_change_nothing() {
    let home = imported();
    let before = fs::read(home.book()).unwrap();
    let case = |text: &str, error: &str, cause: &str, hint: &str| {
        home.write("bad.json", text);
        let run = home.run(&["device", "import", "bad.json"]).failed(1, error, hint);
        assert!(run.stderr.contains(cause), "no {cause:?} in {run:#?}");
        assert_eq!(fs::read(home.book()).unwrap(), before, "the book must not change");
        home.run(&["--devices", "bad.json", "device", "list"]).failed(1, error, hint);
    };
    let with = |field: &str, value: serde_json::Value| {
        let mut entry = json!({"name": "Lamp", "id": "bf02"});
        entry[field] = value;
        json!([{"name": "Fine", "id": "bf01"}, entry]).to_string()
    };
    let at = "bad.json: entry 2 (\"Lamp\", id bf02), field ";
    case(
        &with("key", json!("tooshort")),
        &format!("{at}\"key\""),
        "caused by: a local key has 16 bytes, this one has 8",
        "copy the key again",
    );
    case(&with("ip", json!("300.1.1.1")), &format!("{at}\"ip\""), "no IP address", "leave the address out");
    case(&with("port", json!(0)), &format!("{at}\"port\""), "0 is no port", "leave the port out");
    case(
        &with("version", json!("4.0")),
        &format!("{at}\"version\""),
        "unknown LAN protocol version",
        "leave the version out",
    );
    case(
        &with("mapping", json!({"1": {"code": "x", "type": "Colour"}})),
        &format!("{at}\"mapping\""),
        "caused by: point 1: unknown type \"Colour\"",
        "leave the mapping out",
    );
    case(
        &with("id", json!("b f")),
        "entry 2 (\"Lamp\", id b f), field \"id\"",
        "the character ' '",
        "own id",
    );
    case("[{\"name\": \"x\"}]", "entry 1 (\"x\"), field \"id\"", "it is missing", "own id");
    case(
        "[{\"id\": \"bf01\",}]",
        "bad.json is not JSON: line 1, column 16",
        "caused by:",
        "nothing was changed",
    );
    case("{\"devices\": 5}", "bad.json holds a number, not a list of devices", "", "known forms");
    home.run(&["device", "import", "none.json"]).failed(1, "can't read none.json", "tinytuya's wizard");
}

#[test]
fn export_hides_keys_unless_asked_and_loses_nothing() {
    let home = imported();
    let bare = home.run(&["device", "export"]).ok().json();
    assert_eq!(bare[0]["key"], json!(""));
    assert_eq!(bare[0]["icon"], json!("https://example.org/plug.png"));
    let full = home.run_showing_keys(&["device", "export", "--with-keys"]).ok();
    assert_eq!(full.json()[0]["key"], json!(KEY));
    let run = home.run(&["device", "export", "--with-keys", "-o", "out.json"]).ok();
    assert_eq!(run.stdout, "");
    assert_eq!(fs::metadata(home.path("out.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(home.path("out.json")).unwrap(), full.stdout);
    // Into an empty book and out again: the same.
    home.run(&["--data-dir", "other", "device", "import", "out.json"]).ok();
    let again = home.run_showing_keys(&["--data-dir", "other", "device", "export", "--with-keys"]).ok();
    assert_eq!(again.stdout, full.stdout);
}

#[test]
fn keys_come_from_file_input_or_environment() {
    let home = home();
    home.write("key", &format!("{KEY}\n"));
    let args = |name: &'static str, id: &'static str| vec!["device", "add", name, "--id", id];
    let mut from_file = args("A", "bf01");
    from_file.extend(["--key-file", "key", "--address", "127.0.0.9", "--protocol", "3.3"]);
    home.run(&from_file).ok();
    let mut from_input = args("B", "bf02");
    from_input.push("--key-stdin");
    home.run_with_input(&from_input, &format!("{KEY}\r\n")).ok();
    home.run_with_env(&args("C", "bf03"), &[("LANDFALL_LOCAL_KEY", Path::new(KEY))]).ok();
    let list = home.run(&["device", "list", "--json"]).ok().json();
    for i in 0..3 {
        assert_eq!(list[i]["has_key"], json!(true), "{list:#}");
    }
    let none = home.run(&args("D", "bf04")).ok();
    assert!(none.stderr.contains("it has no local key yet"), "{none:#?}");
    let book = fs::read(home.book()).unwrap();
    let short = home.run_with_input(&["device", "add", "E", "--id", "bf05", "--key-stdin"], "SECRET\n");
    assert!(!short.stderr.contains("SECRET"));
    short
        .failed(1, "standard input holds no local key", "16 characters")
        .stderr
        .find("this one has 6")
        .unwrap();
    home.run(&["device", "add", "E", "--id", "bf05", "--key-file", "nokey"]).failed(
        1,
        "can't read the key file nokey",
        "",
    );
    assert_eq!(fs::read(home.book()).unwrap(), book);
}

#[test]
fn names_and_ids_are_explained() {
    let home = imported();
    home.run(&["device", "show", "Kitchen"]).failed(
        1,
        "no device is called \"Kitchen\"",
        "did you mean \"Kitchen / plug\"?",
    );
    home.run(&["device", "show", "zzzz"]).failed(1, "no device is called \"zzzz\"", "landfall device list");
    home.run(&["device", "add", "HUB", "--id", "bf77"]).failed(
        1,
        "belongs to bfgateway0000000000001",
        "unique",
    );
    home.run(&["device", "add", "New", "--id", "bfgateway0000000000001"]).failed(
        1,
        "bfgateway0000000000001 is in the book already, as \"Hub\"",
        "--update",
    );
    home.run(&["device", "remove", "hub"]).failed(
        1,
        "\"Hub\" is the gateway of \"Leak\"",
        "sub-devices first",
    );
    home.run(&["device", "rename", "leak", "Cellar / leak"]).ok();
    home.run(&["device", "remove", "cellar / LEAK"]).ok();
    home.run(&["device", "remove", "hub"]).ok();
    let list = home.run(&["device", "list", "--json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let empty = Home::new();
    empty.run(&["device", "show", "plug"]).failed(
        1,
        "no device is called \"plug\"",
        "landfall device import",
    );
}

#[test]
fn add_update_changes_what_is_given() {
    let home = imported();
    home.run(&[
        "device",
        "add",
        "Boiler",
        "--id",
        "bf0123456789abcdefvx01",
        "--update",
        "--address",
        "127.0.0.3",
        "--device22",
    ])
    .ok();
    let shown = home.run(&["device", "show", "boiler", "--json"]).ok().json();
    assert_eq!(shown["address"], json!("127.0.0.3"));
    assert_eq!(shown["version"], json!("3.3"));
    assert_eq!(shown["device22"], json!(true));
    assert_eq!(shown["has_key"], json!(true));
}

#[test]
fn a_file_in_place_of_the_book_is_for_reading() {
    let home = home();
    let path = home.write("devices.json", &devices());
    let list = home.run(&["device", "list", "--devices", "devices.json"]).ok();
    assert!(list.stdout.contains("Kitchen / plug"));
    home.run(&["--devices", "devices.json", "device", "rename", "Hub", "Other"]).failed(
        1,
        "devices.json is used as it is, for reading only",
        "leave --devices out",
    );
    assert_eq!(fs::read_to_string(path).unwrap(), devices());
    assert!(!home.book().exists());
}

#[test]
fn the_data_directory_can_be_chosen() {
    let home = home();
    let add = ["device", "add", "A", "--id", "bf01"];
    let (one, two, three) = (home.path("one"), home.path("two"), home.path("three"));
    home.run_with_env(&add, &[("LANDFALL_DATA_DIR", &one), ("STATE_DIRECTORY", &two)]).ok();
    assert!(one.join("book.json").exists() && !two.exists());
    home.run_with_env(&add, &[("STATE_DIRECTORY", &two), ("XDG_STATE_HOME", &three)]).ok();
    assert!(two.join("book.json").exists() && !three.exists());
    home.run_with_env(&add, &[("XDG_STATE_HOME", &three)]).ok();
    assert!(three.join("landfall/book.json").exists());
    assert!(!home.book().exists());
}

#[test]
fn a_newer_or_damaged_book_is_left_alone() {
    let home = imported();
    for (text, error, hint) in [
        (
            "{\"schema\": 99, \"devices\": 1}",
            "schema 99; this version of landfall knows schemas up to 4",
            "upgrade",
        ),
        ("{\"schema\": 1, \"devices\": [{\"id\": ", "is damaged at line 1", "left untouched"),
    ] {
        fs::write(home.book(), text).unwrap();
        home.run(&["device", "list"]).failed(1, error, hint);
        home.run(&["device", "import", "devices.json"]).failed(1, error, hint);
        assert_eq!(fs::read_to_string(home.book()).unwrap(), text);
    }
}
