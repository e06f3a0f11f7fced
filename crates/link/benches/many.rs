//! Many devices in one process: 5,000 connections, ours and bare sockets with a heartbeat loop.
//!
//! The device side runs in a process of its own, every client in a fresh one (its memory is what is measured). Each
//! client prints how long it took until all were connected, what each device costs in resident memory and what the
//! process costs while nothing happens but heartbeats.
//!
//! `cargo bench -p landfall-link --bench many -- [COUNT]`; needs 20,000 file descriptors (`ulimit -n 20000`).

// A bench prints its figures.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use landfall_link::{DeviceConfig, Link, LinkConfig, State};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::codec::{Codec, Form, Outgoing};
use landfall_proto::lan::device::{DeviceConfig as PeerConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::{Command, Version};
use landfall_proto::{Entropy, Now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ID: &str = "bf0123456789abcdefvx01";
const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
const IDLE: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Counted(u64);

impl Entropy for Counted {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *b = (self.0 >> 56) as u8;
        }
    }
}

fn points() -> Dps {
    [
        (DpId(1), DpValue::Bool(true)),
        (DpId(9), DpValue::Value(0)),
        (DpId(18), DpValue::Value(120)),
        (DpId(19), DpValue::Value(264)),
        (DpId(20), DpValue::Value(2304)),
    ]
    .into_iter()
    .collect()
}

/// Resident memory of this process, bytes.
fn resident() -> Result<usize> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split(' ').nth(1).ok_or("statm")?.parse()?;
    Ok(pages * 4096)
}

/// Time that the main thread of this process ran.
fn ran() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().ok_or("schedstat")?.parse()?))
}

/// The device side: as many connections as come.
async fn devices(version: Version) -> Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>()?.into())?;
    socket.listen(8192)?;
    socket.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(socket.into())?;
    println!("{}", listener.local_addr()?);
    let start = Instant::now();
    let entropy = Rc::new(RefCell::new(Counted(3)));
    let id = DeviceId::new(ID)?;
    let key = LocalKey::new(KEY)?;
    loop {
        let (mut socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let config = PeerConfig::new(id.clone(), key.clone(), version);
        let entropy = Rc::clone(&entropy);
        tokio::task::spawn_local(async move {
            let now = || Now::new(start.elapsed(), 1_700_000_000);
            let mut session = DeviceSession::new(config, now(), &mut *entropy.borrow_mut());
            let mut buffer = [0; 512];
            while let Ok(n) = socket.read(&mut buffer).await {
                if n == 0 {
                    return;
                }
                session.handle_input(&buffer[..n], now());
                loop {
                    let output = session.poll_output(now(), &mut *entropy.borrow_mut());
                    match output {
                        DeviceOutput::Transmit(frame) => {
                            if socket.write_all(&frame).await.is_err() {
                                return;
                            }
                        }
                        DeviceOutput::Event(DeviceEvent::Query { ticket, .. }) => {
                            session.reply_points(ticket, None, &points());
                        }
                        DeviceOutput::Event(DeviceEvent::Closed(_)) => return,
                        DeviceOutput::Event(_) => {}
                        DeviceOutput::Wait(_) => break,
                    }
                }
            }
        });
    }
}

struct Measured {
    ready: Duration,
    cpu: Duration,
    each: usize,
    idle: f64,
}

async fn measure(ready: Duration, from: usize, count: usize) -> Result<Measured> {
    let cpu = ran()?;
    // Answers to what was asked when connected come in.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = resident()?.saturating_sub(from) / count;
    let before = (Instant::now(), ran()?);
    tokio::time::sleep(IDLE).await;
    let idle = (ran()? - before.1).as_secs_f64() / before.0.elapsed().as_secs_f64() * 100.0;
    Ok(Measured { ready, cpu, each, idle })
}

