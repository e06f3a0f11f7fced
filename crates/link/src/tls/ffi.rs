//! What the Rust binding of OpenSSL lacks. The only file of the workspace with `unsafe` in it; a test keeps it so.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl_sys as sys;

/// `SSL_CTRL_SET_MAX_SEND_FRAGMENT` of `openssl/ssl.h`.
const SET_MAX_SEND_FRAGMENT: c_int = 52;

unsafe extern "C" {
    /// `openssl/ssl.h`; copies the hint, 0 means failure.
    fn SSL_CTX_use_psk_identity_hint(context: *mut sys::SSL_CTX, hint: *const c_char) -> c_int;
}

/// The hint that goes out in ServerKeyExchange.
pub(super) fn set_psk_identity_hint(context: &mut SslContextBuilder, hint: &CStr) -> Result<(), ErrorStack> {
    // SAFETY: the context lives, and is ours alone while it is being built; the hint ends with a zero and is copied.
    match unsafe { SSL_CTX_use_psk_identity_hint(context.as_ptr(), hint.as_ptr()) } {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// The longest plain text of a record that we send, 512 to 16,384 bytes.
pub(super) fn set_max_send_fragment(context: &mut SslContextBuilder, bytes: u16) -> Result<(), ErrorStack> {
    // SAFETY: as above; this control takes a number and no pointer.
    match unsafe {
        sys::SSL_CTX_ctrl(context.as_ptr(), SET_MAX_SEND_FRAGMENT, c_long::from(bytes), ptr::null_mut())
    } {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// The content of an extension of the client's hello. Only inside the client hello callback; elsewhere `None`.
pub(super) fn client_hello_extension(ssl: &SslRef, kind: u16) -> Option<&[u8]> {
    let mut out = ptr::null();
    let mut len = 0;
    // SAFETY: `ssl` lives. OpenSSL answers 0 outside the callback, and otherwise points into the hello, which it keeps
    // until the callback is over; the borrow of `ssl` cannot outlive that.
    unsafe {
        if sys::SSL_client_hello_get0_ext(ssl.as_ptr(), c_uint::from(kind), &mut out, &mut len) != 1 {
            return None;
        }
        if len == 0 || out.is_null() {
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(out, len))
    }
}
