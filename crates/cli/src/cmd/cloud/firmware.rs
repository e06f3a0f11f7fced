//! `landfall cloud firmware ...`

use anyhow::{Context as _, anyhow};
use landfall_cloud::control::{ImageInfo, Order, Owner as _};
use serde_json::json;

use super::reach::{Reach, find};
use super::status;
use crate::args::cloud::CloudFirmware;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Table, clean};

pub(super) async fn run(context: &Context, c: CloudFirmware) -> Outcome {
    let mut reach = Reach::open(context).await?;
    match c {
        CloudFirmware::Approve { device, file, told, channel } => {
            let device = find(&context.book()?, &device)?;
            // The running cloud has another working directory.
            let file = std::path::absolute(&file).with_context(|| format!("can't find {}", file.display()));
            let file = file.map_err(|error| Failure::Request { error, hint: None })?;
            let order = Order::Approve {
                device: device.id.clone(),
                kind: channel,
                version: told.clone(),
                file: file.clone(),
            };
            let (image, asked) = if reach.client.is_some() {
                let said = reach.ask(&order).await?;
                (serde_json::from_value::<ImageInfo>(said["image"].clone())?, said["told"] == json!(true))
            } else {
                let approved =
                    reach.with_book(async |book| book.approve(&device.id, channel, &told, &file).await);
                (approved.await?, false)
            };
            let when = if asked {
                "it was told to ask for it now"
            } else {
                "it gets it when it asks, once a day or so"
            };
            context.say(&format!(
                "version {} ({} bytes) is offered to {}; {when}",
                clean(&image.version),
                image.size.unwrap_or_default(),
                clean(&device.name)
            ));
            Ok(())
        }
        CloudFirmware::Withdraw { device, channel } => {
            let device = find(&context.book()?, &device)?;
            let withdrawn = if reach.client.is_some() {
                let order = Order::Withdraw { device: device.id.clone(), kind: channel };
                reach.ask(&order).await?["withdrawn"] == json!(true)
            } else {
                reach.with_book(async |book| book.withdraw(&device.id, channel).await).await?
            };
            if !withdrawn {
                return Err(Failure::with_hint(
                    anyhow!("nothing is offered to {} on channel {channel}", clean(&device.name)),
                    "`landfall cloud firmware list` shows what is offered",
                ));
            }
            context
                .say(&format!("nothing is offered to {} on channel {channel} any more", clean(&device.name)));
            Ok(())
        }
        CloudFirmware::List(a) => list(context, &mut reach, a.json).await,
    }
}

async fn list(context: &Context, reach: &mut Reach, as_json: bool) -> Outcome {
    let status = status::collect(reach).await?;
    if as_json {
        let of = |d: &landfall_cloud::control::DeviceStatus| json!({"id": d.id, "name": d.name, "questions": d.firmware_questions, "images": d.images});
        return out::json(&status.devices.iter().map(of).collect::<Vec<_>>());
    }
    let mut table = Table::new(context.data_style(), &["NAME", "ASKED", "CHANNEL", "VERSION", "BYTES"]);
    for d in &status.devices {
        let asked = d.firmware_questions.to_string();
        for i in &d.images {
            let size = i.size.map_or_else(|| "the file is missing".to_owned(), |n| n.to_string());
            table.row([d.name.as_str(), &asked, &i.kind.to_string(), &i.version, &size]);
        }
        if d.images.is_empty() {
            table.row([d.name.as_str(), &asked, "", "nothing is offered", ""]);
        }
    }
    out::data(&table.text())
}
