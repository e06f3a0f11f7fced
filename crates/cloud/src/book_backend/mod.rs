//! book_backend
