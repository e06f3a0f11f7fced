//! Round trip of a confirmed set on loopback: ours, a plain tokio TCP echo of the same sizes, and rustuya, in turns, each
//! on a current-thread runtime against a blocking peer in a thread.
//!
//! `taskset -c 0 cargo bench -p landfall-link --bench round_trip` puts everything on one core, which is the steadiest.
//! The device opens and checks the frame, and answers with acknowledgement and report in one write.

// A bench prints its figures.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use landfall_link::{Device, DeviceConfig, Link, LinkConfig, Outcome, SetOptions};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::codec::{Codec, Outgoing, SourceHeader};
use landfall_proto::lan::device::{DeviceConfig as PeerConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::frame::{FrameReader, Item, MAX_LENGTH_DEVICE};
use landfall_proto::lan::{Command, Version};
use landfall_proto::{Entropy, Now, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ID: &str = "bf0123456789abcdefvx01";
const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
const ROUNDS: usize = 12;
const SETS: usize = 2_000;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct Counted(u64);

impl Entropy for Counted {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *b = (self.0 >> 56) as u8;
        }
    }
}

#[derive(Default)]
struct Sizes {
    request: AtomicUsize,
    reply: AtomicUsize,
}

/// A 3.3 device made of the codec alone: one switch.
fn serve_3_3(mut socket: TcpStream, sizes: &Sizes) -> Result<()> {
    let version = Version::V3_3;
    let codec = Codec::new(version, LocalKey::new(KEY)?.expose());
    let mut reader = FrameReader::new(version.dialect().framing, MAX_LENGTH_DEVICE);
    let mut entropy = Counted(1);
    let mut buffer = [0; 4096];
    let mut out = Vec::new();
    loop {
        let n = socket.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        reader.push(&buffer[..n]);
        out.clear();
        let mut set = false;
        while let Some(item) = reader.next_item() {
            let Item::Frame(frame) = item else { return Err("a broken frame".into()) };
            let (sequence, command) = (frame.sequence(), frame.command());
            let message = codec.open(Role::Client, frame)?;
            let on = message.body.windows(4).any(|w| w == b"true");
            let body: &[u8] = if on {
                br#"{"dps":{"1":true},"t":1700000000}"#
            } else {
                br#"{"dps":{"1":false},"t":1700000000}"#
            };
            let mut seal = |sequence, command, header, body: &[u8]| {
                let form = codec.form(Role::Device, command, body);
                let m = Outgoing { sequence, command, retcode: Some(0), header, form, body };
                codec.seal(&m, &mut entropy, &mut out);
            };
            match command {
                Command::CONTROL => {
                    set = true;
                    seal(sequence, command, None, b"");
                    seal(0, Command::STATUS, Some(SourceHeader::device(version, 1)), body);
                }
                Command::DP_QUERY => seal(sequence, command, None, br#"{"dps":{"1":false}}"#),
                _ => seal(0, command, None, b""),
            }
        }
        if set {
            sizes.request.store(n, Ordering::Relaxed);
            sizes.reply.store(out.len(), Ordering::Relaxed);
        }
        socket.write_all(&out)?;
    }
}

/// A device of any version, made of proto's session.
fn serve(version: Version, mut socket: TcpStream, sizes: &Sizes) -> Result<()> {
    let start = Instant::now();
    let now = || Now::new(start.elapsed(), 1_700_000_000);
    let mut entropy = Counted(7);
    let config = PeerConfig::new(DeviceId::new(ID)?, LocalKey::new(KEY)?, version);
    let mut session = DeviceSession::new(config, now(), &mut entropy);
    let mut state: Dps = [(DpId(1), DpValue::Bool(false))].into_iter().collect();
    let mut buffer = [0; 4096];
    let mut out = Vec::new();
    loop {
        let n = socket.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        session.handle_input(&buffer[..n], now());
        out.clear();
        let mut set = false;
        loop {
            match session.poll_output(now(), &mut entropy) {
                DeviceOutput::Transmit(frame) => out.extend_from_slice(&frame),
                DeviceOutput::Event(DeviceEvent::Set { ticket, dps, .. }) => {
                    state.merge(&dps);
                    session.ack(ticket);
                    session.push(None, &dps, now());
                    set = true;
                }
                DeviceOutput::Event(DeviceEvent::Query { ticket, .. }) => {
                    session.reply_points(ticket, None, &state);
                }
                DeviceOutput::Event(DeviceEvent::Closed(why)) => return Err(why.to_string().into()),
                DeviceOutput::Event(_) => {}
                DeviceOutput::Wait(_) => break,
            }
        }
        if set {
            sizes.request.store(n, Ordering::Relaxed);
            sizes.reply.store(out.len(), Ordering::Relaxed);
        }
        socket.write_all(&out)?;
    }
}

fn device(version: Version, sizes: Arc<Sizes>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let sizes = Arc::clone(&sizes);
            thread::spawn(move || {
                let _ = socket.set_nodelay(true);
                let ended = if version == Version::V3_3 {
                    serve_3_3(socket, &sizes)
                } else {
                    serve(version, socket, &sizes)
                };
                if let Err(e) = ended {
                    eprintln!("device: {e}");
                }
            });
        }
    });
    Ok(address)
}

