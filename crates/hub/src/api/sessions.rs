//! Sessions of browsers: a cookie in place of a token, so that no script of the page ever holds one.
//!
//! The cookie is `ID_SECRET`, twelve and sixty-four hexadecimal digits. `<data>/sessions.json` (0600) holds digests only, so
//! that a restart signs nobody out and the file signs nobody in. A session ends with its token, when it is signed out, and
//! after thirty days without use. What a page must send with each change (see [`Sessions::proof`]) follows from the cookie's
//! secret, which another site's page can't read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use cookie::Cookie;
use landfall_book::Digest;
use landfall_book::digest::SALT;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::private;
use super::tokens::{Caller, TokenInfo, Tokens, TokensError};

/// The cookie's name.
pub(super) const COOKIE: &str = "landfall_session";
/// Sessions of one token; the one that was not used for longest makes room.
const PER_TOKEN: usize = 32;
/// A session that was not used for so long is over.
pub(super) const UNUSED_S: u64 = 30 * 86_400;
/// "Last used" is kept by the hour, as of tokens.
const COARSE_S: u64 = 3_600;
/// The schema of `sessions.json`.
const SCHEMA: u32 = 1;
/// Longest wait between looks at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(60);
/// Keeps the proof apart from the digest that is stored.
const PROOF: [u8; SALT] = *b"proof of a page.";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    /// The id of its token.
    token: String,
    created_s: u64,
    used_s: u64,
    digest: Digest,
}

impl Kept {
    fn over(&self, now_s: u64) -> bool {
        now_s >= self.used_s.saturating_add(UNUSED_S)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    schema: u32,
    sessions: Vec<Kept>,
}

/// A session, and what its browser is told.
#[derive(Clone)]
pub(super) struct Open {
    /// The token it is bound to.
    pub(super) token: TokenInfo,
    /// What the page sends with each change.
    pub(super) csrf: String,
    /// When it is over unless it is used before, seconds since 1970.
    pub(super) expires_s: u64,
    /// The cookie's value.
    pub(super) cookie: String,
}

/// Why a cookie opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// There is no such session, or not any more.
    Over,
    /// There is, and this is not its secret.
    Wrong,
}

/// All sessions of a home.
#[derive(Debug)]
pub(super) struct Sessions {
    path: PathBuf,
    tokens: Arc<Tokens>,
    kept: Mutex<Vec<Kept>>,
    /// Some were used, and the disk does not know.
    unwritten: AtomicBool,
    /// Counts what was ended, for streams that have to end with it.
    ended: watch::Sender<u64>,
}

impl Sessions {
    /// The sessions of this data directory. A damaged file is told and costs no more than signing in again.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn open(dir: &Path, tokens: Arc<Tokens>) -> Result<Self, TokensError> {
        let path = dir.join("sessions.json");
        let kept = match fs::read(&path) {
            Ok(text) => read(&path, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(TokensError::Io { doing: "read", path, source }),
        };
        let unwritten = AtomicBool::new(false);
        Ok(Self { path, tokens, kept: Mutex::new(kept), unwritten, ended: watch::Sender::new(0) })
    }

    /// Opens a session for who holds this token. Waits for the disk.
    ///
    /// # Errors
    /// It can't be written. Inside `Ok`: `None` when the token opens nothing.
    pub(super) fn begin(&self, token: &str, now_s: u64) -> Result<Option<Open>, TokensError> {
        let Some(info) = self.tokens.check(token, now_s).ok().and_then(|c| self.token_of(&c, now_s)) else {
            return Ok(None);
        };
        let (id, secret) = (private::random_hex::<6>()?, private::random_hex::<32>()?);
        let kept = Kept {
            digest: Digest::new(private::salt()?, secret.as_bytes()),
            token: info.id.clone(),
            created_s: now_s,
            used_s: coarse(now_s),
            id: id.clone(),
        };
        let expires_s = expires(&kept, &info);
        self.change(|all| {
            all.retain(|k| !k.over(now_s) && self.tokens.info(&k.token, now_s).is_some());
            while all.iter().filter(|k| k.token == kept.token).count() >= PER_TOKEN {
                let of_token = all.iter().enumerate().filter(|(_, k)| k.token == kept.token);
                let Some((oldest, _)) = of_token.min_by_key(|(_, k)| (k.used_s, k.created_s)) else { break };
                all.remove(oldest);
            }
            all.push(kept);
        })?;
        // What made room has ended.
        self.ended.send_modify(|n| *n += 1);
        Ok(Some(Open { token: info, csrf: proof(&secret), expires_s, cookie: format!("{id}_{secret}") }))
    }

