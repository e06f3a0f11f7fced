//! Any bytes at all are answered or closed, in time and without a panic.

use std::time::Duration;

use landfall_cloud::listen::Over;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::post;
use crate::common::{World, link};

/// Sends bytes in these pieces, and waits for the end of the connection.
fn survives(world: &World, runtime: &tokio::runtime::Runtime, pieces: &[Vec<u8>]) -> Vec<u8> {
    runtime.block_on(async {
        let (mut stream, theirs) = tokio::io::duplex(1 << 20);
        let server =
            tokio::spawn(landfall_cloud::gateway::serve(world.shared.clone(), theirs, link(Over::Plain)));
        for piece in pieces {
            // It may have closed already.
            let _closed = stream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _closed = stream.shutdown().await;
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer).await;
        tokio::time::timeout(Duration::from_secs(120), server).await.expect("in time").expect("no panic");
        answer
    })
}

/// Requests, and things that look like some.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let target = prop_oneof![
        Just("/gw.json?a=s.gw.token.get&gwId=02&other={\"token\":\"1\"}&t=1&v=3.0&sign=0".to_owned()),
        Just("/d.json?a=tuya.device.active&et=1&uuid=u&v=4.4&sign=0".to_owned()),
        Just("/v2/url_config".to_owned()),
        Just("/v1/dns_query".to_owned()),
        Just("/firmware/t0ken.bin".to_owned()),
        "/[dg][.w]json\\?a=[a-z.]{0,20}&[a-zA-Z]{1,5}=[ -~]{0,40}",
        "[ -~]{0,60}",
    ];
    let body = prop_oneof![
        "data=[0-9A-F]{0,64}",
        Just("{\"config\":[{\"key\":\"httpUrl\"},{\"key\":\"mqttsPSKUrl\",\"need_ca\":true}]}".to_owned()),
        "[ -~]{0,200}",
    ];
    (target, body, any::<bool>(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(
        |(target, body, whole, changes)| {
            let mut bytes = post(&target, &body).into_bytes();
            if !whole {
                bytes.truncate(bytes.len() / 2);
            }
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_bytes_are_answered_or_closed(
        pieces in vec(prop_oneof![requests(), vec(any::<u8>(), 0..300)], 1..5)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let world = runtime.block_on(async { World::new().bound() });
        let answer = survives(&world, &runtime, &pieces);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
        prop_assert_eq!(world.backend.changes(), Vec::<String>::new());
    }
}
