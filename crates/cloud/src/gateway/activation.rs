//! Tokens and keys for devices that have none (cloud.md 1.4 and 1.5), inside a window that the owner opened. Outside of
//! it, and with a signature that is wrong, the answer is 503 without a word ([`Answer::not_now`]).

use std::sync::Arc;

use hyper::StatusCode;
use landfall_proto::gateway::activation::{Activation, ActivationRequest, Places as TokenResult};
use landfall_proto::gateway::name_service::Transport;
use landfall_proto::gateway::{Action, Encryption, Key, Reply, Request};
use landfall_proto::id::ProductId;
use landfall_proto::json::Raw;
use landfall_proto::mqtt::Envelope;
use serde_json::Value;

use super::answer::{Answer, JSON};
use super::call::{self, Proof};
use super::places::{PlaceError, Places};
use super::{Ask, refuse, step};
use crate::backend::{ActivationAsk, ActivationRefusal, Announcement, Generation, Identity, Registration};
use crate::event::What;
use crate::handshake::Step;
use crate::tap::Direction;
use crate::timezone::Rules;

/// Longest firmware version that is kept.
const MAX_VERSION: usize = 32;

/// The calls that lead to an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `s.gw.token.get`: where everything is (A, B).
    Token,
    /// `s.gw.dev.*.active` (A, B): the device keeps its id.
    Factory,
    /// `tuya.device.active` and its kin (C, D, E): by uuid.
    Uuid,
}

/// Whether an action is one of these.
pub(super) fn is_one(action: &str) -> bool {
    Action::new(action).is_some_and(|a| Kind::of(&a).is_some())
}

