//! Where a fact about a point came from.

use std::fmt;

/// Where a fact came from. Later ones win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Guessed, by this rule.
    Guess(String),
    /// What the device was told, or told, at its activation.
    Activation,
    /// tinytuya's `mapping` in the book.
    Mapping,
    /// Tuya's thing model, given by the owner.
    ThingModel,
    /// A device file of tuya-local in the owner's checkout.
    TuyaLocal(String),
    /// A profile of this program.
    Profile(String),
    /// The owner said so.
    Owner,
}

impl Source {
    /// Its stable word: `guess`, `activation`, `mapping`, `thing_model`, `tuya_local`, `profile`, `owner`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Guess(_) => "guess",
            Self::Activation => "activation",
            Self::Mapping => "mapping",
            Self::ThingModel => "thing_model",
            Self::TuyaLocal(_) => "tuya_local",
            Self::Profile(_) => "profile",
            Self::Owner => "owner",
        }
    }

    /// Its place among the others, whatever rule or file it names.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Guess(_) => 0,
            Self::Activation => 1,
            Self::Mapping => 2,
            Self::ThingModel => 3,
            Self::TuyaLocal(_) => 4,
            Self::Profile(_) => 5,
            Self::Owner => 6,
        }
    }

    /// The rule or file, where there is one.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Guess(t) | Self::TuyaLocal(t) | Self::Profile(t) => Some(t),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    /// For people: `guess: by its value`, `profile: plug-66z.toml`, `owner`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self.detail() {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}
