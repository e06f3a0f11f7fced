//! From the book to the wire: which connection a device of the book is reached by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use landfall_book::{Book, Device};
use landfall_link::{DeviceConfig, Link};
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::schema::Schema;

use crate::failure::Failure;
use crate::render::clean;

/// A device somebody wants to talk to, and the device that holds the connection: itself, or its gateway.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The device meant.
    pub(crate) device: Device,
    /// The device that listens on the network.
    pub(crate) line: Device,
    /// What is known of the points of the device meant.
    pub(crate) schema: Arc<Schema>,
}

/// Points that a device22 query lists when nothing is known of the device: the standard ones (lan.md 5.6).
const USUAL_POINTS: [u16; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

impl Subject {
    /// Finds a device by name or id, and its gateway if it has one.
    ///
    /// # Errors
    /// No such device, or its gateway is not in the book.
    pub(crate) fn find(book: &Book, asked: &str) -> Result<Self, Failure> {
        Self::of(book, book.find(asked)?)
    }

    /// A device of the book.
    ///
    /// # Errors
    /// Its gateway is not in the book.
    pub(crate) fn of(book: &Book, device: &Device) -> Result<Self, Failure> {
        let line = match (&device.cid, &device.parent) {
            (None, _) => device,
            (Some(_), Some(gateway)) => book.by_id(gateway).ok_or_else(|| {
                Failure::with_hint(
                    anyhow!("the gateway of {} ({gateway}) is not in the book", clean(&device.name)),
                    "add the gateway, with its key; a sub-device is reached through it",
                )
            })?,
            (Some(_), None) => {
                return Err(Failure::with_hint(
                    anyhow!("nobody knows the gateway of {}", clean(&device.name)),
                    format!(
                        "tell it: landfall device add {:?} --id {} --update --gateway GATEWAY --cid CID",
                        clean(&device.name),
                        device.id
                    ),
                ));
            }
        };
        Ok(Self { device: device.clone(), line: line.clone(), schema: Arc::new(device.schema()) })
    }

    /// The node id behind the gateway.
    pub(crate) fn cid(&self) -> Option<Cid> {
        self.device.cid.clone()
    }

    /// The device's name, fit for a terminal.
    pub(crate) fn name(&self) -> String {
        clean(&self.device.name)
    }

    /// The id of the device that holds the connection.
    pub(crate) fn line_id(&self) -> &DeviceId {
        &self.line.id
    }

    /// The address in the book.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.line.socket_address()
    }

    /// Whether beacons could help to find it. A virtual device on the loopback interface can't move, and asking the
    /// whole network for it would be noise.
    pub(crate) fn may_move(&self) -> bool {
        self.address().is_none_or(|a| !a.ip().is_loopback())
    }

    /// Values heard, in the types of the points.
    pub(crate) fn refined(&self, mut dps: Dps) -> Dps {
        self.schema.refine(&mut dps);
        dps
    }

    /// What the driver must know.
    ///
    /// # Errors
    /// The book has no key.
    pub(crate) fn config(&self) -> Result<DeviceConfig, Failure> {
        let line = &self.line;
        let Some(key) = line.key.clone() else {
            return Err(Failure::with_hint(
                anyhow!("the book has no local key for {}", clean(&line.name)),
                format!(
                    "add it with: landfall device add {:?} --id {} --update --key-file FILE",
                    clean(&line.name),
                    line.id
                ),
            ));
        };
        let mut config = DeviceConfig::new(line.id.clone(), key);
        config.address = self.address();
        config.version = line.version;
        config.schema = Arc::clone(&self.schema);
        config.device22 = line.device22;
        config.device22_points = if self.schema.0.is_empty() {
            USUAL_POINTS.map(DpId).to_vec()
        } else {
            self.schema.0.keys().copied().collect()
        };
        config.timeout = self.patience();
        Ok(config)
    }

    /// How long an answer may take: longer when address or version must be found out first.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(match (self.address(), self.line.version) {
            (Some(_), Some(_)) => 10,
            _ => 30,
        })
    }

    /// A handle; it starts connecting at once.
    ///
    /// # Errors
    /// The book has no key.
    pub(crate) fn open(&self, link: &Link) -> Result<landfall_link::Device, Failure> {
        Ok(link.device(self.config()?))
    }
}
