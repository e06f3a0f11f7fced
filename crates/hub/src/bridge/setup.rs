//! From the settings to a running bridge.

use std::path::Path;
use std::sync::Arc;

use landfall_cloud::people::Broker as People;

use super::discovery::{self, form::Form};
use super::external::{self, Tls};
use super::mqtt::{Bridge, Config, instance, will};
use super::{embedded, topics::Topics};
use crate::model::{Home, Problem, ProblemKind};
use crate::settings::{MqttBroker, MqttDiscovery, MqttSettings, place};

/// Starts the bridge that the settings ask for. `people`: the cloud's broker, where the cloud runs. `None`: there is no
/// bridge, because it is switched off, or because it was left on its default and the cloud is off.
///
/// # Errors
/// `mqtt.base`, `mqtt.file`, `mqtt.broker`: a setting is wrong or a file can't be read.
pub async fn start(
    settings: &MqttSettings,
    data_dir: &Path,
    home: Arc<dyn Home>,
    people: Option<Arc<dyn People>>,
) -> Result<Option<Bridge>, Problem> {
    let base = settings.base.as_str();
    let wrong = |message: String| Problem::new(ProblemKind::Asked, "mqtt.base", message);
    Topics::new(base).map_err(|e| wrong(e.to_string()))?;
    let form = match settings.discovery {
        MqttDiscovery::Device => Some(Form::Device),
        MqttDiscovery::Entity => Some(Form::Entity),
        MqttDiscovery::Off => None,
    };
    let prefix = settings.discovery_prefix.as_str();
    if form.is_some() {
        discovery::check_prefix(prefix, base)
            .map_err(|e| Problem::new(ProblemKind::Asked, "mqtt.discovery_prefix", e.to_string()))?;
    }
    let birth = discovery::birth_topic(prefix, base);
    let connection = match (settings.broker, people) {
        (MqttBroker::Off, _) => return Ok(None),
        (MqttBroker::Embedded, None) => {
            tracing::info!("the cloud is off, and with it the broker for MQTT clients");
            return Ok(None);
        }
        (MqttBroker::Embedded, Some(people)) => {
            embedded::connect(people, base, birth).await.map_err(|e| {
                Problem::new(ProblemKind::Ours, "mqtt.broker", format!("no MQTT on the cloud's broker: {e}"))
            })?
        }
        (MqttBroker::External, _) => {
            let will = will(base).map_err(|e| wrong(e.to_string()))?;
            external::connect(&broker(settings, data_dir)?, &will)
                .map_err(|e| Problem::new(ProblemKind::Ours, "mqtt.random", e.to_string()))?
        }
    };
    let instance = instance(data_dir).map_err(|e| file_problem(&data_dir.join("mqtt-instance"), &e))?;
    let config = Config {
        base: base.to_owned(),
        raw_points: settings.raw_points,
        instance,
        backups: Some(data_dir.join("backups")),
        discovery: discovery::Settings {
            form,
            prefix: prefix.to_owned(),
            file: Some(data_dir.join("mqtt-discovery.json")),
        },
    };
    Bridge::start(config, home, connection).map(Some)
}

/// The owner's broker, with password and authority read from their files.
fn broker(settings: &MqttSettings, data_dir: &Path) -> Result<external::Broker, Problem> {
    let read = |path: &Path| {
        let path = place(path, data_dir);
        std::fs::read_to_string(&path).map_err(|e| file_problem(&path, &e))
    };
    let login = if settings.user.is_empty() {
        None
    } else {
        let password = match settings.password_file.as_os_str().is_empty() {
            true => String::new(),
            false => read(&settings.password_file)?.trim_end_matches(['\r', '\n']).to_owned(),
        };
        Some((settings.user.clone(), password))
    };
    let tls = match (settings.tls, settings.ca_file.as_os_str().is_empty()) {
        (false, _) => Tls::Off,
        (true, true) => Tls::System,
        (true, false) => {
            let pem = read(&settings.ca_file)?;
            if pem.matches("-----BEGIN CERTIFICATE-----").count() != 1 {
                let text = format!("{} holds not exactly one certificate", settings.ca_file.display());
                return Err(Problem::new(ProblemKind::Asked, "mqtt.file", text)
                    .hint("`ca_file` under [mqtt] takes the broker's authority alone, as PEM"));
            }
            Tls::Authority(pem.into_bytes())
        }
    };
    Ok(external::Broker { host: settings.host.clone(), port: settings.port, login, tls })
}

fn file_problem(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(ProblemKind::Asked, "mqtt.file", format!("{}: {error}", path.display()))
        .hint("check the file that is named under [mqtt], and that this user may read it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHome;

    fn settings(change: impl FnOnce(&mut MqttSettings)) -> MqttSettings {
        let mut settings = MqttSettings { broker: MqttBroker::External, ..MqttSettings::default() };
        change(&mut settings);
        settings
    }

    #[test]
    fn secrets_come_from_files_and_show_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (password, ca) = (dir.path().join("password"), dir.path().join("ca.pem"));
        std::fs::write(&password, "s3cret \n").unwrap();
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let found = broker(
            &settings(|s| {
                (s.user, s.password_file) = ("ann".into(), password);
                (s.tls, s.ca_file) = (true, ca.clone());
            }),
            dir.path(),
        );
        let found = found.unwrap();
        assert_eq!(found.login, Some(("ann".into(), "s3cret ".into())));
        assert!(matches!(found.tls, Tls::Authority(_)));
        assert!(!format!("{found:?}").contains("s3cret"));
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n".repeat(2)).unwrap();
        let two = broker(&settings(|s| (s.tls, s.ca_file) = (true, ca)), dir.path()).unwrap_err();
        assert_eq!(two.code, "mqtt.file");
        let missing =
            broker(&settings(|s| (s.user, s.password_file) = ("a".into(), "/no/where".into())), dir.path());
        assert!(missing.unwrap_err().message.contains("/no/where"));
    }

    #[tokio::test]
    async fn no_bridge_where_none_is_wanted_and_no_wrong_base() {
        let dir = tempfile::tempdir().unwrap();
        let started = async |s: &MqttSettings| start(s, dir.path(), FakeHome::new(), None).await;
        assert!(started(&settings(|s| s.broker = MqttBroker::Off)).await.unwrap().is_none());
        assert!(
            started(&MqttSettings::default()).await.unwrap().is_none(),
            "without a cloud there is no broker"
        );
        let wrong = started(&settings(|s| s.base = "a/#".into())).await.unwrap_err();
        assert_eq!(wrong.code, "mqtt.base");
        for prefix in ["", "a/#", "landfall", "landfall/ha"] {
            let wrong = started(&settings(|s| s.discovery_prefix = prefix.into())).await.unwrap_err();
            assert_eq!(wrong.code, "mqtt.discovery_prefix", "{prefix}");
            assert!(wrong.message.contains(&format!("{prefix:?}")), "{}", wrong.message);
        }
    }
}
