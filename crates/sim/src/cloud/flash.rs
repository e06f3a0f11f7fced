//! What survives a power cut.

use landfall_proto::id::{DeviceId, LocalKey, PskKey, SecKey};

use super::spec::Pairing;
use super::timers::Timers;
use super::told::Told;
use super::zone::Zone;

/// What a device got at its activation. `Debug` shows no key.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub id: DeviceId,
    /// Key of the gateway, of the MQTT password, of firmware checks.
    pub sec_key: SecKey,
    /// Key of MQTT payloads and of the LAN.
    pub local_key: LocalKey,
    /// The points that it handles; `None` for a device that was activated before the simulation began: those of its
    /// product.
    pub told: Option<Told>,
    /// Names the schema.
    pub schema_id: String,
}

/// Where the cloud is, as it told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// URL of the gateway in clear.
    pub http: Option<String>,
    /// URL of the gateway over TLS-PSK.
    pub https_psk: Option<String>,
    /// Broker in clear: host, with a port where the name service told it.
    pub mqtt: Option<String>,
    /// Broker over TLS-PSK.
    pub mqtts_psk: Option<String>,
}

/// The flash of a device.
#[derive(Clone, Debug)]
pub struct Flash {
    /// Who it is; `None` before the activation and after a reset.
    pub registration: Option<Registration>,
    /// Its id before the last unbinding, which generation C mentions at its next activation.
    pub former_id: Option<DeviceId>,
    /// Whether it comes from the factory, or its owner was made to be forgotten by hand and there was none since.
    pub freshly_reset: bool,
    /// Key of TLS-PSK type 2: from the factory, or from the cloud.
    pub psk_key: Option<PskKey>,
    /// What the app told, until the activation.
    pub pairing: Option<Pairing>,
    /// Region of the last pairing.
    pub region: String,
    /// Where the cloud is.
    pub endpoints: Endpoints,
    /// Time zone.
    pub zone: Zone,
    /// Timers.
    pub timers: Timers,
    /// Version of the firmware.
    pub software: String,
    /// The version that the cloud was told last.
    pub told_software: Option<String>,
}

impl Flash {
    /// Forgets the owner. A wipe leaves nothing but the factory's part.
    pub(super) fn forget(&mut self, wipe: bool, factory_psk: Option<PskKey>) {
        let registration = self.registration.take();
        self.former_id = if wipe { None } else { registration.map(|r| r.id) };
        self.pairing = None;
        self.endpoints = Endpoints::default();
        self.timers = Timers::default();
        self.zone = Zone::default();
        self.told_software = None;
        if wipe {
            self.psk_key = factory_psk;
        }
    }
}
