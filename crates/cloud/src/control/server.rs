//! The cloud's end of the control socket.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::{FirmwareCheck, Identified, PointQuery, Reset};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::order::{Order, Refusal, Reply, SetOutcome};
use super::owner::{Owner, OwnerError};
use super::{MAX_ORDER, place, socket_path, status};
use crate::backend::{Registration, Timer};
use crate::event::What;
use crate::mqtt::{Outcome, SendError};
use crate::shared::Shared;

/// Connections at a time. The owner types one command, or lets a program watch.
const CONNECTIONS: usize = 32;
/// How long a connection may stay without a whole order, and how long an answer may stay unread.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that an order may wait for a device.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// The open control socket; closed and removed when dropped.
#[derive(Debug)]
pub struct Control {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // Gone already, or the directory was removed: either way nobody connects to it.
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[error("can't open the control socket {}", .path.display())]
pub struct ControlError {
    /// The socket.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Control {
    /// Opens the socket of the cloud's data directory. A stale one is replaced: that no other cloud runs there is what
    /// the journal's lock is for.
    ///
    /// # Errors
    /// The directory can't be written, or something else has the socket's name.
    pub fn start(shared: Arc<Shared>, owner: Arc<dyn Owner>) -> Result<Self, ControlError> {
        let path = socket_path(&shared.config.data_dir);
        let (listener, ours) = bind(&path).map_err(|source| ControlError { path: path.clone(), source })?;
        let task = tokio::spawn(accept(listener, ours, shared, owner));
        Ok(Self { task, path })
    }
}

/// Binds the socket; tells whose it is, by user id.
fn bind(path: &Path) -> io::Result<(UnixListener, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if let Some(dir) = path.parent() {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has this name")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let (short, _dir) = place::short(path)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, std::fs::metadata(path)?.uid()))
}

async fn accept(listener: UnixListener, ours: u32, shared: Arc<Shared>, owner: Arc<dyn Owner>) {
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if served.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    if stream.peer_cred().is_ok_and(|c| c.uid() == ours || c.uid() == 0) {
                        served.spawn(serve(stream, Arc::clone(&shared), Arc::clone(&owner)));
                    } else {
                        tracing::warn!("another user tried the control socket");
                    }
                }
                Err(e) => {
                    // Out of file descriptors, say; there will be some again.
                    tracing::warn!("the control socket can't be accepted on: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
            Some(_) = served.join_next(), if !served.is_empty() => {}
        }
    }
}

/// Serves one connection: an order, its answer, the next order.
async fn serve(stream: UnixStream, shared: Arc<Shared>, owner: Arc<dyn Owner>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut read).take(MAX_ORDER as u64);
        match tokio::time::timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(n)) if n > 0 => {}
            _ => return,
        }
        if line.last() != Some(&b'\n') {
            let why = Refusal::new("order.too_long", format!("an order has at most {MAX_ORDER} bytes"));
            let _hung_up = answer(&mut write, &Reply::Error(why)).await;
            return;
        }
        let order = match serde_json::from_slice::<Order>(&line) {
            Ok(order) => order,
            Err(e) => {
                // The place, not the text: it may hold a secret.
                let why = format!(
                    "this cloud ({}) does not understand the order: column {}",
                    env!("CARGO_PKG_VERSION"),
                    e.column()
                );
                if answer(&mut write, &Reply::Error(Refusal::new("order.malformed", why))).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if order == Order::Events {
            return events(&shared, &mut read, &mut write).await;
        }
        let reply = match carry_out(&shared, &*owner, order).await {
            Ok(value) => Reply::Ok(value),
            Err(refusal) => Reply::Error(refusal),
        };
        if answer(&mut write, &reply).await.is_err() {
            return;
        }
    }
}

async fn answer(write: &mut OwnedWriteHalf, reply: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, write.write_all(&line)).await?
}

/// Tells events until the other end leaves, or does not read for too long.
async fn events(
    shared: &Shared,
    read: &mut BufReader<tokio::net::unix::OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
) {
    let mut events = shared.events();
    if answer(write, &Reply::Ok(json!({}))).await.is_err() {
        return;
    }
    let mut nothing = [0; 64];
    loop {
        let told = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => answer(write, &event).await,
                Err(RecvError::Lagged(n)) => answer(write, &json!({"event": "missed", "events": n})).await,
                Err(RecvError::Closed) => return,
            },
            // Nothing is expected any more but the end.
            left = read.read(&mut nothing) => match left {
                Ok(n) if n > 0 => Ok(()),
                _ => return,
            },
        };
        if told.is_err() {
            return;
        }
    }
}

impl From<OwnerError> for Refusal {
    fn from(e: OwnerError) -> Self {
        Self::new(e.code, e.what)
    }
}

impl From<SendError> for Refusal {
    fn from(e: SendError) -> Self {
        let code = match &e {
            SendError::Offline(_) => "device.offline",
            SendError::Congested(_) => "device.congested",
            SendError::NotWaiting(_) => "device.not_waiting",
            SendError::NoKey(_) => "device.no_key",
            SendError::Misfit(_) => "dp.misfit",
        };
        Self::new(code, e.to_string())
    }
}

