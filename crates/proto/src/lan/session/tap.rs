//! A look at the frames of a session, decoded.

use core::fmt;

use super::super::command::Command;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Going {
    /// From the device.
    In,
    /// To the device.
    Out,
}

/// What a frame says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// Its body in clear. It may hold secrets.
    Body(&'a [u8]),
    /// A part of the negotiation, which session keys are made of: it is told to nobody.
    Negotiation,
    /// It is not under our key.
    Unreadable,
}

/// A frame, decoded.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Which way.
    pub going: Going,
    /// Command.
    pub command: Command,
    /// Sequence number.
    pub sequence: u32,
    /// The device's return code, if it sent one.
    pub retcode: Option<u32>,
    /// Bytes of the body in clear.
    pub bytes: usize,
    /// What it says.
    pub told: Told<'a>,
}

impl<'a> Frame<'a> {
    /// With this body, which is left out where it is part of the negotiation.
    pub(super) fn new(
        going: Going,
        command: Command,
        sequence: u32,
        retcode: Option<u32>,
        body: &'a [u8],
    ) -> Self {
        let negotiation = matches!(
            command,
            Command::SESS_KEY_NEG_START | Command::SESS_KEY_NEG_RESP | Command::SESS_KEY_NEG_FINISH
        );
        let told = if negotiation { Told::Negotiation } else { Told::Body(body) };
        Self { going, command, sequence, retcode, bytes: body.len(), told }
    }
}

/// Whoever looks at a session's frames. It must not wait.
pub trait Tap: fmt::Debug + Send + Sync {
    /// Whether anybody looks now: nothing is told otherwise.
    fn wanted(&self) -> bool;

    /// Takes a frame.
    fn frame(&self, frame: &Frame<'_>);
}
