//! An activation over TLS-PSK against a bare handshake with a request: what our server adds.
//!
//! Each server runs in a process of its own; the same client connects to it, does the handshake with an identity of
//! type 1, sends one activation (signed, encrypted, `et=1`) and reads the answer. Ours checks the signature, opens the
//! body, takes keys that lie on disk, answers under the device's key, and writes several devices into the book together.
//! All of that counts. The bare one does the same handshake with the same library, reads to the end of the request and
//! writes an answer of the same length. Beside it stands one that has the disk keep two kilobytes before it answers, as a
//! single write into a file that has its length already: what an activation costs that waits for its disk. It is time of
//! the processor, too: the kernel's, and that of waking up again with cold caches.
//!
//! `cargo bench -p landfall-cloud --bench activation -- [COUNT]`

// A bench prints its figures.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use landfall_book::{FileStore, Hardware};
use landfall_cloud::Cloud;
use landfall_cloud::backend::Backend;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Config, Limits, Listeners};
use landfall_cloud::control::{Owner as _, Window};
use landfall_link::entropy::OsEntropy;
use landfall_link::tls::acceptor::DerivedOnly;
use landfall_link::tls::{Acceptor, Connector};
use landfall_proto::gateway::{Action, Call, Encryption, Key, Path as CallPath};
use landfall_proto::id::{AuthKey, Uuid};
use landfall_proto::psk::{HINT, Identity, PREFIX_ESP8266};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// More devices that never use their keys are refused; some are for warming up.
const MAX_COUNT: usize = 220;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a BK7231 device sends (cloud.md 1.5).
const BODY: &[u8] = br#"{"token":"AAAAAA","softVer":"1.1.71","productKey":"tqas5nfwomvgvvhf","protocolVer":"2.2","baselineVer":"40.00","productKeyStr":"key34ak4q5rmrkef","hid":"0a1b2c3d4e5f","devAttribute":515,"cadVer":"1.0.2","cdVer":"1.0.0","options":"{\"isFK\":false}","t":20}"#;

/// CPU time of this process so far, all threads.
fn ran() -> Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().ok_or("schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Tells the address, then the CPU time whenever a line comes in, until there are no more.
async fn account(address: SocketAddr) -> Result<()> {
    println!("{address}");
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", ran()?.as_nanos());
    }
    Ok(())
}

fn uuid(n: usize) -> Result<Uuid> {
    Ok(Uuid::new(format!("bench{n:011}"))?)
}

fn auth_key(n: usize) -> Result<AuthKey> {
    Ok(AuthKey::new(format!("authkey{n:025}"))?)
}

async fn serve_ours(dir: &Path, count: usize) -> Result<()> {
    let backend = BookBackend::open(FileStore::new(dir), Clock::system())?;
    for n in 0..count {
        let (uuid, auth_key) = (uuid(n)?, Some(auth_key(n)?));
        backend.add_hardware(Hardware { uuid, name: None, auth_key, psk_key: None }).await?;
    }
    backend.open_window(Window { until: Clock::system().unix() + 3_600, who: None });
    let mut config = Config::new(dir);
    config.listeners = Listeners::free();
    config.limits = Limits { connects_per_peer: u32::MAX, ..Limits::default() };
    config.time_zone = Some("Europe/Berlin".to_owned());
    let cloud = Cloud::start(config, Clock::system(), backend as Arc<dyn Backend>).await?;
    account(cloud.bound().https.ok_or("no HTTPS")?).await?;
    cloud.shutdown().await;
    Ok(())
}

/// What a device's keys take in the log of the book, about.
const KEPT: usize = 2_048;

/// One write into the middle of a file, on disk on return.
fn keep(file: &mut File, at: u64) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at * KEPT as u64))?;
    file.write_all(&[b'k'; KEPT])?;
    file.sync_data()
}

async fn serve_bare(reply: usize, kept: Option<&Path>) -> Result<()> {
    let kept = kept.map(|path| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&vec![0; KEPT * (MAX_COUNT * 2)])?;
        file.sync_all()?;
        std::io::Result::Ok(Arc::new(Mutex::new((file, 0))))
    });
    let kept = kept.transpose()?;
    let acceptor = Acceptor::new(Some(Arc::new(DerivedOnly)), None, HINT)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {reply}\r\n\r\n").into_bytes();
    let answer: Arc<[u8]> = [head, vec![b'x'; reply]].concat().into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer, kept) = (acceptor.clone(), Arc::clone(&answer), kept.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4_096];
                let mut read = 0;
                while let Ok(n) = stream.read(&mut buffer[read..]).await {
                    read += n;
                    if n == 0 || whole(&buffer[..read]) {
                        break;
                    }
                }
                if let Some(kept) = kept {
                    let done = tokio::task::spawn_blocking(move || {
                        let (file, at) =
                            &mut *kept.lock().map_err(|e| std::io::Error::other(e.to_string()))?;
                        *at += 1;
                        keep(file, *at)
                    });
                    // Without an answer the client says so.
                    let Ok(Ok(())) = done.await else { return };
                }
                // The client counts what it gets.
                let _gone = stream.write_all(&answer).await;
                let _gone = stream.shutdown().await;
            });
        }
    });
    account(address).await
}

