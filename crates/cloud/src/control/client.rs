//! The command's end of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::order::{Order, Refusal, Reply};
use super::{MAX_REPLY, place, socket_path};

/// Longest time that an order may take beyond what it waits for by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a running cloud.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why the cloud did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No cloud runs in this data directory.
    #[error("no cloud runs in {}", .data_dir.display())]
    NotRunning {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The conversation failed.
    #[error("can't talk to the cloud by {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Client {
    /// Connects to the cloud that runs in this data directory.
    ///
    /// # Errors
    /// None runs there, or it is somebody else's.
    pub async fn connect(data_dir: &Path) -> Result<Self, ClientError> {
        let path = socket_path(data_dir);
        let failed = |source: io::Error| match source.kind() {
            // The socket of a cloud that was killed stays behind; nobody listens there.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                ClientError::NotRunning { data_dir: data_dir.to_owned() }
            }
            _ => ClientError::Io { path: path.clone(), source },
        };
        let (short, _dir) = place::short(&path).map_err(failed)?;
        let stream = UnixStream::connect(short).await.map_err(failed)?;
        Ok(Self { stream: BufReader::new(stream), path })
    }

    fn io(&self, source: impl Into<io::Error>) -> ClientError {
        ClientError::Io { path: self.path.clone(), source: source.into() }
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Errors
    /// The cloud refused, or does not answer.
    pub async fn ask(&mut self, order: &Order) -> Result<Value, ClientError> {
        let own = match order {
            Order::Set { patience_ms, .. } | Order::Refresh { patience_ms, .. } => *patience_ms,
            _ => 0,
        };
        let patience = PATIENCE.saturating_add(Duration::from_millis(own));
        match tokio::time::timeout(patience, self.exchange(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.io(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))),
        }
    }

    async fn exchange(&mut self, order: &Order) -> Result<Value, ClientError> {
        let mut line = serde_json::to_vec(order).map_err(|e| self.io(e))?;
        line.push(b'\n');
        let written = self.stream.get_mut().write_all(&line).await;
        // It may have said why before it hung up.
        let reply = match self.line().await? {
            Some(line) => serde_json::from_slice(&line).map_err(|e| self.io(e))?,
            None => {
                written.map_err(|e| self.io(e))?;
                return Err(self.io(io::ErrorKind::UnexpectedEof));
            }
        };
        match reply {
            Reply::Ok(value) => Ok(value),
            Reply::Error(refusal) => Err(refusal.into()),
        }
    }

    /// The next event after [`Order::Events`]; `None` when the cloud ended.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn event(&mut self) -> Result<Option<Value>, ClientError> {
        match self.line().await? {
            Some(line) => serde_json::from_slice(&line).map(Some).map_err(|e| self.io(e)),
            None => Ok(None),
        }
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(MAX_REPLY as u64);
        let read = bounded.read_until(b'\n', &mut line).await;
        match read {
            Ok(0) => Ok(None),
            Ok(_) if line.pop() == Some(b'\n') => Ok(Some(line)),
            Ok(_) => Err(self.io(io::ErrorKind::UnexpectedEof)),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(e) => Err(self.io(e)),
        }
    }
}
