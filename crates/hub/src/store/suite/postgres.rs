//! The suite on a PostgreSQL that the test starts, and what only a server can do to us.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use landfall_cloud::clock::Clock;

use super::super::{Health, Password, Place, PostgresSettings, Retention, StoreError, Writer, open};
use super::server::{PASSWORD, Server};
use super::*;
use crate::model::{Change, What};
use crate::settings::StoreTls;

impl Server {
    fn settings(&self, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: "127.0.0.1".to_owned(),
            port: self.port(),
            database: database.to_owned(),
            user: "landfall".to_owned(),
            password: Some(Password::new(PASSWORD)),
            tls: StoreTls::Verify,
            ca_file: None,
        }
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
        ca_file: None,
    };
    let store = open(&Place::Postgres(settings), Retention::default());
    let asked = tokio::time::timeout(Duration::from_secs(30), store.remembered()).await.unwrap();
    let error = asked.unwrap_err().to_string();
    assert_eq!(error, format!("can't open home on 127.0.0.1:{port} (PostgreSQL) as me"));
}

#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn a_server_is_known_by_its_certificate() {
    let Some(mut server) = Server::start() else { return };
    server.by_hand("postgres", "CREATE DATABASE home").await;
    server.stop();
    let ca = server.use_tls("IP:127.0.0.1");
    server.run();
    let with = |server: &Server, ca_file: Option<&Path>, host: &str| {
        let ca_file = ca_file.map(Path::to_owned);
        let settings = PostgresSettings { ca_file, host: host.to_owned(), ..server.settings("home") };
        open(&Place::Postgres(settings), Retention::default())
    };
    let store = with(&server, Some(&ca), "127.0.0.1");
    store.append(&last(7)).await.unwrap();
    assert_eq!(store.remembered().await.unwrap().last, Seq(7));
    // All of its connections are encrypted, says the server.
    let clear = "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'landfall') OR EXISTS \
                 (SELECT 1 FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE NOT s.ssl \
                 AND a.application_name = 'landfall') THEN RAISE 'in clear'; END IF; END $$";
    server.by_hand("home", clear).await;
    store.close().await;
    let refused = async |store: Arc<dyn Store>| {
        let error = store.remembered().await.unwrap_err();
        let words = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(words.contains("certificate") && !words.contains(PASSWORD), "{words}");
    };
    // A name that is not in the certificate: "127.1" is the same address, written as nobody does.
    refused(with(&server, Some(&ca), "127.1")).await;
    // The certificate of another authority.
    let stranger = ca.with_file_name("stranger.pem");
    std::fs::copy(&ca, &stranger).unwrap();
    server.stop();
    let ca = server.use_tls("IP:127.0.0.1");
    server.run();
    refused(with(&server, Some(&stranger), "127.0.0.1")).await;
    // One that this system does not trust either.
    refused(with(&server, None, "127.1")).await;
    let store = with(&server, Some(&ca), "127.0.0.1");
    assert_eq!(store.remembered().await.unwrap().last, Seq(7));
}

/// TimescaleDB is no part of Debian's PostgreSQL, so here a function of its name and parameters stands for it: this shows
/// that we ask for what we want, in words that fit, and not what the extension makes of it.
#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn where_timescaledb_is_installed_tables_by_time_are_asked_for() {
    let Some(server) = Server::start() else { return };
    let pretend = |does: &str| {
        format!(
            "CREATE TABLE calls (relation TEXT, col TEXT, width BIGINT, again BOOL, migrate BOOL); \
             CREATE FUNCTION create_hypertable(relation REGCLASS, time_column_name NAME, partitioning_column NAME = NULL, \
             number_partitions INTEGER = NULL, associated_schema_name NAME = NULL, associated_table_prefix NAME = NULL, \
             chunk_time_interval ANYELEMENT = NULL::bigint, create_default_indexes BOOLEAN = TRUE, \
             if_not_exists BOOLEAN = FALSE, partitioning_func REGPROC = NULL, migrate_data BOOLEAN = FALSE) \
             RETURNS TABLE (hypertable_id INT, schema_name NAME, table_name NAME, created BOOL) LANGUAGE plpgsql AS \
             $$ BEGIN {does} INSERT INTO calls VALUES (relation::text, time_column_name::text, chunk_time_interval, \
             if_not_exists, migrate_data); RETURN QUERY SELECT 1, 'public'::name, 'x'::name, true; END $$; \
             INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) \
             VALUES (99999, 'timescaledb', 10, 2200, false, '2.99')"
        )
    };
    let store = server.fresh("home").await;
    server.by_hand("home", &pretend("")).await;
    store.append(&last(1)).await.unwrap();
    let want = "DO $$ BEGIN IF (SELECT array_agg(c ORDER BY relation)::text FROM calls c) IS DISTINCT FROM \
                '{\"(energy,at,604800000,t,t)\",\"(points,at,604800000,t,t)\"}' THEN RAISE '%', \
                (SELECT array_agg(c)::text FROM calls c); END IF; END $$";
    server.by_hand("home", want).await;
    store.close().await;
    // One that can't be used costs nothing.
    let store = server.fresh("other").await;
    server.by_hand("other", &pretend("RAISE 'no licence';")).await;
    store.append(&last(5)).await.unwrap();
    assert_eq!(store.remembered().await.unwrap().last, Seq(5));
}
