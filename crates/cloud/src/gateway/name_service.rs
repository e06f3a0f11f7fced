//! The name service: where the cloud is (cloud.md 1.2).

use hyper::StatusCode;
use landfall_proto::gateway::name_service::{
    Endpoint, HostCertificate, NameAnswer, NameServiceError, Question, Service, TTL, Transport,
    UrlConfigAnswer, UrlConfigRequest, ca_certificate_answer, certificate_text, certificates_answer,
    names_answer, parse_names,
};
use landfall_proto::id::Uuid;

use super::answer::{Answer, JSON, TEXT};
use super::places::{PlaceError, Places};
use super::{Ask, refuse, step};
use crate::handshake::Step;
use crate::tap::{Direction, Tapped};

/// Path of the gateway for those who ask here: generation C and later.
const GATEWAY: &str = "/d.json";

/// Why the name service says nothing.
#[derive(Debug, thiserror::Error)]
enum Mute {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("a device asks for our certificate, and we have none")]
    NoCertificate,
    #[error(transparent)]
    Body(#[from] NameServiceError),
}

/// Answers a question.
pub(super) fn answer(ask: &Ask<'_>, question: Question) -> Answer {
    let (said, uuid) = match question {
        Question::UrlConfigV1 | Question::UrlConfigV2 | Question::UrlConfigFlat => {
            let request = UrlConfigRequest::parse(ask.body);
            let uuid = request.as_ref().ok().and_then(|r| Uuid::new(r.uuid.as_deref()?).ok());
            (request.map_err(Mute::from).and_then(|r| urls(ask, question, &r)), uuid)
        }
        Question::DnsQuery => (addresses(ask), None),
        Question::DeviceDnsQuery => (certificates(ask), None),
        Question::CaCertificate => (ca_certificate(ask), None),
    };
    // Without a proof: the hash of a PSK identity of type 1 and a uuid in the body can be anybody's. It is a record of
    // what was asked, and changes nothing else.
    let by_uuid = || uuid.as_ref().and_then(|u| ask.shared.backend.by_uuid(u));
    let device = ask.link.hash.as_ref().and_then(|h| ask.shared.backend.by_hash(h)).or_else(by_uuid);
    let who = match (&device, &uuid) {
        (Some(device), _) => device.id.to_string(),
        (None, Some(uuid)) => uuid.to_string(),
        (None, None) => ask.link.ip().to_string(),
    };
    let show = |direction, body: &[u8]| {
        ask.shared.tapped(|| Tapped {
            who: who.clone(),
            direction,
            what: format!("HTTP {}", ask.target.split('?').next().unwrap_or_default()),
            sequence: None,
            bytes: body.len(),
            body: body.to_vec(),
        });
    };
    show(Direction::In, ask.body);
    match said {
        Ok(answer) => {
            show(Direction::Out, &answer.body);
            step(ask.shared, ask.link, &who, Step::NameService);
            answer
        }
        Err(Mute::Place(e)) => {
            refuse(ask.shared, ask.link, &who, device.as_deref(), e.code(), e.to_string());
            Answer::not_now()
        }
        Err(e @ Mute::NoCertificate) => {
            refuse(ask.shared, ask.link, &who, device.as_deref(), "certificate.missing", e.to_string());
            Answer::not_now()
        }
        Err(Mute::Body(e)) => {
            tracing::debug!(peer = %ask.link.peer, "name service: {e}");
            Answer::status(StatusCode::BAD_REQUEST)
        }
    }
}

/// Whether the devices that ask for both get plain addresses only.
///
/// Stock of generation C asks for `httpUrl` and `mqttUrl` and for their PSK forms in one request. Given the plain ones
/// alone it goes on in clear, which is known to work; "giving the PSK keys as well stopped cloudcutter's flow"
/// (cloud.md 1.2). So PSK addresses are given to those who ask for nothing else, and to those for whom a plain server
/// that they ask for is off: never both kinds at once.
fn in_clear(places: &Places<'_>, request: &UrlConfigRequest) -> Result<bool, PlaceError> {
    let asked =
        |service, transport| request.config.iter().any(|w| w.key.meaning() == Some((service, transport)));
    for service in [Service::Http, Service::Mqtt] {
        let plain = asked(service, Transport::Plain) && places.port(service, Transport::Plain)?.is_some();
        if asked(service, Transport::Psk) && !plain {
            return Ok(false);
        }
    }
    Ok(true)
}

