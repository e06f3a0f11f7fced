//! `landfall config`.

use std::path::Path;

use crate::harness::Home;

#[test]
fn the_default_file_is_sound_and_shown_as_it_is_in_force() {
    let home = Home::new();
    let default = home.run(&["config", "default"]).ok().stdout;
    let file = home.write("all.toml", &default);
    let file = file.to_str().unwrap();
    assert!(home.run(&["config", "check", "--config", file]).ok().stderr.contains("is sound"));
    let shown = home.run(&["config", "show", "--config", file]).ok().stdout;
    assert_eq!(shown, home.run(&["config", "show"]).ok().stdout);
    assert!(shown.contains("listen = \"127.0.0.1:8099\""), "{shown}");
}

#[test]
fn options_variables_and_the_usual_place_are_read() {
    let home = Home::new();
    std::fs::create_dir_all(home.path(".config/landfall")).unwrap();
    home.write(".config/landfall/landfall.toml", "[home]\nname = \"Mill\"\n[page]\nlisten = 1\n");
    let shown = home.run_with_env(
        &["config", "show", "--json", "--set", "mqtt.base=mill"],
        &[("LANDFALL_PAGE_LISTEN", Path::new("127.0.0.1:7"))],
    );
    let shown: serde_json::Value = serde_json::from_str(&shown.ok().stdout).unwrap();
    assert_eq!(shown["home"]["name"], "Mill");
    assert_eq!(shown["page"]["listen"], "127.0.0.1:7");
    assert_eq!(shown["mqtt"]["base"], "mill");
}

#[test]
fn wrong_settings_say_what_to_write() {
    let home = Home::new();
    let file = home.write("a.toml", "[page]\nlissten = 1\n");
    let run = home.run(&["config", "check", "--config", file.to_str().unwrap()]);
    run.failed(1, "there is no setting \"page.lissten\"", "did you mean page.listen?");
    let run = home.run(&["config", "check", "--config", "nowhere.toml"]);
    run.failed(1, "can't read the settings nowhere.toml", "--config");
    let run = home.run(&["config", "check", "--set", "home.grace=soon"]);
    run.failed(1, "home.grace=soon: \"soon\" is no length of time", "landfall config default");
}
