//! The hub on real sockets, with virtual devices of `landfall-sim`.

mod book;
mod cloud;
mod console;
mod lan;
mod world;
