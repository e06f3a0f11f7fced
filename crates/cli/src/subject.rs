//! From the book to the wire: which connection a device of the book is reached by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use landfall_book::{Book, Device};
use landfall_link::{DeviceConfig, Link, Refresh};
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

/// How long an answer may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when address or version must be found out first: devices announce themselves every 5 s at best, and a
/// version takes up to five connections.
const SEARCH_PATIENCE: Duration = Duration::from_secs(30);

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
        config.timeout = if self.is_placed() { PATIENCE } else { SEARCH_PATIENCE };
        Ok(config)
    }

    /// Whether the book knows address and version, so that neither must be found out first.
    pub(crate) fn is_placed(&self) -> bool {
        self.address().is_some() && self.line.version.is_some()
    }

    /// A handle; it starts connecting at once.
    ///
    /// # Errors
    /// The book has no key.
    pub(crate) fn open(&self, link: &Link) -> Result<landfall_link::Device, Failure> {
        Ok(link.device(self.config()?))
    }
}

/// What a metering plug must be told to measure, by the standard codes; `None` for what does not measure.
pub(crate) fn metering(schema: &Schema, every: Duration) -> Option<Refresh> {
    let points: Vec<DpId> =
        ["cur_current", "cur_power", "cur_voltage"].iter().filter_map(|code| schema.by_code(code)).collect();
    (!points.is_empty()).then_some(Refresh { points, every })
}
