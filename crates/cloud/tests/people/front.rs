//! What stands before the embedded broker in the cloud: a listener that reads CONNECT and hands the client on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use landfall_cloud::config::Limits;
use landfall_cloud::listen::Link;
use landfall_cloud::people::embedded::Embedded;
use landfall_cloud::people::{Broker, ToDevice, inbox};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A broker behind a listener of the test's own.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) broker: Arc<Embedded>,
    pub(crate) inbox: mpsc::Receiver<ToDevice>,
    /// One message for each connection that was served to its end.
    pub(crate) ended: mpsc::Receiver<SocketAddr>,
    _accepting: JoinSet<()>,
}

impl Front {
    pub(crate) async fn start() -> Self {
        Self::with_inbox(64).await
    }

    pub(crate) async fn with_inbox(size: usize) -> Self {
        let (commands, inbox) = inbox(size);
        let broker = Arc::new(Embedded::new(Limits::default(), commands));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = mpsc::channel(64);
        let mut accepting = JoinSet::new();
        let serving = broker.clone();
        accepting.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                let (broker, end) = (serving.clone(), end.clone());
                served.spawn(async move {
                    serve(&broker, stream, peer, address).await;
                    end.send(peer).await.unwrap();
                });
            }
        });
        Self { address, broker, inbox, ended, _accepting: accepting }
    }
}

async fn serve(broker: &Embedded, mut stream: TcpStream, peer: SocketAddr, local: SocketAddr) {
    let mut read = BytesMut::new();
    while !is_whole(&read) {
        if stream.read_buf(&mut read).await.unwrap() == 0 {
            return;
        }
    }
    broker.serve(Box::new(stream), Link::plain(peer, local), Bytes::from(read)).await;
}

/// Whether an MQTT packet stands there as a whole.
fn is_whole(read: &[u8]) -> bool {
    let mut length = 0;
    for (i, byte) in read.iter().skip(1).enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return read.len() >= 2 + i + length;
        }
    }
    false
}
