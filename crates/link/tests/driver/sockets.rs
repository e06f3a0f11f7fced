//! The tokio driver over real sockets on loopback, against a small device made of proto's device session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use landfall_link::{
    CommandError, ConnectFailure, Device, DeviceConfig, Failure, Link, LinkConfig, News, Outcome, SetOptions,
    State, Unconfirmed,
};
use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceConfig as PeerConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::discovery::Beacon;
use landfall_proto::lan::session::Origin;
use landfall_sim::dice::Dice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::world::{ID, KEY, Seeded, dps, v};

const LONG: Duration = Duration::from_secs(20);

/// What all connections of the small device share.
struct Peer {
    points: Mutex<BTreeMap<DpId, DpValue>>,
    /// Points to push to all clients: somebody pressed a button.
    pushes: broadcast::Sender<Dps>,
    accepted: Mutex<usize>,
    closed: tokio::sync::Notify,
}

impl Peer {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            points: Mutex::new([(DpId(1), DpValue::Bool(false))].into()),
            pushes: broadcast::Sender::new(256),
            accepted: Mutex::new(0),
            closed: tokio::sync::Notify::new(),
        })
    }
}

/// Serves until dropped.
async fn serve(listener: TcpListener, version: Version, peer: Arc<Peer>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        *peer.accepted.lock().unwrap() += 1;
        connections.spawn(one(socket, version, Arc::clone(&peer)));
    }
}

async fn one(mut socket: TcpStream, version: Version, peer: Arc<Peer>) {
    let start = Instant::now();
    let now = || Now::new(start.elapsed(), 1_700_000_000);
    let mut entropy = Seeded(Dice::labelled(3, "peer"));
    let config = PeerConfig::new(DeviceId::new(ID).unwrap(), LocalKey::new(KEY).unwrap(), version);
    let mut session = DeviceSession::new(config, now(), &mut entropy);
    let mut pushes = peer.pushes.subscribe();
    let mut buffer = [0; 1024];
    loop {
        loop {
            match session.poll_output(now(), &mut entropy) {
                DeviceOutput::Transmit(frame) => socket.write_all(&frame).await.unwrap_or(()),
                DeviceOutput::Event(DeviceEvent::Set { ticket, dps, .. }) => {
                    peer.points.lock().unwrap().extend(dps.iter().map(|(id, v)| (id, v.clone())));
                    session.ack(ticket);
                    session.push(None, &dps, now());
                }
                DeviceOutput::Event(DeviceEvent::Query { ticket, .. }) => {
                    let all: Dps =
                        peer.points.lock().unwrap().iter().map(|(id, v)| (*id, v.clone())).collect();
                    session.reply_points(ticket, None, &all);
                }
                DeviceOutput::Event(DeviceEvent::Closed(_)) => return peer.closed.notify_one(),
                DeviceOutput::Event(_) => {}
                DeviceOutput::Wait(_) => break,
            }
        }
        tokio::select! {
            read = socket.read(&mut buffer) => match read {
                Ok(n @ 1..) => session.handle_input(&buffer[..n], now()),
                _ => session.handle_close(),
            },
            Ok(push) = pushes.recv() => session.push(None, &push, now()),
        }
    }
}

async fn start(version: Version) -> (SocketAddr, Arc<Peer>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = Peer::new();
    let task = tokio::spawn(serve(listener, version, Arc::clone(&peer)));
    (address, peer, task)
}

fn config(address: SocketAddr, version: Version) -> DeviceConfig {
    let mut config = DeviceConfig::new(DeviceId::new(ID).unwrap(), LocalKey::new(KEY).unwrap());
    config.address = Some(address);
    config.version = Some(version);
    config
}

