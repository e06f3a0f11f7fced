//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Watches for signals from this call on, inside a runtime; the future completes when somebody wants this process to
/// end. A signal that can't be watched keeps the system's own way of ending a process.
pub(crate) fn asked() -> impl Future<Output = ()> + Send {
    let (interrupt, terminate) = (watch(SignalKind::interrupt()), watch(SignalKind::terminate()));
    async move {
        tokio::select! {
            () = arrived(interrupt) => {}
            () = arrived(terminate) => {}
        }
    }
}

fn watch(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|e| tracing::warn!("signal {} can't be watched: {e}", kind.as_raw_value())).ok()
}

async fn arrived(signal: Option<Signal>) {
    if let Some(mut signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
