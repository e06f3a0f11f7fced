//! What requests are told.

use landfall_book::{Change, Outcome as BookOutcome, OutcomeKind};
use landfall_cloud::control::Window;
use landfall_proto::dp::Dps;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::tokens::{Fresh, Scope, TokenInfo};
use crate::model::{DeviceView, Ended, Found, HeardBy, HubStatus, Missing, Outcome, Stranger, Verdict};

/// The state of a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateBody {
    /// Device id.
    pub device: String,
    /// Attributes by name, in their units.
    #[schema(value_type = Object)]
    pub state: Map<String, Value>,
    /// `unknown`, `online`, `offline`, `asleep`.
    pub presence: &'static str,
    /// When anything was last heard of it.
    pub heard_ms: Option<u64>,
    /// Number of the last change of it.
    pub seq: u64,
}

impl From<&DeviceView> for StateBody {
    fn from(view: &DeviceView) -> Self {
        Self {
            device: view.id().to_string(),
            state: view.state(),
            presence: view.presence.word(),
            heard_ms: view.heard_ms,
            seq: view.seq.0,
        }
    }
}

/// How a command ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeBody {
    /// Number of the command.
    pub command: u64,
    /// Device id.
    pub device: String,
    /// `confirmed`: the device shows the values. `accepted`: taken, and nothing more can be known or was asked for.
    /// `refused`: the device did not do it. `unconfirmed`: nobody knows.
    pub outcome: &'static str,
    /// Why, where it was refused or is unconfirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of an unconfirmed one: it surely never reached the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsent: Option<bool>,
    /// The line it went over last: `lan`, `cloud`; `null` when none was open.
    pub line: Option<&'static str>,
    /// How long it took.
    pub took_ms: u64,
    /// What was to be set, unscaled.
    #[schema(value_type = Object)]
    pub dps: Dps,
}

impl From<&Ended> for OutcomeBody {
    fn from(ended: &Ended) -> Self {
        let (why, unsent) = match &ended.outcome {
            Outcome::Refused { why } => (Some(why.clone()), None),
            Outcome::Unconfirmed { why, unsent } => (Some(why.clone()), Some(*unsent)),
            Outcome::Confirmed | Outcome::Accepted => (None, None),
        };
        Self {
            command: ended.id.0,
            device: ended.device.to_string(),
            outcome: ended.outcome.word(),
            why,
            unsent,
            line: ended.line.map(crate::model::Line::word),
            took_ms: ended.took_ms,
            dps: ended.dps.clone(),
        }
    }
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportBody {
    /// Whether the book was changed.
    pub applied: bool,
    /// Device by device.
    pub devices: Vec<Imported>,
}

/// What an import did to a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct Imported {
    /// Device id.
    pub id: String,
    /// Its name in the book.
    pub name: String,
    /// `added`, `updated`, `unchanged`, `former`.
    pub what: &'static str,
    /// What changed, in words, without secrets.
    pub changes: Vec<String>,
}

impl From<BookOutcome> for Imported {
    fn from(outcome: BookOutcome) -> Self {
        let (what, changes) = match outcome.kind {
            OutcomeKind::Added { instead_of: Some(name) } => {
                ("added", vec![format!("the name {name} is taken")])
            }
            OutcomeKind::Added { instead_of: None } => ("added", Vec::new()),
            OutcomeKind::Updated(changes) => ("updated", changes.iter().map(Change::to_string).collect()),
            OutcomeKind::Unchanged => ("unchanged", Vec::new()),
            OutcomeKind::Former => ("former", Vec::new()),
        };
        Self { id: outcome.id.to_string(), name: outcome.name, what, changes }
    }
}

/// A local key.
#[derive(Serialize, ToSchema)]
pub struct KeyBody {
    /// Device id.
    pub device: String,
    /// The key; `null` when it is not known.
    pub key: Option<String>,
}

/// What was found on the network.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScanBody {
    /// The devices.
    pub found: Vec<FoundBody>,
}

/// A device on the network, in the book or not.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundBody {
    /// Device id.
    pub id: String,
    /// IP address.
    pub address: String,
    /// LAN protocol version, where told.
    pub version: Option<String>,
    /// Product id, where told.
    pub product_id: Option<String>,
    /// Its name in the book, if it is there.
    pub name: Option<String>,
    /// What is missing before it can be used; `null` when nothing is.
    pub missing: Option<String>,
}

