//! Energy that can be trusted: accounts that never fall, and notes of all that could make one doubt them.

mod account;
mod days;
mod early;
mod integrate;
mod ledger;
mod meter;

pub(super) use account::{Account, Heard, SavedAccount, SavedLine};
pub(super) use days::Calendar;
pub(super) use early::Early;

/// More than a house takes: three phases of 63 A are 43 kW. Milliwatts.
const MOST_MILLIWATTS: i64 = 50_000_000;

/// Something to be known when kWh are doubted: a stable word, and why.
pub(super) type Note = (&'static str, String);
