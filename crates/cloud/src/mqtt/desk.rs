//! From the payload of a publish to a typed message: envelope, key, content. No sockets, no clock, no waiting.
//!
//! What an envelope proves. A report counts only if it is under the device's local key. 2.1 says so by a signature over
//! cipher and key, 2.3 by an authenticated cipher. 2.2 has no such thing: its checksum has no key in it, so that all
//! there is to tell by is that the content decrypts to blocks with a right padding and a JSON object that is a message.
//! By chance that does not happen, so a stranger without the key makes no report up; but who recorded messages of 2.2
//! may cut and join their 16-byte blocks, and once in a while such a text is a message. TLS is what
//! protects such devices. For this reason a device that is known to speak 2.1 or 2.3 is not heard in 2.2.

use std::sync::Arc;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::mqtt::content::Answer;
use landfall_proto::mqtt::{
    Codec, Content, Envelope, EnvelopeError, Message, MessageError, Protocol, Sealed, Stamp,
};

use crate::backend::Registration;

/// A scratch buffer of more than this is not kept from message to message.
const SCRATCH: usize = 1_024;

/// What a device said.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// In which envelope.
    pub envelope: Envelope,
    /// Sequence and source; of 2.1, `s` as the sequence of a device.
    pub stamp: Option<Stamp>,
    /// Whether it was under the pending key, which is used for the first time with this.
    pub pending: bool,
    /// The device's clock.
    pub t: Option<u64>,
    /// What.
    pub said: Said,
}

/// The messages of devices (cloud.md 4.7).
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// 4: points, typed as the product's schema says.
    Report {
        /// The sub-device.
        cid: Option<Cid>,
        /// The points.
        dps: Dps,
        /// When single points changed, seconds since 1970.
        times: Vec<(DpId, u64)>,
    },
    /// 16: how far a download is.
    Progress {
        /// Percent.
        percent: u8,
    },
    /// 23: an answer to a question other than for points.
    Answer(Answer),
    /// 26: a command arrived.
    Acknowledged {
        /// Which.
        ack_id: String,
    },
    /// 45: a log was uploaded.
    LogUploaded,
    /// Any other number: nothing is known to do about it.
    Other(Protocol),
}

/// Why a payload does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No local key of the device is known.
    #[error("no local key of the device is known")]
    NoKey,
    /// No envelope, a damaged one, or one under another key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The device is known to use an envelope that proves more.
    #[error("envelope {got} of a device that uses {known}: anybody could have made it of recorded messages")]
    Weaker {
        /// This one.
        got: Envelope,
        /// The device's.
        known: Envelope,
    },
    /// Under the device's key, but no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// It names another device.
    #[error("the report names the device {0}")]
    Foreign(DeviceId),
}

impl DeskError {
    /// The code that it is told by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "envelope.no_key",
            Self::Envelope(e) if e.blames_the_key() => "envelope.key",
            Self::Envelope(EnvelopeError::BadSignature) => "envelope.signature",
            Self::Envelope(_) => "envelope.malformed",
            Self::Weaker { .. } => "envelope.weaker",
            Self::Message(_) => "message.malformed",
            Self::Foreign(_) => "message.foreign",
        }
    }
}

/// A key with its expanded schedule, made when the first message comes.
#[derive(Debug, Default)]
struct Lock(Option<(LocalKey, Box<Codec>)>);

impl Lock {
    fn codec(&mut self, key: &LocalKey) -> &Codec {
        if !self.0.as_ref().is_some_and(|(known, _)| known == key) {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (key.clone(), Box::new(Codec::new(key.expose())))).1
    }
}

/// The desk of one device.
#[derive(Debug, Default)]
pub struct Desk {
    current: Lock,
    pending: Lock,
    scratch: Vec<u8>,
    /// The pending key is the one that the device uses.
    on_pending: bool,
    /// What the last message said, while somebody looks.
    text: Option<Vec<u8>>,
}

impl Desk {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The device showed by its password that it has the pending keys.
    pub fn expect_pending(&mut self) {
        self.on_pending = true;
    }

    /// What the last message said, if it was read by [`read_and_keep`](Self::read_and_keep).
    pub(super) fn take_text(&mut self) -> Option<Vec<u8>> {
        self.text.take()
    }

