//! Questions for firmware (cloud.md 5). "No update" is the answer unless the owner approved an image, and each question
//! is counted.

use landfall_proto::gateway::Reply;
use landfall_proto::gateway::firmware::{Digests, Offer};
use landfall_proto::gateway::name_service::Transport;
use landfall_proto::id::SecKey;
use serde_json::json;

use super::super::places::Places;
use super::super::{image, refuse};
use super::{Asked, done_or};
use crate::backend::ApprovedImage;
use crate::event::What;
use crate::shared::Shared;

/// `tuya.device.upgrade.get` and `.silent.get`. "No update" has no `result` at all: at `{}` an SDK crashes.
pub(super) fn question(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let kind = asked.number("type").and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let offer = approved(shared, asked, kind).and_then(|(image, key)| offer(shared, asked, &image, &key));
    told(shared, asked, offer.is_some());
    offer.map_or(Reply::done(now), |offer| done_or(now, &offer))
}

/// `s.gw.upgrade` of the oldest builds, with names of its own.
pub(super) fn oldest(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let offer = approved(shared, asked, 0).and_then(|(image, key)| offer(shared, asked, &image, &key));
    told(shared, asked, offer.is_some());
    offer.map_or(Reply::done(now), |offer| {
        let result = json!({
            "auto": offer.auto,
            "fileSize": offer.size,
            "etag": offer.md5.get(..10),
            "version": offer.version,
            "url": offer.url,
            "md5": offer.md5,
        });
        done_or(now, &result)
    })
}

fn told(shared: &Shared, asked: &Asked<'_>, offered: bool) {
    shared.tell(Some(asked.device), Some(asked.link.peer), What::FirmwareQuestion { offered });
}

/// The approved image, and the key that its digest is made with; without that key devices refuse the file.
fn approved(
    shared: &Shared,
    asked: &Asked<'_>,
    kind: u32,
) -> Option<(std::sync::Arc<ApprovedImage>, SecKey)> {
    let image = shared.backend.image(&asked.device.id, kind)?;
    let Some(key) = asked.device.keys.as_ref().and_then(|k| k.sec.clone()) else {
        tracing::warn!(
            device = %asked.device.id, version = image.version,
            "an image is approved, but without the device's sec key it can't be offered"
        );
        return None;
    };
    Some((image, key))
}

fn offer(shared: &Shared, asked: &Asked<'_>, image: &ApprovedImage, key: &SecKey) -> Option<Offer> {
    let path = image::path(&image.token);
    let urls = Places::of(shared, asked.link)
        .and_then(|p| Ok((p.url(Transport::Plain, &path)?, p.url(Transport::Certificate, &path)?)));
    let (url, https_url) = match urls {
        Ok(urls) => urls,
        Err(e) => {
            refuse(shared, asked.link, asked.device.id.as_str(), Some(asked.device), e.code(), e.to_string());
            return None;
        }
    };
    let digests = Digests::of(&image.bytes, key);
    Offer::new(image.kind, &image.version, digests, &url, &https_url)
        .inspect_err(|e| {
            tracing::error!(device = %asked.device.id, version = image.version, "the approved image can't be offered: {e}");
        })
        .ok()
}

/// How installing goes: 1 ready, 2 started, 3 done, 4 failed; 10 to 12 and 40 to 49 say more of a failure.
pub(super) fn status(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    match asked.number("upgradeStatus").and_then(|n| u32::try_from(n).ok()) {
        Some(status) => {
            tracing::info!(device = %asked.device.id, status, "firmware status");
            shared.tell(Some(asked.device), Some(asked.link.peer), What::FirmwareStatus { status });
        }
        None => tracing::debug!(device = %asked.device.id, "firmware status without a status"),
    }
    Reply::done(now)
}
