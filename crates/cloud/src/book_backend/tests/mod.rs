//! Tests of the whole backend, over a book on disk.
