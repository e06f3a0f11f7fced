//! A home: the devices that are simulated together. Read from a file, built in, or generated.

mod cloud;
mod file;
mod identity;
mod reader;

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use landfall_proto::lan::Version;

use crate::cloud::{CloudSpec, Generation};
use crate::kind::Kind;
use crate::load::{Load, Mains};
use crate::product::Product;
use crate::spec::{ChildSpec, DeviceSpec};

use identity::Factory;
pub use identity::Identities;

/// The home that `landfall demo` shows, as a commented example of a home file.
pub const DEMO: &str = include_str!("../../homes/demo.toml");

/// More devices than this need more than one process: sockets and memory are finite.
pub const MAX_DEVICES: usize = 10_000;

/// Devices that are simulated together.
#[derive(Clone, Debug)]
pub struct Home {
    /// Name for people.
    pub name: String,
    /// What ids, keys, loads and faults follow from where the file does not say.
    pub seed: u64,
    /// The mains.
    pub mains: Mains,
    /// The first of the loopback addresses that devices without an address get, one after another.
    pub network: Ipv4Addr,
    /// The devices.
    pub devices: Vec<HomeDevice>,
}

/// A device and where it is to be found.
#[derive(Clone, Debug)]
pub struct HomeDevice {
    /// The device.
    pub spec: DeviceSpec,
    /// Its address, if the file gives one.
    pub address: Option<SocketAddrV4>,
}

/// Why a home file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The file can't be read.
    #[error("can't read the home file {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML. The line itself is not shown: it may hold a key.
    #[error("{}: line {line}: {message}", .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A field is wrong, missing or unknown.
    #[error("{}: {entry}: {field}: {problem}", .file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// Which entry: `home`, `device 3 "Fridge"`, `device 3 "Bridge", child 1 "Door"`.
        entry: String,
        /// The field, dotted where it stands in a sub-table.
        field: String,
        /// What is wrong with it, with a suggestion where there is one.
        problem: String,
    },
}

impl Home {
    /// Reads a home file.
    ///
    /// # Errors
    /// Unreadable, not TOML, or a field that is wrong: the error names file, entry and field.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, HomeError> {
        let file = file.as_ref();
        let text = std::fs::read_to_string(file)
            .map_err(|source| HomeError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Reads the text of a home file; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`Home::load`].
    pub fn parse(text: &str, file: impl AsRef<Path>) -> Result<Self, HomeError> {
        file::parse(text, file.as_ref())
    }

    /// The built-in home: nineteen devices of all versions.
    ///
    /// # Panics
    /// Never: the text is part of this crate, and a test reads it.
    pub fn demo() -> Self {
        #[allow(clippy::expect_used)]
        Self::parse(DEMO, "demo.toml").expect("the built-in home is sound")
    }

    /// A home of `n` devices (at most [`MAX_DEVICES`]) of all kinds that listen, in all versions that the kinds speak.
    pub fn of(n: usize) -> Self {
        let choices: Vec<(Kind, Version)> = Kind::ALL
            .into_iter()
            .filter(|kind| !kind.sleeps() && *kind != Kind::Gateway)
            .flat_map(|kind| Product::of(kind).versions.iter().map(move |v| (kind, *v)))
            .collect();
        let mut home = Self::empty("generated", 1);
        let mut identities = Identities::new(home.seed);
        for i in 0..n.min(MAX_DEVICES) {
            let (kind, version) = choices[i % choices.len()];
            let id = identities.device_id(kind);
            let key = identities.key(version);
            let mut spec = DeviceSpec::new(id, key, version, kind);
            spec.name = format!("{kind} {}", i + 1);
            spec.seed = home.seed;
            spec.mains = home.mains;
            if kind.meters() {
                spec.load = Load::ALL[i % Load::ALL.len()];
            }
            home.devices.push(HomeDevice { spec, address: None });
        }
        home
    }

    /// Gives every device that has none a cloud side of this generation: activated, with keys drawn from the home's seed.
    #[must_use]
    pub fn with_clouds(mut self, generation: Generation) -> Self {
        for device in self.devices.iter_mut().filter(|d| d.spec.cloud.is_none()) {
            let factory = Factory::draw(self.seed, &device.spec.name);
            let mut cloud = CloudSpec::new(generation, factory.uuid, factory.auth_key);
            cloud.sec_key = Some(factory.sec_key);
            device.spec.cloud = Some(cloud);
        }
        self
    }

    /// A home without devices.
    pub fn empty(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            mains: Mains { nominal: 230, seed },
            network: Ipv4Addr::new(127, 66, 0, 1),
            devices: Vec::new(),
        }
    }
}

/// A child with the usual settings.
pub(crate) fn child(name: String, identities: &mut Identities, kind: Kind) -> ChildSpec {
    ChildSpec {
        name,
        id: identities.device_id(kind),
        cid: identities.cid(),
        kind,
        load: Load::None,
        travel: Duration::from_secs(20),
        online: true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_demo_has_everything() {
        let home = Home::demo();
        assert!(home.devices.len() >= 10);
        let versions: BTreeSet<Version> = home.devices.iter().map(|d| d.spec.version).collect();
        assert_eq!(versions.into_iter().collect::<Vec<_>>(), Version::ALL);
        let kinds: BTreeSet<Kind> = home
            .devices
            .iter()
            .flat_map(|d| d.spec.children.iter().map(|c| c.kind).chain([d.spec.kind]))
            .collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), Kind::ALL);
        assert!(home.devices.iter().all(|d| d.spec.faults.is_quiet()));
        let clouds: BTreeSet<_> =
            home.devices.iter().filter_map(|d| d.spec.cloud.as_ref()).map(|c| c.generation).collect();
        assert_eq!(clouds.into_iter().collect::<Vec<_>>(), Generation::ALL);
        let again = Home::demo();
        for (a, b) in home.devices.iter().zip(&again.devices) {
            assert_eq!(
                (&a.spec.id, &a.spec.key),
                (&b.spec.id, &b.spec.key),
                "ids and keys follow from the seed"
            );
        }
    }

    #[test]
    fn generated_homes_are_distinct_and_repeatable() {
        let home = Home::of(500);
        let ids: BTreeSet<_> = home.devices.iter().map(|d| d.spec.id.clone()).collect();
        assert_eq!(ids.len(), 500);
        let versions: BTreeSet<_> = home.devices.iter().map(|d| d.spec.version).collect();
        assert_eq!(versions.len(), 5);
        assert_eq!(Home::of(500).devices[499].spec.id, home.devices[499].spec.id);
        assert_eq!(Home::of(MAX_DEVICES + 1).devices.len(), MAX_DEVICES);
        let clouds = home.with_clouds(Generation::A);
        let uuids: BTreeSet<_> =
            clouds.devices.iter().filter_map(|d| d.spec.cloud.as_ref()).map(|c| &c.uuid).collect();
        assert_eq!(uuids.len(), 500);
    }
}
