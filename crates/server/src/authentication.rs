//! Who may ask: Basic authentication (RFC 7617) against a file of bcrypt hashes, and where there is a key for
//! them, Bearer tokens (RFC 6750) that are given out for it.
//!
//! A verification is meant to be slow. So each password is verified once, what came of it is kept
//! under a keyed digest, and only so many are verified at once that the processors are not all
//! taken by whoever sends wrong ones.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use parking_lot::{Mutex, MutexGuard};
use rustix::rand::GetRandomFlags;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use ohoci_image::{Algorithm, Digest, Hasher};

use super::access::{Access, MOST_RESOURCES, TooMuch};
use super::claim::{Claim, Password};
use super::failure::{Code, Failure};
use super::htpasswd::Htpasswd;
use super::payload::Payload;
use super::reloaded::Reloaded;
use super::reply::Reply;
use super::token_request::{Grant, TokenRequest};
use super::tokens::{SERVICE, Tokens};

/// How many passwords wait to be verified before further ones are sent away.
const QUEUE: usize = 64;

/// How many outcomes are kept.
const MOST_KNOWN: usize = 4096;

/// Where tokens are given out.
pub(super) const TOKEN_PATH: &str = "/token";

/// The check that every request passes.
#[derive(Debug)]
pub(super) struct Authentication {
    users: Arc<Reloaded<Htpasswd>>,
    /// Makes tokens, where clients get any.
    tokens: Option<Tokens>,
    /// Whether it is asked by HTTPS.
    tls: bool,
    /// Makes the digests below worth nothing to whoever should see them.
    key: [u8; 32],
    known: Mutex<HashMap<Digest, bool>>,
    queue: Semaphore,
    verifying: Semaphore,
}

/// What a client may do that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// What there is: it showed a password, or none is asked for.
    Everything,
    /// What its request was said to take, and nothing else: it showed a token.
    WhatWasNeeded,
}

