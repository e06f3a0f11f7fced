//! Any interleaving of activations, first uses, refusals and restarts.

use landfall_proto::gateway::activation::Activation;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::backend::ActivationRefusal;

/// Devices of the house. The first two keep the factory's id, the next two are known by their uuid, and of the last two
/// the auth key is known.
const DEVICES: usize = 6;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// The owner opens a window, for one device or all.
    Open(Option<usize>),
    /// The owner closes all windows.
    Close,
    /// A device was reset and asks for keys; its answer may get lost.
    Ask { device: usize, lost: bool },
    /// A stranger asks in a device's name, from another address, and cannot sign.
    Stranger(usize),
    /// A device logs in with what it holds.
    LogIn(usize),
    /// The power goes, and the cloud starts from what is on disk.
    Restart,
    /// Nothing, for a quarter of a second.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..DEVICES;
    prop_oneof![
        1 => proptest::option::of(device.clone()).prop_map(Step::Open),
        1 => Just(Step::Close),
        4 => (device.clone(), any::<bool>()).prop_map(|(device, lost)| Step::Ask { device, lost }),
        2 => device.clone().prop_map(Step::Stranger),
        4 => device.prop_map(Step::LogIn),
        1 => Just(Step::Restart),
        1 => Just(Step::Wait),
    ]
}

/// A device: what it holds, and whether the cloud has seen it use that.
#[derive(Clone, Debug, Default)]
struct Flash {
    held: Option<(DeviceId, Keys)>,
    confirmed: bool,
}

fn ask(n: usize) -> ActivationAsk {
    match n {
        0 | 1 => by_id(&format!("02200194dc4f2213560{n}")),
        _ => ActivationAsk { signed: n >= 4, ..by_uuid(&format!("uuid{n}")) },
    }
}

fn start() -> House {
    House::of(|book| {
        for n in [4, 5] {
            book.add_hardware(hardware(&format!("uuid{n}"))).unwrap();
        }
    })
}

/// Whether the cloud lets these keys in, and whether they were waiting for their first use.
fn lets_in(house: &House, held: &(DeviceId, Keys)) -> Option<bool> {
    let registration = house.backend.by_id(&held.0)?;
    if registration.keys.as_ref() == Some(&held.1) {
        return Some(false);
    }
    (registration.pending.as_ref() == Some(&held.1)).then_some(true)
}

fn taken(ask: &ActivationAsk, told: Activation) -> (DeviceId, Keys) {
    let id = match &ask.who {
        Identity::Device(id) => id.clone(),
        Identity::Uuid(_) => told.dev_id.clone().unwrap(),
    };
    (id, keys(&told.local_key, &told.sec_key))
}

async fn run(steps: Vec<Step>) {
    let mut house = start();
    let mut flash: Vec<Flash> = vec![Flash::default(); DEVICES];
    let mut handed_out = std::collections::HashSet::new();
    for step in steps {
        let before = house.known();
        match step {
            Step::Open(None) => house.allow(None),
            Step::Open(Some(n)) => house.allow(Some(ask(n).who.as_str())),
            Step::Close => {
                house.close(None);
                (0..DEVICES).for_each(|n| house.close(Some(ask(n).who.as_str())));
            }
            Step::Ask { device, lost } => {
                let ask = ask(device);
                let open = house.backend.window(&ask.who).is_some();
                match house.backend.activate(ask.clone()).await {
                    Ok((_, told)) => {
                        assert!(open, "only in a window");
                        let got = taken(&ask, told);
                        let confirmed = flash[device].confirmed && flash[device].held.as_ref() == Some(&got);
                        assert!(!confirmed, "keys in use were handed out again");
                        handed_out.insert(got.1.local.expose_str().to_owned());
                        // Without the answer the device has what it had: it may have been a stranger's reset.
                        if !lost {
                            flash[device] = Flash { held: Some(got), confirmed: false };
                        }
                    }
                    Err(ActivationRefusal::NoWindow) => {
                        assert!(!open);
                        assert!(house.known() == before);
                    }
                    // A stranger was here first.
                    Err(ActivationRefusal::Elsewhere) => assert!(house.known() == before),
                    Err(e) => panic!("{e}"),
                }
            }
            Step::Stranger(n) => {
                let real = ask(n);
                let ask = ActivationAsk { signed: false, peer: Some([10, 0, 0, 66].into()), ..real.clone() };
                let open = house.backend.window(&ask.who).is_some();
                let got = house.backend.activate(ask).await;
                if !open || real.signed {
                    assert!(got.is_err(), "no window, or no signature");
                    assert!(house.known() == before, "and nothing changes");
                }
            }
            Step::LogIn(n) => {
                if let Some(held) = flash[n].held.clone()
                    && let Some(first) = lets_in(&house, &held)
                {
                    assert!(first || flash[n].confirmed, "keys count only after their first use");
                    house.backend.keys_used(&held.0).await.unwrap();
                    assert_eq!(lets_in(&house, &held), Some(false), "now they are the keys in use");
                    flash[n].confirmed = true;
                }
            }
            Step::Restart => house = house.after_power_cut(),
            Step::Wait => house.entered().await,
        }
        // Whatever lies on disk is a whole book, and a restart at any moment finds the same.
        let book = house.book();
        book.check().unwrap();
        for device in flash.iter().filter(|d| d.confirmed) {
            let held = device.held.as_ref().unwrap();
            assert!(lets_in(&house, held).is_some(), "a device that was let in is locked out");
            let kept = book.by_id(&held.0).expect("it is in the book");
            assert_eq!(kept.key.as_ref(), Some(&held.1.local));
        }
    }
    // No key was given to two devices.
    let held: Vec<_> = flash.iter().filter_map(|f| Some(f.held.as_ref()?.1.local.expose_str())).collect();
    let different: std::collections::HashSet<_> = held.iter().collect();
    assert_eq!(held.len(), different.len());
    assert!(held.iter().all(|k| handed_out.contains(*k)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_device_that_was_let_in_once_is_never_locked_out(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
