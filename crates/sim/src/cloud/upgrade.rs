//! Firmware updates (cloud.md 5).

use core::time::Duration;

use landfall_proto::gateway::firmware::Digests;
use landfall_proto::json::{self, Raw};
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::Progress;
use serde::Deserialize;

use super::calls::{Ask, Prepared};
use super::http::{self, Response};
use super::place::{Place, Transport, Url};
use super::profile::{Download, Generation};
use super::spec::PskMode;
use super::{CloudClient, CloudNews, Effect};
use crate::journal::Life;

/// Largest image; flash of these chips has no room for more.
pub(super) const MAX_IMAGE: usize = 2 * 1024 * 1024;
/// Largest image of ESP8266 (cloud.md 5.4).
const MAX_IMAGE_ESP: u64 = 480 * 1024;
/// Longest version text (cloud.md 5.2).
const MAX_VERSION: usize = 10;
/// A piece is asked for so often.
const TRIES: u32 = 3;
/// Progress is told in steps of so many percent.
const PROGRESS_STEP: u8 = 10;

const DOWNLOADING: u8 = 2;
const INSTALLED: u8 = 3;
const FAILED: u8 = 4;

/// The result of `upgrade.get`, as far as devices look at it (cloud.md 5.2).
#[derive(Deserialize)]
struct Offer {
    #[serde(default, rename = "type", deserialize_with = "json::whole")]
    channel: Option<u32>,
    version: String,
    /// Decimal text; a number is not read.
    size: String,
    #[serde(default, deserialize_with = "json::named")]
    url: Option<String>,
    #[serde(default, rename = "pskUrl", deserialize_with = "json::named")]
    psk_url: Option<String>,
    #[serde(default, deserialize_with = "json::named")]
    md5: Option<String>,
    #[serde(default, deserialize_with = "json::named")]
    hmac: Option<String>,
}

/// An update under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    version: String,
    size: u64,
    url: Url,
    md5: Option<String>,
    hmac: Option<String>,
    image: Vec<u8>,
    told: u8,
    tries: u32,
}

impl CloudClient {
    /// An answer to `upgrade.get` or `upgrade.silent.get`. No result: no update.
    pub(super) fn take_offer(&mut self, result: Option<&Raw>, now: Duration) {
        // Asked twice, as happens: one update at a time.
        let Some(result) = result.filter(|_| self.run.upgrade.is_none()) else { return };
        let offer: Result<Offer, _> = result.read();
        if let Ok(offer) = &offer
            && !is_newer(&offer.version, &self.flash.software)
        {
            return self.drop_message("an offer of firmware that is not newer".to_owned());
        }
        match offer.map_err(|_| "the offer lacks version or size").and_then(|offer| self.examine(offer)) {
            Ok(upgrade) => {
                self.run.upgrade = Some(upgrade);
                self.tell(CloudNews::Upgrade { status: DOWNLOADING, why: None });
                self.ask(Ask::UpgradeStatus(DOWNLOADING));
            }
            Err(why) => self.fail_upgrade(why, now),
        }
    }

