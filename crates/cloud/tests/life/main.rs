//! Whole lives of virtual devices in the stand-in cloud, generations A, B and C, on a clock that runs as fast as the
//! machine: boot, activation, days of reports and commands, timers, firmware, reset, lost connections, a killed server.
//!
//! The devices are `landfall-sim`'s, which share the codecs with the cloud and nothing else. What they journal is the
//! truth that the cloud's claims are held against; one thing must never stand there: a device that was made to forget
//! its owner by mistake.

mod cuts;
mod days;
mod house;
mod lives;
