//! The tokens that token servers gave for one registry, each as long as it lives.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::credential::{Credential, Secret};
use super::error::Error;
use super::scope::ScopeSet;

/// How many tokens are kept: whoever reads from very many repositories gets one for each.
const MOST: usize = 1024;

/// A token and what it is good for.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) scopes: ScopeSet,
    pub(crate) credential: Credential,
    /// When another one is asked for.
    pub(crate) renew_at: Instant,
}

/// The tokens of one host.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    /// The oldest first.
    tokens: Mutex<VecDeque<Token>>,
    flights: Mutex<HashMap<String, Arc<Flight>>>,
}

/// One request for a token that many may wait for.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// When a request failed last, and how; held while one is under way.
    pub(crate) landing: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

impl Token {
    /// Whether it was asked for more than `scopes`.
    pub(crate) fn holds_more_than(&self, scopes: &ScopeSet) -> bool {
        self.scopes.len() > scopes.len()
    }
}

impl TokenCache {
    /// A token that permits at least `scopes` and lives a little longer.
    pub(crate) fn find(&self, scopes: &ScopeSet, credential: &Credential) -> Option<Token> {
        let mut tokens = self.tokens.lock();
        let now = Instant::now();
        tokens.retain(|token| token.renew_at > now);
        tokens
            .iter()
            .find(|token| token.credential == *credential && token.scopes.covers(scopes))
            .cloned()
    }

    /// Forgets a token that was refused.
    pub(crate) fn forget(&self, token: &Token) {
        self.tokens
            .lock()
            .retain(|kept| kept.secret != token.secret);
    }

    /// Keeps a token for those who ask for as much.
    pub(crate) fn keep(&self, token: Token) {
        let mut tokens = self.tokens.lock();
        if tokens.len() >= MOST {
            tokens.pop_front();
        }
        tokens.push_back(token);
    }

    /// The request for a token of that kind, which many may wait for, and its key.
    pub(crate) fn flight(
        &self,
        scopes: &ScopeSet,
        credential: &Credential,
    ) -> (String, Arc<Flight>) {
        let who = match credential {
            Credential::Anonymous => "",
            Credential::Basic { username, .. } => username.as_str(),
            Credential::IdentityToken(_) | Credential::RegistryToken(_) => "<token>",
        };
        let mut names: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
        names.sort();
        let key = format!("{who} {}", names.join(" "));
        let mut flights = self.flights.lock();
        let flight = Arc::clone(flights.entry(key.clone()).or_default());
        (key, flight)
    }

    /// Drops the record of a flight without further waiters.
    pub(crate) fn land(&self, key: &str, flight: Arc<Flight>) {
        let mut flights = self.flights.lock();
        drop(flight);
        if flights.get(key).is_some_and(|f| Arc::strong_count(f) == 1) {
            flights.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scope::Scope;

    #[tokio::test]
    async fn a_token_is_kept_for_what_it_permits_and_whom_it_was_given_to() {
        let cache = TokenCache::default();
        let user = Credential::Basic {
            username: "u".to_owned(),
            password: "p".into(),
        };
        let token = |secret: &str, renew_at| Token {
            secret: secret.into(),
            scopes: ScopeSet::of(Scope::push("a")),
            credential: user.clone(),
            renew_at,
        };
        let now = Instant::now();
        cache.keep(token("old", now));
        cache.keep(token("new", now + Duration::from_secs(60)));
        let pull = ScopeSet::of(Scope::pull("a"));
        let found = cache.find(&pull, &user).unwrap();
        assert_eq!(found.secret.expose(), "new");
        assert!(cache.find(&pull, &Credential::Anonymous).is_none());
        assert!(cache.find(&ScopeSet::of(Scope::pull("b")), &user).is_none());
        for number in 0..MOST + 10 {
            cache.keep(token(&number.to_string(), now + Duration::from_secs(60)));
        }
        assert_eq!(cache.tokens.lock().len(), MOST);
        cache.tokens.lock().truncate(1);
        let found = cache.find(&pull, &user).unwrap();
        cache.forget(&found);
        assert!(cache.find(&pull, &user).is_none());
    }
}
