//! Who may ask: Basic authentication (RFC 7617) against a file of bcrypt hashes.
//!
//! A verification is meant to be slow. So each password is verified once, what came of it is kept
//! under a keyed digest, and only so many are verified at once that the processors are not all
//! taken by whoever sends wrong ones.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use parking_lot::{Mutex, MutexGuard};
use rustix::rand::GetRandomFlags;
use tokio::sync::Semaphore;

use ohoci_image::{Algorithm, Digest, Hasher};

use super::failure::{Code, Failure};
use super::htpasswd::Htpasswd;
use super::reloaded::Reloaded;

/// How many passwords wait to be verified before further ones are sent away.
const QUEUE: usize = 64;

/// How many outcomes are kept.
const MOST_KNOWN: usize = 4096;

/// Longest `Authorization` that is looked at, in bytes.
const LONGEST: usize = 4096;

/// The check that every request passes.
#[derive(Debug)]
pub(super) struct Authentication {
    users: Arc<Reloaded<Htpasswd>>,
    /// Makes the digests below worth nothing to whoever should see them.
    key: [u8; 32],
    known: Mutex<HashMap<Digest, bool>>,
    queue: Semaphore,
    verifying: Semaphore,
}

/// What a client says who it is.
#[derive(Debug)]
struct Claim {
    user: String,
    password: Password,
}

/// A password, which is never shown.
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

impl Authentication {
    pub(super) fn new(users: Arc<Reloaded<Htpasswd>>) -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut key = [0; 32];
        // So few bytes come at once or not at all (getrandom(2)).
        rustix::rand::getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(Self {
            users,
            key,
            known: Mutex::default(),
            queue: Semaphore::new(QUEUE),
            verifying: Semaphore::new((processors / 2).max(1)),
        })
    }

    /// Lets a request pass, or says why not.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(claim) = claim(headers) else {
            return Err(unauthorized("a user name and its password are needed"));
        };
        let users = self.users.current();
        let (exists, hash) = match users.hash(&claim.user) {
            Some(hash) => (true, hash),
            None => (false, users.decoy()),
        };
        let question = self.question(&claim, exists, hash);
        let known = self.known().get(&question).copied();
        let right = match known {
            Some(right) => right,
            None => {
                let right = self.verify(claim.password, hash.to_owned()).await? && exists;
                let mut known = self.known();
                // A client can send any number of wrong passwords; they push no right one out.
                if known.len() >= MOST_KNOWN {
                    known.retain(|_, right| *right);
                }
                if known.len() >= MOST_KNOWN {
                    known.clear();
                }
                known.insert(question, right);
                right
            }
        };
        if right {
            return Ok(());
        }
        Err(unauthorized("the user name or the password is wrong"))
    }

    async fn verify(&self, password: Password, hash: String) -> Result<bool, Failure> {
        let closed = |_| busy();
        let _place = self.queue.try_acquire().map_err(closed)?;
        let _turn = self.verifying.acquire().await.map_err(|_| busy())?;
        let verified =
            tokio::task::spawn_blocking(move || bcrypt::verify(password.0.as_str(), &hash)).await;
        match verified {
            Ok(Ok(right)) => Ok(right),
            Ok(Err(error)) => Err(Failure::internal(&error)),
            Err(error) => Err(Failure::internal(&error)),
        }
    }

    /// What is known is known of a user that is there or not, and of a hash: both change with the
    /// file, and what comes of a decoy is no answer for the user that has the same hash.
    fn question(&self, claim: &Claim, exists: bool, hash: &str) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&self.key);
        hasher.update(&[u8::from(exists)]);
        for part in [claim.user.as_str(), &claim.password.0, hash] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finish()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, bool>> {
        self.known.lock()
    }
}

fn claim(headers: &HeaderMap) -> Option<Claim> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || value.len() > LONGEST {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Claim {
        user: user.to_owned(),
        password: Password(password.to_owned()),
    })
}

fn unauthorized(why: &str) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, why)
        .header(header::WWW_AUTHENTICATE, "Basic realm=\"ohoci\"")
}

fn busy() -> Failure {
    Failure::new(
        StatusCode::TOO_MANY_REQUESTS,
        Code::TooManyRequests,
        "too many passwords are being verified",
    )
    .header(header::RETRY_AFTER, "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::response::IntoResponse as _;

    fn users(lines: &[(&str, &str)]) -> String {
        let line = |(user, password): &(&str, &str)| {
            format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn authentication(path: &std::path::Path) -> (Arc<Reloaded<Htpasswd>>, Authentication) {
        let owned = path.to_owned();
        let read = move || Htpasswd::read(&owned);
        let file = Arc::new(Reloaded::open(vec![path.to_owned()], read).unwrap());
        (Arc::clone(&file), Authentication::new(file).unwrap())
    }

    async fn status(authentication: &Authentication, credentials: &str) -> u16 {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            format!("Basic {encoded}").parse().unwrap(),
        );
        match authentication.check(&headers).await {
            Ok(()) => 200,
            Err(failure) => failure.into_response().status().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_password_is_verified_once_and_again_when_the_file_has_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs_err::write(&path, users(&[("user", "pass:word")])).unwrap();
        let (file, authentication) = authentication(&path);
        for _ in 0..3 {
            assert_eq!(status(&authentication, "user:pass:word").await, 200);
            assert_eq!(status(&authentication, "user:wrong").await, 401);
            assert_eq!(status(&authentication, "nobody:pass:word").await, 401);
        }
        assert_eq!(authentication.known().len(), 3);
        // Whoever is known passes although no turn is free.
        let turns = authentication.verifying.available_permits();
        let _taken = authentication
            .verifying
            .acquire_many(u32::try_from(turns).unwrap())
            .await
            .unwrap();
        assert_eq!(status(&authentication, "user:pass:word").await, 200);
        drop(_taken);

        let changed = directory.path().join("changed");
        fs_err::write(&changed, users(&[("user", "new")])).unwrap();
        fs_err::rename(&changed, &path).unwrap();
        assert_eq!(file.refresh(), Ok(true));
        assert_eq!(status(&authentication, "user:pass:word").await, 401);
        assert_eq!(status(&authentication, "user:new").await, 200);
        // The remembered password of a removed user opens nothing.
        let renamed = fs_err::read_to_string(&path)
            .unwrap()
            .replace("user", "other");
        fs_err::write(&changed, renamed).unwrap();
        fs_err::rename(changed, &path).unwrap();
        assert_eq!(file.refresh(), Ok(true));
        assert_eq!(status(&authentication, "user:new").await, 401);
        assert_eq!(status(&authentication, "other:new").await, 200);
    }

    #[tokio::test]
    async fn wrong_passwords_queue_up_to_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs_err::write(&path, users(&[("user", "word")])).unwrap();
        let (_, authentication) = authentication(&path);
        let _full = authentication
            .queue
            .acquire_many(u32::try_from(QUEUE).unwrap())
            .await
            .unwrap();
        assert_eq!(status(&authentication, "user:wrong").await, 429);
        assert!(authentication.known().is_empty());
    }

    #[tokio::test]
    async fn what_is_no_basic_authentication_is_a_stranger() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs_err::write(&path, users(&[("user", "word")])).unwrap();
        let (_, authentication) = authentication(&path);
        for value in [
            "Bearer dXNlcjp3b3Jk",
            "Basic",
            "Basic ???",
            "Basic dXNlcg==",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert!(authentication.check(&headers).await.is_err(), "{value}");
        }
        assert!(authentication.check(&HeaderMap::new()).await.is_err());
        assert!(authentication.known().is_empty());
    }
}
