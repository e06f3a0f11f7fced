//! The name service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use landfall_cloud::config::Advertise;
use landfall_cloud::handshake::Step;
use landfall_cloud::listen::{Link, Over};
use landfall_cloud::shared::Bound;
use serde_json::json;

use crate::client::{ask, ask_over, post, refusals, told};
use crate::common::{World, link, registration, uuid};

const STOCK: &str = r#"{"region":"AA","env":"","config":[{"key":"httpUrl","need_ca":false},{"key":"mqttUrl","need_ca":false},{"key":"httpsPSKUrl","need_ca":false},{"key":"mqttsPSKUrl","need_ca":false}]}"#;

fn wanted(keys: &[&str]) -> String {
    let config: Vec<_> = keys.iter().map(|k| json!({"key": k, "need_ca": false})).collect();
    json!({"config": config, "region": "EU", "env": "pro"}).to_string()
}

#[tokio::test]
async fn stock_is_told_the_plain_addresses_alone() {
    let world = World::new().bound();
    for path in ["/v1/url_config", "/v2/url_config"] {
        let answer = ask(&world, post(path, STOCK)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            r#"{"caArr":null,"httpUrl":{"addr":"http://192.168.1.2/d.json","ips":["192.168.1.2"]},"mqttUrl":{"addr":"192.168.1.2:1883","ips":["192.168.1.2"]},"ttl":600}"#
        );
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.headers.len(), 2, "{answer:?}");
    }
    let flat = ask(&world, post("/device/url_config", STOCK)).await;
    assert_eq!(
        flat.text(),
        r#"{"caArr":null,"httpUrl":"http://192.168.1.2/d.json","mqttUrl":"192.168.1.2:1883"}"#
    );
    // Over PSK, as stock really asks, it is no different.
    let psk = ask_over(&world, link(Over::Psk1), post("/v1/url_config", STOCK)).await;
    assert!(psk.text().contains("httpUrl") && !psk.text().contains("PSK"), "{}", psk.text());
}

#[tokio::test]
async fn psk_addresses_go_to_those_who_ask_for_nothing_else() {
    let world = World::new().bound();
    let answer = ask(&world, post("/v1/url_config", &wanted(&["httpsPSKUrl", "mqttsPSKUrl"]))).await.json();
    assert_eq!(answer["httpsPSKUrl"]["addr"], "https://192.168.1.2/d.json");
    assert_eq!(answer["mqttsPSKUrl"]["addr"], "192.168.1.2:8886");
    assert_eq!(answer["caArr"], json!(null));
}

#[tokio::test]
async fn without_plain_mqtt_stock_is_told_psk_and_nothing_in_clear() {
    let world = World::new();
    let at = |port| Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let bound = Bound { http: at(8080), https: at(8443), mqtts: at(8883), ..Bound::default() };
    world.shared.bound.set(bound).unwrap();
    let answer = ask(&world, post("/v1/url_config", STOCK)).await;
    assert_eq!(
        answer.json(),
        json!({
            "caArr": null,
            "httpsPSKUrl": {"addr": "https://192.168.1.2:8443/d.json", "ips": ["192.168.1.2"]},
            "mqttsPSKUrl": {"addr": "192.168.1.2:8883", "ips": ["192.168.1.2"]},
            "ttl": 600
        })
    );
}

#[tokio::test]
async fn certificates_are_given_where_they_are_wanted_and_ports_where_they_are_read() {
    let world = World::new();
    let at = |port| Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    world.shared.bound.set(Bound { https: at(8443), mqtts: at(18_883), ..Bound::default() }).unwrap();
    let body = r#"{"config":[{"key":"httpsSelfUrl","need_ca":true},{"key":"mqttsSelfUrl","need_ca":true},{"key":"httpsUrl","need_ip6":true},{"key":"inventedUrl"}]}"#;
    let answer = ask(&world, post("/v2/url_config", body)).await.json();
    assert_eq!(answer["caArr"], json!(["bm90IHJlYWxseSBhIGNlcnRpZmljYXRl"]));
    assert_eq!(answer["httpsSelfUrl"]["addr"], "https://192.168.1.2/d.json", "SDKs know no port but 443");
    assert_eq!(answer["mqttsSelfUrl"]["addr"], "192.168.1.2:18883");
    assert_eq!(answer["httpsUrl"]["addr"], "https://192.168.1.2:8443/d.json");
    assert_eq!(answer["httpsUrl"]["ip6s"], json!([]));
    assert!(answer.get("inventedUrl").is_none());
}

#[tokio::test]
async fn the_address_told_is_the_configured_one() {
    let world = World::with(|c| c.advertise = Advertise::Ip(IpAddr::from([10, 1, 2, 3]))).bound();
    let answer = ask(&world, post("/v1/url_config", STOCK)).await.json();
    assert_eq!(answer["httpUrl"], json!({"addr": "http://10.1.2.3/d.json", "ips": ["10.1.2.3"]}));
    let world = World::with(|c| c.advertise = Advertise::Host("cloud.home".into())).bound();
    let answer = ask(&world, post("/v1/url_config", STOCK)).await.json();
    assert_eq!(answer["mqttUrl"], json!({"addr": "cloud.home:1883", "ips": ["192.168.1.2"]}));
}

