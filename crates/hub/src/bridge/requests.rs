//! `bridge/request/<verb>`: asked by people, answered on `bridge/response/<verb>`.

use std::path::PathBuf;
use std::sync::Arc;

use landfall_cloud::control::Window;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::commands::Refusal;
use super::names::Names;
use super::publisher::described;
use crate::model::{DeviceView, Edit, Home};

/// Verbs that are known.
const VERBS: [&str; 8] = [
    "backup",
    "device/options",
    "device/remove",
    "device/rename",
    "devices",
    "health_check",
    "permit_join",
    "restart",
];
/// Devices on a page of `devices`, at most.
const PER_PAGE: usize = 50;
/// Longest time that a window may be opened for, in seconds.
const LONGEST_WINDOW: u64 = 3_600;
/// Largest answer in bytes; what is longer is asked for in smaller pages.
const ANSWER: usize = 200 * 1024;

/// What answers need.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) home: Arc<dyn Home>,
    /// Which bridge this is, across restarts and this time.
    pub(super) instance: String,
    pub(super) run: String,
    /// Where backups are put; `None`: nowhere.
    pub(super) backups: Option<PathBuf>,
}

/// The answer to a request, with the `transaction` that it came with.
pub(super) async fn answer(context: Context, verb: String, payload: Vec<u8>) -> Value {
    let asked: Option<Value> = serde_json::from_slice(&payload).ok();
    let transaction = asked.as_ref().and_then(|v| v.get("transaction")).cloned();
    let asked = asked.unwrap_or_else(|| match String::from_utf8_lossy(&payload).trim() {
        "" => json!({}),
        text => Value::String(text.to_owned()),
    });
    let mut done = do_it(&context, &verb, asked).await;
    if done.as_ref().is_ok_and(|data| data.to_string().len() > ANSWER) {
        done = Err(Refusal::new("answer.too_large", "the answer is too large for a message")
            .hint("ask for fewer at a time with \"per_page\""));
    }
    let mut answer = match done {
        Ok(data) => json!({ "status": "ok", "data": data }),
        Err(refusal) => json!({
            "status": "error", "data": {}, "error": refusal.message, "code": refusal.code, "hint": refusal.hint,
        }),
    };
    if let (Some(transaction), Some(answer)) = (transaction, answer.as_object_mut()) {
        answer.insert("transaction".into(), transaction);
    }
    answer
}

async fn do_it(context: &Context, verb: &str, asked: Value) -> Result<Value, Refusal> {
    let home = &context.home;
    match verb {
        "health_check" => Ok(json!({
            "healthy": true,
            "instance": context.instance,
            "run": context.run,
            "version": home.status().version,
        })),
        "devices" => devices(home, parsed(asked)?),
        "permit_join" => permit_join(home, parsed(asked)?),
        "device/rename" => {
            let Rename { from, to } = parsed(asked)?;
            let device = found(home, &from)?;
            home.edit(device.id(), Edit { name: Some(to.clone()), ..Edit::default() }).await?;
            Ok(json!({ "from": from, "to": to }))
        }
        "device/remove" => {
            let Remove { id, forget } = match asked {
                Value::String(id) => Remove { id, forget: false },
                asked => parsed(asked)?,
            };
            let device = found(home, &id)?;
            home.remove(device.id(), forget).await?;
            Ok(json!({ "id": id, "forget": forget }))
        }
        "device/options" => {
            let Options { id, options: Choices { room, sleeper } } = parsed(asked)?;
            let device = found(home, &id)?;
            let edited = home.edit(device.id(), Edit { room, sleeper, ..Edit::default() }).await?;
            let now = json!({ "room": edited.facts.room, "sleeper": edited.facts.sleeper });
            Ok(json!({ "id": id, "to": now }))
        }
        "backup" => backup(context).await,
        "restart" => Err(Refusal::new("bridge.not_supported", "the bridge does not restart by MQTT")
            .hint("`systemctl restart landfall`, or stop and start `landfall run`")),
        other => Err(Refusal::new("bridge.unknown_request", format!("{other:?} is not a request"))
            .hint(format!("known are {}", VERBS.join(", ")))),
    }
}

#[derive(Deserialize)]
struct Rename {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Remove {
    id: String,
    #[serde(default)]
    forget: bool,
}

#[derive(Deserialize)]
struct Options {
    id: String,
    options: Choices,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choices {
    room: Option<String>,
    sleeper: Option<bool>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "first")]
    page: usize,
    #[serde(default = "per_page")]
    per_page: usize,
}

