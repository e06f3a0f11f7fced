//! The words all parts of the hub share.

mod change;
mod command;
mod device;
mod energy;
mod home;
mod problem;

pub use change::{Change, Seq, What};
pub use command::{By, CommandId, CommandOptions, Ended, Outcome};
pub use device::{DeviceView, Facts, Line, LineState, LineView, PointView, Presence};
pub use energy::{Cost, EnergyView, MilliWattHours};
pub use home::{
    DefinitionEdit, Edit, Found, HeardBy, Home, HubStatus, Missing, NewDevice, Stranger, Verdict,
};
pub use landfall_proto::lan::session::Origin;
pub use problem::{Problem, ProblemKind};
