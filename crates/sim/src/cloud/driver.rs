//! The connections of one device to its cloud: a task each, driven by what the [`CloudClient`](super::CloudClient)
//! wants done.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::dial::{Dial, Stream};
use super::place::{Place, Transport};
use super::{LineId, tls};

/// Time for a connection and its TLS handshake. The device gives up sooner.
const OPENING: Duration = Duration::from_secs(15);
/// Time for a write.
const WRITING: Duration = Duration::from_secs(20);
/// Time for what was written before a connection was closed to go out.
const FLUSHING: Duration = Duration::from_secs(5);
/// Writes that wait for a slow cloud; one more, and the line is cut.
const MAX_WRITES: usize = 256;
/// Events that wait for the device; lines stand still while they do.
const MAX_EVENTS: usize = 64;

/// What happened on a line.
#[derive(Debug)]
pub enum LineEvent {
    /// It stands.
    Opened,
    /// It did not come about, and why.
    Failed(String),
    /// Bytes.
    Heard(Vec<u8>),
    /// It is over.
    Closed,
}

#[derive(Debug)]
struct Running {
    writes: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

/// The lines of one device. Dropping it ends them all.
#[derive(Debug)]
pub struct Lines {
    dial: Arc<dyn Dial>,
    running: HashMap<LineId, Running>,
    events: mpsc::Receiver<(LineId, LineEvent)>,
    teller: mpsc::Sender<(LineId, LineEvent)>,
}

impl Lines {
    /// No line yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        let (teller, events) = mpsc::channel(MAX_EVENTS);
        Self { dial, running: HashMap::new(), events, teller }
    }

    /// Opens a line from the device's own address. [`LineEvent::Opened`] or [`LineEvent::Failed`] follows.
    pub fn open(&mut self, line: LineId, place: Place, from: Option<Ipv4Addr>) {
        let (writes, queue) = mpsc::channel(MAX_WRITES);
        let (dial, teller) = (self.dial.clone(), self.teller.clone());
        let task = tokio::spawn(async move { run(line, place, from, dial, queue, teller).await });
        self.running.insert(line, Running { writes, task: task.abort_handle() });
    }

    /// Writes. A line whose queue is full is cut.
    pub fn write(&mut self, line: LineId, bytes: Vec<u8>) {
        let full = self
            .running
            .get(&line)
            .is_some_and(|r| matches!(r.writes.try_send(bytes), Err(mpsc::error::TrySendError::Full(_))));
        if full && let Some(running) = self.running.remove(&line) {
            running.task.abort();
            // The device is told like of any other end; its own queue may be full of this line's events.
            let teller = self.teller.clone();
            tokio::spawn(async move {
                // Nobody is left to be told when the device is gone.
                let _gone = teller.send((line, LineEvent::Closed)).await;
            });
        }
    }

    /// Closes a line after what was written.
    pub fn close(&mut self, line: LineId) {
        // The task ends when its queue does.
        self.running.remove(&line);
    }

    /// The next thing that happens on any line.
    pub async fn event(&mut self) -> (LineId, LineEvent) {
        // We hold a sender ourselves, so the channel does not end.
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}

async fn run(
    line: LineId,
    place: Place,
    from: Option<Ipv4Addr>,
    dial: Arc<dyn Dial>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    teller: mpsc::Sender<(LineId, LineEvent)>,
) {
    let opened = tokio::select! {
        opened = timeout(OPENING, open(&place, from, &*dial)) => opened,
        // The device gave up.
        () = ended(&mut queue) => return,
    };
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let _gone = teller.send((line, LineEvent::Failed(error.to_string()))).await;
            return;
        }
        Err(_) => {
            let _gone = teller.send((line, LineEvent::Failed("it took too long".to_owned()))).await;
            return;
        }
    };
    if teller.send((line, LineEvent::Opened)).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        let mut buffer = vec![0; 4_096];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    let heard = LineEvent::Heard(buffer[..n].to_vec());
                    if teller.send((line, heard)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let writing = async {
        while let Some(bytes) = queue.recv().await {
            let out = async {
                writer.write_all(&bytes).await?;
                writer.flush().await
            };
            if !matches!(timeout(WRITING, out).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    };
    let hung_up = tokio::select! {
        () = reading => false,
        ours = writing => ours,
    };
    if hung_up {
        // What was written went out; a peer that does not take the farewell is not waited for.
        let _late = timeout(FLUSHING, writer.shutdown()).await;
    } else {
        let _gone = teller.send((line, LineEvent::Closed)).await;
    }
}

/// Resolves when the device closed the line before it stood.
async fn ended(queue: &mut mpsc::Receiver<Vec<u8>>) {
    // Nothing is written before a line stands, so only the end can come.
    while queue.recv().await.is_some() {}
}

async fn open(place: &Place, from: Option<Ipv4Addr>, dial: &dyn Dial) -> io::Result<Box<dyn Stream>> {
    let stream = dial.dial(&place.host, place.port, from).await?;
    match &place.transport {
        Transport::Plain => Ok(stream),
        Transport::Psk(login) => tls::connect(stream, login.clone()).await,
    }
}
