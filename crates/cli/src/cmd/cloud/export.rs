//! `landfall cloud ca`, `dns` and `firewall`: what others need to know of the cloud.

use std::net::IpAddr;

use anyhow::anyhow;
use landfall_cloud::config::Advertise;
use landfall_cloud::control::Status;
use landfall_cloud::dns::{export, firewall};
use landfall_cloud::server::certificate_names;
use landfall_link::tls::Authority;

use super::reach::Reach;
use super::status;
use crate::args::cloud::{CloudCa, CloudDns, CloudFirewall};
use crate::ask;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::clean;

/// Prints the authority's certificate; makes the authority when there is none.
pub(super) fn ca(context: &Context, a: &CloudCa) -> Outcome {
    let dir = context.data_dir()?.join("ca");
    // Without names of its own: a running cloud knows them, and sees to its certificate at its start.
    let names = certificate_names(&Advertise::Local)?;
    let authority = if a.renew {
        if !a.yes {
            ask::agreed(
                "Devices that trust the old certificate won't trust the new one until they are told. Renew it?",
                "--yes",
            )?;
        }
        let authority = Authority::renew(dir, &names)?;
        context.say("renewed; a running cloud uses the new one from its next start on");
        authority
    } else {
        Authority::open_or_create(dir, &names)?
    };
    context.say(&format!("SHA-256 {}", authority.fingerprint()));
    out::data(authority.pem())
}

/// The address that devices find us by, if a running cloud tells it.
fn told(status: &Status) -> Option<IpAddr> {
    let running = status.running.as_ref()?;
    let real = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_loopback();
    let advertised = running.advertise.parse::<IpAddr>().ok();
    let bound = running.bound.all().into_iter().filter_map(|(_, _, at)| at).map(|at| at.ip());
    advertised.into_iter().chain(bound).find(real)
}

fn no_address() -> Failure {
    Failure::misuse(
        anyhow!("this machine's address in the devices' network is not known"),
        "give it with --address, for instance --address 192.168.1.2",
    )
}

pub(super) async fn dns(context: &Context, a: &CloudDns) -> Outcome {
    let mut reach = Reach::open(context).await?;
    let address = match a.address {
        Some(ip) => ip,
        None => told(&status::collect(&mut reach).await?).ok_or_else(no_address)?,
    };
    out::data(&export::render(a.format, address)?)
}

pub(super) async fn firewall(context: &Context, a: &CloudFirewall) -> Outcome {
    let mut reach = Reach::open(context).await?;
    let status = status::collect(&mut reach).await?;
    let addresses = match a.address.as_slice() {
        [] => vec![told(&status).ok_or_else(no_address)?],
        given => given.to_vec(),
    };
    let bound = status.running.as_ref().and_then(|r| r.bound.dns).map(|at| at.port());
    let port = a.dns_port.or(bound).unwrap_or(53);
    let devices = restricted(context, &status, &a.devices)?;
    let plan = firewall::Plan::new(&addresses, port, &devices).map_err(|e| {
        Failure::misuse(
            e,
            "name devices of the book, addresses, networks or MACs; `landfall cloud firewall --help`",
        )
    })?;
    out::data(&firewall::render(a.format, &plan))
}

/// The devices meant: those named, or all of the book whose address or MAC is known.
fn restricted(
    context: &Context,
    status: &Status,
    asked: &[String],
) -> Result<Vec<firewall::Device>, Failure> {
    let book = context.book()?;
    let place = |d: &landfall_book::Device| {
        let seen = status.devices.iter().find(|s| s.id == d.id).and_then(|s| s.peer);
        let mac = d.mac.as_deref().and_then(|m| m.parse::<firewall::Device>().ok());
        let address = seen.or(d.address).filter(|ip| !ip.is_loopback());
        mac.or_else(|| address.and_then(|ip| ip.to_string().parse().ok()))
    };
    if asked.is_empty() {
        let mut devices = Vec::new();
        for d in book.devices().iter().filter(|d| !d.is_sub_device()) {
            match place(d) {
                Some(device) => devices.push(device),
                None => context.say(&format!(
                    "note: neither address nor MAC of {} is known; it is left out",
                    clean(&d.name)
                )),
            }
        }
        return Ok(devices);
    }
    asked
        .iter()
        .map(|text| {
            if let Ok(device) = text.parse::<firewall::Device>() {
                return Ok(device);
            }
            let d = book.find(text)?;
            place(d).ok_or_else(|| {
                Failure::with_hint(
                    anyhow!("neither address nor MAC of {} is known", clean(&d.name)),
                    "name its address or MAC in place of it",
                )
            })
        })
        .collect()
}
