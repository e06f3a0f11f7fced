//! The one file that names ciphers.