/// Waits for a state, within a bounded time.
async fn until(device: &Device, wanted: impl Fn(&State) -> bool) -> State {
    let mut news = device.subscribe();
    let found = tokio::time::timeout(LONG, async {
        loop {
            let state = device.state();
            if wanted(&state) {
                return state;
            }
            news.next().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("still {:?}", device.state()))
}

#[tokio::test]
async fn sets_queries_and_pushes_over_a_real_socket() {
    for version in [Version::V3_1, Version::V3_3, Version::V3_4, Version::V3_5] {
        let (address, peer, _task) = start(version).await;
        let link = Link::new(LinkConfig::default());
        let mut all = link.subscribe();
        let device = link.device(config(address, version));
        let mut news = device.subscribe();
        device.ready(LONG).await.unwrap();

        let outcome = device.set(None, dps(&[(1, v(true))]), SetOptions::default()).await.unwrap();
        assert_eq!(outcome, Outcome::Confirmed, "{version}");
        assert_eq!(peer.points.lock().unwrap()[&DpId(1)], DpValue::Bool(true));
        let report = device.query(None).await.unwrap();
        assert_eq!(report.dps, dps(&[(1, v(true))]));

        peer.pushes.send(dps(&[(1, v(false)), (7, v(42))])).unwrap();
        let pushed = tokio::time::timeout(LONG, async {
            loop {
                match news.next().await {
                    Some(Ok(News::Report { report, origin: Origin::Pushed }))
                        if report.dps.value(DpId(7)).is_some() =>
                    {
                        return report;
                    }
                    Some(_) => {}
                    None => panic!("the news ended"),
                }
            }
        });
        assert_eq!(pushed.await.unwrap().dps.len(), 2);
        assert_eq!(device.points(None), dps(&[(1, v(false)), (7, v(42))]));
        assert_eq!(device.connects(), 1);

        device.close().await;
        assert_eq!(device.state(), State::Closed);
        tokio::time::timeout(LONG, peer.closed.notified()).await.expect("the device saw the end");
        assert_eq!(device.query(None).await, Err(CommandError::Closed));
        let mut heard = 0;
        while let Ok(Some(Ok(item))) = tokio::time::timeout(Duration::ZERO, all.next()).await {
            assert_eq!(item.id.as_str(), ID);
            heard += 1;
        }
        assert!(heard >= 5, "{heard} items of news for the whole link");
    }
}

#[tokio::test]
async fn callers_share_one_connection() {
    let (address, peer, _task) = start(Version::V3_4).await;
    let device = Link::default().device(config(address, Version::V3_4));
    let mut callers = JoinSet::new();
    for n in 0..30_u16 {
        let device = device.clone();
        callers.spawn(async move {
            let set = dps(&[(100 + n, v(i32::from(n)))]);
            device.set(None, set, SetOptions::default()).await
        });
    }
    while let Some(outcome) = callers.join_next().await {
        assert_eq!(outcome.unwrap(), Ok(Outcome::Confirmed));
    }
    assert_eq!((device.connects(), *peer.accepted.lock().unwrap()), (1, 1));
    assert_eq!(peer.points.lock().unwrap().len(), 31);
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection() {
    let (address, peer, _task) = start(Version::V3_3).await;
    let device = Link::default().device(config(address, Version::V3_3));
    device.ready(LONG).await.unwrap();
    let clone = device.clone();
    drop(device);
    assert_eq!(clone.state(), State::Ready);
    drop(clone);
    tokio::time::timeout(LONG, peer.closed.notified()).await.expect("the device saw the end");
}

#[tokio::test]
async fn comes_back_after_a_reboot_and_finishes_what_waits() {
    let (address, peer, task) = start(Version::V3_5).await;
    let device = Link::default().device(config(address, Version::V3_5));
    device.ready(LONG).await.unwrap();
    task.abort();
    until(&device, |s| matches!(s, State::Waiting { .. })).await;
    let waits = {
        let device = device.clone();
        let options = SetOptions { timeout: Some(LONG), ..SetOptions::default() };
        tokio::spawn(async move { device.set(None, dps(&[(1, v(true))]), options).await })
    };
    let listener = loop {
        // The port is free once the aborted task is gone.
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _task = tokio::spawn(serve(listener, Version::V3_5, Arc::clone(&peer)));
    let beacon = Beacon {
        id: DeviceId::new(ID).unwrap(),
        ip: None,
        uuid: None,
        product_id: None,
        version: Some(Version::V3_5),
        version_text: None,
        active: Some(2),
        encrypt: Some(true),
        clients: None,
        access_point: false,
    };
    device.heard(&beacon, address.ip());
    assert_eq!(waits.await.unwrap(), Ok(Outcome::Confirmed));
    assert!(device.connects() >= 2);
    assert_eq!(peer.points.lock().unwrap()[&DpId(1)], DpValue::Bool(true));
}

#[tokio::test]
async fn moves_to_another_address() {
    let (address, first, _task) = start(Version::V3_3).await;
    let (elsewhere, second, _task) = start(Version::V3_3).await;
    let device = Link::default().device(config(address, Version::V3_3));
    device.ready(LONG).await.unwrap();
    device.set_address(elsewhere);
    let outcome = device.set(None, dps(&[(1, v(true))]), SetOptions::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Confirmed);
    assert_eq!(second.points.lock().unwrap()[&DpId(1)], DpValue::Bool(true));
    assert_eq!(first.points.lock().unwrap()[&DpId(1)], DpValue::Bool(false));
    tokio::time::timeout(LONG, first.closed.notified()).await.expect("the old connection is closed");
}

#[tokio::test]
async fn a_refused_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let device = Link::default().device(config(address, Version::V3_3));
    let state = until(&device, |s| matches!(s, State::Waiting { .. })).await;
    assert!(matches!(state, State::Waiting { failure: Failure::Connect(ConnectFailure::Refused), .. }));
    let options = SetOptions { timeout: Some(Duration::from_millis(50)), ..SetOptions::default() };
    let outcome = device.set(None, dps(&[(1, v(true))]), options).await.unwrap();
    let Outcome::Unconfirmed(Unconfirmed::NotSent { .. }) = &outcome else { panic!("{outcome}") };
    assert!(device.ready(Duration::from_millis(20)).await.is_err());
}

#[tokio::test]
async fn a_wrong_key_is_found_out() {
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        let (address, _peer, _task) = start(version).await;
        let mut config = config(address, version);
        config.key = LocalKey::new("another key 1234").unwrap();
        let device = Link::default().device(config);
        if version == Version::V3_3 {
            assert!(matches!(device.query(None).await, Err(CommandError::WrongKey { .. })));
        } else {
            until(&device, |s| {
                matches!(s, State::Waiting { failure: Failure::Busy | Failure::Session(_), .. })
            })
            .await;
        }
        device.set_key(LocalKey::new(KEY).unwrap());
        let outcome = device.set(None, dps(&[(1, v(true))]), SetOptions::default()).await.unwrap();
        assert_eq!(outcome, Outcome::Confirmed, "{version}: the right key is tried at once");
    }
}

#[tokio::test]
async fn a_silent_device_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), Version::V3_5);
    config.timing.negotiation = Duration::from_millis(50);
    let device = Link::default().device(config);
    let (_kept, _) = listener.accept().await.unwrap();
    let state = until(&device, |s| matches!(s, State::Waiting { .. })).await;
    assert!(state.to_string().contains("did not answer the session negotiation"), "{state}");
}

