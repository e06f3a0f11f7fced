//! The command line itself.

use crate::harness::Home;

#[test]
fn help_is_data_and_misuse_is_talk() {
    let home = Home::new();
    let help = home.run(&["--help"]).ok();
    for command in [
        "scan",
        "device",
        "get",
        "set",
        "watch",
        "doctor",
        "config",
        "check-install",
        "health",
        "completions",
        "man",
    ] {
        assert!(help.stdout.contains(&format!("  {command}")), "{command}: {help:#?}");
    }
    assert_eq!(help.stderr, "");
    for misuse in [&["frobnicate"][..], &[], &["get"], &["set", "plug"], &["-q", "-v", "device", "list"]] {
        let run = home.run(misuse);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{misuse:?}: {run:#?}");
        assert!(!run.stderr.is_empty());
    }
    assert!(!home.book().exists());
}

#[test]
fn a_key_is_no_argument_and_is_not_repeated() {
    let mut home = Home::new();
    home.guard("SECRETSECRETSECR");
    for args in [
        &["device", "add", "Plug", "--id", "bf01", "--key", "SECRETSECRETSECR"][..],
        &["device", "add", "Plug", "--id", "bf01", "--key=SECRETSECRETSECR"],
        &["device", "add", "Plug", "--id", "bf01", "--local-key", "SECRETSECRETSECR"],
    ] {
        let run = home.run(args);
        run.failed(2, "a local key is never taken from the command line", "--key-file FILE, --key-stdin");
    }
}

#[test]
fn completions_for_each_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("landfall") && script.contains("doctor"), "{shell}");
    }
    assert_eq!(home.run(&["completions", "cmd.exe"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let home = Home::new();
    let mut child = home.command(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let run = crate::harness::finish(child);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
}

#[test]
fn no_home_no_guess() {
    let home = Home::new();
    let mut command = home.command(&["device", "list"]);
    command.env_remove("HOME");
    let run = crate::harness::finish(command.spawn().unwrap());
    run.failed(2, "there is no place for Landfall's files", "--data-dir");
    assert_eq!(std::fs::read_dir(home.path(".")).unwrap().count(), 0, "never the working directory");
}