/// SDKs that ask for these take port 443 whatever the address says, and would read a port as part of the name.
fn has_fixed_port(key: &str) -> bool {
    key == "httpsSelfUrl"
}

fn urls(ask: &Ask<'_>, question: Question, request: &UrlConfigRequest) -> Result<Answer, Mute> {
    let places = Places::of(ask.shared, ask.link)?;
    let in_clear = in_clear(&places, request)?;
    let wants_psk = request.config.iter().any(|w| matches!(w.key.meaning(), Some((_, Transport::Psk))));
    let mut answer = UrlConfigAnswer { ttl: TTL, ..UrlConfigAnswer::default() };
    for wanted in &request.config {
        // An unknown key is left out, as the vendor does; a key twice is answered once.
        let Some((service, transport)) = wanted.key.meaning() else {
            tracing::debug!(peer = %ask.link.peer, key = %wanted.key, "unknown address wanted");
            continue;
        };
        let withheld = match transport {
            Transport::Psk => in_clear,
            Transport::Plain => wants_psk && !in_clear,
            Transport::Certificate => false,
        };
        if withheld || answer.endpoint(wanted.key.as_str()).is_some() {
            continue;
        }
        let fixed_port = has_fixed_port(wanted.key.as_str());
        match places.endpoint(service, transport, GATEWAY, fixed_port) {
            Ok(endpoint) => {
                let ip6s = wanted.need_ip6.then(|| places.ip6s());
                answer.endpoints.push((wanted.key.clone(), Endpoint { ip6s, ..endpoint }));
            }
            // A server that is off is left out: the device may do without.
            Err(e @ PlaceError::Off { .. }) => tracing::debug!(peer = %ask.link.peer, "{e}"),
            Err(e) => return Err(e.into()),
        }
    }
    if request.needs_ca() {
        // SDKs read the first element without a look, and crash at `null`.
        answer.ca.push(ca(ask)?);
    }
    Ok(Answer::ok(TEXT, answer.to_json(question)?))
}

fn ca(ask: &Ask<'_>) -> Result<String, Mute> {
    let der = &ask.shared.ca_der;
    if der.is_empty() { Err(Mute::NoCertificate) } else { Ok(certificate_text(der)) }
}

/// The vendor's names lead to us; other names have no address here: they are no business of ours.
fn addresses(ask: &Ask<'_>) -> Result<Answer, Mute> {
    let places = Places::of(ask.shared, ask.link)?;
    let answers: Vec<_> = parse_names(ask.body)?
        .into_iter()
        .map(|query| {
            let ours = crate::dns::names::is_vendor(&query.host);
            let ips = if ours { places.ips() } else { Vec::new() };
            let ip6s = if ours && query.need_ip6 { places.ip6s() } else { Vec::new() };
            (query.host, NameAnswer { ips, ip6s, ttl: TTL })
        })
        .collect();
    Ok(Answer::ok(JSON, names_answer(&answers)?))
}

fn certificates(ask: &Ask<'_>) -> Result<Answer, Mute> {
    let ca = ca(ask)?;
    let hosts: Vec<_> = parse_names(ask.body)?
        .into_iter()
        .map(|q| HostCertificate { host: q.host, ca: ca.clone() })
        .collect();
    Ok(Answer::ok(JSON, certificates_answer(&hosts)?))
}

fn ca_certificate(ask: &Ask<'_>) -> Result<Answer, Mute> {
    ca(ask)?;
    Ok(Answer::ok(JSON, ca_certificate_answer(&ask.shared.ca_der)?))
}
