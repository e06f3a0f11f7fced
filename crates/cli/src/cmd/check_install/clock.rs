//! The clock: what time it says, and who sets it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use landfall_hub::settings::Settings;

use super::files;
use super::seen::ClockSeen;
use crate::context::Context;

/// How long systemd may take to say.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at the clock. With no settings that can be used, the zone is this machine's.
pub(super) fn look(settings: Option<&Settings>, data_dir: &Path) -> ClockSeen {
    let named = settings.map(|s| s.home.time_zone.clone()).filter(|z| !z.is_empty());
    let zone_is_set = named.is_some();
    let system = || jiff::tz::TimeZone::try_system().ok()?.iana_name().map(str::to_owned);
    ClockSeen {
        now: i64::try_from(Context::now()).unwrap_or(i64::MAX),
        synchronised: synchronised(),
        zone: named.or_else(system),
        zone_is_set,
        newest_file: files::newest(data_dir),
    }
}

/// Whether the network sets the clock; `None` where nobody tells, as in most containers.
fn synchronised() -> Option<(bool, &'static str)> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some((true, "systemd-timesyncd says so"));
    }
    // Whatever program sets the clock, the kernel knows, and timedatectl asks it.
    let said =
        said(Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]), PATIENCE)?;
    match said.trim() {
        "yes" => Some((true, "timedatectl says so")),
        "no" => Some((false, "timedatectl says so")),
        _ => None,
    }
}

/// What a program prints, if it is there and closes its output in time.
fn said(command: &mut Command, patience: Duration) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let (mut out, (send, done)) = (child.stdout.take()?, mpsc::channel());
    thread::spawn(move || {
        let mut text = String::new();
        let read = out.read_to_string(&mut text).map(|_| text);
        // Nobody waits any more when it came too late.
        drop(send.send(read));
    });
    let text = done.recv_timeout(patience);
    // It has ended, or shall.
    drop(child.kill());
    let ended = child.wait();
    let text = text.ok()?.ok()?;
    (ended.is_ok() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_heard_and_not_waited_for_in_vain() {
        assert_eq!(said(Command::new("echo").arg("yes"), PATIENCE).as_deref(), Some("yes\n"));
        assert_eq!(said(&mut Command::new("/nonexistent/timedatectl"), PATIENCE), None);
        assert_eq!(said(&mut Command::new("true"), PATIENCE), None);
        // It would write for ever; what it has written by then is not taken for an answer.
        assert_eq!(said(Command::new("tail").args(["-f", "/dev/null"]), Duration::from_millis(50)), None);
    }

    #[test]
    fn the_zone_of_the_settings_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.home.time_zone = "Europe/Berlin".to_owned();
        let seen = look(Some(&settings), dir.path());
        assert_eq!((seen.zone.as_deref(), seen.zone_is_set), (Some("Europe/Berlin"), true));
        assert!(!look(None, dir.path()).zone_is_set);
    }
}
