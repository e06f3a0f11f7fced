//! Devices of a few lines: proto's device session on a real socket, or something that only looks like a device.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use landfall_link::entropy::OsEntropy;
use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceConfig, DeviceError, DeviceEvent, DeviceOutput, DeviceSession};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What answers on a port.
#[derive(Clone, Debug)]
pub(crate) enum Habit {
    /// A device that answers queries with points 1 and 18.
    Device(DeviceConfig),
    /// A device that refuses every query.
    Refuses(DeviceConfig, DeviceError),
    /// Accepts and closes.
    ClosesAtOnce,
    /// Accepts, and closes when something is sent.
    ClosesOnData,
    /// Accepts and says nothing.
    Silent,
    /// A web server.
    Http,
}

/// A running fake. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(ip: Ipv4Addr, habit: Habit) -> Self {
        Self::start_at(SocketAddr::from((ip, 0)), habit).await
    }

    pub(crate) async fn start_at(address: SocketAddr, habit: Habit) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, habit.clone()));
            }
        });
        Self { address, connections, task }
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(crate) fn key() -> LocalKey {
    LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap()
}

pub(crate) fn other_key() -> LocalKey {
    LocalKey::new("0123456789abcdef").unwrap()
}

pub(crate) fn device(name: &str, version: Version) -> Habit {
    Habit::Device(DeviceConfig::new(id(name), key(), version))
}

async fn serve(mut stream: TcpStream, habit: Habit) {
    let mut buffer = [0; 1024];
    match habit {
        Habit::ClosesAtOnce => {}
        Habit::ClosesOnData => {
            let _ = stream.read(&mut buffer).await;
        }
        Habit::Silent => while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {},
        Habit::Http => {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
        Habit::Device(config) => run(stream, config, None).await,
        Habit::Refuses(config, error) => run(stream, config, Some(error)).await,
    }
}

async fn run(mut stream: TcpStream, config: DeviceConfig, error: Option<DeviceError>) {
    let begun = Instant::now();
    let now = || Now::new(begun.elapsed(), 1_700_000_000);
    let mut entropy = OsEntropy::new();
    let mut session = DeviceSession::new(config, now(), &mut entropy);
    let points: Dps = [(DpId(1), DpValue::Bool(true)), (DpId(18), DpValue::Value(42))].into_iter().collect();
    let mut buffer = [0; 4096];
    loop {
        match session.poll_output(now(), &mut entropy) {
            DeviceOutput::Transmit(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            DeviceOutput::Event(DeviceEvent::Query { ticket, cid }) => match error {
                Some(error) => session.reply_error(ticket, error),
                None => session.reply_points(ticket, cid.as_ref(), &points),
            },
            DeviceOutput::Event(DeviceEvent::Closed(_)) => return,
            DeviceOutput::Event(_) => {}
            DeviceOutput::Wait(_) => match stream.read(&mut buffer).await {
                Ok(n) if n > 0 => session.handle_input(&buffer[..n], now()),
                _ => return,
            },
        }
    }
}
