//! A PostgreSQL of our own, for tests and benches. It needs nothing of this crate: benches compile it for themselves.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

/// The password of its role, with characters that break careless programs.
pub(crate) const PASSWORD: &str = "pass word'with\"signs";

/// A server of our own. It ends with us.
pub(crate) struct Server {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
    /// Settings beside the usual ones: `name=value`.
    more: Vec<String>,
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
    pub(crate) fn start() -> Option<Self> {
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
        let mut server = Self { bin, dir, port, process: None, more: Vec::new() };
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

    /// Its port of 127.0.0.1, the same after each start.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn run(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for set in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.dir.path().display()),
            "fsync=off".to_owned(),
        ]
        .iter()
        .chain(&self.more)
        {
            command.args(["-c", set]);
        }
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = told.by_ref().map_while(Result::ok).any(|l| l.contains("ready to accept connections"));
        assert!(ready, "it did not start");
        // Its words shall not fill the pipe.
        std::thread::spawn(move || told.map_while(Result::ok).for_each(drop));
        self.process = Some(process);
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// The way in, as the administrator of the server.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("landfall")
            .password(PASSWORD)
            .database(database)
    }

    /// Runs statements in a database.
    pub(crate) async fn by_hand(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect_with(&self.options(database)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Has it speak TLS from the next [`run`](Self::run) on, with a certificate for this name or address
    ///  (`IP:127.0.0.1`, `DNS:db.example`). Returns the file of the authority that signed it.
    pub(crate) fn use_tls(&mut self, subject: &str) -> PathBuf {
        let dir = self.dir.path().to_owned();
        let openssl = |args: &[&str]| {
            let done = Command::new("openssl").args(args).current_dir(&dir).output().expect("NEED openssl");
            assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        std::fs::write(dir.join("names"), format!("subjectAltName={subject}\n")).unwrap();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let with = |args: &[&'static str]| [&["req"], &key[..], args].concat();
        openssl(&with(&[
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=authority of a test",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]));
        openssl(&with(&["-subj", "/CN=server of a test", "-keyout", "server.key", "-out", "server.csr"]));
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ]);
        // It takes a key that others may read for none.
        std::fs::set_permissions(dir.join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
        if self.is_root() {
            let done =
                Command::new("chown").args(["nobody", "server.key", "server.pem"]).current_dir(&dir).status();
            assert!(done.unwrap().success());
        }
        let place = |name: &str| dir.join(name).display().to_string();
        self.more = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", place("server.pem")),
            format!("ssl_key_file={}", place("server.key")),
        ];
        dir.join("ca.pem")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
