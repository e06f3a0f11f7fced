//! A byte stream into raw frames (lan.md 1.5).

/// What was wrong with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// CRC32 of a 55AA frame.
    #[error("crc mismatch")]
    CrcMismatch,
}