/// Bare sockets, each with a task that beats.
async fn bare(address: SocketAddr, count: usize) -> Result<Measured> {
    let codec = Codec::new(Version::V3_3, LocalKey::new(KEY)?.expose());
    let mut beat = Vec::new();
    let m = Outgoing {
        sequence: 1,
        command: Command::HEART_BEAT,
        retcode: None,
        header: None,
        form: Form::Cipher,
        body: br#"{"gwId":"bf0123456789abcdefvx01","devId":"bf0123456789abcdefvx01"}"#,
    };
    codec.seal(&m, &mut Counted(1), &mut beat);
    let beat: Rc<[u8]> = beat.into();
    let from = resident()?;
    let turns = Rc::new(tokio::sync::Semaphore::new(64));
    let start = Instant::now();
    let (tx, mut rx) = tokio::sync::mpsc::channel(64);
    for _ in 0..count {
        let (beat, turns, tx) = (Rc::clone(&beat), Rc::clone(&turns), tx.clone());
        tokio::task::spawn_local(async move {
            let socket = {
                let Ok(_turn) = turns.acquire().await else { return };
                TcpStream::connect(address).await
            };
            let Ok(mut socket) = socket else { return };
            if socket.set_nodelay(true).is_err() || tx.send(()).await.is_err() {
                return;
            }
            drop(tx);
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let mut reply = [0; 64];
                if socket.write_all(&beat).await.is_err() || !matches!(socket.read(&mut reply).await, Ok(1..))
                {
                    return;
                }
            }
        });
    }
    drop(tx);
    let mut connected = 0;
    while rx.recv().await.is_some() {
        connected += 1;
    }
    if connected != count {
        return Err(format!("{connected} of {count} connected").into());
    }
    measure(start.elapsed(), from, count).await
}

async fn ours(version: Version, address: SocketAddr, count: usize) -> Result<Measured> {
    let from = resident()?;
    let link = Link::new(LinkConfig::default());
    let key = LocalKey::new(KEY)?;
    let schema = std::sync::Arc::default();
    let start = Instant::now();
    let mut devices = Vec::with_capacity(count);
    for _ in 0..count {
        let mut config = DeviceConfig::new(DeviceId::new(ID)?, key.clone());
        config.address = Some(address);
        config.version = Some(version);
        config.schema = std::sync::Arc::clone(&schema);
        devices.push(link.device(config));
    }
    for device in &devices {
        while device.state() != State::Ready {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("{}", device.state()).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let measured = measure(start.elapsed(), from, count).await?;
    let lost = devices.iter().filter(|d| d.state() != State::Ready || d.points(None).len() != 5).count();
    if lost > 0 || devices.iter().any(|d| d.connects() != 1) {
        return Err(format!("{lost} devices lost their connection or never reported").into());
    }
    Ok(measured)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(args: &[&str]) -> Result<Running> {
    let child = Process::new(std::env::current_exe()?).args(args).stdout(Stdio::piped()).spawn()?;
    Ok(Running(child))
}

fn line(running: &mut Running) -> Result<String> {
    let out = running.0.stdout.as_mut().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.iter().any(|a| a == "--test") {
        return Ok(());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    match args[..] {
        ["devices", version] => local.block_on(&runtime, devices(version.parse()?)),
        ["client", what, address, count] => {
            let (address, count) = (address.parse()?, count.parse()?);
            let m = match what {
                "bare" => local.block_on(&runtime, bare(address, count))?,
                version => {
                    let version = version.parse()?;
                    // As an application would: no LocalSet around.
                    runtime.block_on(ours(version, address, count))?
                }
            };
            println!("{} {} {} {}", m.ready.as_secs_f64(), m.cpu.as_secs_f64(), m.each, m.idle);
            Ok(())
        }
        _ => {
            let count = args.first().copied().unwrap_or("5000");
            println!("{count} devices        ready s     CPU s   KiB per device   idle CPU %");
            let mut floor = None;
            for (what, version) in [
                ("bare", "3.3"),
                ("3.3", "3.3"),
                ("bare", "3.3"),
                ("3.5", "3.5"),
                ("bare", "3.3"),
                ("3.4", "3.4"),
            ] {
                let mut side = start(&["devices", version])?;
                let address = line(&mut side)?;
                let mut client = start(&["client", what, &address, count])?;
                let text = line(&mut client)?;
                let m: Vec<f64> = text.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
                let [ready, cpu, each, idle] = m[..] else { return Err(text.into()) };
                let each = each / 1024.0;
                match floor {
                    Some((r, i)) if what != "bare" => println!(
                        "landfall-link {what}   {ready:6.3} ({:.2}x) {cpu:6.3}  {each:6.2}           {idle:.2} ({:.2}x)",
                        ready / r,
                        idle / i
                    ),
                    _ => {
                        floor = Some((ready, idle));
                        println!(
                            "bare sockets        {ready:6.3}         {cpu:6.3}  {each:6.2}           {idle:.2}"
                        );
                    }
                }
            }
            Ok(())
        }
    }
}
