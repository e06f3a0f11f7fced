//! The DNS server over sockets of loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{DeviceId, ProductId, Uuid};
use landfall_proto::psk::DeviceHash;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::clients::{Rate, Rates};
use super::names::Kind;
use super::server::{Decision, DnsServer, Server, start, start_server};
use crate::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    PinOutcome, Registration, Timers,
};
use crate::clock::Clock;
use crate::config::{Advertise, Config};
use crate::event::What;
use crate::journal::Journal;
use crate::people::People;
use crate::shared::Shared;

/// Longer than anything here takes, and the end of a test that hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// Keeps no devices: DNS asks for none.
struct Nobody;

#[async_trait]
impl Backend for Nobody {
    fn by_id(&self, _: &DeviceId) -> Option<Arc<Registration>> {
        None
    }
    fn by_uuid(&self, _: &Uuid) -> Option<Arc<Registration>> {
        None
    }
    fn by_hash(&self, _: &DeviceHash) -> Option<Arc<Registration>> {
        None
    }
    fn devices(&self) -> Vec<Arc<Registration>> {
        Vec::new()
    }
    fn window(&self, _: &Identity) -> Option<u64> {
        None
    }
    async fn activate(&self, _: ActivationAsk) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        Err(ActivationRefusal::NoWindow)
    }
    async fn keys_used(&self, _: &DeviceId) -> Result<FirstUse, BackendError> {
        Ok(FirstUse::Expected)
    }
    async fn pin(&self, _: &DeviceId, _: &[u8]) -> Result<PinOutcome, BackendError> {
        Ok(PinOutcome::Differs)
    }
    fn announce(&self, _: &DeviceId, _: Announcement) {}
    fn timers(&self, _: &DeviceId) -> Timers {
        Timers::Kept
    }
    fn image(&self, _: &DeviceId, _: u32) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn image_by_token(&self, _: &str) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn schema_of(&self, _: Option<&ProductId>, _: Option<&DeviceId>) -> (String, String) {
        (String::new(), String::new())
    }
    fn person(&self, _: &str, _: &[u8]) -> bool {
        false
    }
}

/// What servers share, with these settings, and the directory that it lives in.
fn shared(set: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Arc<Shared>) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    set(&mut config);
    let journal = Journal::open(dir.path()).unwrap();
    let shared =
        Shared::new(config, Clock::starting_at(1_000), Arc::new(Nobody), People::none(), journal, Vec::new());
    (dir, shared)
}

