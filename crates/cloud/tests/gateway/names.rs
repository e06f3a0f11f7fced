//! The name service.

use crate::client::{ask, post};
use crate::common::World;

const STOCK: &str = r#"{"region":"AA","env":"","config":[{"key":"httpUrl","need_ca":false},{"key":"mqttUrl","need_ca":false},{"key":"httpsPSKUrl","need_ca":false},{"key":"mqttsPSKUrl","need_ca":false}]}"#;

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
    }
    let flat = ask(&world, post("/device/url_config", STOCK)).await;
    assert_eq!(
        flat.text(),
        r#"{"caArr":null,"httpUrl":"http://192.168.1.2/d.json","mqttUrl":"192.168.1.2:1883"}"#
    );
}
