//! Diagnosis over real sockets.