/// A free port of 127.0.0.1 for UDP and TCP.
fn sockets() -> (std::net::UdpSocket, std::net::TcpListener) {
    for _ in 0..100 {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = std::net::UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

struct Running {
    at: SocketAddr,
    shared: Arc<Shared>,
    server: DnsServer,
    _dir: tempfile::TempDir,
}

fn run(rates: Rates, set: impl FnOnce(&mut Config)) -> Running {
    let (dir, shared) = shared(set);
    let (udp, tcp) = sockets();
    let at = udp.local_addr().unwrap();
    let server = start_server(Server::new(Arc::clone(&shared), rates), udp, tcp).unwrap();
    Running { at, shared, server, _dir: dir }
}

fn asking(id: u16, name: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    message.to_vec().unwrap()
}

async fn client(at: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at).await.unwrap();
    socket
}

async fn next(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 4_096];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn ask(socket: &UdpSocket, name: &str, rtype: RecordType) -> Message {
    socket.send(&asking(77, name, rtype)).await.unwrap();
    let answer = next(socket).await;
    assert_eq!(answer.id, 77);
    answer
}

async fn tcp_send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

async fn tcp_next(stream: &mut TcpStream) -> Message {
    let answer = async {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    Message::from_vec(&timeout(DEADLINE, answer).await.expect("an answer")).unwrap()
}

#[tokio::test]
async fn vendor_names_are_answered_with_the_local_address_and_remembered() {
    let running = run(Rates::default(), |_| {});
    let socket = client(running.at).await;
    let answer = ask(&socket, "a1.tuyaus.com.", RecordType::A).await;
    assert_eq!(answer.answers.len(), 1);
    assert_eq!(answer.answers[0].data, RData::A(A([127, 0, 0, 1].into())));
    for rtype in [RecordType::AAAA, RecordType::HTTPS] {
        let empty = ask(&socket, "a1.tuyaus.com.", rtype).await;
        assert_eq!((empty.response_code, empty.answers.len()), (ResponseCode::NoError, 0), "{rtype}");
    }
    for name in ["pool.ntp.org.", "a1.tuyaafrica.com."] {
        assert_eq!(ask(&socket, name, RecordType::A).await.response_code, ResponseCode::Refused, "{name}");
    }

    let seen = running.shared.asked.client(IpAddr::from([127, 0, 0, 1])).unwrap();
    let asked: Vec<_> = seen.asked.iter().map(|a| (a.name.as_str(), a.kind, a.count)).collect();
    assert_eq!(
        asked,
        [
            ("a1.tuyaafrica.com", Kind::Like, 1),
            ("pool.ntp.org", Kind::Other, 1),
            ("a1.tuyaus.com", Kind::Vendor, 3)
        ]
    );
    timeout(DEADLINE, running.server.shutdown()).await.expect("it stops");
    std::net::UdpSocket::bind(running.at).expect("the port is free again");
}

#[tokio::test]
async fn one_tcp_connection_serves_many_questions() {
    let running = run(Rates::default(), |_| {});
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    for id in 0..20 {
        tcp_send(&mut stream, &asking(id, "m1.tuyaeu.com.", RecordType::A)).await;
    }
    for id in 0..20 {
        let answer = tcp_next(&mut stream).await;
        assert_eq!((answer.id, answer.answers.len()), (id, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tcp_peer_that_says_nothing_is_let_go() {
    let running = run(Rates::default(), |_| {});
    for beginning in [&[][..], &[0], &[0, 30, 1, 2, 3], &[0xff, 0xff]] {
        let mut stream = TcpStream::connect(running.at).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut rest = Vec::new();
        // The end of the connection, in one form or the other; with the paused clock it comes at once.
        match stream.read_to_end(&mut rest).await {
            Ok(_) => assert!(rest.is_empty()),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[tokio::test]
async fn nothing_malformed_stops_the_server() {
    let running = run(Rates::default(), |_| {});
    let socket = client(running.at).await;
    let good = asking(1, "a1.tuyaus.com.", RecordType::A);
    for end in 0..good.len() {
        socket.send(&good[..end]).await.unwrap();
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    socket.send(&answer).await.unwrap();
    // Those with a whole header are told that they are malformed; nothing else comes before the answer to the good one.
    for end in 12..good.len() {
        assert_eq!(next(&socket).await.response_code, ResponseCode::FormErr, "{end} bytes");
    }
    assert_eq!(ask(&socket, "a1.tuyaus.com.", RecordType::A).await.response_code, ResponseCode::NoError);
}

#[tokio::test]
async fn strangers_are_refused_without_a_word_and_seldom() {
    let running = run(Rates::default(), |config| {
        config.dns.clients = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let mut events = running.shared.events();
    let socket = client(running.at).await;
    let burst = Rates::default().stranger.burst;
    for _ in 0..burst {
        let refused = ask(&socket, "a1.tuyaus.com.", RecordType::A).await;
        assert_eq!((refused.response_code, refused.answers.len()), (ResponseCode::Refused, 0));
    }
    assert_eq!(running.shared.asked.clients(), [], "strangers are not remembered");
    assert!(events.try_recv().is_err(), "and not told about");

    let mut stream = TcpStream::connect(running.at).await.unwrap();
    tcp_send(&mut stream, &asking(1, "a1.tuyaus.com.", RecordType::A)).await;
    let mut rest = Vec::new();
    let end = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the end");
    assert!(end.is_err() || rest.is_empty(), "beyond the rate there is no answer: {rest:?}");
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_not_answered_and_others_are() {
    let few = Rate { burst: 3, per_second: 0 };
    let running = run(Rates { client: few, ..Rates::default() }, |_| {});
    let greedy = client(running.at).await;
    for _ in 0..10 {
        greedy.send(&asking(1, "a1.tuyaus.com.", RecordType::A)).await.unwrap();
    }
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    other.connect(running.at).await.unwrap();
    // Questions are served in the order in which they come: when this one is answered, all of the others were.
    assert_eq!(ask(&other, "a1.tuyaus.com.", RecordType::A).await.answers.len(), 1);
    for _ in 0..3 {
        assert_eq!(next(&greedy).await.answers.len(), 1);
    }
    let mut buffer = [0; 512];
    assert!(greedy.try_recv(&mut buffer).is_err(), "a fourth answer");
}

#[tokio::test]
async fn loopback_is_never_told_to_another_machine_and_that_is_said_once() {
    let (_dir, shared) = shared(|config| config.advertise = Advertise::Ip([127, 0, 0, 1].into()));
    let mut events = shared.events();
    let server = Server::new(Arc::clone(&shared), Rates::default());
    let peer = SocketAddr::from(([192, 168, 1, 77], 5_000));
    for _ in 0..3 {
        let bytes = asking(1, "a1.tuyaus.com.", RecordType::A);
        let Decision::Answer(answer) = server.decide(&bytes, peer, Some([192, 168, 1, 5].into())) else {
            panic!("no answer");
        };
        assert_eq!(Message::from_vec(&answer).unwrap().response_code, ResponseCode::Refused);
    }
    let said = events.try_recv().expect("an event");
    assert_eq!(said.peer, Some(peer));
    assert!(
        matches!(&said.what, What::Refusal { code: "dns.address", why } if why.contains("192.168.1.77") && why.contains("127.0.0.1")),
        "{said:?}"
    );
    assert!(events.try_recv().is_err(), "said once");
}

#[tokio::test]
async fn the_name_that_devices_are_told_is_answered_too() {
    let (_dir, shared) = shared(|config| config.advertise = Advertise::Host("landfall.test".into()));
    let server = Server::new(Arc::clone(&shared), Rates::default());
    let peer = SocketAddr::from(([127, 0, 0, 1], 5_000));
    let bytes = asking(1, "Landfall.Test.", RecordType::A);
    let Decision::Answer(answer) = server.decide(&bytes, peer, Some([127, 0, 0, 1].into())) else {
        panic!("no answer");
    };
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.answers[0].data, RData::A(A([127, 0, 0, 1].into())));
    assert_eq!(shared.asked.client(peer.ip()).unwrap().elsewhere().count(), 0);
}

#[tokio::test]
async fn a_server_does_not_forward_to_itself() {
    let (udp, tcp) = sockets();
    let here = udp.local_addr().unwrap();
    let (_dir, shared) = shared(|config| config.dns.forward = Some(here));
    let error = start(shared, udp, tcp).unwrap_err();
    assert!(error.to_string().contains(&here.to_string()), "{error}");
}

/// Another server: answers over UDP what `udp` makes of a question, over TCP what `tcp` does.
async fn upstream(
    udp: impl Fn(Message) -> Vec<Message> + Send + 'static,
    tcp: impl Fn(Message) -> Message + Send + 'static,
) -> SocketAddr {
    let (udp_socket, listener) = sockets();
    udp_socket.set_nonblocking(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from_std(udp_socket).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            for answer in udp(Message::from_vec(&buffer[..length]).unwrap()) {
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let question = tcp_next(&mut stream).await;
            tcp_send(&mut stream, &tcp(question).to_vec().unwrap()).await;
        }
    });
    at
}

fn reply_to(question: &Message) -> Message {
    let mut reply = question.clone();
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_available = true;
    reply
}

fn address(question: &Message, last: u8) -> Message {
    let mut reply = reply_to(question);
    let name = question.queries[0].name().clone();
    reply.add_answer(Record::from_rdata(name, 30, RData::A(A([192, 0, 2, last].into()))));
    reply
}

fn long(question: &Message) -> Message {
    let mut reply = reply_to(question);
    for n in 0..10 {
        let text = RData::TXT(TXT::new(vec![format!("{n}").repeat(200)]));
        reply.add_answer(Record::from_rdata(question.queries[0].name().clone(), 30, text));
    }
    reply
}

#[tokio::test]
async fn other_names_are_forwarded_where_the_owner_says_so_and_vendor_names_never() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let to = upstream(
        move |question| {
            log.lock().unwrap().push(question.queries[0].name().to_ascii());
            // First what others might send: a wrong number, an answer to another question; then the right one.
            let mut wrong_number = address(&question, 1);
            wrong_number.metadata.id = question.id.wrapping_add(1);
            let mut wrong_name = address(&question, 2);
            wrong_name.queries[0].set_name(Name::from_ascii("elsewhere.example.").unwrap());
            vec![wrong_number, wrong_name, address(&question, 3)]
        },
        |question| address(&question, 4),
    )
    .await;
    let running = run(Rates::default(), |config| config.dns.forward = Some(to));
    let socket = client(running.at).await;
    let answer = ask(&socket, "Pool.NTP.org.", RecordType::A).await;
    assert_eq!(answer.answers[0].data, RData::A(A([192, 0, 2, 3].into())));
    assert_eq!(answer.queries[0].name().to_ascii(), "Pool.NTP.org.");
    assert_eq!(ask(&socket, "a1.tuyaus.com.", RecordType::A).await.answers.len(), 1);
    assert_eq!(ask(&socket, "a1.tuyaus.com.", RecordType::AAAA).await.answers.len(), 0);
    assert_eq!(*asked.lock().unwrap(), ["Pool.NTP.org."]);
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let cut = |question: Message| {
        let mut reply = reply_to(&question);
        reply.metadata.truncation = true;
        vec![reply]
    };
    let to = upstream(cut, |question| long(&question)).await;
    let running = run(Rates::default(), |config| config.dns.forward = Some(to));
    let socket = client(running.at).await;
    let over_udp = ask(&socket, "long.example.", RecordType::TXT).await;
    assert!(over_udp.truncation && over_udp.answers.is_empty());
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    tcp_send(&mut stream, &asking(5, "long.example.", RecordType::TXT)).await;
    let over_tcp = tcp_next(&mut stream).await;
    assert_eq!((over_tcp.id, over_tcp.answers.len(), over_tcp.truncation), (5, 10, false));
}

/// A server that sends more than was asked for does not make us an amplifier.
#[tokio::test]
async fn an_answer_longer_than_the_client_takes_is_cut() {
    let to = upstream(|question| vec![long(&question)], |question| long(&question)).await;
    let running = run(Rates::default(), |config| config.dns.forward = Some(to));
    let socket = client(running.at).await;
    let cut = ask(&socket, "long.example.", RecordType::TXT).await;
    assert!(cut.truncation && cut.answers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_an_answer_too() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = silent.local_addr().unwrap();
    let running = run(Rates::default(), |config| config.dns.forward = Some(to));
    let socket = client(running.at).await;
    socket.send(&asking(9, "pool.ntp.org.", RecordType::A)).await.unwrap();
    let mut buffer = [0; 512];
    // Without a deadline of the paused clock, which would run out at once.
    let length = socket.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((answer.id, answer.response_code), (9, ResponseCode::ServFail));
    let mut tries = 0;
    while silent.try_recv(&mut buffer).is_ok() {
        tries += 1;
    }
    assert_eq!(tries, 2);
}
