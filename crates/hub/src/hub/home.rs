//! What the doors call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use landfall_book::{Device, Outcome as BookOutcome, Timer};
use landfall_cloud::backend::{Backend as _, Timers};
use landfall_cloud::control::{DeviceStatus, Owner as _, Window, status};
use landfall_cloud::event::What;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::Identified;
use serde_json::Value;
use tokio::sync::oneshot;

use super::Hub;
use super::edit::{not_found, not_stored};
use super::inbox::{Ask, ending};
use super::strangers::Strangers;
use super::task::Lines;
use crate::bus::Bus;
use crate::console::Console;
use crate::model::{
    CommandId, CommandOptions, DeviceView, Edit, Ended, Found, Home, HubStatus, NewDevice, Presence, Problem,
    ProblemKind, Stranger, Verdict,
};
use crate::store::Store;

/// The longest that a command may take.
const LONGEST: Duration = Duration::from_secs(60);

impl Hub {
    /// A device of the book by its id or a former one.
    fn entry(&self, id: &DeviceId) -> Result<Device, Problem> {
        self.book.read(|book| match book.by_id(id) {
            Some(device) => Ok(device.clone()),
            None => Err(book.find(id.as_str()).err().map_or_else(ending, |e| not_found(&e))),
        })
    }

    fn view(&self, id: &DeviceId) -> Result<Arc<DeviceView>, Problem> {
        match self.views.by_id(id) {
            Some(view) => Ok(view),
            None => self.device(id.as_str()),
        }
    }

    /// How a device stands with the cloud; `None` when it was never seen there.
    fn handshake(&self, id: &DeviceId) -> Option<DeviceStatus> {
        let shared = self.cloud.as_ref()?.shared();
        let all = status(&*self.book, &*self.book, &shared.handshakes, Some(shared)).devices;
        all.into_iter().find(|d| d.id == *id).filter(|d| d.last.is_some() || d.connected)
    }

    fn lines(&self) -> Lines {
        Lines { lan: Arc::clone(&self.lan), cloud: self.cloud.clone() }
    }
}

#[async_trait]
impl Home for Hub {
    fn devices(&self) -> Vec<Arc<DeviceView>> {
        self.views.all()
    }

    fn device(&self, asked: &str) -> Result<Arc<DeviceView>, Problem> {
        if let Some(view) = self.views.exactly(asked) {
            return Ok(view);
        }
        let id = self.book.read(|book| book.find(asked).map(|d| d.id.clone())).map_err(|e| not_found(&e))?;
        // The book has it, and the brain will in a moment.
        self.views.by_id(&id).ok_or_else(|| {
            Problem::new(ProblemKind::Busy, "device.not_ready", format!("{asked:?} was added a moment ago"))
                .hint("try again in a second")
        })
    }

    fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    fn console(&self) -> &Console {
        &self.console
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn status(&self) -> HubStatus {
        let (devices, available) = self.views.count();
        HubStatus {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: self.started_ms,
            devices,
            available,
            store: self.writer.status(),
            inbox_dropped: self.inbox.dropped(),
            cloud: self.cloud.as_ref().map(|c| c.shared().bound()),
            cloud_calls: self.cloud.as_ref().map(|c| c.shared().gateway.calls()).unwrap_or_default(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    fn zone(&self) -> jiff::tz::TimeZone {
        self.zone.clone()
    }

    fn price_milli(&self) -> Option<i64> {
        self.price_milli
    }

    async fn set(&self, device: &DeviceId, dps: Dps, options: CommandOptions) -> Result<Arc<Ended>, Problem> {
        let device = self.view(device)?.facts.id.clone();
        let id = CommandId(self.commands.fetch_add(1, Ordering::Relaxed));
        let options = CommandOptions { timeout: options.timeout.min(LONGEST), ..options };
        let (tell, told) = oneshot::channel();
        self.inbox.ask(Ask { id, device, dps, options, tell })?;
        told.await.unwrap_or_else(|_| Err(ending()))
    }

    async fn refresh(&self, device: &DeviceId, points: Vec<DpId>) -> Result<(), Problem> {
        let view = self.view(device)?;
        let facts = &view.facts;
        let holder = facts.parent.as_ref().filter(|_| facts.cid.is_some()).unwrap_or(&facts.id);
        let asked =
            view.route.is_some_and(|line| self.lines().refresh(line, holder, facts.cid.as_ref(), points));
        if asked {
            return Ok(());
        }
        let why = [&view.lan, &view.cloud].into_iter().find_map(|line| line.why.clone());
        let problem =
            Problem::new(ProblemKind::Device, "device.offline", format!("{} can't be reached", facts.name));
        Err(match why {
            Some(why) => problem.hint(why),
            None => problem,
        })
    }

    async fn add(&self, new: NewDevice) -> Result<Arc<DeviceView>, Problem> {
        self.add_device(new).await
    }

    async fn edit(&self, device: &DeviceId, edit: Edit) -> Result<Arc<DeviceView>, Problem> {
        self.edit_device(device, edit).await
    }

    async fn remove(&self, device: &DeviceId, forget: bool) -> Result<(), Problem> {
        self.remove_device(device, forget).await
    }

    async fn import(&self, text: &str, apply: bool) -> Result<Vec<BookOutcome>, Problem> {
        self.import_devices(text, apply).await
    }

    fn key(&self, device: &DeviceId) -> Result<Option<LocalKey>, Problem> {
        Ok(self.entry(device)?.key)
    }

    fn own_definition(&self, device: &DeviceId) -> Option<String> {
        self.book.read(|book| super::roster::own_definition(book.by_id(device)?).map(ToOwned::to_owned))
    }

    async fn scan(&self) -> Result<Vec<Found>, Problem> {
        self.finder.scan().await
    }

    fn strangers(&self) -> Vec<Stranger> {
        let mut strangers = Strangers::new(self.cloud.is_some());
        for (found, heard_ms) in self.finder.strangers() {
            strangers.beacon(found, heard_ms);
        }
        if let Some(cloud) = &self.cloud {
            for (who, record) in cloud.shared().handshakes.strangers() {
                strangers.came(&who, &record, self.clock.unix());
            }
        }
        strangers.list()
    }

    async fn doctor(&self, device: &DeviceId) -> Result<Verdict, Problem> {
        let device = self.entry(device)?;
        let line = match (&device.parent, device.is_sub_device()) {
            (Some(parent), true) => self.entry(parent)?,
            _ => device.clone(),
        };
        let cloud = self.handshake(&line.id);
        let offline = self.views.by_id(&device.id).and_then(|view| match &view.presence {
            Presence::Offline { why, .. } => Some(why.clone()),
            _ => None,
        });
        self.finder.examine(&device, &line, cloud.as_ref(), offline).await
    }

    fn windows(&self) -> Vec<Window> {
        self.book.windows()
    }

    fn open_window(&self, window: Window) -> Result<(), Problem> {
        let Some(cloud) = &self.cloud else {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "cloud.off",
                "the cloud is off, so that no device can be activated",
            )
            .hint("switch it on: [cloud] enabled = true"));
        };
        let opened = What::WindowOpened { who: window.who.clone(), until: window.until };
        self.book.open_window(window);
        // As the control socket does: whoever opens it, it is told by what comes from the cloud.
        cloud.shared().tell(None, None, opened);
        Ok(())
    }

    fn close_windows(&self) {
        self.book.close_windows();
        if let Some(cloud) = &self.cloud {
            cloud.shared().tell(None, None, What::WindowsClosed);
        }
    }

    fn cloud_side(&self, device: &DeviceId) -> Option<Value> {
        let status = self.handshake(&self.views.by_id(device)?.facts.id)?;
        let timers = self.book.timers(&status.id);
        let mut side = serde_json::to_value(&status)
            .inspect_err(|error| tracing::error!(%error, "a status can't be written"))
            .ok()?;
        side["timers"] = match timers {
            Timers::Kept => Value::Null,
            Timers::Set { timers, .. } => serde_json::to_value(timers).ok()?,
        };
        Some(side)
    }

    async fn set_timers(&self, device: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), Problem> {
        let id = self.entry(device)?.id;
        let given = timers.is_some();
        self.book.set_timers(&id, timers).await.map_err(|e| match e.code {
            "book.not_stored" => not_stored(e.what),
            "device.unknown" => Problem::new(ProblemKind::Unknown, "device.unknown", e.what),
            code => Problem::new(ProblemKind::Asked, code, e.what)
                .hint("a timer has id, date (YYYYMMDD, or 00000000 for weekly), time (HH:MM), loops and dps"),
        })?;
        if let Some(cloud) = self.cloud.as_ref().filter(|_| given) {
            let changed = Identified { gw_id: Some(id.clone()), dev_id: Some(id.clone()) };
            let shared = cloud.shared();
            if let Err(error) = shared.devices.send(shared, &id, Content::TimersChanged(changed)) {
                tracing::debug!(device = %id, %error, "it is told of its timers when it asks");
            }
        }
        Ok(())
    }

    fn person(&self, name: &str, password: &[u8]) -> bool {
        self.book.person(name, password)
    }

    async fn back_up(&self, dir: &Path) -> Result<Vec<PathBuf>, Problem> {
        self.copy_everything(dir).await
    }
}