    fn examine(&mut self, offer: Offer) -> Result<Upgrade, &'static str> {
        if offer.version.len() > MAX_VERSION {
            return Err("the version is longer than a device takes");
        }
        let size: u64 = offer.size.parse().map_err(|_| "the size is no decimal text")?;
        let limit = match self.profile.download {
            Download::Pieces { .. } => MAX_IMAGE_ESP,
            Download::OneRange => MAX_IMAGE as u64,
        };
        if size == 0 || size > limit {
            return Err("the size cannot be");
        }
        let psk = self.spec.psk != PskMode::Off;
        let url = match self.profile.generation {
            Generation::A => offer.url,
            Generation::B => offer.psk_url,
            Generation::C if psk && self.flash.endpoints.https_psk.is_some() => offer.psk_url.or(offer.url),
            Generation::C => offer.url,
        };
        let url = url.as_deref().and_then(Url::parse).ok_or("there is no URL for this firmware")?;
        // A checks the md5, the others the hmac.
        let (md5, hmac) = match self.profile.generation {
            Generation::A => (Some(offer.md5.ok_or("there is no md5")?), None),
            Generation::B | Generation::C => (None, Some(offer.hmac.ok_or("there is no hmac")?)),
        };
        self.run.channel = offer.channel.unwrap_or(self.run.channel);
        let version = offer.version;
        Ok(Upgrade { version, size, url, md5, hmac, image: Vec::new(), told: 0, tries: 0 })
    }

    fn fail_upgrade(&mut self, why: &str, now: Duration) {
        self.run.upgrade = None;
        self.tell(CloudNews::Upgrade { status: FAILED, why: Some(why.to_owned()) });
        self.journal.life(now, Life::UpgradeFailed { why: why.to_owned() });
        self.ask(Ask::UpgradeStatus(FAILED));
    }

    /// The cloud was told how the update stands, or could not be: the device goes on.
    pub(super) fn status_told(&mut self, status: u8, now: Duration) {
        match status {
            DOWNLOADING if self.run.upgrade.is_some() => self.ask(Ask::Fetch),
            INSTALLED => {
                let Some(upgrade) = self.run.upgrade.take() else { return };
                let from = std::mem::replace(&mut self.flash.software, upgrade.version);
                let to = self.flash.software.clone();
                self.journal.life(now, Life::Upgraded { from, to });
                self.effect(Effect::Reboot);
            }
            _ => {}
        }
    }

    /// The part of the file that comes next: both ends included.
    fn wanted(&self) -> Option<(u64, u64)> {
        let upgrade = self.run.upgrade.as_ref()?;
        let from = upgrade.image.len() as u64;
        let last = upgrade.size - 1;
        Some(match self.profile.download {
            Download::OneRange => (0, last),
            Download::Pieces { header, .. } if from == 0 => (0, (header - 1).min(last)),
            Download::Pieces { piece, .. } => (from, (from + piece - 1).min(last)),
        })
    }

    pub(super) fn prepare_fetch(&mut self) -> Option<Prepared> {
        let (from, to) = self.wanted()?;
        let upgrade = self.run.upgrade.as_ref()?;
        let url = upgrade.url.clone();
        let range = match self.profile.download {
            Download::OneRange => format!("bytes={from}-{to}/{}", upgrade.size),
            Download::Pieces { .. } => format!("bytes={from}-{to}"),
        };
        let transport = if url.tls { self.transport() } else { Transport::Plain };
        let usual = if url.tls { 443 } else { 80 };
        let host = if url.port == usual { url.host.clone() } else { format!("{}:{}", url.host, url.port) };
        let bytes = http::request("GET", &url.path, &host, &[("Range", &range)], None);
        Some(Prepared { place: Place { host: url.host, port: url.port, transport }, bytes, sealed: None })
    }

    /// A part of the file came.
    pub(super) fn fetched(&mut self, response: Response, now: Duration) {
        let wanted = self.wanted();
        let (Some(upgrade), Some((from, to))) = (self.run.upgrade.as_mut(), wanted) else { return };
        let sound = match response.status {
            206 => {
                let right = response.range == Some((from, to, upgrade.size))
                    && response.body.len() as u64 == to - from + 1;
                if right {
                    upgrade.image.extend_from_slice(&response.body);
                }
                right
            }
            // A server without ranges gives the whole file (cloud.md 5.4).
            200 if response.body.len() as u64 == upgrade.size => {
                upgrade.image = response.body;
                true
            }
            _ => false,
        };
        if !sound {
            return self.fetch_failed(now);
        }
        upgrade.tries = 0;
        let (have, size) = (upgrade.image.len() as u64, upgrade.size);
        let percent = u8::try_from(have * 100 / size).unwrap_or(100);
        if percent == 100 || percent >= upgrade.told + PROGRESS_STEP {
            upgrade.told = percent;
            self.tell_progress(percent, now);
        }
        if have < size {
            self.ask(Ask::Fetch);
        } else {
            self.verify(now);
        }
    }

    /// A piece did not come, or another one came.
    pub(super) fn fetch_failed(&mut self, now: Duration) {
        let Some(upgrade) = self.run.upgrade.as_mut() else { return };
        upgrade.tries += 1;
        if upgrade.tries >= TRIES {
            self.fail_upgrade("the download failed", now);
        } else {
            self.ask(Ask::Fetch);
        }
    }

    fn tell_progress(&mut self, percent: u8, now: Duration) {
        let esp = self.profile.generation != Generation::C;
        let id = esp.then(|| self.id().clone());
        let firmware_type = (!esp).then_some(self.run.channel);
        let progress = Progress { percent, firmware_type, gw_id: id.clone(), dev_id: id };
        self.publish(Content::Progress(progress), esp, now);
    }

    fn verify(&mut self, now: Duration) {
        let (Some(upgrade), Some(registration)) = (&self.run.upgrade, &self.flash.registration) else {
            return;
        };
        let digests = Digests::of(&upgrade.image, &registration.sec_key);
        let md5 = upgrade.md5.as_ref().is_none_or(|md5| *md5 == digests.md5);
        let hmac = upgrade.hmac.as_ref().is_none_or(|hmac| *hmac == digests.hmac);
        if md5 && hmac {
            self.tell(CloudNews::Upgrade { status: INSTALLED, why: None });
            self.ask(Ask::UpgradeStatus(INSTALLED));
        } else {
            self.fail_upgrade("the file is not the one that was offered", now);
        }
    }
}

/// Compares `1.0.10` with `1.0.9` number by number.
fn is_newer(offered: &str, installed: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|n| n.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    matches!((numbers(offered), numbers(installed)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        assert!(is_newer("1.0.10", "1.0.9") && is_newer("9.0.0", "1.1.71") && is_newer("1.0.1", "1.0"));
        assert!(!is_newer("1.0.0", "1.0.0") && !is_newer("0.9", "1.0.0"));
        assert!(!is_newer("", "1.0.0") && !is_newer("latest", "1.0.0"));
    }
}
