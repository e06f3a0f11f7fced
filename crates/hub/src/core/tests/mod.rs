//! Scenarios on a virtual clock, and what holds for any sequence of actions.

mod commands;
mod fixture;
mod reports;
