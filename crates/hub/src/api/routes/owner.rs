//! What the owner does with the hub: activation windows, tokens, back-ups.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use landfall_cloud::control::Window;

use super::{Answered, Home};
use crate::api::answer::Answer;
use crate::api::body::{BackupBody, FreshBody, TokenAsked, TokenList, WindowAsked, WindowList};
use crate::api::extract::{JsonBody, Path};

/// Back-ups that are kept: the oldest of ours make room.
const BACKUPS: usize = 30;

/// Open activation windows.
#[utoipa::path(get, path = "/api/v1/windows", security(("bearer" = ["read"])),
    responses((status = 200, description = "They.", body = WindowList)))]
pub(super) async fn windows(State(shared): Home) -> Json<WindowList> {
    Json(WindowList { windows: shared.home.windows().into_iter().map(Into::into).collect() })
}

/// Answers activations for a while.
#[utoipa::path(post, path = "/api/v1/windows", security(("bearer" = ["admin"])), request_body = WindowAsked,
    responses((status = 201, description = "All that are open now.", body = WindowList)))]
pub(super) async fn open_window(
    State(shared): Home,
    JsonBody(asked): JsonBody<WindowAsked>,
) -> Answered<(StatusCode, Json<WindowList>)> {
    if !(10..=86_400).contains(&asked.seconds) {
        let said = format!("a window is open for 10 to 86400 seconds, not {}", asked.seconds);
        return Err(Answer::asked(StatusCode::UNPROCESSABLE_ENTITY, "window.seconds", said));
    }
    if asked.who.as_ref().is_some_and(|w| w.is_empty() || w.len() > 64) {
        return Err(Answer::asked(
            StatusCode::UNPROCESSABLE_ENTITY,
            "window.who",
            "`who` is a uuid or a device id",
        ));
    }
    shared.home.open_window(Window { who: asked.who, until: shared.now_s() + asked.seconds })?;
    Ok((StatusCode::CREATED, windows(State(shared)).await))
}

/// Closes all activation windows before their time.
#[utoipa::path(delete, path = "/api/v1/windows", security(("bearer" = ["admin"])),
    responses((status = 204, description = "None is open any more.")))]
pub(super) async fn close_windows(State(shared): Home) -> StatusCode {
    shared.home.close_windows();
    StatusCode::NO_CONTENT
}

/// All tokens, without what proves them.
#[utoipa::path(get, path = "/api/v1/tokens", security(("bearer" = ["admin"])),
    responses((status = 200, description = "They.", body = TokenList)))]
pub(super) async fn tokens(State(shared): Home) -> Json<TokenList> {
    Json(TokenList { tokens: shared.tokens.list().into_iter().map(Into::into).collect() })
}

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", security(("bearer" = ["admin"])), request_body = TokenAsked,
    responses((status = 201, description = "The token: keep it out of logs.", body = FreshBody)))]
pub(super) async fn create_token(
    State(shared): Home,
    JsonBody(asked): JsonBody<TokenAsked>,
) -> Answered<Response> {
    let made = blocking(move || {
        let expires_s = asked.expires_ms.map(|ms| ms / 1_000);
        shared.tokens.create(&asked.name, asked.scope, expires_s, shared.now_s())
    });
    let fresh = made.await??;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(FreshBody::from(fresh))).into_response())
}

/// Takes a token away; its streams end.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", security(("bearer" = ["admin"])),
    params(("token" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "It is worth nothing any more.")))]
pub(super) async fn revoke_token(State(shared): Home, Path(token): Path<String>) -> Answered<StatusCode> {
    blocking(move || shared.tokens.revoke(&token)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs what waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answered<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Answer::ours("internal", format!("it was not done: {e}")))
}

/// Writes a back-up into the data directory, while running. The last thirty are kept.
#[utoipa::path(post, path = "/api/v1/backup", security(("bearer" = ["admin"])),
    responses((status = 201, description = "What was written.", body = BackupBody)))]
pub(super) async fn back_up(State(shared): Home) -> Answered<(StatusCode, Json<BackupBody>)> {
    let Ok(_one) = shared.backup.try_lock() else {
        return Err(Answer::asked(StatusCode::CONFLICT, "backup.running", "a back-up is being written"));
    };
    let home = Arc::clone(&shared.home);
    let all = shared.data_dir.join("backups");
    let millis = i64::try_from(home.now_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let name = millis.unwrap_or_default().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let dir = {
        let all = all.clone();
        blocking(move || make(&all, &name)).await?.map_err(|e| failed(&e))?
    };
    let written = match home.back_up(&dir).await {
        Ok(files) => files,
        Err(problem) => {
            // Half a back-up would be taken for one.
            let half = dir.clone();
            if let Err(e) = blocking(move || std::fs::remove_dir_all(half)).await? {
                tracing::warn!("{} is half a back-up and can't be removed: {e}", dir.display());
            }
            return Err(problem.into());
        }
    };
    blocking(move || prune(&all)).await?.map_err(|e| failed(&e))?;
    let file = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned());
    let body = BackupBody {
        directory: dir.strip_prefix(&shared.data_dir).unwrap_or(&dir).display().to_string(),
        files: written.iter().filter_map(file).collect(),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

fn failed(e: &std::io::Error) -> Answer {
    Answer::ours("backup.failed", format!("the back-up can't be written: {e}"))
}

fn make(all: &FilePath, name: &str) -> std::io::Result<PathBuf> {
    let mut private = std::fs::DirBuilder::new();
    private.mode(0o700);
    if !all.exists() {
        private.create(all)?;
    }
    // Two in one millisecond, or a clock that went back.
    for n in 0_u32.. {
        let dir = if n == 0 { all.join(name) } else { all.join(format!("{name}-{n}")) };
        match private.create(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && n < 1_000 => {}
            other => return other.map(|()| dir),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// Removes the oldest directories that are named as ours are, down to [`BACKUPS`].
fn prune(all: &FilePath) -> std::io::Result<()> {
    let mut ours = Vec::new();
    for entry in std::fs::read_dir(all)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stamp = name.split('-').next().unwrap_or_default();
        let shape = stamp.len() == 19 && stamp.ends_with('Z') && stamp.as_bytes()[8] == b'T';
        if shape && entry.file_type()?.is_dir() {
            ours.push(name);
        }
    }
    ours.sort();
    for old in ours.iter().take(ours.len().saturating_sub(BACKUPS)) {
        std::fs::remove_dir_all(all.join(old))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().join("backups");
        for n in 0..BACKUPS + 2 {
            make(&all, &format!("20260301T1200{n:02}000Z")).unwrap();
        }
        assert_eq!(make(&all, "20260301T120031000Z").unwrap(), all.join("20260301T120031000Z-1"));
        std::fs::create_dir(all.join("2026 before the move, keep")).unwrap();
        prune(&all).unwrap();
        assert!(!all.join("20260301T120002000Z").exists() && all.join("20260301T120003000Z").exists());
        assert!(all.join("2026 before the move, keep").exists());
        assert_eq!(std::fs::read_dir(&all).unwrap().count(), BACKUPS + 1);
    }
}