    /// Whose session a cookie is, and notes that it is used.
    ///
    /// # Errors
    /// Nobody's.
    pub(super) fn check(&self, cookie: &str, now_s: u64) -> Result<(Caller, Open), Closed> {
        let (id, secret) = split(cookie).ok_or(Closed::Over)?;
        let mut all = self.lock();
        let kept = all.iter_mut().find(|k| k.id == id && !k.over(now_s)).ok_or(Closed::Over)?;
        if !kept.digest.fits(secret.as_bytes()) {
            return Err(Closed::Wrong);
        }
        let info = self.tokens.used(&kept.token, now_s).ok_or(Closed::Over)?;
        self.note_use(kept, now_s);
        let expires_s = expires(kept, &info);
        let caller =
            Caller { token: Some(info.id.clone()), scope: info.scope, session: Some(kept.id.clone()) };
        let open = Open { token: info, csrf: proof(secret), expires_s, cookie: cookie.to_owned() };
        Ok((caller, open))
    }

    /// Ends a session; its streams end too. Waits for the disk.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn end(&self, id: &str) -> Result<(), TokensError> {
        self.change(|all| all.retain(|k| k.id != id))?;
        self.ended.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Whether this caller's session stands, if it came by one. Who listens uses it.
    fn holds(&self, caller: &Caller, now_s: u64) -> bool {
        let Some(id) = &caller.session else { return true };
        let mut all = self.lock();
        let Some(kept) = all.iter_mut().find(|k| k.id == *id && !k.over(now_s)) else { return false };
        self.note_use(kept, now_s);
        true
    }

