use std::io::Write as _;
use std::path::PathBuf;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("landfall.toml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (dir, path)
}

fn with(text: &str) -> Result<Settings, SettingsError> {
    let (_dir, path) = file(text);
    read(Some(&path), [], &[])
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn the_default_file_says_what_is_so_without_it() {
    assert_eq!(with(DEFAULT).unwrap(), Settings::default());
    assert_eq!(read(None, [], &[]).unwrap(), Settings::default());
}

#[test]
fn the_default_file_names_every_key() {
    let all = toml::Table::try_from(Settings::default()).unwrap();
    let written: toml::Table = DEFAULT.parse().unwrap();
    assert_eq!(all, written);
}

#[test]
fn options_win_over_variables_over_the_file() {
    let (_dir, path) =
        file("[page]\nlisten = 1\n[home]\nname = \"File\"\nprice = 0.3\n[lan]\ndiscovery = false\n");
    let variables = [
        variable("LANDFALL_PAGE_LISTEN", "2"),
        variable("LANDFALL_HOME_NAME", "Variable"),
        variable("LANDFALL_DATA_DIR", "/nowhere"),
        variable("LANDFALL_CLOUD_DNS_CLIENTS", "10.0.0.0/8, 192.168.0.0/16"),
    ];
    let s = read(Some(&path), variables, &["page.listen=0.0.0.0:3".to_owned()]).unwrap();
    assert_eq!(s.page.listen.at(), Some("0.0.0.0:3".parse().unwrap()));
    assert_eq!(s.home.name, "Variable");
    assert_eq!(s.home.price, 0.3);
    assert!(!s.lan.discovery);
    assert_eq!(s.cloud.dns_clients.len(), 2);
}

#[test]
fn wrong_settings_name_value_cause_and_next_step() {
    let said = |text: &str| {
        let e = with(text).unwrap_err();
        let near = match &e {
            SettingsError::Unknown { near, .. } => near.clone(),
            _ => None,
        };
        (e.to_string(), near)
    };
    let (text, near) = said("[page]\nlissten = 1\n");
    assert!(text.ends_with("there is no setting \"page.lissten\""), "{text}");
    assert_eq!(near.as_deref(), Some("page.listen"));
    let (text, near) = said("[pagee]\n");
    assert!(text.contains("pagee"), "{text}");
    assert_eq!(near.as_deref(), Some("page"));
    let (text, _) = said("[home]\ngrace = \"soon\"\n");
    assert!(text.contains("home.grace") && text.contains("soon") && text.contains("20s"), "{text}");
    let (text, _) = said("[cloud]\nhttp = \"example\"\n");
    assert!(text.contains("cloud.http") && text.contains("\"example\" is no address"), "{text}");
    let (text, _) = said("[home]\ntime_zone = \"Berlin/Europe\"\n");
    assert!(text.contains("Europe/Berlin is one"), "{text}");
    let (text, _) = said("[page]\n\nlisten = \n");
    assert!(text.contains("line 3"), "{text}");
    let (text, _) = said("[mqtt]\nbase = \"a/#\"\n");
    assert!(text.contains("mqtt.base"), "{text}");
    let (text, _) = said("[mqtt]\ndiscovery = \"devices\"\n");
    assert!(text.contains("mqtt.discovery") && text.contains("devices") && text.contains("entity"), "{text}");
    let (text, _) = said("[mqtt]\ndiscovery_prefix = \"landfall/x\"\n");
    assert!(text.contains("mqtt.discovery_prefix") && text.contains("landfall/x"), "{text}");
    let (text, near) = said("[mqtt]\ndiscovery_prefx = \"x\"\n");
    assert!(text.contains("discovery_prefx"), "{text}");
    assert_eq!(near.as_deref(), Some("mqtt.discovery_prefix"));
    assert!(with("[mqtt]\ndiscovery = \"off\"\ndiscovery_prefix = \"landfall\"\n").is_ok());
    let e = read(None, [variable("LANDFALL_STORE_PORT", "many")], &[]).unwrap_err().to_string();
    assert!(e.contains("LANDFALL_STORE_PORT"), "{e}");
    let e = read(None, [], &["page".to_owned()]).unwrap_err().to_string();
    assert!(e.contains("SECTION.KEY=VALUE"), "{e}");
    assert!(matches!(with("[store]\nraw_days = 0\n"), Err(SettingsError::Value { .. })));
}

#[test]
fn addresses_and_spans_are_written_as_they_are_read() {
    let s = with("[page]\nlisten = \"off\"\n[home]\ngrace = \"1h 30m\"\n[cloud]\nhttp = 0\n").unwrap();
    assert_eq!(s.page.listen.at(), None);
    assert_eq!(s.home.grace.0.as_secs(), 5_400);
    assert_eq!(s.cloud.http, Address::loopback(0));
    let text = toml::to_string(&s).unwrap();
    assert_eq!(with(&text).unwrap(), s);
}

#[test]
fn files_are_found_among_credentials_and_in_the_data_directory() {
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("broker"), "x").unwrap();
    let data = Path::new("/data");
    let at = |file: &str| placed(Path::new(file), data, Some(credentials.path()));
    assert_eq!(at("broker"), credentials.path().join("broker"));
    assert_eq!(at("other"), data.join("other"));
    assert_eq!(at("./sub/broker"), data.join("./sub/broker"));
    assert_eq!(at("/etc/broker"), Path::new("/etc/broker"));
    assert_eq!(placed(Path::new("broker"), data, None), data.join("broker"));
}
