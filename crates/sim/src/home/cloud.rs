//! `[device.cloud]`: the cloud side of a device.

use core::time::Duration;

use landfall_proto::id::{AuthKey, CloudKeyError, PskKey, SecKey, Uuid};

use super::HomeError;
use super::identity::Factory;
use super::reader::Reader;
use crate::cloud::{CloudSpec, Generation, Pairing, PskMode};

/// Reads the table. What it does not give is drawn from the seed.
pub(super) fn cloud(mut r: Reader<'_>, factory: Factory) -> Result<CloudSpec, HomeError> {
    let words = Generation::ALL.map(|g| (g.as_str(), g));
    let Some(generation) = r.word("generation", &words)? else {
        return Err(r.error("generation", "is missing: \"A\", \"B\" or \"C\""));
    };
    let uuid = r.parsed::<Uuid>("uuid")?.unwrap_or(factory.uuid);
    let auth_key = key(&mut r, "auth_key", AuthKey::new)?.unwrap_or(factory.auth_key);
    let mut spec = CloudSpec::new(generation, uuid, auth_key);
    spec.psk = match r.number("psk", 0..=2)? {
        None => spec.psk,
        Some(0) => PskMode::Off,
        Some(n) if generation == Generation::A => {
            return Err(r.error("psk", format!("generation A speaks no TLS, so no type {n}")));
        }
        Some(1) => PskMode::Type1,
        Some(_) => PskMode::Type2,
    };
    let psk_key = key(&mut r, "psk_key", PskKey::new)?;
    if psk_key.is_some() && spec.psk != PskMode::Type2 {
        return Err(r.error("psk_key", "is of use with psk = 2 only"));
    }
    spec.psk_key = (spec.psk == PskMode::Type2).then(|| psk_key.unwrap_or(factory.psk_key));
    let sec_key = key(&mut r, "sec_key", SecKey::new)?;
    spec.pairing = pairing(&mut r)?;
    let activated = r.flag("activated")?.unwrap_or(spec.pairing.is_none());
    if activated && spec.pairing.is_some() {
        return Err(r.error("token", "is for devices that are not activated"));
    }
    if !activated && sec_key.is_some() {
        return Err(r.error("sec_key", "is for devices that are activated"));
    }
    spec.sec_key = activated.then(|| sec_key.unwrap_or(factory.sec_key));
    if let Some(software) = r.text("software")? {
        if !(1..=10).contains(&software.len()) {
            return Err(r.error("software", "takes a version of 1 to 10 characters, like 1.0.0"));
        }
        spec.software = software;
    }
    if let Some(seconds) = r.number("wake_every_s", 60..=7 * 86_400)? {
        spec.wake_every = Duration::from_secs(seconds);
    }
    r.finish()?;
    Ok(spec)
}

fn key<T>(
    r: &mut Reader<'_>,
    field: &'static str,
    take: impl FnOnce(String) -> Result<T, CloudKeyError>,
) -> Result<Option<T>, HomeError> {
    match r.secret(field)? {
        None => Ok(None),
        Some(text) => take(text).map(Some).map_err(|e| r.error(field, e.to_string())),
    }
}

fn pairing(r: &mut Reader<'_>) -> Result<Option<Pairing>, HomeError> {
    let region = r.text("region")?;
    let Some(token) = r.secret("token")? else {
        return match region {
            Some(_) => Err(r.error("region", "comes with a token")),
            None => Ok(None),
        };
    };
    let pairing = Pairing::new(region.as_deref().unwrap_or("EU"), &token);
    pairing.map(Some).map_err(|e| r.error("token", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn home(cloud: &str) -> Result<Home, String> {
        let text = format!("[[device]]\nname = \"Fridge\"\nkind = \"plug\"\ncloud = {{ {cloud} }}");
        Home::parse(&text, "my.toml").map_err(|e| e.to_string())
    }

    fn spec(cloud: &str) -> CloudSpec {
        home(cloud).unwrap().devices.remove(0).spec.cloud.unwrap()
    }

    #[test]
    fn a_letter_is_enough_and_everything_can_be_given() {
        let short = spec(r#"generation = "C""#);
        assert_eq!((short.generation, short.psk), (Generation::C, PskMode::Type1));
        assert!(short.sec_key.is_some() && short.pairing.is_none() && short.psk_key.is_none());
        assert_eq!(short.auth_key, spec(r#"generation = "C""#).auth_key, "drawn from the seed");
        assert_eq!(spec(r#"generation = "A""#).psk, PskMode::Off);
        let full = spec(
            r#"generation = "B", psk = 2, uuid = "uuidtest0001abcd", auth_key = "Abcdefgh01234567Ijklmnop89abcdef",
               psk_key = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr", region = "UE", token = "AbCdEfGh",
               software = "1.1.71", wake_every_s = 600"#
            .replace('\n', " ")
            .as_str(),
        );
        assert_eq!((full.psk, full.uuid.as_str()), (PskMode::Type2, "uuidtest0001abcd"));
        assert_eq!(full.pairing, Pairing::new("UE", "AbCdEfGh").ok());
        assert!(full.sec_key.is_none());
        assert_eq!((full.software.as_str(), full.wake_every), ("1.1.71", Duration::from_secs(600)));
    }

    #[test]
    fn errors_name_the_field_and_show_no_secret() {
        for (cloud, want) in [
            ("psk = 1", "cloud.generation: is missing"),
            (r#"generation = "Z""#, "cloud.generation: unknown word \"Z\""),
            (r#"generation = "A", psk = 1"#, "cloud.psk: generation A speaks no TLS"),
            (r#"generation = "C", auth_key = "hush""#, "cloud.auth_key: an auth key has"),
            (
                r#"generation = "C", token = "hush hush""#,
                "cloud.token: a token has 1 to 8 letters and digits",
            ),
            (
                r#"generation = "C", token = "hushhush", activated = true"#,
                "cloud.token: is for devices that are not",
            ),
            (r#"generation = "C", sec_key = "hushhushhushhush", activated = false"#, "cloud.sec_key: is for"),
            (
                r#"generation = "C", psk_key = "hushhushhushhush""#,
                "cloud.psk_key: is of use with psk = 2 only",
            ),
            (r#"generation = "C", region = "EU""#, "cloud.region: comes with a token"),
            (r#"generation = "C", uid = "x""#, "cloud.uid: unknown field; did you mean \"uuid\"?"),
        ] {
            let error = home(cloud).unwrap_err();
            assert!(error.contains(want) && !error.contains("hush"), "{cloud}: {error}");
        }
    }
}
