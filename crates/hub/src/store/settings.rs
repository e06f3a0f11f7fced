//! Where history is kept.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::sql::SqlStore;
use super::{Memory, Retention, Store, StoreError};
use crate::settings::{StoreKind, StoreSettings, StoreTls, place};

/// Where history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: gone with the process.
    Memory,
    /// In this file, usually `<data>/history.db`.
    Sqlite(PathBuf),
    /// In a PostgreSQL.
    Postgres(PostgresSettings),
}

/// A database of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Host name or address; a path is the directory of its socket.
    pub host: String,
    /// Port, usually 5432.
    pub port: u16,
    /// Database: one of its own.
    pub database: String,
    /// Role.
    pub user: String,
    /// Password, where one is asked for.
    pub password: Option<Password>,
    /// TLS.
    pub tls: StoreTls,
    /// The authority that signs the server's certificate, PEM, where it is none that this system trusts.
    pub ca_file: Option<PathBuf>,
}

impl PostgresSettings {
    /// Whether the server is on this very machine.
    pub(super) fn is_here(&self) -> bool {
        self.host.starts_with('/')
            || self.host == "localhost"
            || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// A password. Shows itself to nobody by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// This one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The first line of a file: a secret of systemd or Docker, or a file of the owner's with mode 0600.
    ///
    /// # Errors
    /// The file can't be read, or it is empty.
    pub fn from_file(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|source| StoreError::Database {
            what: format!("can't read the password file {shown}"),
            source: Box::new(source),
        })?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Self::new(line)),
            _ => Err(StoreError::Settings(format!("the password file {shown} is empty"))),
        }
    }

    /// Its text, for the connection alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The store that the owner's settings name; files are relative to the data directory.
///
/// # Errors
/// The password can't be read.
pub fn configured(settings: &StoreSettings, data: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let raw = Duration::from_secs(u64::from(settings.raw_days) * 86_400);
    let usual = Retention::default();
    let minutes = usual.minutes.map(|minutes| minutes.max(raw));
    let quarters = usual.quarters.map(|quarters| quarters.max(raw));
    let retention = Retention { raw: Some(raw), minutes, quarters, ..usual };
    let named = |file: &Path, usual: &str| match file.as_os_str() {
        name if name.is_empty() => data.join(usual),
        name => data.join(name),
    };
    let at = match settings.kind {
        StoreKind::Sqlite => Place::Sqlite(named(&settings.file, "history.db")),
        StoreKind::Postgresql => {
            let password = match settings.password_file.as_os_str() {
                none if none.is_empty() => None,
                file => Some(Password::from_file(&place(Path::new(file), data))?),
            };
            Place::Postgres(PostgresSettings {
                host: settings.host.clone(),
                port: settings.port,
                database: settings.database.clone(),
                user: settings.user.clone(),
                password,
                tls: settings.tls,
                ca_file: ca_file(settings, data)?,
            })
        }
    };
    Ok(open(&at, retention))
}

/// The authority of the server, where one is named. A check that was asked for and does not happen would be worse than none.
fn ca_file(settings: &StoreSettings, data: &Path) -> Result<Option<PathBuf>, StoreError> {
    if settings.ca_file.as_os_str().is_empty() {
        return Ok(None);
    }
    if settings.tls != StoreTls::Verify {
        return Err(StoreError::Settings(
            "store.ca_file says who signs the server's certificate, but store.tls is not \"verify\", so nothing would be \
             checked"
                .to_owned(),
        ));
    }
    let file = place(&settings.ca_file, data);
    match std::fs::read_to_string(&file) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Ok(Some(file)),
        Ok(_) => {
            Err(StoreError::Settings(format!("store.ca_file: {} holds no PEM certificate", file.display())))
        }
        Err(source) => Err(StoreError::Database {
            what: format!("can't read store.ca_file, {}", file.display()),
            source: Box::new(source),
        }),
    }
}

/// A store at a place. Nothing is opened yet: each call does, until one can, so that a hub starts and controls while its
/// database is away. [`Store::remembered`] is the first to tell.
pub fn open(place: &Place, retention: Retention) -> Arc<dyn Store> {
    match place {
        Place::Memory => Arc::new(Memory::with_retention(retention)),
        Place::Sqlite(path) => Arc::new(SqlStore::sqlite(path, retention)),
        Place::Postgres(server) => Arc::new(SqlStore::postgres(server.clone(), retention)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_of_its_file_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "s3cret word\n# and so on\n").unwrap();
        let password = Password::from_file(&file).unwrap();
        assert_eq!((password.expose(), format!("{password:?}")), ("s3cret word", "Password(..)".to_owned()));
        std::fs::write(&file, "\n").unwrap();
        assert!(Password::from_file(&file).unwrap_err().to_string().ends_with("password is empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(
            Password::from_file(&file).unwrap_err().to_string().starts_with("can't read the password file")
        );
    }

    #[test]
    fn the_owner_s_settings_name_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = StoreSettings::default();
        assert_eq!(configured(&settings, dir.path()).unwrap().kind(), "sqlite");
        settings.kind = StoreKind::Postgresql;
        assert_eq!(configured(&settings, dir.path()).unwrap().kind(), "postgresql");
        settings.password_file = "secret".into();
        let error = configured(&settings, dir.path()).unwrap_err().to_string();
        assert!(error.contains("can't read the password file /"), "{error}");
    }

    #[test]
    fn an_authority_is_a_file_with_a_certificate_and_for_checks_alone() {
        let dir = tempfile::tempdir().unwrap();
        let settings = |tls| StoreSettings {
            kind: StoreKind::Postgresql,
            ca_file: "ca.pem".into(),
            tls,
            ..StoreSettings::default()
        };
        let refused = |tls| configured(&settings(tls), dir.path()).unwrap_err().to_string();
        assert!(refused(StoreTls::Require).contains("not \"verify\""));
        let missing = refused(StoreTls::Verify);
        assert!(missing.contains("store.ca_file") && missing.contains("/ca.pem"), "{missing}");
        std::fs::write(dir.path().join("ca.pem"), "nothing").unwrap();
        assert!(refused(StoreTls::Verify).ends_with("holds no PEM certificate"));
        std::fs::write(dir.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_eq!(configured(&settings(StoreTls::Verify), dir.path()).unwrap().kind(), "postgresql");
    }
}