#[tokio::test]
async fn a_remote_device_is_never_told_loopback() {
    let advertised = [
        Advertise::Ip(IpAddr::from([127, 0, 0, 1])),
        Advertise::Ip(IpAddr::from([0, 0, 0, 0])),
        Advertise::Host("localhost".into()),
        Advertise::Host("LocalHost".into()),
    ];
    for advertise in advertised {
        let world = World::with(|c| c.advertise = advertise.clone()).bound();
        world.backend.add(landfall_cloud::backend::Registration {
            uuid: Some(uuid("uuid0001")),
            ..registration("bf0001")
        });
        let mut events = world.shared.events();
        let body = STOCK.replace("\"env\"", "\"uuid\":\"uuid0001\",\"env\"");
        let answer = ask(&world, post("/v2/url_config", &body)).await;
        assert_eq!((answer.status, answer.body.len()), (503, 0), "{advertise:?}");
        let told = told(&mut events);
        assert_eq!(refusals(&told), ["advertise.loopback"]);
        assert_eq!(told[0]["device"], "bf0001");
        assert!(told[0]["why"].as_str().unwrap().contains("--advertise"), "{told:?}");
        let records = world.shared.handshakes.devices();
        let record = records.values().next().expect("a record");
        assert!(record.refusals.contains_key("advertise.loopback"), "{record:?}");
        assert!(!record.steps.contains_key(&Step::NameService));
        // A device on this machine may be told so.
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        let answer = ask_over(&world, Link::plain(local, local), post("/v1/url_config", STOCK)).await;
        assert_eq!(
            answer.status == 200,
            advertise != Advertise::Ip(IpAddr::from([0, 0, 0, 0])),
            "{advertise:?}"
        );
    }
}

#[tokio::test]
async fn servers_on_loopback_are_not_told_to_others_either() {
    let world = World::new();
    let at = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let all = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)));
    world.shared.bound.set(Bound { http: all, mqtt: at(1883), ..Bound::default() }).unwrap();
    let mut events = world.shared.events();
    assert_eq!(ask(&world, post("/v1/url_config", STOCK)).await.status, 503);
    let told = told(&mut events);
    assert_eq!(refusals(&told), ["advertise.unreachable"]);
    assert!(told[0]["why"].as_str().unwrap().contains("--mqtt ADDRESS:PORT"), "{told:?}");
}

#[tokio::test]
async fn names_and_certificates_are_told() {
    let world = World::new().bound();
    let names = r#"[{"domain":"a1.tuyacn.com","need_ip6":true},{"domain":"example.org"}]"#;
    let answer = ask(&world, post("/v1/dns_query", names)).await.json();
    let none: [&str; 0] = [];
    assert_eq!(answer["a1.tuyacn.com"], json!({"Ips": ["192.168.1.2"], "ip6s": none, "ttl": 600}));
    assert_eq!(answer["example.org"], json!({"Ips": none, "ip6s": none, "ttl": 600}));
    let hosts = r#"[{"host":"h","port":443,"need_ca":true,"need_ip":false,"need_ip6":false}]"#;
    let answer = ask(&world, post("/device/dns_query", hosts)).await.json();
    assert_eq!(answer, json!([{"host": "h", "ca": "bm90IHJlYWxseSBhIGNlcnRpZmljYXRl"}]));
    let request =
        "GET /api/v1/ca-certificate?host=h&port=443&public_key_algorithm=RSA HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = ask(&world, request).await.json();
    assert!(
        answer["ca_certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let world = World::new().bound();
    for path in ["/v1/url_config", "/v2/url_config", "/v1/dns_query", "/device/dns_query"] {
        for body in ["", "nonsense", "[[[[", "{\"config\":7}", "7"] {
            assert_eq!(ask(&world, post(path, body)).await.status, 400, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn who_asked_is_on_record() {
    let world = World::new().bound();
    world.backend.add(landfall_cloud::backend::Registration {
        uuid: Some(uuid("uuid0001")),
        ..registration("bf0001")
    });
    let body = STOCK.replace("\"env\"", "\"uuid\":\"uuid0001\",\"ts\":65,\"sign\":\"x\",\"env\"");
    assert_eq!(ask(&world, post("/v2/url_config", &body)).await.status, 200);
    let records = world.shared.handshakes.devices();
    let mark = records.values().next().and_then(|r| r.steps.get(&Step::NameService)).expect("a mark");
    assert_eq!((mark.over, mark.peer), (Over::Plain, Some(IpAddr::from([192, 168, 1, 77]))));
}
