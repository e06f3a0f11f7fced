//! Scenarios on a virtual clock, and what holds for any sequence of actions.

mod commands;
mod energy;
mod fixture;
mod properties;
mod reports;
mod restart;
mod roster;
