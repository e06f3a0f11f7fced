//! Whatever a cloud sends, a device neither panics nor loses its owner, except by the known mistakes.

use landfall_sim::cloud::{CloudOutput, Generation, LineId};
use landfall_sim::device::{Output, VirtualDevice};
use proptest::prelude::*;

use crate::stand::is_mqtt;
use crate::world::{S, activated, at};

/// Bytes that come in when a connection of this kind is opened.
#[derive(Clone, Debug)]
enum Said {
    Noise(Vec<u8>),
    /// HTTP with this body.
    Http(Vec<u8>),
    /// A good start of MQTT, then these bytes.
    Mqtt(Vec<u8>),
    Nothing,
    Refused,
    Closed,
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let json = prop::sample::select(vec![
        r#"{"t":1774000000,"e":false,"success":true,"result":{"pskKey":7}}"#,
        r#"{"t":1774000000,"e":false,"success":true,"result":{"count":5,"lastFetchTime":9}}"#,
        r#"{"t":1774000000,"e":false,"success":true,"result":{"timers":[{"id":1,"time":"99:99","dps":{}}]}}"#,
        r#"{"t":4294967295,"e":false,"success":true,"result":{"validTime":0,"config":{"stdTimeZone":"x"}}}"#,
        r#"{"t":0,"e":false,"success":true,"result":{"version":"9","size":"999999999999","url":"http://h/"}}"#,
        r#"{"caArr":null,"httpUrl":{"addr":"http://h/d.json"},"mqttUrl":{"addr":"h:1883"},"ttl":1}"#,
        r#"{"t":5,"e":false,"success":false,"errorCode":"EXPIRE"}"#,
    ]);
    prop_oneof![
        bytes().prop_map(Said::Noise),
        bytes().prop_map(Said::Http),
        json.prop_map(|text: &str| Said::Http(text.into())),
        bytes().prop_map(Said::Mqtt),
        Just(Said::Nothing),
        Just(Said::Refused),
        Just(Said::Closed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_device_lives_through_any_answers(
        generation in prop::sample::select(Generation::ALL.to_vec()),
        script in proptest::collection::vec(said(), 1..30),
    ) {
        let mut device = VirtualDevice::new(activated(generation), 3, at(S(0)));
        device.join_cloud(3, at(S(0)));
        let mut script = script.into_iter();
        let mut now = S(0);
        let mut events: Vec<(LineId, bool, Said)> = Vec::new();
        for _ in 0..4_000 {
            match device.poll_output(at(now)) {
                Output::Cloud(CloudOutput::Open { line, place }) => {
                    let Some(next) = script.next() else { break };
                    if matches!(next, Said::Refused) {
                        device.handle_cloud_failed(line, "refused", at(now));
                    } else {
                        device.handle_cloud_opened(line, at(now));
                        events.push((line, is_mqtt(&place), next));
                    }
                }
                Output::Wait(until) => {
                    if let Some((line, mqtt, said)) = events.pop() {
                        let said_noise = match &said {
                            Said::Noise(bytes) => bytes.first().copied(),
                            _ => None,
                        };
                        let bytes = match said {
                            Said::Noise(bytes) => bytes,
                            Said::Http(body) => {
                                let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                                bytes.push_str(&String::from_utf8_lossy(&body));
                                bytes.into_bytes()
                            }
                            // Code 0: the others are another test's affair.
                            Said::Mqtt(rest) => [&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 1][..], &rest].concat(),
                            Said::Nothing | Said::Refused | Said::Closed => Vec::new(),
                        };
                        // Noise may begin like an answer to CONNECT with code 5, and a device believes it.
                        let login = matches!(said_noise, Some(first) if first >> 4 == 2);
                        if !(mqtt && login) {
                            device.handle_cloud_input(line, &bytes, at(now));
                        }
                        device.handle_cloud_closed(line, at(now));
                    } else {
                        prop_assert!(until > now, "busy for nothing");
                        now = until;
                        device.handle_timeout(at(now));
                    }
                }
                _ => {}
            }
        }
        prop_assert_eq!(device.journal().disasters(), 0);
    }
}
