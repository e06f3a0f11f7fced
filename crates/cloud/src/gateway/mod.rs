//! HTTP: name service, actions, firmware images.

use std::sync::Arc;

use crate::listen::{Link, Stream};
use crate::shared::Shared;

pub mod actions;

/// Serves one HTTP/1.1 connection until it ends. Everything that arrives is answered or closed.
pub async fn serve<S: Stream>(_shared: Arc<Shared>, _stream: S, _link: Link) {}