fn first() -> usize {
    1
}

fn per_page() -> usize {
    PER_PAGE
}

#[derive(Deserialize)]
struct Join {
    time: u64,
    #[serde(default)]
    device: Option<String>,
}

fn parsed<T: DeserializeOwned>(asked: Value) -> Result<T, Refusal> {
    serde_json::from_value(asked)
        .map_err(|e| Refusal::new("payload.wrong", format!("the request can't be read: {e}")))
}

/// A device by its name in topics, its name, its id or a former id.
fn found(home: &Arc<dyn Home>, asked: &str) -> Result<Arc<DeviceView>, Refusal> {
    let names = Names::of(&home.devices());
    let id = names.device(asked).map_or(asked, |id| id.as_str());
    Ok(home.device(id)?)
}

fn devices(home: &Arc<dyn Home>, Page { page, per_page }: Page) -> Result<Value, Refusal> {
    let per_page = per_page.clamp(1, PER_PAGE);
    let names = Names::of(&home.devices());
    let total = names.iter().count();
    let pages = total.div_ceil(per_page).max(1);
    if page == 0 || page > pages {
        return Err(Refusal::new("page.unknown", format!("there is no page {page}: there are 1 to {pages}")));
    }
    let shown = names.iter().skip((page - 1) * per_page).take(per_page);
    let devices: Vec<_> =
        shown.filter_map(|(name, id)| Some(described(&*home.device(id.as_str()).ok()?, name))).collect();
    Ok(json!({ "page": page, "pages": pages, "total": total, "devices": devices }))
}

fn permit_join(home: &Arc<dyn Home>, Join { time, device }: Join) -> Result<Value, Refusal> {
    if time > LONGEST_WINDOW {
        let said = format!("time takes 1 to {LONGEST_WINDOW} seconds, or 0 to close all windows, not {time}");
        return Err(Refusal::new("window.time", said));
    }
    if time == 0 {
        if device.is_some() {
            return Err(Refusal::new("window.time", "time 0 closes all windows, not that of one device")
                .hint("leave \"device\" out"));
        }
        home.close_windows();
        return Ok(json!({ "time": 0 }));
    }
    let until = home.now_ms() / 1_000 + time;
    home.open_window(Window { who: device.clone(), until })?;
    Ok(json!({ "time": time, "device": device, "until": until }))
}

/// Puts a backup into a new directory. It holds keys, so it goes to the disk and never over MQTT.
async fn backup(context: &Context) -> Result<Value, Refusal> {
    let nowhere = || {
        Refusal::new("bridge.not_supported", "no directory for backups is set")
            .hint("use the API or `landfall`")
    };
    let parent = context.backups.as_ref().ok_or_else(nowhere)?;
    let dir = parent.join(format!("mqtt-{}", context.home.now_ms()));
    let failed = |e: std::io::Error| Refusal::new("backup.failed", format!("{}: {e}", dir.display()));
    let existing = match std::fs::read_dir(parent) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("mqtt-"))
            .count(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(failed(e)),
    };
    if existing >= BACKUPS {
        let text = format!("there are {existing} backups in {} already", parent.display());
        return Err(Refusal::new("backup.too_many", text).hint("take them away first"));
    }
    private_dir(parent).and_then(|()| private_dir(&dir)).map_err(failed)?;
    let files = context.home.back_up(&dir).await?;
    Ok(json!({ "files": files }))
}

/// Backups that MQTT may leave on the disk: people's clients must not fill it.
const BACKUPS: usize = 5;

