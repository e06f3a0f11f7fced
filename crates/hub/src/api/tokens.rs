//! Who may come in: tokens with scopes, of which only digests are kept.
//!
//! A token is `lf_ID_SECRET`: twelve and sixty-four hexadecimal digits. The id finds it, the secret's 256 random bits
//! prove it. `<data>/tokens.json` (0600) holds names, scopes, times and digests.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_book::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::private;

/// Most tokens that a home may have.
pub const MOST: usize = 256;
/// Longest name of a token, in characters.
const MAX_NAME: usize = 64;
/// "Last used" is kept by the hour: nobody needs more, and each note is a write to the disk.
const COARSE_S: u64 = 3_600;
/// The schema of `tokens.json`.
const SCHEMA: u32 = 1;
/// Longest wait between looks at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(60);

/// What a token allows; each includes those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything but keys.
    Read,
    /// Command devices.
    Control,
    /// Change the home: devices, tokens, back-ups; see local keys.
    Admin,
}

impl Scope {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }

    /// The scope of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Control, Self::Admin].into_iter().find(|s| s.word() == word)
    }
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's id; `None`: the owner, over the hub's own socket.
    pub token: Option<String>,
    /// What is allowed.
    pub scope: Scope,
    /// The session's id, of who came by a cookie.
    pub session: Option<String>,
}

impl Caller {
    /// The owner, who may do everything.
    pub const OWNER: Self = Self { token: None, scope: Scope::Admin, session: None };
}

/// What is kept of a token. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Finds it.
    pub id: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_s: u64,
    /// When it was last used, by the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_s: Option<u64>,
    /// From when on it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    info: TokenInfo,
    digest: Digest,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    schema: u32,
    tokens: Vec<Kept>,
}

/// A token that was just made: the only moment at which it is known. `Debug` hides it.
#[derive(Clone)]
pub struct Fresh {
    /// What is kept.
    pub info: TokenInfo,
    /// The token itself.
    pub text: String,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Why tokens can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The disk.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not what this program writes.
    #[error("{} is damaged: {why}; restore it from a backup, or remove it and `admin-token` to begin with a new admin token", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        why: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// A name that nobody could tell from others.
    #[error("a token's name has 1 to {MAX_NAME} printable characters")]
    Name,
    /// An end that has passed.
    #[error("a token that expires in the past is worth nothing")]
    Expired,
    /// There are enough.
    #[error("{MOST} tokens are the most; revoke one first")]
    TooMany,
    /// No such token.
    #[error("there is no token {0:?}")]
    Unknown(String),
    /// Without it nobody could make another.
    #[error("this is the only admin token; make another first")]
    LastAdmin,
}

/// Wrong: unknown, expired, malformed. Which of them is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

/// All tokens of a home.
#[derive(Debug)]
pub struct Tokens {
    dir: PathBuf,
    kept: Mutex<Vec<Kept>>,
    /// Counts what was taken away, for streams that have to end.
    revoked: watch::Sender<u64>,
}