#[tokio::test]
async fn handshakes_take_turns() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let link = Link::new(LinkConfig { handshakes: 2, ..LinkConfig::default() });
    let mut config = config(address, Version::V3_4);
    config.timing.negotiation = Duration::from_millis(100);
    // Nobody answers: each negotiation holds its turn until it is given up.
    let devices: Vec<_> = (0..6).map(|_| link.device(config.clone())).collect();
    let mut most = 0;
    let all_failed = async {
        while devices.iter().any(|d| matches!(d.state(), State::Connecting { .. } | State::Negotiating)) {
            let open = devices.iter().filter(|d| d.state() == State::Negotiating).count();
            most = most.max(open);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, all_failed).await.expect("every device had its turn");
    assert!((1..=2).contains(&most), "{most} at a time");
}

#[tokio::test]
async fn a_slow_listener_is_told_what_it_missed() {
    let (address, peer, _task) = start(Version::V3_3).await;
    let device = Link::default().device(config(address, Version::V3_3));
    let mut slow = device.subscribe();
    device.ready(LONG).await.unwrap();
    let mut quick = device.subscribe();
    for n in 0..100 {
        peer.pushes.send(dps(&[(9, v(n))])).unwrap();
        let seen = async {
            loop {
                if let Some(Ok(News::Report { report, .. })) = quick.next().await
                    && report.dps.value(DpId(9)) == Some(&DpValue::Value(n.into()))
                {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, seen).await.unwrap();
    }
    let missed = slow.next().await.unwrap().unwrap_err();
    assert!(missed.0 > 50, "{missed}");
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let device = first.block_on(async {
        let (address, _peer, task) = start(Version::V3_3).await;
        let device = Link::default().device(config(address, Version::V3_3));
        device.ready(LONG).await.unwrap();
        task.abort();
        device
    });
    drop(first);
    let answer = runtime().block_on(async { tokio::time::timeout(LONG, device.query(None)).await });
    assert_eq!(answer.unwrap(), Err(CommandError::Closed));
}
