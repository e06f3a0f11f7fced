//! The suite on a PostgreSQL that the test starts, and what only a server can do to us.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall_cloud::clock::Clock;
use sqlx::{Connection as _, PgConnection};

use super::super::{Health, Password, Place, PostgresSettings, Retention, StoreError, Writer, open};
use super::*;
use crate::model::{Change, What};
use crate::settings::StoreTls;

const PASSWORD: &str = "pass word'with\"signs";

/// A server of our own. It ends with us.
struct Server {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

/// Where the server's programs are.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places = std::env::split_paths(&path).chain(debian.map(|version| version.path().join("bin")));
    places.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

impl Server {
    /// `None`, with a word, where there is no PostgreSQL.
    fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(
                std::env::var_os("LANDFALL_CI").is_none(),
                "NEED postgresql (apt-get install postgresql)"
            );
            eprintln!("skipped: NEED postgresql (apt-get install postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self { bin, dir, port, process: None };
        if server.is_root() {
            // It refuses to run as root.
            let done = Command::new("chown").args(["-R", "nobody"]).arg(server.dir.path()).status().unwrap();
            assert!(done.success());
        }
        let mut initdb = server.command("initdb");
        initdb.args(["-U", "landfall", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--pwfile"]);
        initdb.arg(server.dir.path().join("password"));
        let done = initdb.arg("-D").arg(server.data()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        server.run();
        Some(server)
    }

    fn is_root(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").unwrap().uid() == 0
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if self.is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
            command.current_dir(self.dir.path());
            command
        } else {
            Command::new(program)
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for set in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.dir.path().display()),
            "fsync=off".to_owned(),
        ] {
            command.args(["-c", &set]);
        }
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = told.by_ref().map_while(Result::ok).any(|l| l.contains("ready to accept connections"));
        assert!(ready, "it did not start");
        // Its words shall not fill the pipe.
        std::thread::spawn(move || told.map_while(Result::ok).for_each(drop));
        self.process = Some(process);
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn settings(&self, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: database.to_owned(),
            user: "landfall".to_owned(),
            password: Some(Password::new(PASSWORD)),
            tls: StoreTls::Verify,
        }
    }

    async fn by_hand(&self, database: &str, sql: &str) {
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("landfall")
            .password(PASSWORD)
            .database(database);
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A store in a new database.
    async fn fresh(&self, database: &str) -> Arc<dyn Store> {
        self.by_hand("postgres", &format!("CREATE DATABASE {database}")).await;
        self.store(database)
    }

    fn store(&self, database: &str) -> Arc<dyn Store> {
        open(&Place::Postgres(self.settings(database)), Retention::default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

macro_rules! on_postgres {
    ($($case:ident),+) => {
        async fn suite_on(server: &Server) {
            $(
                let store = server.fresh(stringify!($case)).await;
                cases::$case(Arc::clone(&store)).await;
                store.close().await;
            )+
        }
    };
}
suite!(on_postgres at once);

#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn the_suite_on_postgresql() {
    let Some(server) = Server::start() else { return };
    suite_on(&server).await;
}

fn told(n: u64) -> Arc<Change> {
    let what = What::Hub { code: "test", text: format!("number {n}") };
    Arc::new(Change { seq: Seq(n), at_ms: T + n, device: None, what })
}

#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn a_server_that_goes_away_costs_nothing_when_it_comes_back() {
    let Some(mut server) = Server::start() else { return };
    let store = server.fresh("home").await;
    let writer = Writer::start(Arc::clone(&store), Clock::system());
    writer.record(&[told(1)], &[]);
    assert!(writer.flush().await);
    assert!(store.bytes().await.unwrap() > 1_000_000);
    server.stop();
    let mut health = writer.health();
    writer.record(&[told(2)], &[]);
    health.wait_for(|h| matches!(h, Health::Failing { .. })).await.unwrap();
    let error = writer.status().error.unwrap();
    assert!(!error.contains(PASSWORD), "{error}");
    writer.record(&[told(3)], &[]);
    server.run();
    health.wait_for(|h| *h == Health::Well { dropped: 0 }).await.unwrap();
    assert!(writer.flush().await);
    let codes: Vec<_> = store.events(None, None, 9).await.unwrap().into_iter().map(|e| e.seq.0).collect();
    assert_eq!(codes, [3, 2, 1]);
    assert!(writer.close().await);
    // A store that is there before its server.
    server.stop();
    let store = server.store("home");
    assert!(store.remembered().await.is_err());
    server.run();
    assert_eq!(store.remembered().await.unwrap().last, Seq(3));
}

#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn what_is_wrong_is_told_and_the_password_is_not() {
    let Some(server) = Server::start() else { return };
    let store = server.fresh("home").await;
    store.append(&last(1)).await.unwrap();
    let words = |error: &StoreError| format!("{error} {error:?}");
    let with = |change: fn(&mut PostgresSettings)| {
        let mut settings = server.settings("home");
        change(&mut settings);
        assert!(!format!("{settings:?}").contains(PASSWORD));
        open(&Place::Postgres(settings), Retention::default())
    };
    let is = |error: StoreError, part: &str| {
        let words = words(&error);
        assert!(words.contains(part) && words.contains("127.0.0.1"), "{words}");
        assert!(!words.contains(PASSWORD) && !words.contains("wrong-s3cret"), "{words}");
    };
    let store = with(|s| s.password = Some(Password::new("wrong-s3cret")));
    is(store.remembered().await.unwrap_err(), "password authentication failed");
    is(with(|s| s.database = "nowhere".to_owned()).remembered().await.unwrap_err(), "nowhere");
    is(with(|s| s.tls = StoreTls::Require).remembered().await.unwrap_err(), "TLS");
    let error = with(|_| ()).back_up(Path::new("/nowhere/copy")).await.unwrap_err();
    is(error, "pg_dump");
    server
        .by_hand(
            "home",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'later', true, 'x', 0)",
        )
        .await;
    is(with(|_| ()).remembered().await.unwrap_err(), "written by a newer Landfall");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let settings = PostgresSettings {
        host: "127.0.0.1".to_owned(),
        port,
        database: "home".to_owned(),
        user: "me".to_owned(),
        password: Some(Password::new("s3cret")),
        tls: StoreTls::Off,
    };
    let store = open(&Place::Postgres(settings), Retention::default());
    let asked = tokio::time::timeout(Duration::from_secs(30), store.remembered()).await.unwrap();
    let error = asked.unwrap_err().to_string();
    assert_eq!(error, format!("can't open home on 127.0.0.1:{port} (PostgreSQL) as me"));
}
