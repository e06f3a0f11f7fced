//! `landfall check-install`, `health` and `man`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::harness::{Background, Home, Run, Stream};

/// Free ports, and none that other tests may hold.
const QUIET: &str = "page.listen=0 cloud.http=0 cloud.https=0 cloud.mqtt=0 cloud.mqtts=0 cloud.mqtt_psk=0 cloud.dns=off \
                     lan.discovery=false";

/// `command` with these settings and options.
fn with_settings(command: &str, settings: &str, options: &[&str]) -> Vec<String> {
    let mut args = vec![command.to_owned()];
    for setting in settings.split_ascii_whitespace() {
        args.extend(["--set".to_owned(), setting.to_owned()]);
    }
    args.extend(options.iter().map(|o| (*o).to_owned()));
    args
}

fn check(home: &Home, settings: &str) -> Run {
    // No name is asked: who knows whom this machine's resolver asks.
    home.run(&with_settings("check-install", &format!("{QUIET} {settings}"), &["--no-names", "--json"]))
}

/// The finding of this code.
#[track_caller]
fn finding(run: &Run, code: &str) -> Value {
    let told = run.json();
    let all = told["findings"].as_array().unwrap();
    all.iter().find(|f| f["code"] == code).unwrap_or_else(|| panic!("no {code} in {told:#}")).clone()
}

#[test]
fn a_machine_that_is_ready_is_left_as_it_was() {
    let home = Home::new();
    let run = check(&home, "home.time_zone=Europe/Berlin").ok();
    let told = run.json();
    assert_eq!((&told["ready"], &told["problems"]), (&true.into(), &0.into()), "{told:#}");
    assert_eq!(finding(&run, "data.absent")["level"], "ok");
    assert_eq!(finding(&run, "clock.zone")["sentence"], "the time zone is Europe/Berlin, by the settings");
    assert_eq!(fs::read_dir(home.path(".")).unwrap().count(), 0, "nothing was made");
    let text = home.run(&with_settings("check-install", QUIET, &["--no-names"])).ok().stdout;
    assert!(text.contains("\nready: 0 problems, "), "{text}");
}

#[test]
fn a_busy_port_is_a_problem_with_its_holder() {
    let home = Home::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap();
    let run = check(&home, &format!("page.listen={at}"));
    assert_eq!(run.code, 1, "{run:#?}");
    let busy = finding(&run, "port.busy");
    let sentence = busy["sentence"].as_str().unwrap();
    assert!(sentence.contains(&at.to_string()) && sentence.contains("page.listen"), "{busy:#}");
    #[cfg(target_os = "linux")]
    assert!(sentence.contains(&format!("(process {},", std::process::id())), "{busy:#}");
    assert_ne!(busy["next_step"], "");
    let text =
        home.run(&with_settings("check-install", &format!("{QUIET} page.listen={at}"), &["--no-names"]));
    assert_eq!(text.code, 1);
    assert!(text.stdout.starts_with("ok ") && text.stdout.contains("\nproblem  TCP "), "{text:#?}");
    assert!(text.stdout.contains("\nnot ready: 1 problem, "), "{text:#?}");
}

#[test]
fn open_files_and_wrong_settings_are_problems() {
    let home = Home::new();
    let dir = home.path(".local/state/landfall");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let password = home.write("password", "SECRETSECRETSECR");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let run = check(&home, &format!("mqtt.broker=external mqtt.password_file={}", password.display()));
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(finding(&run, "data.open")["next_step"], format!("chmod 0700 {}", dir.display()));
    assert_eq!(finding(&run, "file.open")["level"], "problem");
    assert!(!run.stdout.contains("SECRET"), "{run:#?}");
    let run = check(&home, "page.lissten=1");
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(finding(&run, "settings.wrong")["next_step"], "did you mean page.listen?");
}

#[test]
fn a_running_hub_is_healthy_and_no_problem() {
    let home = Home::new();
    let absent = home.run(&["health"]);
    absent.failed(1, "no hub runs in", "landfall run");
    let mut hub = Background::start(home.command(&with_settings("run", QUIET, &["--json"])));
    let first: Value = serde_json::from_str(&hub.wait_for(Stream::Out, "listening")).unwrap();
    assert_eq!(home.run(&["health"]).ok().stdout, "ok\n");
    assert_eq!(home.run(&["health", "--ready", "--json"]).ok().json()["status"], "ok");
    let page = first["page"].as_str().unwrap();
    let run = check(&home, &format!("page.listen={page}")).ok();
    assert_eq!(finding(&run, "hub.runs")["level"], "ok");
    #[cfg(target_os = "linux")]
    assert!(finding(&run, "port.ours")["sentence"].as_str().unwrap().contains(page));
    assert_eq!(finding(&run, "data.sound")["level"], "ok");
    assert_eq!(hub.interrupt(), 0);
    home.run(&["health"]).failed(1, "no hub runs in", "landfall run");
}

/// Whoever starts a hub anew when its health fails would do so for ever, and leave the devices alone meanwhile.
#[test]
fn a_hub_that_can_not_keep_history_is_alive_and_not_ready() {
    let home = Home::new();
    // Nobody listens there any more.
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!("{QUIET} store.kind=postgresql store.port={away} store.tls=off");
    let mut hub = Background::start(home.command(&with_settings("run", &settings, &["--json"])));
    hub.wait_for(Stream::Out, "listening");
    assert_eq!(home.run(&["health"]).ok().stdout, "ok\n");
    home.run(&["health", "--ready"]).failed(1, "history is not kept", "devices are served all the same");
    assert_eq!(hub.interrupt(), 0);
}

#[test]
fn each_command_has_a_manual_page() {
    let home = Home::new();
    let page = home.run(&["man"]).ok().stdout;
    assert!(page.contains(".TH landfall 1") && page.contains(".SH SUBCOMMANDS"), "{page}");
    let dir = home.path("man");
    home.run(&["man", "--out", "man"]).failed(
        1,
        "can't write manual pages into man",
        "a directory that exists",
    );
    fs::create_dir(&dir).unwrap();
    home.run(&["man", "--out", "man"]).ok();
    for (name, word) in [
        ("landfall", "landfall\\-doctor"),
        ("landfall-check-install", "no\\-names"),
        ("landfall-cloud-firmware-approve", "image"),
        ("landfall-device-add", "key\\-file"),
    ] {
        let text =
            fs::read_to_string(dir.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(text.contains(word), "{name}: {text}");
    }
    assert!(!dir.join("landfall-help.1").exists());
}
