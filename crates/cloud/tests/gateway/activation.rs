//! Tokens and keys.

use landfall_cloud::backend::{Generation, Registration};
use landfall_cloud::handshake::Step;
use landfall_proto::gateway::activation::{Activation, Places};
use landfall_proto::gateway::{Call, Encryption, Key, Outcome, Path, Reader, Reply};
use landfall_proto::json::Raw;
use serde_json::json;

use crate::client::{Answer, ask, call, made, post, refusals, told};
use crate::common::{
    NEW_LOCAL, NEW_SEC, NOON, World, auth_key, device_id, keys, registration, sec_key, uuid,
};

const AUTH: &str = "Abcdefgh01234567Ijklmnop89abcdef";
const OTHER_AUTH: &str = "000000000000000000000000000000xx";
const ID: &str = "08152440f4cfa201bf97";
const TOKEN: &str = r#"{"token":"00000000","region":"US","tlinkStat":{"configure":"smartconfig","time":0,"source":"ap","path":"multicast"}}"#;
const STOCK_C: &str = r#"{"token":"AAAAAA","softVer":"1.1.71","productKey":"tqas5nfwomvgvvhf","protocolVer":"2.2","baselineVer":"40.00","productKeyStr":"key34ak4q5rmrkef","devId":"bf00old","hid":"0a1b2c3d4e5f","modules":"[{\"type\":9,\"softVer\":\"1.0.7\",\"online\":true}]","devAttribute":515,"cadVer":"1.0.2","cdVer":"1.0.0","options":"{\"isFK\":false}","t":20}"#;

fn auth() -> Key {
    auth_key(AUTH).into()
}

fn token(encryption: Encryption) -> Call {
    let call = call(Path::Gw, "s.gw.token.get", "3.0", encryption);
    Call { gw_id: Some(device_id(ID)), other: Some(TOKEN.into()), ..call }
}