impl From<Found> for FoundBody {
    fn from(f: Found) -> Self {
        Self {
            id: f.id.to_string(),
            address: f.address.to_string(),
            version: f.version.map(|v| v.to_string()),
            product_id: f.product_id,
            name: f.name,
            missing: f.missing,
        }
    }
}

/// Who was heard and is not in the book.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrangerList {
    /// At most 512; who was heard last first.
    pub strangers: Vec<StrangerBody>,
}

/// Somebody who was heard lately, by beacon or at the cloud, and is not in the book.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrangerBody {
    /// Device id, or the uuid of hardware that has none yet.
    pub id: String,
    /// Where it was heard last.
    pub address: Option<String>,
    /// LAN protocol version, where told.
    pub version: Option<String>,
    /// Product id, where told.
    pub product_id: Option<String>,
    /// `beacon`, `cloud`.
    #[schema(value_type = Vec<String>)]
    pub seen_by: Vec<HeardBy>,
    /// When it was heard last.
    pub heard_ms: u64,
    /// What is missing before it can be used: `local_key`, `window`, `auth_key`, `psk_key`, `pairing`.
    #[schema(value_type = String)]
    pub missing: Missing,
    /// What to do, in words.
    pub hint: String,
}

impl From<Stranger> for StrangerBody {
    fn from(s: Stranger) -> Self {
        Self {
            id: s.id,
            address: s.address.map(|a| a.to_string()),
            version: s.version.map(|v| v.to_string()),
            product_id: s.product_id,
            seen_by: s.seen_by,
            heard_ms: s.heard_ms,
            missing: s.missing,
            hint: s.hint,
        }
    }
}

/// What `doctor` says of a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictBody {
    /// Stable word.
    pub code: String,
    /// In words.
    pub text: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// The next step.
    pub next: String,
}

impl From<Verdict> for VerdictBody {
    fn from(v: Verdict) -> Self {
        Self { code: v.code, text: v.text, evidence: v.evidence, next: v.next }
    }
}

/// Open activation windows.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowList {
    /// The windows.
    pub windows: Vec<WindowBody>,
}

/// A window in which activations are answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowBody {
    /// For whom; anybody when `null`.
    pub who: Option<String>,
    /// Until when.
    pub until_ms: u64,
}

impl From<Window> for WindowBody {
    fn from(w: Window) -> Self {
        Self { who: w.who, until_ms: w.until.saturating_mul(1_000) }
    }
}

/// How the hub is.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusBody {
    /// Program version, start, number of devices, store, cloud's addresses.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub hub: HubStatus,
    /// The hub's clock.
    pub now_ms: u64,
    /// The home's time zone.
    pub zone: String,
    /// Number of the last change.
    pub seq: u64,
    /// Open live streams.
    pub streams: usize,
    /// The file where the settings stand, or would; it is read at the start. `null` where there is none.
    pub settings_file: Option<String>,
}

/// A token, without what proves it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenBody {
    /// Finds it.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_ms: u64,
    /// When it was last used, by the hour.
    pub used_ms: Option<u64>,
    /// From when on it is worth nothing.
    pub expires_ms: Option<u64>,
}

impl From<TokenInfo> for TokenBody {
    fn from(t: TokenInfo) -> Self {
        let ms = |s: u64| s.saturating_mul(1_000);
        Self {
            id: t.id,
            name: t.name,
            scope: t.scope,
            created_ms: ms(t.created_s),
            used_ms: t.used_s.map(ms),
            expires_ms: t.expires_s.map(ms),
        }
    }
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenList {
    /// The tokens, oldest first.
    pub tokens: Vec<TokenBody>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct FreshBody {
    /// What is kept of it.
    #[serde(flatten)]
    pub info: TokenBody,
    /// The token itself: shown this once.
    pub token: String,
}

impl From<Fresh> for FreshBody {
    fn from(fresh: Fresh) -> Self {
        Self { info: fresh.info.into(), token: fresh.text }
    }
}

/// A back-up that was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupBody {
    /// Its directory, in the data directory.
    pub directory: String,
    /// The files in it.
    pub files: Vec<String>,
}

/// The hub answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthBody {
    /// `ok`.
    pub status: &'static str,
}