/// Whether a message of HTTP is complete.
fn whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    bytes.len() >= head + 4 + length.unwrap_or(0)
}

fn request(n: usize) -> Result<Vec<u8>> {
    let key = Key::from(auth_key(n)?);
    let action = Action::new("tuya.device.active").ok_or("an action")?;
    let mut call = Call::new(CallPath::D, action, 20, Encryption::Ecb);
    call.version = Some("4.4".to_owned());
    call.uuid = Some(uuid(n)?);
    let form = call.form(&key, BODY, &mut OsEntropy::new());
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a3.tuyaus.com\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        call.target(&key),
        form.len()
    );
    Ok([head.into_bytes(), form.into_bytes()].concat())
}

/// One device's activation; the length of the answer's body.
async fn activate(address: SocketAddr, n: usize) -> Result<usize> {
    let identity = Identity::type_1(PREFIX_ESP8266, uuid(n)?.as_str(), &auth_key(n)?);
    let connector = Connector::psk(identity, None)?;
    let request = request(n)?;
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut stream = connector.connect("", socket).await?;
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while !whole(&answer) {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.contains(" 200 ") || body.len() < 100 {
        return Err(format!("activation {n} was answered: {text}").into());
    }
    Ok(body.len())
}

/// A server in a process of its own.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(args: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("stdout")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let address = line.trim().parse().map_err(|e| format!("{line:?} is no address: {e}"))?;
        Ok(Self { child, out, address })
    }

    fn ran(&mut self) -> Result<Duration> {
        self.child.stdin.as_mut().ok_or("stdin")?.write_all(b"\n")?;
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(Duration::from_nanos(line.trim().parse()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input.
        self.child.stdin.take();
        if let Err(e) = self.child.wait() {
            eprintln!("the server has not ended: {e}");
        }
    }
}

struct Measured {
    cpu: f64,
    wall: f64,
    reply: usize,
}

async fn measure(args: &[&str], count: usize) -> Result<Measured> {
    let mut server = Server::start(args)?;
    let warm = warm_up(count);
    let mut reply = 0;
    for n in 0..warm {
        reply = activate(server.address, n).await?;
    }
    let (before, start) = (server.ran()?, Instant::now());
    for n in warm..warm + count {
        activate(server.address, n).await?;
    }
    let (wall, cpu) = (start.elapsed(), server.ran()? - before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Measured { cpu: each(cpu), wall: each(wall), reply })
}

const fn warm_up(count: usize) -> usize {
    count / 10 + 1
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["ours", dir, count] => return serve_ours(Path::new(dir), count.parse()?).await,
        ["bare", reply] => return serve_bare(reply.parse()?, None).await,
        ["kept", reply, path] => return serve_bare(reply.parse()?, Some(Path::new(path))).await,
        _ => {}
    }
    // Started by `cargo test`, it only has to work.
    let usual = if words.contains(&"--test") { 2 } else { MAX_COUNT };
    let count = words.iter().find_map(|w| w.parse().ok()).unwrap_or(usual).min(MAX_COUNT);
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().ok_or("a path")?;
    let ours = measure(&["ours", path, &(count + warm_up(count)).to_string()], count).await?;
    let reply = ours.reply.to_string();
    let bare = measure(&["bare", &reply], count).await?;
    let file = dir.path().join("kept");
    let kept = measure(&["kept", &reply, file.to_str().ok_or("a path")?], count).await?;
    println!("activation over TLS-PSK, {count} times, answer of {} bytes", ours.reply);
    println!("                                server CPU us   elapsed us");
    println!("bare handshake                  {:13.0}   {:10.0}", bare.cpu, bare.wall);
    println!("the same and one write on disk  {:13.0}   {:10.0}", kept.cpu, kept.wall);
    println!("landfall                        {:13.0}   {:10.0}", ours.cpu, ours.wall);
    println!("ratio to bare                   {:13.2}   {:10.2}", ours.cpu / bare.cpu, ours.wall / bare.wall);
    println!("ratio to bare with the disk     {:13.2}   {:10.2}", ours.cpu / kept.cpu, ours.wall / kept.wall);
    Ok(())
}
