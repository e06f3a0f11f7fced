//! What a failed conversation with a device means for its owner.

use landfall_link::{CommandError, ConnectFailure, Failure as LinkFailure, Refusal, State, Unconfirmed};
use landfall_proto::lan::session::CloseReason;

use crate::failure::Failure;
use crate::subject::Subject;

/// A command without an answer.
pub(crate) fn command(subject: &Subject, error: CommandError) -> Failure {
    let hint = match &error {
        CommandError::NotConnected { state, .. } => state_hint(subject, state),
        CommandError::Refused { text, .. } if text.contains("data unvalid") => format!(
            "it may want queries in the device22 form: landfall device add {:?} --id {} --update --device22",
            subject.line.name, subject.line.id
        ),
        _ => doctor(subject),
    };
    let error = anyhow::Error::new(error).context(format!("{} did not answer", subject.name()));
    Failure::Request { error, hint: Some(hint) }
}

/// The next step after a refusal.
pub(crate) fn refused(subject: &Subject, why: &Refusal) -> String {
    match why {
        Refusal::Text(_) => {
            format!("`landfall get {:?}` shows the points it has", subject.name())
        }
        Refusal::WrongKey => wrong_key(subject),
        Refusal::Kept { .. } => {
            "the device keeps its own value: it may not take this one now, or at all".to_owned()
        }
    }
}

/// The next step after a set that nobody confirmed.
pub(crate) fn unconfirmed(subject: &Subject, why: &Unconfirmed) -> String {
    match why {
        Unconfirmed::NotSent { state, .. } => state_hint(subject, state),
        Unconfirmed::NotShown { .. } => format!(
            "the device may not have this point: `landfall get {:?}` shows what it reports; \
             for a point that is never reported use --no-confirm",
            subject.name()
        ),
        Unconfirmed::Superseded => "somebody set the same point again".to_owned(),
        Unconfirmed::NoAck { .. } | Unconfirmed::ConnectionLost | Unconfirmed::Closed => {
            format!(
                "it may or may not have happened: `landfall get {:?}` shows the value now",
                subject.name()
            )
        }
    }
}

fn wrong_key(subject: &Subject) -> String {
    format!(
        "the local key is probably wrong (it changes when a device is paired again): \
         landfall device add {:?} --id {} --update --key-file FILE",
        subject.line.name, subject.line.id
    )
}

fn doctor(subject: &Subject) -> String {
    format!("`landfall doctor {:?}` looks for the cause", subject.name())
}

/// The next step when there is no connection.
pub(crate) fn state_hint(subject: &Subject, state: &State) -> String {
    let failure = match state {
        State::Waiting { failure, .. } | State::Stopped { failure, .. } => Some(failure),
        _ => None,
    };
    let name = &subject.line.name;
    match failure {
        _ if subject.line.sleeper => {
            "it runs on a battery and sleeps; it is reachable only for moments after it wakes".to_owned()
        }
        Some(LinkFailure::KeySuspected { .. } | LinkFailure::Session(CloseReason::WrongKey)) => {
            wrong_key(subject)
        }
        Some(LinkFailure::Session(CloseReason::WrongVersion { .. })) => format!(
            "the version in the book is wrong: landfall device add {name:?} --id {} --update --protocol VERSION",
            subject.line.id
        ),
        Some(LinkFailure::Session(CloseReason::ClosedEarly | CloseReason::NegotiationSilent)) => {
            no_session(subject)
        }
        Some(LinkFailure::Busy) => {
            "close the vendor's app, or the other program that is connected to it, and try again".to_owned()
        }
        Some(LinkFailure::Connect(ConnectFailure::Refused)) => {
            format!("something is at its address but does not listen there; {}", doctor(subject))
        }
        Some(LinkFailure::Connect(_)) => {
            format!("is it switched on, and in this network? {}", doctor(subject))
        }
        _ if *state == State::NoAddress => format!(
            "it was not heard on this network; if it is in another one, give its address: \
             landfall device add {name:?} --id {} --update --address ADDR",
            subject.line.id
        ),
        // It accepts connections, but by the deadline no session had come of it.
        _ if *state == State::Negotiating => no_session(subject),
        _ => doctor(subject),
    }
}

/// From 3.4 a device shows a wrong key by silence or by closing, just as when it is busy (lan.md 4.5).
fn no_session(subject: &Subject) -> String {
    format!(
        "either the local key is wrong, or another program holds the device's connection; {}",
        doctor(subject)
    )
}
