//! What TLS costs the server: the time of its side of a handshake, against a bare OpenSSL acceptor that does nothing but
//! hand out one constant key, in turns; and the memory of a connection that says nothing.
//!
//! `taskset -c 0 cargo bench -p landfall-link --bench tls [HANDSHAKES [STREAMS]]`. Only the polls of the accepting future are
//! timed, so that the client, the same for all, costs nothing here.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_link::tls::{Acceptor, Authority, Connector, Names, PskKeys, TlsStream};
use landfall_proto::id::{AuthKey, PskKey};
use landfall_proto::psk::{HINT, Identity, PREFIX_ESP8266, Psk};
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVersion};
use tokio::net::UnixStream;
use tokio_openssl::SslStream;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const KEY: &str = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr";

struct OneKey(PskKey);

impl PskKeys for OneKey {
    fn key(&self, identity: &Identity) -> Option<Psk> {
        (identity.as_bytes()[0] == 2).then(|| Psk::of_key(&self.0))
    }
}

/// How the server's side accepts.
#[derive(Clone)]
enum Side {
    Ours(Acceptor),
    Bare(SslContext),
}

/// A finished connection, held for the memory it takes.
enum Held {
    Ours(#[allow(dead_code)] TlsStream<UnixStream>),
    Bare(#[allow(dead_code)] SslStream<UnixStream>),
}

impl Side {
    async fn accept(&self, stream: UnixStream) -> Result<Held> {
        Ok(match self {
            Self::Ours(acceptor) => Held::Ours(acceptor.accept(stream).await?),
            Self::Bare(context) => {
                let mut stream = SslStream::new(Ssl::new(context)?, stream)?;
                Pin::new(&mut stream).accept().await?;
                Held::Bare(stream)
            }
        })
    }
}

/// OpenSSL as its own defaults have it, but for the suite and the version.
fn bare() -> Result<SslContext> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list("PSK-AES128-CBC-SHA256")?;
    builder.set_psk_server_callback(|_, _, out| {
        out[..KEY.len()].copy_from_slice(KEY.as_bytes());
        Ok(KEY.len())
    });
    Ok(builder.build())
}

/// One handshake; the server's connection and the time that its side took.
async fn handshake(side: &Side, client: &Connector) -> Result<(Held, Duration)> {
    let (near, far) = UnixStream::pair()?;
    let mut spent = Duration::ZERO;
    let mut accepting = pin!(side.accept(near));
    let timed = std::future::poll_fn(|cx| {
        let begun = Instant::now();
        let polled = accepting.as_mut().poll(cx);
        spent += begun.elapsed();
        polled
    });
    let (held, connected) = tokio::join!(timed, client.connect("a2.tuyaeu.com", far));
    connected?;
    Ok((held?, spent))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |t| t.as_secs_f64() * 1e6)
}

/// Memory of this process in KiB; `None` where there is no /proc.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// KiB per connection that is open and silent. The client's end is dropped each time, so its memory is used again.
async fn idle(side: &Side, client: &Connector, streams: usize) -> Result<Option<f64>> {
    let mut held = Vec::with_capacity(streams * 2);
    let warm = streams / 4 + 1;
    let mut before = None;
    for n in 0..streams + warm {
        if n == warm {
            before = resident();
        }
        held.push(handshake(side, client).await?.0);
    }
    let after = resident();
    drop(held);
    Ok(before.zip(after).map(|(before, after)| (after - before) / streams as f64))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let test = args.iter().any(|a| a == "--test");
    let number = |at: usize, normal| args.get(at).map_or(Ok(normal), |text| text.parse());
    let child = args.first().is_some_and(|a| a == "idle");
    let few = test || child;
    let (handshakes, streams): (usize, usize) =
        if few { (3, 4) } else { (number(0, 2000)?, number(1, 300)?) };

    let dir = std::env::temp_dir().join(format!("landfall-bench-tls-{}", std::process::id()));
    let authority = Authority::open_or_create(&dir, &Names::new().with_hosts(["*.tuyaeu.com"])?);
    std::fs::remove_dir_all(&dir)?;
    let authority = authority?;
    let keys: Arc<dyn PskKeys> = Arc::new(OneKey(PskKey::new(KEY)?));
    let ours = Side::Ours(Acceptor::new(Some(keys), Some(authority.server().clone()), HINT)?);
    let bare = Side::Bare(bare()?);
    let uuid = "vt0a1b2c3d4e5f60";
    let auth_key = AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef")?;
    let two = Connector::psk(Identity::type_2(&[7; 16], uuid), Some(Psk::of_key(&PskKey::new(KEY)?)))?;
    let one = Connector::psk(Identity::type_1(PREFIX_ESP8266, uuid, &auth_key), None)?;
    let certificate = Connector::certificate(authority.pem().as_bytes())?;

    let cases = [
        ("bare openssl, constant key", &bare, &two),
        ("ours, psk type 2, key looked up", &ours, &two),
        ("ours, psk type 1, key derived", &ours, &one),
        ("ours, certificate", &ours, &certificate),
    ];
    if let [what, which, streams] = &args[..]
        && what == "idle"
    {
        let side = if which == "bare" { &bare } else { &ours };
        match idle(side, &two, streams.parse()?).await? {
            Some(kib) => println!("{kib:.1}"),
            None => println!("unknown: no /proc"),
        }
        return Ok(());
    }
    // In turns of some ten handshakes, so that a slow second of the machine hits all alike.
    let mut times = [const { Vec::new() }; 4];
    let turn = handshakes.min(10);
    for n in 0..handshakes.div_ceil(turn) + 1 {
        for ((_, side, client), times) in cases.iter().zip(&mut times) {
            for _ in 0..turn {
                let (_held, spent) = handshake(side, client).await?;
                // The first turn warms up.
                if n > 0 {
                    times.push(spent);
                }
            }
        }
    }
    println!("server's side of a handshake, {handshakes} each   median µs   to bare");
    let floor = median(times[0].clone());
    for ((name, ..), times) in cases.iter().zip(times) {
        let median = median(times);
        println!("{name:<44} {median:>9.1} {:>9.2}", median / floor);
    }
    println!("idle connection, {streams} each                    KiB");
    for (name, which) in [("bare openssl, its defaults", "bare"), ("ours", "ours")] {
        // In a process of its own: what another measurement has freed would be used again and not be seen.
        let child = std::process::Command::new(std::env::current_exe()?)
            .args(["idle", which, &streams.to_string()])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !child.status.success() {
            return Err(format!("measuring {which} ended with {}", child.status).into());
        }
        println!("{name:<44} {:>9}", String::from_utf8(child.stdout)?.trim());
    }
    Ok(())
}
