//! How a command ended on its line, in the hub's words.

use landfall_cloud::mqtt;
use landfall_link as link;

use crate::model::Outcome;

fn unconfirmed(why: impl ToString, unsent: bool) -> Outcome {
    Outcome::Unconfirmed { why: why.to_string(), unsent }
}

/// Of a set over the LAN.
pub(super) fn over_lan(result: Result<link::Outcome, link::CommandError>) -> Outcome {
    match result {
        Ok(link::Outcome::Confirmed) => Outcome::Confirmed,
        Ok(link::Outcome::Accepted) => Outcome::Accepted,
        Ok(link::Outcome::Refused(why)) => Outcome::Refused { why: why.to_string() },
        Ok(link::Outcome::Unconfirmed(why)) => {
            let unsent = matches!(why, link::Unconfirmed::NotSent { .. });
            unconfirmed(why, unsent)
        }
        // A set that fails so was not taken at all.
        Err(why) => unconfirmed(why, true),
    }
}

/// Of a set over the cloud. `at_once`: it ended before anything could be sent.
pub(super) fn over_cloud(outcome: mqtt::Outcome, at_once: bool) -> Outcome {
    match outcome {
        mqtt::Outcome::Confirmed => Outcome::Confirmed,
        mqtt::Outcome::Accepted => Outcome::Accepted,
        mqtt::Outcome::Unconfirmed { seen } if seen.is_empty() => {
            unconfirmed("the cloud sent it, but no report showed the value in time", false)
        }
        mqtt::Outcome::Unconfirmed { seen } => {
            let values: Vec<String> = seen.iter().map(|(dp, v)| format!("{} = {v}", dp.0)).collect();
            unconfirmed(format!("the cloud sent it, but the device reported {}", values.join(", ")), false)
        }
        mqtt::Outcome::Failed(mqtt::SendError::Misfit(why)) => Outcome::Refused { why: why.to_string() },
        mqtt::Outcome::Failed(why) => unconfirmed(why, at_once),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use landfall_proto::dp::{DpId, DpValue, Dps};
    use landfall_proto::id::DeviceId;

    use super::*;

    #[test]
    fn what_was_never_sent_is_told_apart_from_what_nobody_knows() {
        let after = Duration::from_secs(5);
        let state = link::State::NoAddress;
        let unsent = |o: &Outcome| matches!(o, Outcome::Unconfirmed { unsent: true, .. });
        let not_sent = link::Unconfirmed::NotSent { after, state: state.clone() };
        assert!(unsent(&over_lan(Ok(link::Outcome::Unconfirmed(not_sent)))));
        assert!(unsent(&over_lan(Err(link::CommandError::NotConnected { after, state }))));
        assert!(unsent(&over_lan(Err(link::CommandError::Busy(64)))));
        let lost = over_lan(Ok(link::Outcome::Unconfirmed(link::Unconfirmed::ConnectionLost)));
        assert!(matches!(lost, Outcome::Unconfirmed { unsent: false, .. }), "{lost:?}");

        let offline = || mqtt::Outcome::Failed(mqtt::SendError::Offline(DeviceId::new("bf01").unwrap()));
        assert!(unsent(&over_cloud(offline(), true)));
        assert!(!unsent(&over_cloud(offline(), false)));
    }

    #[test]
    fn another_value_is_named() {
        let seen: Dps = [(DpId(20), DpValue::Bool(false))].into_iter().collect();
        let outcome = over_cloud(mqtt::Outcome::Unconfirmed { seen }, false);
        assert!(outcome.to_string().ends_with("the device reported 20 = false"), "{outcome}");
    }
}