fn factory(encryption: Encryption) -> Call {
    let call = call(Path::Gw, "s.gw.dev.pk.active", "3.0", encryption);
    Call { gw_id: Some(device_id(ID)), other: Some(r#"{"token":"00000000"}"#.into()), ..call }
}

fn by_uuid(encryption: Encryption) -> Call {
    Call { uuid: Some(uuid("2SbfJSzOvR7t")), ..call(Path::D, "tuya.device.active", "4.4", encryption) }
}

fn result(reply: &Reply) -> Raw {
    match reply.outcome() {
        Outcome::Success(Some(result)) => result.clone(),
        other => panic!("{other:?}"),
    }
}

fn in_clear(answer: &Answer) -> Reply {
    assert_eq!(answer.json()["e"], false, "{}", answer.text());
    Reply::parse(&answer.body, Encryption::Ecb, &sec_key("0000000000000000").into(), Reader::Stock)
        .expect("an answer in clear")
}

/// An activation as a refused one looks from outside.
async fn assert_refused(world: &World, request: String, code: &str) {
    let (before, mut events) = (world.backend.changes(), world.shared.events());
    let answer = ask(world, request).await;
    assert_eq!((answer.status, answer.body.len()), (503, 0), "{}", answer.text());
    assert_eq!(answer.headers.len(), 2, "{answer:?}");
    assert_eq!(refusals(&told(&mut events)), [code]);
    assert_eq!(world.backend.changes(), before);
}

#[tokio::test]
async fn generation_a_is_activated_in_clear_without_its_auth_key() {
    let world = World::new().bound();
    world.backend.open(ID, NOON + 600);
    let mut events = world.shared.events();
    // Its auth key is nobody's business; neither can its signature be checked nor its body be read.
    let strange: Key = auth_key(OTHER_AUTH).into();
    let answer = ask(&world, post(&token(Encryption::AnswerClear).target(&strange), "")).await;
    let places: Places = result(&in_clear(&answer)).read().unwrap();
    assert_eq!(places.gw_api_url, "http://192.168.1.2/gw.json");
    assert_eq!(places.https_psk_url, "https://192.168.1.2/gw.json");
    assert_eq!((places.gw_mqtt_url.as_str(), places.mqtts_url), ("192.168.1.2", None));
    assert_eq!((places.time_zone.as_str(), places.std_time_zone.as_str()), ("+02:00", "+01:00"));
    assert_eq!(places.dst_intervals[0], [1_711_846_800, 1_729_990_800]);

    let call = factory(Encryption::AnswerClear);
    let body = call.form(&strange, b"{\"gwId\":\"x\"}", &mut landfall_link::entropy::OsEntropy::new());
    let answer = ask(&world, post(&call.target(&strange), &body)).await;
    let fields = answer.json();
    assert_eq!((&fields["e"], &fields["t"]), (&json!(false), &json!(NOON)));
    assert!(fields["result"].get("devId").is_none(), "it keeps its id");
    let activation = Activation::parse(&result(&in_clear(&answer))).unwrap();
    assert_eq!((activation.sec_key, activation.local_key.expose_str()), (sec_key(NEW_SEC), NEW_LOCAL));
    assert_eq!(activation.std_time_zone.as_deref(), Some("+01:00"));
    assert_eq!(world.backend.changes(), [format!("activate {ID} signed=false A")]);

    let told = told(&mut events);
    let activation = told.iter().find(|e| e["event"] == "activation").expect("told");
    assert_eq!((&activation["device"], &activation["generation"]), (&json!(ID), &json!("A")));
    assert!(!format!("{told:?}").contains(NEW_SEC) && !format!("{told:?}").contains(NEW_LOCAL));
    let records = world.shared.handshakes.devices();
    let record = &records[&device_id(ID)];
    for step in [Step::Token, Step::ActivationAsked, Step::Activated] {
        assert!(record.steps.contains_key(&step), "{step:?}: {record:?}");
    }
}

#[tokio::test]
async fn generation_b_asks_by_get_and_is_answered_under_its_auth_key() {
    let world = World::new().bound();
    world.backend.add(Registration { auth_key: Some(auth_key(AUTH)), ..registration(ID) });
    world.backend.open(ID, NOON + 600);
    let call = token(Encryption::Ecb);
    let request = format!(
        "GET {} HTTP/1.1\r\nUser-Agent: ESP8266SDK\r\nHost: a3.tuyaus.com\r\n\r\n",
        call.target(&auth())
    );
    let answer = ask(&world, request).await;
    let reply = Reply::parse(&answer.body, Encryption::Ecb, &auth(), Reader::Stock).unwrap();
    let places: Places = result(&reply).read().unwrap();
    assert_eq!(places.mqtts_psk_url.as_deref(), Some("192.168.1.2"));

    let body =
        json!({"gwId": ID, "productKey": "tqas5nfwomvgvvhf", "pv": "2.2", "devVer": "1.0.5"}).to_string();
    let (_, reply) = made(&world, &factory(Encryption::Ecb), &auth(), &body, Reader::Stock).await;
    let activation = Activation::parse(&result(&reply)).unwrap();
    assert_eq!((activation.sec_key, activation.dev_id), (sec_key(NEW_SEC), None));
    let changes = world.backend.changes();
    assert_eq!(changes[0], format!("activate {ID} signed=true B"));
    assert_eq!(changes[1], format!("announce {ID} None None Some(\"1.0.5\")"));
    let device = world.shared.backend.by_id(&device_id(ID)).unwrap();
    assert_eq!(device.product_id.as_ref().map(|p| p.as_str()), Some("tqas5nfwomvgvvhf"));
    assert_eq!(device.envelope.map(|e| e.as_str()), Some("2.2"));
}

#[tokio::test]
async fn generation_c_gets_an_id_and_asks_again_without_harm() {
    let world = World::new().bound();
    let uuid = uuid("2SbfJSzOvR7t");
    world.backend.add(Registration {
        uuid: Some(uuid.clone()),
        auth_key: Some(auth_key(AUTH)),
        ..registration("bf2SbfJSzOvR7t")
    });
    world.backend.open(uuid.as_str(), NOON + 600);
    let (answer, reply) = made(&world, &by_uuid(Encryption::Ecb), &auth(), STOCK_C, Reader::Stock).await;
    assert!(answer.size() < 8192);
    let activation = Activation::parse(&result(&reply)).unwrap();
    assert_eq!(activation.dev_id, Some(device_id("bf2SbfJSzOvR7t")));
    assert!(activation.dst_intervals.len() >= 5);
    // The answer was lost: the same keys again.
    let (_, again) = made(&world, &by_uuid(Encryption::Ecb), &auth(), STOCK_C, Reader::Stock).await;
    assert_eq!(Activation::parse(&result(&again)).unwrap().sec_key, activation.sec_key);
    assert_eq!(world.shared.backend.by_uuid(&uuid).unwrap().generation, Some(Generation::C));
}

#[tokio::test]
async fn generation_e_is_answered_under_gcm() {
    let world = World::new().bound();
    world.backend.add(Registration {
        uuid: Some(uuid("2SbfJSzOvR7t")),
        auth_key: Some(auth_key(AUTH)),
        ..registration("bf2SbfJSzOvR7t")
    });
    world.backend.open("2SbfJSzOvR7t", NOON + 600);
    let call = Call {
        uuid: Some(uuid("2SbfJSzOvR7t")),
        ..call(Path::D, "thing.device.opensdk.active", "1.0", Encryption::Gcm)
    };
    let body = STOCK_C.replace("\"2.2\"", "\"2.3\"");
    let (_, reply) = made(&world, &call, &auth(), &body, Reader::Sdk).await;
    assert_eq!(Activation::parse(&result(&reply)).unwrap().sec_key, sec_key(NEW_SEC));
    assert_eq!(world.backend.changes()[0], "activate 2SbfJSzOvR7t signed=true E");
}

#[tokio::test]
async fn outside_of_a_window_nothing_is_taught() {
    let world = World::new().bound();
    world.backend.add(Registration { auth_key: Some(auth_key(AUTH)), ..registration(ID) });
    for encryption in [Encryption::AnswerClear, Encryption::Ecb] {
        assert_refused(&world, post(&token(encryption).target(&auth()), ""), "activation.no_window").await;
        assert_refused(&world, post(&factory(encryption).target(&auth()), ""), "activation.no_window").await;
        assert_refused(&world, post(&by_uuid(encryption).target(&auth()), ""), "activation.no_window").await;
    }
    // One that ended is none.
    world.backend.open(ID, NOON);
    let request = post(&factory(Encryption::AnswerClear).target(&auth()), "");
    assert_refused(&world, request, "activation.no_window").await;
    // Nor is one for another.
    world.backend.open("somebodyelse", NOON + 600);
    assert_refused(&world, post(&token(Encryption::Ecb).target(&auth()), ""), "activation.no_window").await;
}

#[tokio::test]
async fn a_wrong_signature_gets_no_keys_even_in_a_window() {
    let world = World::new().bound();
    world.backend.add(Registration { auth_key: Some(auth_key(AUTH)), ..registration(ID) });
    world.backend.open(ID, NOON + 600);
    let strange: Key = auth_key(OTHER_AUTH).into();
    for call in [token(Encryption::Ecb), factory(Encryption::AnswerClear)] {
        assert_refused(&world, post(&call.target(&strange), ""), "gateway.signature").await;
        let target = call.target(&auth());
        let (unsigned, _) = target.rsplit_once("&sign=").unwrap();
        assert_refused(&world, post(unsigned, ""), "gateway.signature").await;
    }
}

#[tokio::test]
async fn a_token_is_not_answered_with_an_address_that_leads_nowhere() {
    let world = World::with(|c| {
        c.advertise = landfall_cloud::config::Advertise::Ip(std::net::IpAddr::from([127, 0, 0, 1]));
    })
    .bound();
    world.backend.open(ID, NOON + 600);
    assert_refused(&world, post(&token(Encryption::Ecb).target(&auth()), ""), "advertise.loopback").await;
}

#[tokio::test]
async fn pending_keys_replace_the_old_ones_at_their_first_use() {
    let world = World::new().bound();
    world.backend.add(Registration {
        keys: Some(keys("oldlocal00000000", "oldsec0000000000")),
        pending: Some(keys(NEW_LOCAL, NEW_SEC)),
        generation: Some(Generation::B),
        ..registration(ID)
    });
    let call =
        Call { gw_id: Some(device_id(ID)), ..call(Path::Gw, "s.gw.dev.update", "2.0", Encryption::Ecb) };
    let mut events = world.shared.events();
    made(&world, &call, &sec_key("oldsec0000000000").into(), "", Reader::Stock).await;
    assert_eq!(world.backend.changes(), [""; 0], "the old keys are still good and change nothing");
    made(&world, &call, &sec_key(NEW_SEC).into(), "", Reader::Stock).await;
    assert_eq!(world.backend.changes(), [format!("keys_used {ID}")]);
    assert!(told(&mut events).iter().any(|e| e["event"] == "keys_used"));
    made(&world, &call, &sec_key(NEW_SEC).into(), "", Reader::Stock).await;
    assert_eq!(world.backend.changes().len(), 1, "once");
    let answer = ask(&world, post(&call.target(&sec_key("oldsec0000000000").into()), "")).await;
    assert_eq!(answer.json()["e"], false, "the old ones are gone");
}