async fn carry_out(shared: &Arc<Shared>, owner: &dyn Owner, order: Order) -> Result<Value, Refusal> {
    match order {
        Order::Status => {
            let status = status(&*shared.backend, owner, &shared.handshakes, Some(shared));
            serde_json::to_value(status).map_err(|e| Refusal::new("internal", e.to_string()))
        }
        Order::Allow(window) => {
            let told = What::WindowOpened { who: window.who.clone(), until: window.until };
            owner.open_window(window);
            shared.tell(None, None, told);
            Ok(json!({}))
        }
        Order::Close => {
            owner.close_windows();
            shared.tell(None, None, What::WindowsClosed);
            Ok(json!({}))
        }
        Order::Set { device, cid, dps, patience_ms } => {
            let device = known(shared, owner, &device).await?;
            set(shared, &device.id, cid.as_ref(), dps, wait(patience_ms)).await
        }
        Order::Refresh { device, points, patience_ms } => {
            let device = known(shared, owner, &device).await?;
            let points = points.map(|p| p.into_iter().map(DpId).collect());
            refresh(shared, &device.id, points, wait(patience_ms)).await
        }
        Order::Reset { device, wipe } => {
            let device = known(shared, owner, &device).await?;
            let reset = Reset { gw_id: Some(device.id.clone()), wipe };
            shared.devices.send(shared, &device.id, Content::Reset(reset))?;
            Ok(json!({}))
        }
        Order::Timers { device, timers } => {
            let device = known(shared, owner, &device).await?;
            set_timers(shared, owner, &device.id, timers).await
        }
        Order::Approve { device, kind, version, file } => {
            let device = known(shared, owner, &device).await?;
            let image = owner.approve(&device.id, kind, &version, &file).await?;
            let check = FirmwareCheck { gw_id: Some(device.id.clone()), firmware_type: Some(kind) };
            let told = told(shared, &device.id, Content::CheckFirmware(check));
            Ok(json!({"image": image, "told": told}))
        }
        Order::Withdraw { device, kind } => {
            let device = known(shared, owner, &device).await?;
            Ok(json!({"withdrawn": owner.withdraw(&device.id, kind).await?}))
        }
        Order::AddPerson { name } => Ok(json!({"password": owner.add_person(&name).await?})),
        Order::RemovePerson { name } => Ok(json!({"removed": owner.remove_person(&name).await?})),
        Order::Token { uuid, token, region } => {
            shared.devices.send_token(shared, &uuid, &token, &region)?;
            Ok(json!({}))
        }
        Order::Unpin { device } => {
            let device = known(shared, owner, &device).await?;
            Ok(json!({"unpinned": owner.unpin(&device.id).await?}))
        }
        Order::Reload => {
            owner.reload().await?;
            Ok(json!({}))
        }
        // Taken before: it does not end with an answer.
        Order::Events => Ok(json!({})),
    }
}

fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms).min(MAX_WAIT)
}

/// The device with this id. One that somebody has put into the book a moment ago is known as well.
async fn known(shared: &Shared, owner: &dyn Owner, id: &DeviceId) -> Result<Arc<Registration>, Refusal> {
    if let Some(device) = shared.backend.by_id(id) {
        return Ok(device);
    }
    owner.reload().await?;
    shared
        .backend
        .by_id(id)
        .ok_or_else(|| Refusal::new("device.unknown", format!("the cloud knows no device {id}")))
}

/// Tells a device something that it may as well learn later; says whether it was told.
fn told(shared: &Shared, id: &DeviceId, content: Content) -> bool {
    shared
        .devices
        .send(shared, id, content)
        .inspect_err(|e| tracing::debug!("{id} is told when it asks: {e}"))
        .is_ok()
}

async fn set(
    shared: &Shared,
    id: &DeviceId,
    cid: Option<&Cid>,
    dps: Dps,
    patience: Duration,
) -> Result<Value, Refusal> {
    let outcome = match shared.devices.set(shared, id, cid, dps, patience).await {
        Outcome::Confirmed => SetOutcome::Confirmed,
        Outcome::Accepted => SetOutcome::Accepted,
        Outcome::Unconfirmed { seen } => SetOutcome::Unconfirmed { seen },
        Outcome::Failed(e) => {
            SetOutcome::Failed { offline: matches!(e, SendError::Offline(_)), why: e.to_string() }
        }
    };
    serde_json::to_value(outcome).map_err(|e| Refusal::new("internal", e.to_string()))
}

/// Asks for points, and waits for the first report.
async fn refresh(
    shared: &Shared,
    id: &DeviceId,
    points: Option<Vec<DpId>>,
    patience: Duration,
) -> Result<Value, Refusal> {
    // Before it is asked, so that no answer is too fast.
    let mut events = shared.events();
    shared.devices.send(shared, id, Content::Query(PointQuery { points }))?;
    let report = async {
        loop {
            match events.recv().await {
                Ok(event) if event.device.as_ref() == Some(id) => {
                    if let What::Report { dps, .. } = event.what {
                        return Some(dps);
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    };
    let dps = tokio::time::timeout(patience, report).await.ok().flatten();
    Ok(json!({"dps": dps.as_deref()}))
}

async fn set_timers(
    shared: &Shared,
    owner: &dyn Owner,
    id: &DeviceId,
    timers: Option<Vec<Timer>>,
) -> Result<Value, Refusal> {
    let given = timers.is_some();
    owner.set_timers(id, timers).await?;
    let changed = Identified { gw_id: Some(id.clone()), dev_id: Some(id.clone()) };
    Ok(json!({"told": given && told(shared, id, Content::TimersChanged(changed))}))
}