impl Tokens {
    /// The tokens of this data directory. At the first start an admin token is made, written to `<data>/admin-token`
    /// (0600) and returned, so that the caller may show it on a terminal.
    ///
    /// # Errors
    /// The files can't be read or written, or are damaged.
    pub fn open(dir: &Path, now_s: u64) -> Result<(Self, Option<Fresh>), TokensError> {
        let path = dir.join("tokens.json");
        let kept = match fs::read(&path) {
            Ok(text) => Some(read(&path, &text)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(TokensError::Io { doing: "read", path, source }),
        };
        let first = kept.is_none();
        let tokens = Self {
            dir: dir.to_owned(),
            kept: Mutex::new(kept.unwrap_or_default()),
            revoked: watch::Sender::new(0),
        };
        if !first {
            return Ok((tokens, None));
        }
        let fresh = fresh("first admin token".to_owned(), Scope::Admin, now_s, None)?;
        let path = dir.join("admin-token");
        // Before the digest: a crash between the two makes another, instead of leaving one that nobody knows.
        private::write(&path, format!("{}\n", fresh.0.text).as_bytes())
            .map_err(|source| TokensError::Io { doing: "write", path, source })?;
        tokens.change(|kept| {
            kept.push(fresh.1);
            Ok(())
        })?;
        Ok((tokens, Some(fresh.0)))
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Nobody's.
    pub fn check(&self, text: &str, now_s: u64) -> Result<Caller, Wrong> {
        let (id, secret) = split(text).ok_or(Wrong)?;
        let mut all = self.lock();
        let kept = all.iter_mut().find(|k| k.info.id == id).ok_or(Wrong)?;
        if !kept.digest.fits(secret.as_bytes()) || expired(&kept.info, now_s) {
            return Err(Wrong);
        }
        note_use(&mut kept.info, now_s);
        Ok(Caller { token: Some(kept.info.id.clone()), scope: kept.info.scope, session: None })
    }

    /// What is kept of a token that is worth something still.
    pub fn info(&self, id: &str, now_s: u64) -> Option<TokenInfo> {
        self.lock().iter().map(|k| &k.info).find(|i| i.id == id && !expired(i, now_s)).cloned()
    }

    /// The same for what proves itself in another way, and notes that it is used.
    pub(super) fn used(&self, id: &str, now_s: u64) -> Option<TokenInfo> {
        let mut all = self.lock();
        let info = all.iter_mut().map(|k| &mut k.info).find(|i| i.id == id && !expired(i, now_s))?;
        note_use(info, now_s);
        Some(info.clone())
    }

    /// Whether this caller may still come in.
    pub fn holds(&self, caller: &Caller, now_s: u64) -> bool {
        let Some(id) = &caller.token else { return true };
        self.lock().iter().any(|k| k.info.id == *id && !expired(&k.info, now_s))
    }

    /// Returns once this caller's token is revoked or expired. `now_s` is the clock.
    pub async fn ended(&self, caller: &Caller, now_s: impl Fn() -> u64) {
        let mut revoked = self.revoked.subscribe();
        while self.holds(caller, now_s()) {
            let left = caller.token.as_ref().and_then(|id| {
                let end = self.lock().iter().find(|k| k.info.id == *id)?.info.expires_s?;
                Some(Duration::from_secs(end.saturating_sub(now_s())))
            });
            tokio::select! {
                changed = revoked.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(left.unwrap_or(LOOK).min(LOOK)) => {}
            }
        }
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<TokenInfo> {
        self.lock().iter().map(|k| k.info.clone()).collect()
    }

    /// Makes a token.
    ///
    /// # Errors
    /// A bad name, an end in the past, too many; it can't be written.
    pub fn create(
        &self,
        name: &str,
        scope: Scope,
        expires_s: Option<u64>,
        now_s: u64,
    ) -> Result<Fresh, TokensError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(TokensError::Name);
        }
        if expires_s.is_some_and(|end| end <= now_s) {
            return Err(TokensError::Expired);
        }
        let (fresh, kept) = fresh(name.to_owned(), scope, now_s, expires_s)?;
        self.change(|all| {
            all.retain(|k| !expired(&k.info, now_s));
            if all.len() >= MOST {
                return Err(TokensError::TooMany);
            }
            all.push(kept);
            Ok(())
        })?;
        Ok(fresh)
    }

    /// Takes a token away. Its streams end.
    ///
    /// # Errors
    /// There is none; it is the only admin token that never expires; it can't be written.
    pub fn revoke(&self, id: &str) -> Result<(), TokensError> {
        self.change(|all| {
            let at = all
                .iter()
                .position(|k| k.info.id == id)
                .ok_or_else(|| TokensError::Unknown(id.to_owned()))?;
            let lasting = |k: &Kept| k.info.scope == Scope::Admin && k.info.expires_s.is_none();
            if lasting(&all[at]) && all.iter().filter(|k| lasting(k)).count() == 1 {
                return Err(TokensError::LastAdmin);
            }
            all.remove(at);
            Ok(())
        })?;
        self.revoked.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Writes when tokens were last used. Waits for the disk.
    ///
    /// # Errors
    /// It can't be written.
    pub fn flush(&self) -> Result<(), TokensError> {
        self.change(|_| Ok(()))
    }

    /// Changes the tokens; on failure they stay as they were, on disk and in memory. Waits for the disk, with the lock
    /// held: changes are rare, and two at a time must not overtake each other.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Kept>) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let mut kept = self.lock();
        let mut new = kept.clone();
        change(&mut new)?;
        let path = self.dir.join("tokens.json");
        let io = |source| TokensError::Io { doing: "write", path: path.clone(), source };
        let file = File { schema: SCHEMA, tokens: new };
        let mut text = serde_json::to_vec_pretty(&file).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        private::write(&path, &text).map_err(io)?;
        *kept = file.tokens;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_use(info: &mut TokenInfo, now_s: u64) {
    if info.used_s.is_none_or(|used| now_s >= used + COARSE_S) {
        info.used_s = Some(now_s - now_s % COARSE_S);
    }
}

fn expired(info: &TokenInfo, now_s: u64) -> bool {
    info.expires_s.is_some_and(|end| now_s >= end)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix("lf_")?.split_once('_')?;
    (id.len() == 12 && secret.len() == 64).then_some((id, secret))
}

fn read(path: &Path, text: &[u8]) -> Result<Vec<Kept>, TokensError> {
    let damaged = |why: String| TokensError::Damaged { path: path.to_owned(), why };
    // The place, not the text: digests belong nowhere.
    let file: File = serde_json::from_slice(text)
        .map_err(|e| damaged(format!("line {}, column {}", e.line(), e.column())))?;
    if file.schema != SCHEMA {
        return Err(damaged(format!("schema {} is not known to this program", file.schema)));
    }
    Ok(file.tokens)
}

fn fresh(
    name: String,
    scope: Scope,
    created_s: u64,
    expires_s: Option<u64>,
) -> Result<(Fresh, Kept), TokensError> {
    let id = private::random_hex::<6>()?;
    let secret = private::random_hex::<32>()?;
    let digest = Digest::new(private::salt()?, secret.as_bytes());
    let info = TokenInfo { id, name, scope, created_s, used_s: None, expires_s };
    let text = format!("lf_{}_{secret}", info.id);
    Ok((Fresh { info: info.clone(), text }, Kept { info, digest }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: u64 = 1_772_366_400;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_an_admin_token_and_keeps_only_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, first) = Tokens::open(dir.path(), NOW).unwrap();
        let first = first.unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("admin-token")).unwrap().trim(), first.text);
        assert_eq!(mode(&dir.path().join("admin-token")), 0o600);
        assert_eq!(mode(&dir.path().join("tokens.json")), 0o600);
        let secret = first.text.rsplit('_').next().unwrap();
        assert!(!fs::read_to_string(dir.path().join("tokens.json")).unwrap().contains(secret));
        assert!(!format!("{first:?}{tokens:?}").contains(secret));
        assert_eq!(tokens.check(&first.text, NOW).unwrap().scope, Scope::Admin);
        let (again, none) = Tokens::open(dir.path(), NOW).unwrap();
        assert!(none.is_none());
        assert_eq!(again.check(&first.text, NOW).unwrap().scope, Scope::Admin);
    }

    #[test]
    fn wrong_expired_and_revoked_tokens_open_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, first) = Tokens::open(dir.path(), NOW).unwrap();
        let admin = first.unwrap().text;
        let short = tokens.create("for an hour", Scope::Control, Some(NOW + 3_600), NOW).unwrap();
        assert_eq!(tokens.check(&short.text, NOW + 3_599).unwrap().scope, Scope::Control);
        assert_eq!(tokens.check(&short.text, NOW + 3_600), Err(Wrong));
        let other = format!("{}{}", &admin[..admin.len() - 1], if admin.ends_with('0') { '1' } else { '0' });
        for wrong in ["", "lf_", "lf__", &other, &admin[1..], &admin[..admin.len() - 1], &format!("{admin}0")]
        {
            assert_eq!(tokens.check(wrong, NOW), Err(Wrong), "{wrong}");
        }
        tokens.revoke(&short.info.id).unwrap();
        assert_eq!(tokens.check(&short.text, NOW), Err(Wrong));
        let only = tokens.list()[0].id.clone();
        assert!(matches!(tokens.revoke(&only), Err(TokensError::LastAdmin)));
        assert!(matches!(tokens.revoke("nobody"), Err(TokensError::Unknown(_))));
    }

    #[test]
    fn names_ends_and_numbers_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, _) = Tokens::open(dir.path(), NOW).unwrap();
        for name in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(
                matches!(tokens.create(name, Scope::Read, None, NOW), Err(TokensError::Name)),
                "{name:?}"
            );
        }
        assert!(matches!(tokens.create("late", Scope::Read, Some(NOW), NOW), Err(TokensError::Expired)));
        let kept = Kept { info: tokens.list()[0].clone(), digest: Digest::new([0; 16], b"x") };
        tokens.lock().resize(MOST, kept);
        assert!(matches!(tokens.create("one more", Scope::Read, None, NOW), Err(TokensError::TooMany)));
    }

    #[test]
    fn last_use_is_kept_by_the_hour() {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, first) = Tokens::open(dir.path(), NOW).unwrap();
        let text = first.unwrap().text;
        tokens.check(&text, NOW + 1_800).unwrap();
        tokens.check(&text, NOW + 3_599).unwrap();
        assert_eq!(tokens.list()[0].used_s, Some(NOW));
        tokens.check(&text, NOW + 3_700).unwrap();
        tokens.flush().unwrap();
        assert_eq!(Tokens::open(dir.path(), NOW).unwrap().0.list()[0].used_s, Some(NOW + 3_600));
    }

    #[test]
    fn a_damaged_file_is_named_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tokens.json"), "{\"schema\":1,\"tokens\":[{").unwrap();
        let e = Tokens::open(dir.path(), NOW).unwrap_err();
        assert!(matches!(e, TokensError::Damaged { .. }) && e.to_string().contains("tokens.json"), "{e}");
        assert!(!dir.path().join("admin-token").exists());
        fs::write(dir.path().join("tokens.json"), "{\"schema\":9,\"tokens\":[]}").unwrap();
        assert!(Tokens::open(dir.path(), NOW).unwrap_err().to_string().contains("schema 9"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_or_expired_token_ends_what_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, _) = Tokens::open(dir.path(), NOW).unwrap();
        let start = tokio::time::Instant::now();
        let clock = || NOW + start.elapsed().as_secs();
        let short = tokens.create("short", Scope::Read, Some(NOW + 90), NOW).unwrap();
        let caller = tokens.check(&short.text, NOW).unwrap();
        tokens.ended(&caller, clock).await;
        assert_eq!(start.elapsed().as_secs(), 90);
        let long = tokens.create("long", Scope::Read, None, clock()).unwrap();
        let caller = tokens.check(&long.text, clock()).unwrap();
        let revoke = async {
            tokio::task::yield_now().await;
            tokens.revoke(&long.info.id).unwrap();
        };
        tokio::join!(tokens.ended(&caller, clock), revoke);
        assert!(!tokens.holds(&caller, clock()) && tokens.holds(&Caller::OWNER, clock()));
    }
}
