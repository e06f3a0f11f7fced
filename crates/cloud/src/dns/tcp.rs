//! DNS over TCP (RFC 7766): a length of two bytes before each message.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{Decision, Server, lock};

/// Connections of all clients; and of all who are none.
const CONNECTIONS: usize = 256;
const STRANGERS: usize = 16;

/// Connections of one client. A router asks for a whole house.
const PER_CLIENT: usize = 32;

/// How long a peer may take for a question, and for taking an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest question that is read. Honest ones have less than 300 bytes.
const LONGEST: usize = 4_096;

/// Questions on one connection, after which it is closed; the peer may open another.
const QUESTIONS: usize = 256;

/// Accepts until it is dropped.
pub(super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let open = Arc::new(Open::default());
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "DNS can't accept a connection");
                    // Out of files, say: so that it does not take the whole processor meanwhile.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let address = peer.ip().to_canonical();
        // Closed at once where there are too many.
        if let Some(place) = open.enter(address, server.is_client(address)) {
            let server = Arc::clone(&server);
            connections.spawn(async move {
                if let Err(error) = converse(&server, stream, peer).await {
                    tracing::debug!(%peer, %error, "a DNS connection ended");
                }
                drop(place);
            });
        }
    }
}

async fn converse(server: &Server, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let sent_to = stream.local_addr()?.ip();
    let mut buffer = vec![0; LONGEST];
    for _ in 0..QUESTIONS {
        let Some(message) = timeout(PATIENCE, receive(&mut stream, &mut buffer)).await?? else {
            return Ok(());
        };
        let answer = match server.decide(message, peer, Some(sent_to)) {
            // Here the peer would wait for it.
            Decision::Silent => return Ok(()),
            Decision::Answer(answer) => answer,
            Decision::Forward(question, slot) => server.forward(&question, true, slot).await,
        };
        timeout(PATIENCE, send(&mut stream, &answer)).await??;
        if !server.is_client(peer.ip()) {
            return Ok(());
        }
    }
    Ok(())
}

/// The next message; `None`: the peer closed.
async fn receive<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(message) = buffer.get_mut(..length) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a question of {length} bytes")));
    };
    stream.read_exact(message).await?;
    Ok(Some(message))
}

async fn send(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(answer.len()).map_err(|_| io::Error::other("an answer of more than 64 KiB"))?;
    stream.write_all(&[&length.to_be_bytes(), answer].concat()).await
}

/// The connections that are open, by address.
#[derive(Debug, Default)]
struct Open {
    by_address: Mutex<HashMap<(IpAddr, bool), usize>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    open: Arc<Open>,
    key: (IpAddr, bool),
}

impl Open {
    fn enter(self: &Arc<Self>, address: IpAddr, is_client: bool) -> Option<Place> {
        let mut by_address = lock(&self.by_address);
        let all: usize =
            by_address.iter().filter(|((_, client), _)| *client == is_client).map(|(_, n)| n).sum();
        let key = (address, is_client);
        let (most, most_each) = if is_client { (CONNECTIONS, PER_CLIENT) } else { (STRANGERS, 1) };
        let mine = by_address.get(&key).copied().unwrap_or_default();
        if all >= most || mine >= most_each {
            return None;
        }
        by_address.insert(key, mine + 1);
        Some(Place { open: Arc::clone(self), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = lock(&self.open.by_address);
        match by_address.get_mut(&self.key) {
            Some(n) if *n > 1 => *n -= 1,
            _ => {
                by_address.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let open = Arc::new(Open::default());
        let a = IpAddr::from([10, 0, 0, 1]);
        let mut places: Vec<Place> = (0..PER_CLIENT).map(|_| open.enter(a, true).unwrap()).collect();
        assert!(open.enter(a, true).is_none(), "one client's share");
        places.pop();
        places.push(open.enter(a, true).unwrap());
        for n in 1..=((CONNECTIONS - PER_CLIENT) / PER_CLIENT) as u8 {
            for _ in 0..PER_CLIENT {
                places.push(open.enter(IpAddr::from([10, 0, 1, n]), true).unwrap());
            }
        }
        assert!(open.enter(IpAddr::from([10, 0, 2, 1]), true).is_none(), "all clients' share");
        let stranger = open.enter(IpAddr::from([8, 8, 8, 8]), false).unwrap();
        assert!(open.enter(IpAddr::from([8, 8, 8, 8]), false).is_none());
        drop(places);
        drop(stranger);
        assert!(lock(&open.by_address).is_empty());
    }
}
