//! The hub on real sockets, with virtual devices of `landfall-sim`.

mod away;
mod book;
mod cloud;
mod console;
mod energy;
mod lan;
mod world;
