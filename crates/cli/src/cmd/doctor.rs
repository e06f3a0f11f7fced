//! `landfall doctor DEVICE`

use std::net::Ipv4Addr;
use std::time::Duration;

use landfall_link::diagnose::{DiagnoseOptions, Patient, Verdict, diagnose};
use landfall_link::scan::{Interface, Ports, ScanOptions};
use serde_json::json;

use crate::args;
use crate::cmd::cloud;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{clean, progress::Progress};
use crate::subject::Subject;

/// Examines a device and prints verdict, evidence and next step. Exit code 0 when it is healthy.
pub(crate) async fn run(context: &Context, a: &args::Doctor) -> Outcome {
    let book = context.book()?;
    let subject = Subject::find(&book, &a.device)?;
    let patient = Patient {
        id: subject.line.id.clone(),
        name: Some(subject.device.name.clone()),
        cid: subject.cid(),
        key: subject.line.key.clone(),
        version: subject.line.version,
        address: subject.address(),
        sleeps: subject.line.sleeper || subject.device.sleeper,
        device22: subject.line.device22,
    };
    let mut options = DiagnoseOptions::default();
    if a.no_listen {
        options.scan.ports = Ports { clear: None, encrypted: None, answer: None, ..Ports::default() };
    } else if !subject.may_move() {
        options.scan = loopback_scan();
    }
    let progress = Progress::start(context, &format!("examining {}", subject.name()));
    let diagnosis = diagnose(&patient, options, |step| progress.now(&step.to_string())).await;
    progress.end();
    // A sub-device has no way of its own there: its gateway's is shown.
    let handshake = cloud::handshake(context, &subject.line.id).await;
    if a.json.json {
        out::json(&json!({
            "id": subject.device.id,
            "name": subject.device.name,
            "verdict": diagnosis.verdict.code(),
            "sentence": diagnosis.sentence,
            "evidence": diagnosis.evidence,
            "next_step": diagnosis.next_step,
            "cloud": handshake.as_ref().map(cloud::handshake_json),
        }))?;
    } else {
        let style = context.data_style();
        let word = diagnosis.verdict.code().replace('_', " ");
        let healthy = diagnosis.verdict == Verdict::Healthy;
        let word = if healthy { style.green(&word) } else { style.red(&word) };
        let mut text = format!("{}: {word}\n{}\n", style.bold(&subject.name()), clean(&diagnosis.sentence));
        if !diagnosis.evidence.is_empty() {
            text.push_str(&format!("\n{}\n", style.bold("evidence")));
            for line in &diagnosis.evidence {
                text.push_str(&format!("  - {}\n", clean(line)));
            }
        }
        if !diagnosis.next_step.is_empty() {
            text.push_str(&format!("\n{}\n  {}\n", style.bold("next step"), clean(&diagnosis.next_step)));
        }
        if let Some(handshake) = &handshake {
            text.push_str(&format!("\n{}\n{}", style.bold("cloud"), cloud::device(handshake, style)));
        }
        out::data(&text)?;
    }
    if diagnosis.verdict == Verdict::Healthy { Ok(()) } else { Err(Failure::Told) }
}

/// For virtual devices of this machine: nothing leaves it.
pub(crate) fn loopback_scan() -> ScanOptions {
    // Linux broadcasts on loopback; elsewhere the beacons have to do.
    let broadcast = cfg!(target_os = "linux").then_some(Ipv4Addr::new(127, 255, 255, 255));
    let here = Interface { name: "lo".to_owned(), address: Ipv4Addr::LOCALHOST, broadcast };
    ScanOptions {
        interfaces: Some(vec![here]),
        duration: Some(Duration::from_secs(3)),
        ..ScanOptions::default()
    }
}
