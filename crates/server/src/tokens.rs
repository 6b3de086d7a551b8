//! Tokens that clients get for a password and show instead of it (distribution, `docs/spec/auth/token.md`
//! and `jwt.md`): JSON Web Tokens (RFC 7519) with an HMAC (`HS256`), since who makes them reads them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::access::Access;
use super::htpasswd::Htpasswd;
use super::reloaded::Reloaded;
use super::token_key::TokenKey;

/// What tokens name as their issuer and their audience, and challenges as the service.
pub(super) const SERVICE: &str = "ohoci";

/// The head of every token. No other is taken, so that a token cannot choose how it is verified.
const HEAD: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The claim of what tokens are given for.
const REFRESHES: &str = "refresh";

/// How far the clocks of processes that share a key may differ, in seconds.
const SKEW: u64 = 60;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 64 << 10;

/// Makes and reads tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) key: Arc<Reloaded<TokenKey>>,
    /// How long a token holds.
    pub(super) lifetime: Duration,
    /// Where clients get them, if that is not below the address that they use.
    pub(super) realm: Option<String>,
}

/// Why a token counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Worthless {
    /// It is none of these.
    #[error("the token was not made here, or was changed")]
    Foreign,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The user is gone, or has another password.
    #[error("the token's user is no longer the one that it was made for")]
    Outlived,
}

impl Tokens {
    /// A token for a user whose password has this hash; `now` is in seconds since 1970.
    pub(super) fn issue(&self, user: &str, hash: &str, access: &Access, now: u64) -> String {
        let key = self.key.current();
        let end = now.saturating_add(self.lifetime.as_secs());
        let mut claims = common(&key, user, hash, now);
        claims.insert("exp".to_owned(), end.into());
        claims.insert("access".to_owned(), access.to_json());
        signed(&key, claims)
    }

    /// What a user gets further tokens for, for as long as it has this password. It permits nothing itself.
    pub(super) fn refresh(&self, user: &str, hash: &str, now: u64) -> String {
        let key = self.key.current();
        let mut claims = common(&key, user, hash, now);
        claims.insert(REFRESHES.to_owned(), true.into());
        signed(&key, claims)
    }

    /// What a token permits.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub(super) fn access(
        &self,
        token: &str,
        users: &Htpasswd,
        now: u64,
    ) -> Result<Access, Worthless> {
        let key = self.key.current();
        let claims = claims(&key, token).ok_or(Worthless::Foreign)?;
        let end = claims.get("exp").and_then(Value::as_u64);
        if now >= end.ok_or(Worthless::Foreign)? {
            return Err(Worthless::Expired);
        }
        user(&key, &claims, users, now)?;
        let access = claims.get("access").and_then(Access::from_json);
        access.ok_or(Worthless::Foreign)
    }

    /// The user to whom [`refresh`](Self::refresh) gave this, and the hash of its password.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub(super) fn refreshed(
        &self,
        token: &str,
        users: &Htpasswd,
        now: u64,
    ) -> Result<(String, String), Worthless> {
        let key = self.key.current();
        let claims = claims(&key, token).ok_or(Worthless::Foreign)?;
        if claims.get(REFRESHES) != Some(&Value::Bool(true)) {
            return Err(Worthless::Foreign);
        }
        user(&key, &claims, users, now)
    }
}

