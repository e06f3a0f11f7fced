//! Devices, strangers and people against the server, in memory and under a clock that tests move.

mod commands;
mod fuzz;
mod kit;
mod limits;
mod login;
mod recorded;
mod reports;
mod rpc;
mod topics;
