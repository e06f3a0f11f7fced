//! The data directory, and the files that the settings name. Everything is opened for reading only.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use landfall_hub::settings::{self, MqttBroker, PageTls, Settings, StoreKind};
use rustix::fs::{Access, access, statvfs};

use super::holders;
use super::seen::{DataSeen, DirFound, DirState, FileSeen, FileState};

/// Files of the data directory that hold keys, tokens or history.
const SECRET: &[&str] = &["book.json", "book.log", "admin-token", "tokens.json", "history.db"];

/// Looks at the data directory.
pub(super) fn data(path: &Path) -> DataSeen {
    let state = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|a| a.is_dir()).unwrap_or(Path::new("/")).to_owned();
            let writable = may_write(&above);
            DirState::Missing { above, writable }
        }
        Err(e) => DirState::Unreadable(e.to_string()),
        Ok(m) if !m.is_dir() => DirState::NoDirectory,
        Ok(m) => DirState::Found(DirFound {
            mode: m.permissions().mode() & 0o7777,
            uid: m.uid(),
            owner: holders::user(m.uid()),
            writable: may_write(path),
            free: statvfs(path).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize)),
            loose: loose(path),
        }),
    };
    DataSeen { path: path.to_owned(), state }
}

fn may_write(dir: &Path) -> bool {
    access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn loose(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |name: &&str| {
        let path = dir.join(name);
        let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then_some((path, mode))
    };
    SECRET.iter().filter_map(mode).collect()
}

/// The newest file directly in a directory, and when it was written, in seconds since 1970.
pub(super) fn newest(dir: &Path) -> Option<(PathBuf, i64)> {
    let all = fs::read_dir(dir).ok()?.flatten();
    all.filter_map(|f| Some((f.path(), f.metadata().ok().filter(fs::Metadata::is_file)?.mtime())))
        .max_by_key(|(_, written)| *written)
}

/// Permission bits.
pub(super) fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

/// Looks at the files that these settings name and use.
pub(super) fn named(settings: &Settings, data_dir: &Path) -> Vec<FileSeen> {
    let mut seen = Vec::new();
    let mut add = |key, path: PathBuf, secret| {
        let state = match File::open(&path).and_then(|f| f.metadata()) {
            Ok(m) => FileState::Readable { mode: m.permissions().mode() & 0o7777 },
            Err(e) if e.kind() == io::ErrorKind::NotFound => FileState::Missing,
            Err(e) => FileState::Unreadable(e.to_string()),
        };
        seen.push(FileSeen { key, path, secret, state });
    };
    let given = |path: &Path| !path.as_os_str().is_empty();
    let (page, store, mqtt) = (&settings.page, &settings.store, &settings.mqtt);
    if page.tls == PageTls::Files {
        add("page.certificate_file", page.certificate_file.clone(), false);
        add("page.key_file", page.key_file.clone(), true);
    }
    if store.kind == StoreKind::Postgresql && given(&store.password_file) {
        add("store.password_file", settings::place(&store.password_file, data_dir), true);
    }
    if mqtt.broker == MqttBroker::External {
        if given(&mqtt.password_file) {
            add("mqtt.password_file", settings::place(&mqtt.password_file, data_dir), true);
        }
        if given(&mqtt.ca_file) {
            add("mqtt.ca_file", settings::place(&mqtt.ca_file, data_dir), false);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_data_directory_is_seen_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o750);
        for (name, mode) in [("book.json", 0o644), ("tokens.json", 0o600), ("notes", 0o644)] {
            fs::write(dir.path().join(name), "x").unwrap();
            chmod(&dir.path().join(name), mode);
        }
        let DirState::Found(found) = data(dir.path()).state else { panic!("it is there") };
        assert_eq!((found.mode, found.writable), (0o750, true));
        assert!(found.free.is_some_and(|f| f > 0));
        assert_eq!(found.loose, [(dir.path().join("book.json"), 0o644)], "notes are no secret");
        assert!(newest(dir.path()).is_some());
    }

    #[test]
    fn what_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let far = dir.path().join("a/b");
        let DirState::Missing { above, writable } = data(&far).state else { panic!("it is not there") };
        assert_eq!((above.as_path(), writable), (dir.path(), true));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(data(&file).state, DirState::NoDirectory));
        assert!(matches!(data(&file.join("x")).state, DirState::Unreadable(_)));
    }

    #[test]
    fn files_in_use_are_looked_at_where_the_hub_looks_for_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pw"), "secret").unwrap();
        chmod(&dir.path().join("pw"), 0o640);
        let mut s = Settings::default();
        s.mqtt.password_file = "pw".into();
        assert!(named(&s, dir.path()).is_empty(), "not with the broker in the process");
        s.mqtt.broker = MqttBroker::External;
        s.mqtt.ca_file = "ca".into();
        let seen = named(&s, dir.path());
        assert!(matches!(seen[0].state, FileState::Readable { mode: 0o640 }) && seen[0].secret, "{seen:?}");
        assert!(matches!(seen[1].state, FileState::Missing) && !seen[1].secret, "{seen:?}");
        s.page.tls = PageTls::Files;
        s.store.kind = StoreKind::Postgresql;
        s.store.password_file = dir.path().into();
        assert_eq!(named(&s, dir.path()).len(), 5);
    }
}
