use std::time::Duration;

use landfall_proto::gateway::Outcome;
use landfall_proto::mqtt::rpc::{FilePiece, RpcResponse};
use rmqtt_codec::types::QoS;

use super::kit::{ID, NOW, OTHER, World, link, password, registration};

#[tokio::test(start_paused = true)]
async fn calls_are_answered_where_the_device_listens() {
    let mut world = World::new();
    let mut client = world.device().await;
    let topic = format!("rpc/req/{ID}");
    let call = format!(r#"{{"id":7,"a":"tuya.device.upgrade.get","t":{NOW},"data":{{"type":0}},"v":"4.4"}}"#);
    client.publish(&topic, call.clone(), None).await;
    assert!(client.quiet(Duration::from_secs(5)).await, "nobody listens yet");
    client.subscribe(&format!("rpc/rsp/{ID}"), QoS::AtLeastOnce).await;
    client.publish(&topic, call, None).await;
    let publish = client.received().await;
    assert_eq!(&*publish.topic, &format!("rpc/rsp/{ID}"));
    let response = RpcResponse::parse(&publish.payload).unwrap();
    assert_eq!((response.id, response.reply.t), (7, NOW + 5));
    assert_eq!(response.reply.outcome(), &Outcome::Success(None), "no update is no result at all");
    client.publish(&topic, "{", None).await;
    assert_eq!(world.refusal().await, "rpc.malformed");
}

#[tokio::test(start_paused = true)]
async fn files_come_in_pieces() {
    let world = World::new();
    let image: Vec<u8> = (0..5_000_u32).map(|n| n as u8).collect();
    world.book.images.lock().unwrap().insert("s3cret".to_owned(), image.clone().into());
    let mut client = world.device().await;
    client.subscribe(&format!("rpc/rsp/{ID}"), QoS::AtLeastOnce).await;
    client.subscribe(&format!("rpc/file/{ID}"), QoS::AtLeastOnce).await;
    let ask = |id: u32, url: &str, range: &str, kind: u32| {
        format!(
            r#"{{"id":{id},"a":"tuya.device.file.download","t":1,"v":"1.0","data":{{"url":"{url}","range":"{range}","type":{kind}}}}}"#
        )
    };
    let (topic, url) = (format!("rpc/req/{ID}"), "http://10.0.0.250/firmware/s3cret.bin");
    let mut got = Vec::new();
    for (id, from) in (1..).zip((0..5_000).step_by(1_024)) {
        let to = (from + 1_023).min(4_999);
        client.publish(&topic, ask(id, url, &format!("bytes={from}-{to}"), 2), None).await;
        let publish = client.received().await;
        assert_eq!(&*publish.topic, &format!("rpc/file/{ID}"));
        let piece = FilePiece::parse(&publish.payload).unwrap();
        assert_eq!(piece.id, id);
        got.extend_from_slice(piece.bytes);
    }
    assert_eq!(got, image);
    client.publish(&topic, ask(90, url, "bytes=0-0", 1), None).await;
    let response = RpcResponse::parse(&client.received().await.payload).unwrap();
    let Outcome::Success(Some(size)) = response.reply.outcome() else { panic!("{response:?}") };
    assert_eq!(size.as_str(), "5000");
    for (url, range) in
        [("http://h/firmware/other.bin", "bytes=0-1"), (url, "bytes=9000-9001"), (url, "all of it")]
    {
        client.publish(&topic, ask(91, url, range, 2), None).await;
        let response = RpcResponse::parse(&client.received().await.payload).unwrap();
        assert!(matches!(response.reply.outcome(), Outcome::Failure { code, .. } if !code.unbinds()));
    }
    // Nor for another device.
    world.book.put(registration(OTHER));
    let mut other = world.connect(link(2));
    other.login(OTHER, &password()).await;
    other.subscribe(&format!("rpc/rsp/{OTHER}"), QoS::AtLeastOnce).await;
    other.subscribe(&format!("rpc/file/{OTHER}"), QoS::AtLeastOnce).await;
    other.publish(&format!("rpc/req/{OTHER}"), ask(1, url, "bytes=0-9", 2), None).await;
    assert_eq!(&*other.received().await.topic, &format!("rpc/rsp/{OTHER}"));
}
