//! `landfall demo`

use std::fs;

use crate::harness::{Background, Home, Stream, finish};

#[test]
fn once_is_a_table_with_a_line_a_device() {
    let home = Home::new();
    // Two at a time: the second finds other addresses.
    let other = home.command(&["demo", "--once"]).spawn().unwrap();
    let run = home.run(&["demo", "--once"]).ok();
    finish(other).ok();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("NAME") && lines[0].contains("STATE") && lines[0].contains("TODAY"));
    assert!(lines.len() > 10, "at least ten devices: {run:#?}");
    for version in [" 3.1 ", " 3.2 ", " 3.3 ", " 3.4 ", " 3.5 "] {
        assert!(lines[1..].iter().any(|l| l.contains(version)), "{version}: {run:#?}");
    }
    assert!(lines[1..].iter().any(|l| l.contains(" W ")), "power: {run:#?}");
    assert!(!run.stdout.contains("connecting") && !run.stdout.contains("lost"), "{run:#?}");
    assert!(!run.stdout.contains('\u{1b}'), "no colours for a file");
    assert!(
        run.stderr.contains("to a stand-in cloud on this machine as well, 3 of them paired there"),
        "{run:#?}"
    );
    assert_eq!(fs::read_dir(home.path(".")).unwrap().count(), 0, "nothing stays behind");
}

#[test]
fn a_directory_of_real_devices_is_refused_and_left_alone() {
    let home = Home::new();
    home.run(&["--data-dir", "mine", "device", "add", "Plug", "--id", "bf01"]).ok();
    let book = fs::read(home.path("mine/book.json")).unwrap();
    home.run(&["--data-dir", "mine", "demo", "--once"]).failed(
        2,
        "mine holds 1 real device",
        "leave --data-dir out",
    );
    assert_eq!(fs::read(home.path("mine/book.json")).unwrap(), book);
    // One of its own is fine, again and again.
    for _ in 0..2 {
        home.run(&["--data-dir", "play", "demo", "--once"]).ok();
    }
    let list = home.run(&["--data-dir", "play", "device", "list"]).ok();
    assert!(list.stdout.contains("Fridge"), "{list:#?}");
    home.run(&["--devices", "x.json", "demo"]).failed(
        2,
        "the demo brings its own devices",
        "leave --devices out",
    );
}

#[test]
fn live_it_is_lines_for_a_pipe_and_ends_with_ctrl_c() {
    let home = Home::new();
    let mut demo = Background::start(home.command(&["demo"]));
    let hint = demo.wait_for(Stream::Err, "keys of its devices");
    let file = hint.split_whitespace().find(|w| w.ends_with("devices.json")).unwrap().to_owned();
    let dir = std::path::Path::new(&file).parent().unwrap().to_str().unwrap().to_owned();
    // Somebody is at home.
    let line = demo.wait_for(Stream::Out, "set ");
    assert!(line.contains("-> confirmed ("), "{line}");
    // Another terminal asks the hub.
    let power = home.run(&["--data-dir", &dir, "get", "Fridge", "switch_1"]).ok();
    assert_eq!(power.stdout, "true\n");
    let top = home.run(&["--data-dir", &dir, "top", "--once"]).ok();
    assert!(top.stdout.contains("Fridge") && top.stdout.contains("kWh"), "{top:#?}");
    // Other terminals can take part.
    let fridge = home.run(&["--devices", &file, "get", "Fridge", "switch_1"]).ok();
    assert_eq!(fridge.stdout, "true\n");
    assert_eq!(demo.interrupt(), 0);
    assert!(!std::path::Path::new(&file).exists(), "the temporary directory is gone");
}