fn private_dir(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeHome, KEY_START, LIGHT, PLUG};

    async fn ask(home: &Arc<FakeHome>, verb: &str, payload: &str) -> Value {
        let home = Arc::clone(home) as Arc<dyn Home>;
        let context = Context { home, instance: "i".into(), run: "r".into(), backups: None };
        let answer = answer(context, verb.into(), payload.as_bytes().to_vec()).await;
        assert!(!answer.to_string().contains(KEY_START), "a key: {answer}");
        answer
    }

    #[tokio::test]
    async fn devices_are_renamed_by_any_of_their_names_and_the_transaction_comes_back() {
        let home = FakeHome::new();
        for (from, to) in [("Kitchen plug", "Oven"), ("Oven", "a+b"), ("a_b", "Last"), (PLUG, "Plug")] {
            let asked = json!({ "from": from, "to": to, "transaction": 23 }).to_string();
            let answer = ask(&home, "device/rename", &asked).await;
            assert_eq!(answer, json!({"status":"ok","data":{"from":from,"to":to},"transaction":23}));
            assert_eq!(home.device(PLUG).unwrap().facts.name, to);
        }
        let answer = ask(&home, "device/rename", r#"{"from":"nobody","to":"x","transaction":"t"}"#).await;
        assert_eq!((&answer["status"], &answer["code"]), (&json!("error"), &json!("device.unknown")));
        assert_eq!(answer["transaction"], json!("t"));
    }

    #[tokio::test]
    async fn options_and_removal_reach_the_home() {
        let home = FakeHome::new();
        let asked = json!({"id": LIGHT, "options": {"room": "Attic"}}).to_string();
        let answer = ask(&home, "device/options", &asked).await;
        assert_eq!(answer["data"]["to"], json!({"room": "Attic", "sleeper": false}));
        let answer =
            ask(&home, "device/options", &json!({"id": LIGHT, "options": {"key": "x"}}).to_string()).await;
        assert_eq!(answer["code"], "payload.wrong");
        assert_eq!(ask(&home, "device/remove", "Kitchen plug").await["status"], "ok");
        assert_eq!(
            ask(&home, "device/remove", &json!({"id": LIGHT, "forget": true}).to_string()).await["status"],
            "ok"
        );
        let did = home.take_did();
        assert_eq!(did[1..], [format!("remove {PLUG} forget=false"), format!("remove {LIGHT} forget=true")]);
    }

    #[tokio::test]
    async fn windows_open_for_a_bounded_time() {
        let home = FakeHome::new();
        let answer = ask(&home, "permit_join", r#"{"time":254}"#).await;
        let until = home.now_ms() / 1_000 + 254;
        assert_eq!(answer["data"], json!({"time":254,"device":null,"until":until}));
        assert_eq!(home.windows(), [Window { who: None, until }]);
        let one = r#"{"time":0,"device":"bf01"}"#;
        for wrong in [one, r#"{"time":3601}"#, r#"{"time":-1}"#, r#"{"time":"long"}"#, "true", ""] {
            assert_eq!(ask(&home, "permit_join", wrong).await["status"], "error", "{wrong}");
        }
        assert_eq!(home.windows().len(), 1);
        assert_eq!(ask(&home, "permit_join", r#"{"time":0}"#).await["status"], "ok");
        assert_eq!(home.windows(), []);
    }

    #[tokio::test]
    async fn devices_come_in_pages() {
        let home = FakeHome::new();
        let second = ask(&home, "devices", r#"{"page":2,"per_page":2}"#).await;
        assert_eq!((&second["data"]["pages"], &second["data"]["total"]), (&json!(2), &json!(3)));
        assert_eq!(second["data"]["devices"][0]["friendly_name"], "Kitchen plug");
        assert_eq!(ask(&home, "devices", "").await["data"]["devices"].as_array().map(Vec::len), Some(3));
        assert_eq!(ask(&home, "devices", r#"{"page":9}"#).await["code"], "page.unknown");
    }

    #[tokio::test]
    async fn what_can_not_be_done_says_so() {
        let home = FakeHome::new();
        assert_eq!(ask(&home, "health_check", "").await["data"]["run"], "r");
        assert_eq!(ask(&home, "restart", "").await["code"], "bridge.not_supported");
        assert_eq!(ask(&home, "backup", "").await["code"], "bridge.not_supported");
        let unknown = ask(&home, "make/coffee", "").await;
        assert!(unknown["hint"].as_str().unwrap().contains("permit_join"));
    }

    #[tokio::test]
    async fn backups_go_to_a_private_directory_and_do_not_fill_the_disk() {
        use std::os::unix::fs::PermissionsExt;
        let home = FakeHome::new();
        let data = tempfile::tempdir().unwrap();
        let backups = data.path().join("backups");
        let context = Context {
            home: Arc::clone(&home) as Arc<dyn Home>,
            instance: "i".into(),
            run: "r".into(),
            backups: Some(backups.clone()),
        };
        for n in 0..=BACKUPS {
            home.advance(std::time::Duration::from_secs(1));
            let answer = answer(context.clone(), "backup".into(), Vec::new()).await;
            if n == BACKUPS {
                assert_eq!(answer["code"], "backup.too_many");
            } else {
                let file = PathBuf::from(answer["data"]["files"][0].as_str().unwrap());
                let mode = file.parent().unwrap().metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o700);
            }
        }
    }
}