/// What every token says.
fn common(key: &TokenKey, user: &str, hash: &str, now: u64) -> Map<String, Value> {
    let claims: [(&str, Value); 5] = [
        ("iss", SERVICE.into()),
        ("aud", SERVICE.into()),
        ("sub", user.into()),
        ("iat", now.into()),
        ("password", password(key, hash).into()),
    ];
    let claims = claims.into_iter();
    claims
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn signed(key: &TokenKey, claims: Map<String, Value>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(HEAD.as_bytes()),
        encode(Value::Object(claims).to_string().as_bytes())
    );
    let signature = encode(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The user that a token was made for, and the hash of its password.
fn user(
    key: &TokenKey,
    claims: &Value,
    users: &Htpasswd,
    now: u64,
) -> Result<(String, String), Worthless> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(SERVICE) || text("aud") != Some(SERVICE) {
        return Err(Worthless::Foreign);
    }
    let begin = claims.get("iat").and_then(Value::as_u64);
    if begin.ok_or(Worthless::Foreign)? > now.saturating_add(SKEW) {
        return Err(Worthless::Expired);
    }
    let user = text("sub").ok_or(Worthless::Foreign)?;
    let hash = users.hash(user).ok_or(Worthless::Outlived)?;
    if text("password") != Some(password(key, hash).as_str()) {
        return Err(Worthless::Outlived);
    }
    Ok((user.to_owned(), hash.to_owned()))
}

/// The claims of a token that was signed with the key.
fn claims(key: &TokenKey, token: &str) -> Option<Value> {
    if token.len() > LONGEST {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return None;
    }
    let (head, claims) = signed.split_once('.')?;
    if URL_SAFE_NO_PAD.decode(head).ok()? != HEAD.as_bytes() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Changes with the password and does not reveal it: a token ends when its user has another one.
fn password(key: &TokenKey, hash: &str) -> String {
    hex::encode(key.sign(format!("password {hash}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "user:$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e\n";
    const NOW: u64 = 1_700_000_000;

    fn users(text: &str) -> Htpasswd {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs_err::write(&path, text).unwrap();
        Htpasswd::read(&path).unwrap()
    }

    fn tokens(key: u8) -> Tokens {
        Tokens {
            key: Arc::new(Reloaded::open(vec![], move || Ok(TokenKey::new(&[key; 32]))).unwrap()),
            lifetime: Duration::from_secs(300),
            realm: None,
        }
    }

    fn pull() -> Access {
        Access::asked(&["repository:a:pull"], false).unwrap()
    }

    fn token(tokens: &Tokens, users: &Htpasswd) -> String {
        tokens.issue("user", users.hash("user").unwrap(), &pull(), NOW)
    }

    #[test]
    fn a_token_holds_for_its_time_its_key_and_its_user() {
        let (users, tokens) = (users(USER), tokens(1));
        let token = token(&tokens, &users);
        for (now, outcome) in [
            (NOW, Ok(pull())),
            (NOW + 299, Ok(pull())),
            (NOW - SKEW, Ok(pull())),
            (NOW + 300, Err(Worthless::Expired)),
            (NOW - SKEW - 1, Err(Worthless::Expired)),
        ] {
            assert_eq!(tokens.access(&token, &users, now), outcome, "{now}");
        }
        let other = super::tests::tokens(2);
        assert_eq!(other.access(&token, &users, NOW), Err(Worthless::Foreign));
        // By another process that has the same key.
        let same = super::tests::tokens(1);
        assert_eq!(same.access(&token, &users, NOW), Ok(pull()));
        for changed in [USER.replace("$05$", "$06$"), USER.replace("user", "other")] {
            let changed = super::tests::users(&changed);
            assert_eq!(
                tokens.access(&token, &changed, NOW),
                Err(Worthless::Outlived)
            );
        }
    }

    #[test]
    fn a_token_that_was_changed_is_worthless() {
        let (users, tokens) = (users(USER), tokens(1));
        let token = token(&tokens, &users);
        let parts: Vec<&str> = token.split('.').collect();
        let [head, claims, signature] = parts[..] else {
            panic!("{token}")
        };
        let other = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let other = String::from_utf8(other).unwrap().replace("pull", "push");
        let other = URL_SAFE_NO_PAD.encode(other);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let key = TokenKey::new(&[1; 32]);
        let signed = |head: &str, claims: &str| {
            let text = format!("{head}.{claims}");
            let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()));
            format!("{text}.{signature}")
        };
        assert_eq!(signed(head, claims), token);
        for changed in [
            format!("{head}.{other}.{signature}"),
            format!("{none}.{claims}.{signature}"),
            format!("{none}.{claims}."),
            // What is signed by the key, but was never given out.
            signed(&none, claims),
            signed(head, &URL_SAFE_NO_PAD.encode("{}")),
            signed(head, "x"),
            format!("{head}.{claims}"),
            format!("{head}.{claims}.{signature}.{signature}"),
            format!("{head}.{claims}.{}", &signature[1..]),
            signature.to_owned(),
            String::new(),
            "a".repeat(LONGEST + 1),
        ] {
            assert_eq!(
                tokens.access(&changed, &users, NOW),
                Err(Worthless::Foreign),
                "{changed}"
            );
        }
    }

    #[test]
    fn what_tokens_are_given_for_permits_nothing_itself() {
        let (users, tokens) = (users(USER), tokens(1));
        let hash = users.hash("user").unwrap();
        let kept = tokens.refresh("user", hash, NOW);
        let years = NOW + 10 * 365 * 86_400;
        let user = ("user".to_owned(), hash.to_owned());
        assert_eq!(tokens.refreshed(&kept, &users, years), Ok(user));
        let foreign = Err(Worthless::Foreign);
        assert_eq!(tokens.access(&kept, &users, NOW), foreign);
        let short = token(&tokens, &users);
        assert_eq!(tokens.refreshed(&short, &users, NOW).err(), foreign.err());
        let changed = super::tests::users(&USER.replace("$05$", "$06$"));
        assert_eq!(
            tokens.refreshed(&kept, &changed, NOW),
            Err(Worthless::Outlived)
        );
        let other = super::tests::tokens(2);
        assert!(other.refreshed(&kept, &users, NOW).is_err());
    }

    #[test]
    fn a_token_says_nothing_of_the_password() {
        let (users, tokens) = (users(USER), tokens(1));
        let token = token(&tokens, &users);
        let claims = token.split('.').nth(1).unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert!(claims.contains(r#""sub":"user""#), "{claims}");
        assert!(!claims.contains("$2y$"), "{claims}");
    }
}