    /// Returns once this caller's session is over, never for who came by a token. `now_s` is the clock.
    pub(super) async fn over(&self, caller: &Caller, now_s: impl Fn() -> u64) {
        let mut ended = self.ended.subscribe();
        while self.holds(caller, now_s()) {
            tokio::select! {
                changed = ended.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Writes when sessions were last used, and forgets those that are over. Waits for the disk.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn flush(&self, now_s: u64) -> Result<(), TokensError> {
        let over = |k: &Kept| k.over(now_s) || self.tokens.info(&k.token, now_s).is_none();
        if !self.unwritten.swap(false, Ordering::Relaxed) && !self.lock().iter().any(over) {
            return Ok(());
        }
        self.change(|all| all.retain(|k| !over(k)))
            .inspect_err(|_| self.unwritten.store(true, Ordering::Relaxed))
    }

    fn note_use(&self, kept: &mut Kept, now_s: u64) {
        if coarse(now_s) > kept.used_s {
            kept.used_s = coarse(now_s);
            self.unwritten.store(true, Ordering::Relaxed);
        }
    }

    fn token_of(&self, caller: &Caller, now_s: u64) -> Option<TokenInfo> {
        self.tokens.info(caller.token.as_deref()?, now_s)
    }

    /// Changes the sessions; on failure they stay as they were, on disk and in memory. Waits for the disk, with the lock
    /// held, as tokens do: people sign in rarely.
    fn change(&self, change: impl FnOnce(&mut Vec<Kept>)) -> Result<(), TokensError> {
        let mut kept = self.lock();
        let mut new = kept.clone();
        change(&mut new);
        let io = |source| TokensError::Io { doing: "write", path: self.path.clone(), source };
        let file = File { schema: SCHEMA, sessions: new };
        let mut text = serde_json::to_vec_pretty(&file).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        private::write(&self.path, &text).map_err(io)?;
        *kept = file.sessions;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Whether a request carries the proof that the page itself makes it, in constant time.
    ///
    /// # Errors
    /// No random numbers.
    pub(super) fn proven_by(&self, given: &str) -> Result<bool, TokensError> {
        // Both under a digest of the moment: comparing digests tells nothing of how far two texts are the same.
        Ok(Digest::new(private::salt()?, self.csrf.as_bytes()).fits(given.as_bytes()))
    }
}

fn read(path: &Path, text: &[u8]) -> Vec<Kept> {
    let damaged = |why: String| {
        tracing::warn!("{} is damaged ({why}): browsers have to sign in again", path.display());
        Vec::new()
    };
    match serde_json::from_slice::<File>(text) {
        Ok(file) if file.schema == SCHEMA => file.sessions,
        Ok(file) => damaged(format!("schema {} is not known to this program", file.schema)),
        // The place, not the text: digests belong nowhere.
        Err(e) => damaged(format!("line {}, column {}", e.line(), e.column())),
    }
}

fn coarse(now_s: u64) -> u64 {
    now_s - now_s % COARSE_S
}

fn expires(kept: &Kept, token: &TokenInfo) -> u64 {
    let unused = kept.used_s.saturating_add(UNUSED_S);
    token.expires_s.map_or(unused, |end| end.min(unused))
}

/// What a page sends with each change: only who was told it can know it, and a page of another site is not told.
fn proof(secret: &str) -> String {
    let mut text = String::from(Digest::new(PROOF, secret.as_bytes()));
    // Without the salt, which is no secret and the same for all.
    text.drain(..2 * SALT);
    text.to_ascii_lowercase()
}

/// The values of our cookie that a request brings: programs beside us on the same host may have set others.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let all = values.flat_map(Cookie::split_parse).filter_map(Result::ok);
    all.filter(|c| c.name() == COOKIE).map(|c| c.value().to_owned())
}

fn split(cookie: &str) -> Option<(&str, &str)> {
    let (id, secret) = cookie.split_once('_')?;
    (id.len() == 12 && secret.len() == 64).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tokens::Scope;
    use super::*;

    const NOW: u64 = 1_772_366_400;

    fn home(dir: &Path) -> (Sessions, Arc<Tokens>, String) {
        let (tokens, first) = Tokens::open(dir, NOW).unwrap();
        let tokens = Arc::new(tokens);
        let sessions = Sessions::open(dir, Arc::clone(&tokens)).unwrap();
        (sessions, tokens, first.unwrap().text)
    }

    #[test]
    fn a_session_outlives_a_restart_and_the_file_signs_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let (sessions, tokens, token) = home(dir.path());
        assert!(sessions.begin("lf_wrong", NOW).unwrap().is_none());
        assert!(!dir.path().join("sessions.json").exists());
        let open = sessions.begin(&token, NOW).unwrap().unwrap();
        assert_eq!(open.token.scope, Scope::Admin);
        assert_eq!(open.expires_s, coarse(NOW) + UNUSED_S);
        let path = dir.path().join("sessions.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let secret = open.cookie.split_once('_').unwrap().1;
        assert!(!text.to_lowercase().contains(secret) && !text.to_lowercase().contains(&open.csrf));
        assert!(!format!("{sessions:?}").contains(secret));
        let again = Sessions::open(dir.path(), tokens).unwrap();
        let (caller, seen) = again.check(&open.cookie, NOW + 60).unwrap();
        assert_eq!((caller.scope, seen.csrf.as_str()), (Scope::Admin, open.csrf.as_str()));
        assert!(seen.proven_by(&open.csrf).unwrap() && !seen.proven_by("").unwrap());
        assert!(!seen.proven_by(secret).unwrap());
        for damaged in ["{\"schema\":9,\"sessions\":[]}", "{\"schema\":1,\"sessions\":[{"] {
            fs::write(&path, damaged).unwrap();
            let empty = Sessions::open(dir.path(), Arc::clone(&again.tokens)).unwrap();
            assert_eq!(empty.check(&open.cookie, NOW + 60).err(), Some(Closed::Over));
        }
    }

    #[test]
    fn wrong_cookies_open_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (sessions, _, token) = home(dir.path());
        let cookie = sessions.begin(&token, NOW).unwrap().unwrap().cookie;
        let other =
            format!("{}{}", &cookie[..cookie.len() - 1], if cookie.ends_with('0') { '1' } else { '0' });
        assert_eq!(sessions.check(&other, NOW).err(), Some(Closed::Wrong));
        let unknown = format!("{}_{}", "0".repeat(12), "0".repeat(64));
        for wrong in ["", "_", &cookie[1..], &cookie[..cookie.len() - 1], &unknown, &token] {
            assert_eq!(sessions.check(wrong, NOW).err(), Some(Closed::Over), "{wrong}");
        }
        assert!(sessions.check(&cookie, NOW).is_ok());
    }

    #[test]
    fn it_ends_unused_signed_out_or_with_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let (sessions, tokens, admin) = home(dir.path());
        let cookie = sessions.begin(&admin, NOW).unwrap().unwrap().cookie;
        let day = 86_400;
        for n in 1..4 {
            let now = NOW + n * 29 * day;
            assert_eq!(sessions.check(&cookie, now).unwrap().1.expires_s, now + UNUSED_S, "use keeps it");
        }
        assert_eq!(sessions.check(&cookie, NOW + (3 * 29 + 30) * day).err(), Some(Closed::Over));
        let short = tokens.create("short", Scope::Read, Some(NOW + day), NOW).unwrap();
        let open = sessions.begin(&short.text, NOW).unwrap().unwrap();
        assert_eq!(open.expires_s, NOW + day);
        assert_eq!(sessions.check(&open.cookie, NOW + day).err(), Some(Closed::Over));
        let other = tokens.create("other", Scope::Read, None, NOW).unwrap();
        let open = sessions.begin(&other.text, NOW).unwrap().unwrap();
        tokens.revoke(&other.info.id).unwrap();
        assert_eq!(sessions.check(&open.cookie, NOW).err(), Some(Closed::Over));
        let open = sessions.begin(&admin, NOW).unwrap().unwrap();
        let (caller, _) = sessions.check(&open.cookie, NOW).unwrap();
        sessions.end(caller.session.as_deref().unwrap()).unwrap();
        assert_eq!(sessions.check(&open.cookie, NOW).err(), Some(Closed::Over));
        sessions.flush(NOW + 365 * day).unwrap();
        assert!(sessions.lock().is_empty());
    }

    #[test]
    fn a_token_has_so_many_and_the_longest_unused_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let (sessions, _, token) = home(dir.path());
        let all: Vec<_> = (0..PER_TOKEN as u64)
            .map(|n| sessions.begin(&token, NOW + n * COARSE_S).unwrap().unwrap().cookie)
            .collect();
        let now = NOW + 40 * COARSE_S;
        sessions.check(&all[0], now).unwrap();
        let new = sessions.begin(&token, now).unwrap().unwrap().cookie;
        assert_eq!(sessions.check(&all[1], now).err(), Some(Closed::Over));
        assert!(sessions.check(&all[0], now).is_ok() && sessions.check(&new, now).is_ok());
        assert_eq!(sessions.lock().len(), PER_TOKEN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_listens_ends_with_it_and_keeps_it_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let (sessions, _, token) = home(dir.path());
        let start = tokio::time::Instant::now();
        let clock = || NOW + start.elapsed().as_secs();
        let cookie = sessions.begin(&token, NOW).unwrap().unwrap().cookie;
        let (caller, _) = sessions.check(&cookie, NOW).unwrap();
        let waited = Duration::from_secs(2 * UNUSED_S);
        assert!(tokio::time::timeout(waited, sessions.over(&caller, clock)).await.is_err());
        let end = async {
            tokio::task::yield_now().await;
            sessions.end(caller.session.as_deref().unwrap()).unwrap();
        };
        tokio::join!(sessions.over(&caller, clock), end);
        let by_token = Caller { session: None, ..caller };
        assert!(tokio::time::timeout(waited, sessions.over(&by_token, clock)).await.is_err());
    }
}
