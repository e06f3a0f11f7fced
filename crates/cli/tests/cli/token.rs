//! `landfall token`, with a hub that runs.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Background, Home, Stream};

/// A hub without any listener: its own socket is all that is needed.
fn start(home: &Home) -> Background {
    let off = ["page.listen=off", "lan.enabled=false", "cloud.enabled=false", "mqtt.broker=off"];
    let arguments: Vec<_> =
        ["run", "--json"].into_iter().chain(off.iter().flat_map(|s| ["--set", s])).collect();
    let mut hub = Background::start(home.command(&arguments));
    hub.wait_for(Stream::Out, "{");
    hub
}

#[test]
fn tokens_are_made_once_listed_without_secrets_and_taken_back() {
    let home = Home::new();
    home.run(&["token", "list"]).failed(1, "no hub runs", "landfall run");
    let hub = start(&home);
    // Into a pipe only when that is meant.
    home.run(&["token", "add", "tablet"]).failed(2, "a token is shown on a terminal only", "--output FILE");
    let made = home
        .run(&["token", "add", "tablet", "--scope", "control", "--days", "30", "--output", "tablet.token"])
        .ok();
    assert_eq!(made.stdout, "");
    assert!(made.stderr.contains("tablet may see everything but keys, and command devices"), "{made:#?}");
    let token = home.read("tablet.token");
    let mode = std::fs::metadata(home.path("tablet.token")).unwrap().permissions().mode();
    assert!(token.starts_with("lf_") && mode & 0o777 == 0o600, "{mode:o}");
    let secret = token.trim().rsplit('_').next().unwrap();
    assert!(!made.stderr.contains(secret));
    let printed = home.run(&["token", "add", "script", "-o", "-"]).ok();
    assert!(printed.stdout.starts_with("lf_") && printed.stdout.lines().count() == 1, "{printed:#?}");
    let listed = home.run(&["token", "list"]).ok().stdout;
    assert!(
        listed.contains("tablet")
            && (listed.contains("in 30 days") || listed.contains("in 29 days"))
            && listed.contains("script"),
        "{listed}"
    );
    assert!(!listed.contains(secret));
    let list = home.run(&["token", "list", "--json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 3, "{list:#}");
    assert_eq!((&list[1]["name"], &list[1]["scope"]), (&"tablet".into(), &"control".into()));
    assert!(home.run(&["token", "revoke", "tablet"]).ok().stderr.contains("worth nothing"));
    home.run(&["token", "revoke", "tablet"]).failed(1, "there is no token \"tablet\"", "landfall token list");
    let first = list[0]["id"].as_str().unwrap();
    let last = home.run(&["token", "revoke", first]);
    assert!(last.code == 1 && last.stderr.contains("the only admin token"), "{last:#?}");
    // Where it can't be written, none is left that nobody knows.
    let lost = home.run(&["token", "add", "lost", "--output", "nowhere/token"]);
    lost.failed(1, "can't write nowhere/token", "the token was taken back");
    assert_eq!(home.run(&["token", "list", "--json"]).ok().json().as_array().unwrap().len(), 2);
    let odd = home.run(&["token", "add", "x", "--scope", "root"]);
    assert!(odd.code == 2 && odd.stderr.contains("invalid value 'root'"), "{odd:#?}");
    assert_eq!(hub.interrupt(), 0);
}
