//! What all devices of a process share.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::config::{DeviceConfig, LinkConfig};
use crate::device::Device;
use crate::news::{DeviceNews, Subscription};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: LinkConfig,
    pub(crate) news: broadcast::Sender<DeviceNews>,
}

/// The context of device handles: the cap on simultaneous handshakes, entropy, clock, news of all devices. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    pub(crate) shared: Arc<Shared>,
}

impl Link {
    /// A context with these limits.
    pub fn new(config: LinkConfig) -> Self {
        let news = broadcast::Sender::new(config.news_capacity.max(1));
        Self { shared: Arc::new(Shared { config, news }) }
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
        Device::start(self, config)
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