impl Kind {
    /// Whether this call is one of them.
    pub(super) fn of(action: &Action) -> Option<Self> {
        match action.as_str() {
            "s.gw.token.get" => Some(Self::Token),
            _ if action.precedes_activation() => Some(Self::Factory),
            "tuya.device.active" | "tuya.device.register" | "thing.device.opensdk.active" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// Who asks.
    fn identity(self, request: &Request) -> Option<Identity> {
        let device = || request.device().cloned().map(Identity::Device);
        let uuid = || request.uuid.clone().map(Identity::Uuid);
        match self {
            Self::Token | Self::Factory => device().or_else(uuid),
            Self::Uuid => uuid().or_else(device),
        }
    }
}

/// What the body of an activation says, as far as it can be read.
#[derive(Default)]
struct Said {
    product_id: Option<ProductId>,
    had_id: Option<landfall_proto::id::DeviceId>,
    envelope: Option<Envelope>,
    software: Option<String>,
}

impl Said {
    /// Generations A and B.
    fn by_factory(body: &Value) -> Self {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        Self {
            product_id: text("productKey").and_then(|p| ProductId::new(p).ok()),
            had_id: None,
            envelope: text("pv").and_then(Envelope::named),
            software: text("devVer").or_else(|| text("gwVer")).map(str::to_owned),
        }
    }

    /// Generations C to E.
    fn by_uuid(body: &Value) -> Self {
        let Ok(said) = ActivationRequest::parse(body.to_string().as_bytes()) else { return Self::default() };
        let by_firmware = said.product_key_str.as_deref().filter(|_| said.uses_firmware_key());
        Self {
            product_id: by_firmware.and_then(|p| ProductId::new(p).ok()).or(said.product_id),
            had_id: said.dev_id,
            envelope: said.protocol_ver.as_deref().and_then(Envelope::named),
            software: said.soft_ver,
        }
    }
}

/// Answers one of these calls.
pub(super) async fn answer(
    ask: &Ask<'_>,
    request: &Request,
    kind: Kind,
    device: Option<Arc<Registration>>,
    proof: Proof,
) -> Answer {
    let shared = ask.shared;
    let Some(identity) = kind.identity(request) else { return Answer::status(StatusCode::BAD_REQUEST) };
    let who = device.as_ref().map_or_else(|| identity.to_string(), |d| d.id.to_string());
    let no = |code, why: String| {
        refuse(shared, ask.link, &who, device.as_deref(), code, why);
        call::show(ask, &who, request, Direction::Out, || format!("refused: {code}").into());
        Answer::not_now()
    };
    call::show(ask, &who, request, Direction::In, || match (&device, &proof) {
        (Some(device), Proof::Valid(candidate)) => {
            call::open(request, device, &candidate.key).to_string().into()
        }
        _ => Vec::new(),
    });
    step(shared, ask.link, &who, if kind == Kind::Token { Step::Token } else { Step::ActivationAsked });
    let key = match proof {
        Proof::Valid(candidate) => Some(candidate.key),
        // Without the auth key the body can't be read and the answer goes in clear (cloud.md 1.4.3).
        Proof::Unknown => None,
        Proof::Wrong => {
            let why =
                format!("{} of {identity} is not signed with the auth key that we know", request.action);
            return no("gateway.signature", why);
        }
    };
    let now = shared.clock.unix();
    if shared.backend.window(&identity).is_none_or(|until| until <= now) {
        return no("activation.no_window", format!("{identity}: {}", ActivationRefusal::NoWindow));
    }
    if kind == Kind::Token {
        return match token_result(ask, request.encryption) {
            Ok(result) => {
                let reply = success(now, Raw::of(&result).ok());
                call::show(ask, &who, request, Direction::Out, || reply.to_clear());
                answered(request, key.as_ref(), &reply)
            }
            Err(e) => no(e.code(), e.to_string()),
        };
    }
    let body = match (&device, &key) {
        (Some(device), Some(key)) => call::open(request, device, key),
        _ => Value::Null,
    };
    let said = if kind == Kind::Factory { Said::by_factory(&body) } else { Said::by_uuid(&body) };
    let generation = call::generation(ask, request);
    let activation = ActivationAsk {
        who: identity.clone(),
        signed: matches!(key, Some(Key::Auth(_))),
        product_id: said.product_id,
        had_id: said.had_id,
        generation,
        envelope: said.envelope,
        peer: Some(ask.link.ip()),
    };
    let (registration, mut activation) = match shared.backend.activate(activation).await {
        Ok(done) => done,
        Err(e) => {
            let code = match &e {
                ActivationRefusal::NoWindow => "activation.no_window",
                ActivationRefusal::Unsigned => "activation.unsigned",
                ActivationRefusal::Elsewhere => "activation.elsewhere",
                ActivationRefusal::Crowded(_) => "activation.crowded",
                ActivationRefusal::Backend(_) => "activation.not_stored",
            };
            return no(code, format!("{identity}: {e}"));
        }
    };
    complete(&mut activation, generation, &Rules::of(shared.config.time_zone.as_deref(), now));
    let result = match activation.to_result() {
        Ok(result) => result,
        Err(e) => return no("activation.too_long", format!("{identity}: {e}")),
    };
    if let Some(software) = said.software.filter(|s| s.len() <= MAX_VERSION) {
        let news = Announcement { software: Some(software), ..Announcement::default() };
        shared.backend.announce(&registration.id, news);
    }
    step(shared, ask.link, registration.id.as_str(), Step::Activated);
    shared.handshakes.generation(registration.id.as_str(), generation);
    tracing::info!(device = %registration.id, peer = %ask.link.peer, ?generation, "activated");
    shared.tell(
        Some(&registration),
        Some(ask.link.peer),
        What::Activation { generation, over: ask.link.over },
    );
    let reply = Reply::success(now, result);
    call::show(ask, registration.id.as_str(), request, Direction::Out, || reply.to_clear());
    answered(request, key.as_ref(), &reply)
}

/// What the backend does not know: the time zone. Generations A and B keep the id that they have and are told none.
fn complete(activation: &mut Activation, generation: Generation, rules: &Rules) {
    activation.std_time_zone = Some(rules.standard.to_string());
    activation.time_zone = Some(rules.now.to_string());
    activation.dst_intervals.clone_from(&rules.dst);
    if matches!(generation, Generation::A | Generation::B) {
        activation.dev_id = None;
    }
}

fn token_result(ask: &Ask<'_>, encryption: Encryption) -> Result<TokenResult, PlaceError> {
    let shared = ask.shared;
    let places = Places::of(shared, ask.link)?;
    let rules = Rules::of(shared.config.time_zone.as_deref(), shared.clock.unix());
    let host = places.host().to_owned();
    let with_tls = || (encryption != Encryption::AnswerClear).then(|| host.clone());
    Ok(TokenResult {
        gw_api_url: places.url(Transport::Plain, "/gw.json")?,
        gw_mqtt_url: host.clone(),
        https_psk_url: places.url(Transport::Psk, "/gw.json")?,
        media_mqtt_url: host.clone(),
        mqtt_ranges: String::new(),
        time_zone: rules.now.to_string(),
        std_time_zone: rules.standard.to_string(),
        dst_intervals: rules.dst,
        mqtts_url: with_tls(),
        mqtts_psk_url: with_tls(),
        media_mqtts_url: with_tls(),
        aispeech: with_tls(),
    })
}

fn success(now: u64, result: Option<Raw>) -> Reply {
    result.map_or_else(|| Reply::done(now), |result| Reply::success(now, result))
}

/// Under the auth key where it is known, else in clear with `"e":false`.
fn answered(request: &Request, key: Option<&Key>, reply: &Reply) -> Answer {
    Answer::ok(JSON, key.map_or_else(|| reply.to_clear(), |key| call::sealed(reply, request, key)))
}
