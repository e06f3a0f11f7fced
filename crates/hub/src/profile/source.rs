//! Where a fact about a point came from.

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
