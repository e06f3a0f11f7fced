//! The way to the owner's things: the running cloud, or the book itself when none runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use landfall_book::{Book, Device, FileStore};
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::control::{Client, ClientError, Order, OwnerError};
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::render::clean;

/// The data directory and, if one runs there, the cloud.
pub(super) struct Reach {
    pub(super) dir: PathBuf,
    pub(super) client: Option<Client>,
}

impl Reach {
    /// Finds out whether a cloud runs.
    pub(super) async fn open(context: &Context) -> Result<Self, Failure> {
        let dir = context.data_dir()?;
        let client = match Client::connect(&dir).await {
            Ok(client) => Some(client),
            Err(ClientError::NotRunning { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        Ok(Self { dir, client })
    }

    /// Asks the running cloud.
    ///
    /// # Errors
    /// None runs, or it refused.
    pub(super) async fn ask(&mut self, order: &Order) -> Result<Value, Failure> {
        match &mut self.client {
            Some(client) => client.ask(order).await.map_err(refused),
            None => Err(ClientError::NotRunning { data_dir: self.dir.clone() }.into()),
        }
    }

    /// Does something with the book, without a running cloud. On return what it changed is on disk, in one file.
    ///
    /// # Errors
    /// The book can't be read, or it refused.
    pub(super) async fn with_book<T>(
        &self,
        work: impl AsyncFnOnce(&Arc<BookBackend>) -> Result<T, OwnerError>,
    ) -> Result<T, Failure> {
        let owner = BookBackend::open(FileStore::new(&self.dir), Clock::system())?;
        let done = work(&owner).await;
        owner.close().await;
        done.map_err(book_refused)
    }
}

/// A device of the book that goes to the cloud by itself.
pub(super) fn find(book: &Book, asked: &str) -> Result<Device, Failure> {
    let device = book.find(asked)?;
    if device.is_sub_device() {
        return Err(Failure::with_hint(
            anyhow!("{} is behind a gateway, and the gateway speaks for it", clean(&device.name)),
            "name the gateway",
        ));
    }
    Ok(device.clone())
}

/// The next step after a refusal, by its code.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "device.offline" => "`landfall cloud status` says what it lacks",
        "device.no_key" => "give the book its key: landfall device add NAME --id ID --update --key-file FILE",
        "device.congested" => "its Wi-Fi may be bad; try again in a moment",
        "device.unknown" => "`landfall device list` shows the devices there are",
        "order.malformed" => "the running cloud is of another version: end it and start it anew",
        "person.taken" => "remove it first if its password is lost: landfall cloud user remove NAME",
        "person.name" => "a name is what an MQTT client logs in with: letters, digits and . _ - @",
        "timers.invalid" => {
            "a timer has \"id\", \"date\" (YYYYMMDD, or 00000000 for weekly), \"time\" (HH:MM), \"loops\" and \"dps\""
        }
        "firmware.version" | "image.version" => "a version has at most 10 characters, such as 9.0.0",
        _ => return None,
    })
}

fn with_hint(error: anyhow::Error, code: &str) -> Failure {
    Failure::Request { error, hint: hint(code).map(str::to_owned) }
}

/// What the running cloud refused.
fn refused(e: ClientError) -> Failure {
    match &e {
        ClientError::Refused(r) => {
            let code = r.code.clone();
            with_hint(e.into(), &code)
        }
        _ => e.into(),
    }
}

/// What the book refused without a cloud.
fn book_refused(e: OwnerError) -> Failure {
    let code = e.code;
    with_hint(e.into(), code)
}