impl Authentication {
    pub(super) fn new(
        users: Arc<Reloaded<Htpasswd>>,
        tokens: Option<Tokens>,
        tls: bool,
    ) -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut key = [0; 32];
        // So few bytes come at once or not at all (getrandom(2)).
        rustix::rand::getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(Self {
            users,
            tokens,
            tls,
            key,
            known: Mutex::default(),
            queue: Semaphore::new(QUEUE),
            verifying: Semaphore::new((processors / 2).max(1)),
        })
    }

    /// Lets a request pass that takes so much, or says why not.
    pub(super) async fn check(&self, parts: &Parts, needed: &Access) -> Result<May, Failure> {
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(&parts.headers)
        {
            let realm = self.realm(tokens, parts);
            let refused =
                |error, why: &str| unauthorized(why, realm.as_deref(), needed, Some(error));
            let users = self.users.current();
            let access = tokens
                .access(token, &users, now())
                .map_err(|error| refused("invalid_token", &error.to_string()))?;
            return match access.covers(needed) {
                true => Ok(May::WhatWasNeeded),
                false => Err(refused(
                    "insufficient_scope",
                    &format!("the token does not permit this; it takes {needed}"),
                )),
            };
        }
        let outcome = self.user(Claim::shown(&parts.headers)).await;
        outcome
            .map(|_| May::Everything)
            .map_err(|refused| match refused {
                Refused::Not(why) => {
                    let tokens = self.tokens.as_ref();
                    let realm = tokens.and_then(|tokens| self.realm(tokens, parts));
                    unauthorized(why, realm.as_deref(), needed, None)
                }
                Refused::Otherwise(failure) => failure,
            })
    }

    /// Answers a request for a token. `only_reads` is for what takes no pushes; `None` where there are no
    /// tokens.
    pub(super) async fn token(
        &self,
        parts: &Parts,
        payload: &mut Payload,
        only_reads: bool,
    ) -> Option<Result<Response, Failure>> {
        let tokens = self.tokens.as_ref()?;
        Some(self.give(tokens, parts, payload, only_reads).await)
    }

    async fn give(
        &self,
        tokens: &Tokens,
        parts: &Parts,
        payload: &mut Payload,
        only_reads: bool,
    ) -> Result<Response, Failure> {
        let asked = TokenRequest::read(parts, payload).await?;
        let worthless = |why: &str| unauthorized(why, None, &Access::default(), None);
        let (user, hash) = match asked.grant {
            Grant::Password(claim) => self.user(claim).await.map_err(|refused| match refused {
                Refused::Not(why) => worthless(why),
                Refused::Otherwise(failure) => failure,
            })?,
            Grant::Refresh(token) => {
                let users = self.users.current();
                let found = tokens.refreshed(&token, &users, now());
                found.map_err(|error| worthless(&error.to_string()))?
            }
        };
        let scopes: Vec<&str> = asked.scopes.iter().map(String::as_str).collect();
        let access = Access::asked(&scopes, only_reads).map_err(|TooMuch| {
            let why = format!("a token is for {MOST_RESOURCES} repositories at most");
            Failure::bad_request(Code::Unsupported, why)
        })?;
        let token = tokens.issue(&user, &hash, &access, now());
        let mut answer = Map::new();
        for name in ["token", "access_token"] {
            answer.insert(name.to_owned(), token.as_str().into());
        }
        answer.insert("scope".to_owned(), access.to_string().into());
        answer.insert("expires_in".to_owned(), tokens.lifetime.as_secs().into());
        if asked.keeps {
            let kept = tokens.refresh(&user, &hash, now());
            answer.insert("refresh_token".to_owned(), kept.into());
        }
        Ok(Reply::new(StatusCode::OK)
            .header(header::CACHE_CONTROL, "no-store")
            .json(&Value::Object(answer)))
    }

    /// Where a client gets its tokens: below the address that it uses itself, unless there is another one.
    /// `None` where that is not known.
    fn realm(&self, tokens: &Tokens, parts: &Parts) -> Option<String> {
        if let Some(realm) = &tokens.realm {
            return Some(realm.clone());
        }
        let authority = parts.uri.authority().map(Authority::as_str);
        let host = || parts.headers.get(header::HOST)?.to_str().ok();
        let host = authority.or_else(host)?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || !host.chars().all(is_part) {
            return None;
        }
        let scheme = if self.tls { "https" } else { "http" };
        Some(format!("{scheme}://{host}{TOKEN_PATH}"))
    }

    /// The user whose password is shown, and its hash.
    async fn user(&self, claim: Option<Claim>) -> Result<(String, String), Refused> {
        let Some(claim) = claim else {
            return Err(Refused::Not("a user name and its password are needed"));
        };
        let users = self.users.current();
        let (exists, hash) = match users.hash(&claim.user) {
            Some(hash) => (true, hash),
            None => (false, users.decoy()),
        };
        let question = self.question(&claim, exists, hash);
        let known = self.known().get(&question).copied();
        let Claim { user, password } = claim;
        let right = match known {
            Some(right) => right,
            None => {
                let right = self.verify(password, hash.to_owned()).await;
                let right = right.map_err(Refused::Otherwise)? && exists;
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
            return Ok((user, hash.to_owned()));
        }
        Err(Refused::Not("the user name or the password is wrong"))
    }

    async fn verify(&self, password: Password, hash: String) -> Result<bool, Failure> {
        let closed = |_| busy();
        let _place = self.queue.try_acquire().map_err(closed)?;
        let _turn = self.verifying.acquire().await.map_err(|_| busy())?;
        let verified =
            tokio::task::spawn_blocking(move || bcrypt::verify(password.expose(), &hash)).await;
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
        for part in [claim.user.as_str(), claim.password.expose(), hash] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finish()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, bool>> {
        self.known.lock()
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Why a request has no user.
enum Refused {
    /// It shows no password, or a wrong one.
    Not(&'static str),
    /// That could not be found out.
    Otherwise(Failure),
}

/// A refusal that says what to show: a token, if there is a realm that gives one, else a password.
fn unauthorized(
    why: &str,
    realm: Option<&str>,
    needed: &Access,
    error: Option<&'static str>,
) -> Failure {
    let failure = Failure::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, why);
    let Some(realm) = realm else {
        return failure.header(header::WWW_AUTHENTICATE, "Basic realm=\"ohoci\"");
    };
    let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
    let scope = needed.to_string();
    if !scope.is_empty() {
        challenge.push_str(&format!(",scope=\"{scope}\""));
    }
    if let Some(error) = error {
        challenge.push_str(&format!(",error=\"{error}\""));
    }
    failure.header(header::WWW_AUTHENTICATE, &challenge)
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a token holds has no influence on content"
)]
fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
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

    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use base64::Engine as _;

    use crate::token_key::TokenKey;

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
        (
            Arc::clone(&file),
            Authentication::new(file, None, false).unwrap(),
        )
    }

    /// A request that shows this.
    fn showing(authorization: &str) -> Parts {
        let request = axum::http::Request::builder()
            .uri("/v2/")
            .header(header::HOST, "registry.example:5000")
            .header(header::AUTHORIZATION, authorization);
        request.body(()).unwrap().into_parts().0
    }

    /// The challenge of a request that is refused.
    async fn refused(authentication: &Authentication, parts: &Parts) -> Option<String> {
        let checked = authentication.check(parts, &Access::default()).await;
        let answer = checked.err()?.into_response();
        let challenge = &answer.headers()[header::WWW_AUTHENTICATE];
        Some(challenge.to_str().unwrap().to_owned())
    }

    async fn status(authentication: &Authentication, credentials: &str) -> u16 {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let parts = showing(&format!("Basic {encoded}"));
        match authentication.check(&parts, &Access::default()).await {
            Ok(_) => 200,
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
            assert_ne!(
                refused(&authentication, &showing(value)).await,
                None,
                "{value}"
            );
        }
        let mut parts = showing("");
        parts.headers.remove(header::AUTHORIZATION);
        assert_ne!(refused(&authentication, &parts).await, None);
        assert!(authentication.known().is_empty());
    }

    #[tokio::test]
    async fn clients_are_sent_to_the_address_that_they_use_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs_err::write(&path, users(&[("user", "word")])).unwrap();
        let key = || Ok(TokenKey::new(&[1; 32]));
        let (file, _) = authentication(&path);
        let challenge = |realm: Option<&str>, tls: bool, host: &str| {
            let tokens = Tokens {
                key: Arc::new(Reloaded::open(vec![], key).unwrap()),
                lifetime: Duration::from_secs(300),
                realm: realm.map(str::to_owned),
            };
            let tokens = Authentication::new(Arc::clone(&file), Some(tokens), tls).unwrap();
            let mut parts = showing("");
            parts.headers.insert(header::HOST, host.parse().unwrap());
            async move {
                let needed = Access::asked(&["repository:a:pull"], false).unwrap();
                let refused = tokens.check(&parts, &needed).await.unwrap_err();
                let answer = refused.into_response();
                let challenge = &answer.headers()[header::WWW_AUTHENTICATE];
                challenge.to_str().unwrap().to_owned()
            }
        };
        let rest = "service=\"ohoci\",scope=\"repository:a:pull\"";
        for (realm, tls, host, expected) in [
            (None, false, "a:5000", "http://a:5000/token"),
            (None, true, "[::1]:5000", "https://[::1]:5000/token"),
            (Some("https://b/t"), false, "a", "https://b/t"),
        ] {
            assert_eq!(
                challenge(realm, tls, host).await,
                format!("Bearer realm=\"{expected}\",{rest}")
            );
        }
        // Nothing of a name that is none gets into a header.
        assert_eq!(
            challenge(None, false, "a\",x=\"b").await,
            "Basic realm=\"ohoci\""
        );
    }
}
