//! What all devices of a process share.

use std::sync::Arc;
use std::time::SystemTime;

use landfall_proto::Now;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;

use crate::config::{DeviceConfig, LinkConfig};
use crate::detect::Detector;
use crate::device::Device;
use crate::news::{DeviceNews, Subscription};
use crate::tap::Tap;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: LinkConfig,
    /// Turns of opening and negotiating connections, given in the order asked.
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) detector: Detector,
    pub(crate) news: broadcast::Sender<DeviceNews>,
    pub(crate) tap: Option<Arc<dyn Tap>>,
    epoch: Instant,
}

impl Shared {
    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        Now::new(self.epoch.elapsed(), unix)
    }

    /// A time of the state machines on tokio's clock.
    pub(crate) fn instant(&self, mono: std::time::Duration) -> Option<Instant> {
        self.epoch.checked_add(mono)
    }
}

/// The context of device handles: the cap on simultaneous handshakes, clock, news of all devices. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    pub(crate) shared: Arc<Shared>,
}

impl Link {
    /// A context with these limits.
    pub fn new(config: LinkConfig) -> Self {
        Self::make(config, None)
    }

    /// The same, with somebody who may look at the frames of all its connections.
    pub fn with_tap(config: LinkConfig, tap: Arc<dyn Tap>) -> Self {
        Self::make(config, Some(tap))
    }

    fn make(config: LinkConfig, tap: Option<Arc<dyn Tap>>) -> Self {
        let news = broadcast::Sender::new(config.news_capacity.max(1));
        let handshakes = Arc::new(Semaphore::new(config.handshakes.clamp(1, Semaphore::MAX_PERMITS)));
        let detector = Detector::default();
        let epoch = Instant::now();
        Self { shared: Arc::new(Shared { config, handshakes, detector, news, tap, epoch }) }
    }

    /// Its limits.
    pub fn config(&self) -> &LinkConfig {
        &self.shared.config
    }

    /// A handle on a device; starts connecting at once if an address is known.
    ///
    /// # Panics
    /// Outside a tokio runtime (as `tokio::spawn` does).
    pub fn device(&self, config: DeviceConfig) -> Device {
        Device::start(self, &config)
    }

    /// News of all devices of this link from now on.
    pub fn subscribe(&self) -> Subscription<DeviceNews> {
        Subscription::new(self.shared.news.subscribe())
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new(LinkConfig::default())
    }
}
