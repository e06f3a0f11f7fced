//! How things look as JSON. All times are milliseconds since 1970-01-01 UTC, in fields that end in `_ms`; durations too.

mod device;
mod history;
mod report;
mod request;
mod session;

pub use device::{
    DefinitionBody, DeviceBody, DeviceList, DpsBody, EnergyNow, LineBody, PointBody, PointMeaning,
    PresenceBody,
};
pub(in crate::api) use history::Scaling;
pub(in crate::api) use history::cost;
pub use history::{
    BarBody, EnergyBody, EventBody, EventList, HistoryBody, HomeEnergyBody, SampleBody, SeriesBody, ShareBody,
};
pub use report::{
    BackupBody, FoundBody, FreshBody, HealthBody, ImportBody, Imported, KeyBody, OutcomeBody, ScanBody,
    StateBody, StatusBody, StrangerBody, StrangerList, TokenBody, TokenList, VerdictBody, WindowBody,
    WindowList,
};
pub use request::{
    AddBody, CommandBody, EditBody, KeyText, PointEdit, PointValue, PointWords, TimerBody, TimersBody,
    TokenAsked, WindowAsked,
};
pub use session::{SessionBody, SignInBody};