    /// As [`read`](Self::read), and keeps what the message says for [`take_text`](Self::take_text).
    pub(super) fn read_and_keep(
        &mut self,
        device: &Arc<Registration>,
        client: &DeviceId,
        payload: &[u8],
    ) -> Result<Heard, DeskError> {
        self.text = Some(Vec::new());
        let read = self.read(device, client, payload);
        if read.is_err() {
            self.text = None;
        }
        read
    }

    /// Opens, verifies and reads a payload that the client `client` of the registered device published as its own.
    ///
    /// # Errors
    /// Damaged, under a key that is not the device's, no message, or in another device's name.
    pub fn read(
        &mut self,
        device: &Arc<Registration>,
        client: &DeviceId,
        payload: &[u8],
    ) -> Result<Heard, DeskError> {
        let read = self.open(device, client, payload);
        if self.scratch.capacity() > SCRATCH {
            self.scratch = Vec::new();
        }
        if let Ok(heard) = &read {
            self.on_pending = heard.pending;
        }
        read
    }

    fn open(&mut self, device: &Registration, client: &DeviceId, payload: &[u8]) -> Result<Heard, DeskError> {
        let Self { current, pending, scratch, on_pending, text } = self;
        let locks = [(device.keys.as_ref(), current, false), (device.pending.as_ref(), pending, true)];
        let mut failed = DeskError::NoKey;
        // The key in use first; the other one is tried when the first is to blame.
        let (first, second) = if *on_pending { (1, 0) } else { (0, 1) };
        let mut locks = locks.map(Some);
        for at in [first, second] {
            let Some((Some(keys), lock, is_pending)) = locks[at].take() else { continue };
            let sealed = Sealed::parse(payload, scratch)?;
            let got = sealed.envelope();
            match lock.codec(&keys.local).open(sealed) {
                Ok(opened) => {
                    if let Some(known) = device.envelope
                        && got == Envelope::V2_2
                        && known != got
                    {
                        return Err(DeskError::Weaker { got, known });
                    }
                    let message = Message::parse(opened.json)?;
                    if let Some(text) = text {
                        text.extend_from_slice(opened.json);
                    }
                    return heard(device, client, got, opened.stamp, is_pending, message);
                }
                Err(e) if e.blames_the_key() => failed = e.into(),
                Err(e) => return Err(e.into()),
            }
        }
        Err(failed)
    }

    /// The codec of the key that the device uses, to seal what we send, as far as any key is known.
    pub fn codec(&mut self, device: &Registration) -> Option<&Codec> {
        let (current, pending) = (device.keys.as_ref(), device.pending.as_ref());
        match (current, pending) {
            (_, Some(keys)) if self.on_pending => Some(self.pending.codec(&keys.local)),
            (Some(keys), _) => Some(self.current.codec(&keys.local)),
            (None, Some(keys)) => Some(self.pending.codec(&keys.local)),
            (None, None) => None,
        }
    }
}

fn heard(
    device: &Registration,
    client: &DeviceId,
    envelope: Envelope,
    stamp: Option<Stamp>,
    pending: bool,
    message: Message,
) -> Result<Heard, DeskError> {
    let Message { t, s, content, .. } = message;
    let counted = s.and_then(|s| u32::try_from(s).ok()).map(Stamp::device);
    let stamp = stamp.or_else(|| counted.filter(|_| envelope == Envelope::V2_1));
    let said = match content {
        Content::Report(report) => {
            if let Some(named) = report.dev_id
                && named != *client
                && named != device.id
            {
                return Err(DeskError::Foreign(named));
            }
            let mut dps = report.dps;
            device.schema.refine(&mut dps);
            Said::Report { cid: report.cid, dps, times: report.times }
        }
        Content::Progress(progress) => Said::Progress { percent: progress.percent },
        Content::Answer(answer) => Said::Answer(answer),
        Content::Acknowledged(ack) => Said::Acknowledged { ack_id: ack.ack_id },
        content if content.protocol() == Protocol::LOG_UPLOADED => Said::LogUploaded,
        content => Said::Other(content.protocol()),
    };
    Ok(Heard { envelope, stamp, pending, t, said })
}
