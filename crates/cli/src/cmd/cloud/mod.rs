//! `landfall cloud`: the stand-in cloud, and what its owner asks of it.

mod event;
mod export;
mod firmware;
mod orders;
mod reach;
mod run;
mod status;
mod user;

use anyhow::anyhow;

use crate::args::cloud::{Cloud, CloudCommand};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

pub(crate) use status::{device, handshake, handshake_json};

/// Runs the cloud, or one of the commands.
pub(crate) async fn run(context: &Context, a: Cloud) -> Outcome {
    if context.devices_option().is_some() {
        return Err(Failure::misuse(
            anyhow!("the cloud works with the book, not with a devices.json"),
            "import the file with `landfall device import FILE`, and leave --devices out",
        ));
    }
    let Some(command) = a.command else { return Box::pin(run::run(context, &a.run)).await };
    if !a.run.is_bare() {
        return Err(Failure::misuse(
            anyhow!("an option before the subcommand is for running the cloud"),
            "put options of the subcommand behind it; `landfall cloud --help` shows what belongs where",
        ));
    }
    match command {
        CloudCommand::Status(c) => status::run(context, &c).await,
        CloudCommand::Events(c) => event::run(context, &c).await,
        CloudCommand::Allow(c) => orders::allow(context, &c).await,
        CloudCommand::Set(c) => orders::set(context, &c).await,
        CloudCommand::Refresh(c) => orders::refresh(context, &c).await,
        CloudCommand::Reset(c) => orders::reset(context, &c).await,
        CloudCommand::Unpin(c) => orders::unpin(context, &c).await,
        CloudCommand::Timers(c) => orders::timers(context, &c).await,
        CloudCommand::Firmware(c) => firmware::run(context, c).await,
        CloudCommand::User(c) => user::run(context, c).await,
        CloudCommand::Ca(c) => export::ca(context, &c),
        CloudCommand::Dns(c) => export::dns(context, &c).await,
        CloudCommand::Firewall(c) => export::firewall(context, &c).await,
    }
}
