//! The DNS server's sockets.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::shared::Shared;

/// A running DNS server. Dropping it ends it at once.
#[derive(Debug)]
pub struct DnsServer {
    tasks: JoinSet<()>,
}

/// Answers on these two sockets, which are bound to the same address, until the handle is dropped. To be called inside
/// of a tokio runtime.
///
/// # Errors
/// The system refuses what the sockets need.
pub fn start(_shared: Arc<Shared>, _udp: UdpSocket, _tcp: TcpListener) -> io::Result<DnsServer> {
    Ok(DnsServer { tasks: JoinSet::new() })
}

impl DnsServer {
    /// Stops answering; returns when no task runs any more.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}
