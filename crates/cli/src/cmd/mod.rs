//! The commands, one file each.

pub(crate) mod check_install;
pub(crate) mod cloud;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod man;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod set;
pub(crate) mod simulate;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod watch;
