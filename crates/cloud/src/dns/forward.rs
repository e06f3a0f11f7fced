//! Other names, asked of another server. Only where the owner set one: by default they are refused.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::Question;

/// Questions that wait for the other server at a time.
const IN_FLIGHT: usize = 128;

/// How often a question is sent over UDP before it is given up.
const TRIES: u32 = 2;

/// The server that is asked.
#[derive(Clone, Debug)]
pub struct Forwarder {
    to: SocketAddr,
    slots: Arc<Semaphore>,
    patience: Duration,
}

/// A place among the questions that wait.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It could not be asked.
    #[error("can't ask {to}")]
    Io {
        /// Whom.
        to: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// It did not answer.
    #[error("{to} did not answer {name} in {within:?}")]
    Silent {
        /// Who.
        to: SocketAddr,
        /// The name asked for.
        name: String,
        /// How long we waited.
        within: Duration,
    },
    /// What it sent was no answer to the question.
    #[error("{to} answered something else than {name}")]
    Foreign {
        /// Who.
        to: SocketAddr,
        /// The name asked for.
        name: String,
    },
}

impl Forwarder {
    /// Asks this server.
    pub fn new(to: SocketAddr) -> Self {
        Self { to, slots: Arc::new(Semaphore::new(IN_FLIGHT)), patience: Duration::from_secs(2) }
    }

    /// The same, waiting this long for each try.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A place among the questions that wait; `None`: there are too many already.
    pub fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(|permit| Slot { _permit: permit })
    }

    /// Asks, and returns the answer as it came, under the number of the client's question. `whole`: an answer that is too
    /// long for UDP is asked for again over TCP.
    ///
    /// # Errors
    /// No answer in time, or the server can't be reached.
    pub async fn ask(&self, question: &Question, whole: bool, _slot: Slot) -> Result<Vec<u8>, ForwardError> {
        let mut answer = self.ask_udp(question).await?;
        if whole && is_truncated(&answer) {
            let within = self.patience.saturating_mul(TRIES);
            answer = timeout(within, self.ask_tcp(question))
                .await
                .map_err(|_| self.silent(question, within))??;
        }
        let id = question.id().to_be_bytes();
        if let Some(number) = answer.get_mut(..2) {
            number.copy_from_slice(&id);
        }
        Ok(answer)
    }

    async fn ask_udp(&self, question: &Question) -> Result<Vec<u8>, ForwardError> {
        let any = match self.to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        for _ in 0..TRIES {
            // A socket for each try: the system chooses a port that nobody can guess, and only this server is heard.
            let socket = UdpSocket::bind(any).await.map_err(|e| self.io(e))?;
            socket.connect(self.to).await.map_err(|e| self.io(e))?;
            let (id, bytes) = self.numbered(question)?;
            socket.send(&bytes).await.map_err(|e| self.io(e))?;
            match timeout(self.patience, first_answer(&socket, question, id)).await {
                Ok(answer) => return answer.map_err(|e| self.io(e)),
                Err(_) => continue,
            }
        }
        Err(self.silent(question, self.patience.saturating_mul(TRIES)))
    }

    async fn ask_tcp(&self, question: &Question) -> Result<Vec<u8>, ForwardError> {
        let mut stream = TcpStream::connect(self.to).await.map_err(|e| self.io(e))?;
        let (id, bytes) = self.numbered(question)?;
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        stream.write_all(&[&length[..], &bytes].concat()).await.map_err(|e| self.io(e))?;
        let length = stream.read_u16().await.map_err(|e| self.io(e))?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.map_err(|e| self.io(e))?;
        if question.is_answered_by(&answer, id) {
            Ok(answer)
        } else {
            Err(ForwardError::Foreign { to: self.to, name: question.name.clone() })
        }
    }

    fn numbered(&self, question: &Question) -> Result<(u16, Vec<u8>), ForwardError> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|e| self.io(io::Error::other(format!("no random number: {e}"))))?;
        let id = u16::from_be_bytes(id);
        let bytes = question
            .forwarded(id)
            .ok_or_else(|| self.io(io::Error::other("the question could not be written")))?;
        Ok((id, bytes))
    }

    fn io(&self, source: io::Error) -> ForwardError {
        ForwardError::Io { to: self.to, source }
    }

    fn silent(&self, question: &Question, within: Duration) -> ForwardError {
        ForwardError::Silent { to: self.to, name: question.name.clone(), within }
    }
}

/// Waits for the answer; what is none is passed over, since anybody may send it.
async fn first_answer(socket: &UdpSocket, question: &Question, id: u16) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if question.is_answered_by(bytes, id) {
            return Ok(bytes.to_vec());
        }
    }
}

/// Whether an answer says that it was cut.
fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0b10 != 0)
}