/// Answers each request of so many bytes with so many bytes.
fn echo(sizes: Arc<Sizes>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let sizes = Arc::clone(&sizes);
            thread::spawn(move || {
                let _ = socket.set_nodelay(true);
                let mut buffer = [0; 4096];
                while let Ok(n) = socket.read(&mut buffer) {
                    if n == 0 || socket.write_all(&buffer[..sizes.reply.load(Ordering::Relaxed)]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

async fn run_echo(socket: &mut tokio::net::TcpStream, sizes: &Sizes) -> Result<Vec<Duration>> {
    let request = vec![7; sizes.request.load(Ordering::Relaxed)];
    let mut reply = vec![0; sizes.reply.load(Ordering::Relaxed)];
    let mut times = Vec::with_capacity(SETS);
    for _ in 0..SETS {
        let from = Instant::now();
        socket.write_all(&request).await?;
        socket.read_exact(&mut reply).await?;
        times.push(from.elapsed());
    }
    Ok(times)
}

async fn run_ours(device: &Device) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(SETS);
    for i in 0..SETS {
        let dps: Dps = [(DpId(1), DpValue::Bool(i % 2 == 0))].into_iter().collect();
        let from = Instant::now();
        let outcome = device.set(None, dps, SetOptions::default()).await?;
        times.push(from.elapsed());
        if outcome != Outcome::Confirmed {
            return Err(outcome.to_string().into());
        }
    }
    Ok(times)
}

async fn run_rustuya(
    device: &rustuya_tokio::Device,
    events: &mut rustuya_tokio::Listener,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(SETS);
    for i in 0..SETS {
        let dps = serde_json::json!({"1": i % 2 == 0});
        let from = Instant::now();
        device.set_dps(dps).await?;
        loop {
            match events.recv().await {
                // The report; before it comes the empty acknowledgement.
                Some(rustuya_tokio::Event::Frame(m)) if !m.payload.is_empty() => break,
                Some(_) => {}
                None => return Err("rustuya closed".into()),
            }
        }
        times.push(from.elapsed());
    }
    Ok(times)
}

fn middle(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(version: Version) -> Result<()> {
    let sizes = Arc::new(Sizes::default());
    let address = device(version, Arc::clone(&sizes))?;
    let link = Link::new(LinkConfig::default());
    let mut config = DeviceConfig::new(DeviceId::new(ID)?, LocalKey::new(KEY)?);
    config.address = Some(address);
    config.version = Some(version);
    let ours = link.device(config);
    ours.ready(Duration::from_secs(5)).await.map_err(|state| state.to_string())?;
    run_ours(&ours).await?;

    let mut plain = tokio::net::TcpStream::connect(echo(Arc::clone(&sizes))?).await?;
    plain.set_nodelay(true)?;

    let theirs = rustuya_tokio::Device::builder(ID, KEY)
        .address("127.0.0.1")
        .port(address.port())
        .version(match version {
            Version::V3_4 => rustuya_tokio::Version::V3_4,
            Version::V3_5 => rustuya_tokio::Version::V3_5,
            _ => rustuya_tokio::Version::V3_3,
        })
        .connect()?;
    theirs.wait_connected(Duration::from_secs(5)).await?;
    let mut events = theirs.listener();
    run_rustuya(&theirs, &mut events).await?;
    run_ours(&ours).await?;

    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(middle(&mut run_echo(&mut plain, &sizes).await?));
        b.push(middle(&mut run_ours(&ours).await?));
        c.push(middle(&mut run_rustuya(&theirs, &mut events).await?));
    }
    let ratio = |x: &[f64]| median(x.iter().zip(&a).map(|(x, a)| x / a).collect());
    println!(
        "{version}: p50 of {SETS} round trips, median of {ROUNDS} rounds, {} bytes out, {} back",
        sizes.request.load(Ordering::Relaxed),
        sizes.reply.load(Ordering::Relaxed)
    );
    println!("  tokio echo        {:6.1} us   1.00", median(a.clone()));
    println!("  landfall-link     {:6.1} us   {:.2}", median(b.clone()), ratio(&b));
    println!("  rustuya           {:6.1} us   {:.2}", median(c.clone()), ratio(&c));
    ours.close().await;
    Ok(())
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // `cargo test --benches` and the like only want to see it start.
    if std::env::args().any(|a| a == "--test") {
        return Ok(());
    }
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        // In a task, as the callers of a server are: waking the future that a runtime blocks on costs a system call more.
        runtime.block_on(runtime.spawn(compare(version)))??;
    }
    Ok(())
}
