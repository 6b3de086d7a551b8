//! Sending a request with the proof that its registry wants, and learning what it wants.

use std::time::Duration;

use reqwest::header::HeaderValue;

use super::authorization_header::{basic_of, bearer};
use super::call::{Call, Payload};
use super::credential::{Credential, CredentialError, CredentialSource};
use super::error::{Error, ErrorKind};
use super::failure::{Failure, Shown};
use super::host::{Authentication, Host};
use super::reply::Reply;
use super::scope::ScopeSet;
use super::token_cache::Token;
use super::transport::Transport;

/// How long the first request waits for a connection that was begun before its token was asked for, and
/// is most likely there by now.
const CONNECTED: Duration = Duration::from_millis(500);

/// Most times that one request is sent with other credentials.
const MAX_AUTHENTICATIONS: usize = 5;

/// Where the authentication of one request stands.
#[derive(Debug, Default)]
struct Attempted {
    /// Scopes that the registry named.
    named: ScopeSet,
    /// Sets of scopes to ask for, the most useful first; empty until a token is needed.
    candidates: Vec<ScopeSet>,
    /// Whether the first of them holds more than this request needs.
    joined: bool,
    /// Whether a token for more than this request needs was refused.
    joined_was_refused: bool,
    /// Which of them is up.
    candidate: usize,
    /// The token that was sent last, and whether it came fresh from the server for this request.
    sent: Option<(Token, bool)>,
    /// Whether credentials have been shown in any form.
    shown: bool,
}

impl Transport {
    fn credentials(&self) -> &dyn CredentialSource {
        self.settings.credentials.as_ref()
    }

    /// Sends a request with whatever proof the registry is known to want, and learns what it
    /// wants from its answer.
    pub(crate) async fn authenticated(
        &self,
        host: &Host,
        call: &Call<'_>,
    ) -> Result<Reply, Failure> {
        let mut attempted = Attempted::default();
        for _ in 0..MAX_AUTHENTICATIONS {
            // While nothing is known, one request goes ahead and the others learn from it.
            let unknown = || host.authentication() == Authentication::Unknown;
            // What streams may itself wait for an answer of this host.
            let streams = matches!(call.payload, Payload::Stream { .. });
            let first = if unknown() && !streams && self.may_want_proof(host, call).await {
                Some(host.discovery.lock().await).filter(|_| unknown())
            } else {
                None
            };
            let connecting = match host.connects_beside_token() {
                true => self.begin_connection(host).await,
                false => None,
            };
            let header = self
                .authorization(host, call, &mut attempted)
                .await
                .map_err(Failure::lasting)?;
            if let Some(connecting) = connecting {
                let _ = tokio::time::timeout(CONNECTED, connecting).await;
            }
            attempted.shown |= header.is_some();
            let assumed = host.is_assumed().then(|| host.authentication());
            let mut reply = self.exchange(host, call, header).await?;
            let named = host.learn(&reply);
            drop(first);
            if reply.status().as_u16() == 401
                && assumed.is_some_and(|assumed| assumed != host.authentication())
                && let Some((token, _)) = attempted.sent.take()
            {
                // The token was from where they were given out in an earlier run.
                host.tokens.forget(&token);
                attempted = Attempted {
                    named,
                    ..Attempted::default()
                };
                reply.drain().await;
                continue;
            }
            if reply.status().is_success() && attempted.joined_was_refused {
                host.set_one_token_for_all(false);
            }
            if !self
                .another(host, call, &reply, &mut attempted, &named)
                .await
            {
                if matches!(reply.status().as_u16(), 401 | 403) {
                    reply.shown = self.shown(host, call).await;
                }
                return Ok(reply);
            }
            reply.drain().await;
        }
        Err(Failure::lasting(Error::new(
            ErrorKind::Denied,
            "the registry keeps asking for other credentials",
        )))
    }

    /// Whether the registry is likely to ask who we are. One that is spoken to in plain HTTP, and
    /// for which no credential is stored, is most likely open: then waiting for the answer to
    /// the first request would only cost the others a round trip.
    async fn may_want_proof(&self, host: &Host, call: &Call<'_>) -> bool {
        host.base().scheme() == "https" || self.has_credentials(host, call).await
    }

    /// Whether there are credentials.
    async fn has_credentials(&self, host: &Host, call: &Call<'_>) -> bool {
        self.credential(host, call)
            .await
            .is_ok_and(|credential| !credential.is_anonymous())
    }

    /// Whether there are surely no credentials. When looking for them failed, asking with them
    /// tells why.
    async fn is_anonymous(&self, host: &Host, call: &Call<'_>) -> bool {
        self.credential(host, call)
            .await
            .is_ok_and(|credential| credential.is_anonymous())
    }

    async fn credential(&self, host: &Host, call: &Call<'_>) -> Result<Credential, Error> {
        match self.configured(host, call).await {
            // Most of what is read is public; if this is not, the refusal says what is missing.
            Err(error) if error.is_by_helper() && call.scopes.only_reads() => {
                self.warnings.note(format!(
                    "{}; {} is read without credentials",
                    error.why(),
                    host.name()
                ));
                Ok(Credential::Anonymous)
            }
            other => other.map_err(no_credential),
        }
    }

    async fn configured(
        &self,
        host: &Host,
        call: &Call<'_>,
    ) -> Result<Credential, CredentialError> {
        let first = call.scopes.iter().next();
        let repository = first.as_ref().and_then(|s| s.repository_name());
        self.credentials()
            .credential(host.name(), repository.unwrap_or_default())
            .await
    }

    /// Who asks, for the hint of a refusal.
    async fn shown(&self, host: &Host, call: &Call<'_>) -> Shown {
        match self.configured(host, call).await {
            Err(error) => Shown::Unavailable(error.why().to_owned()),
            Ok(Credential::Anonymous) => Shown::Nothing,
            Ok(_) => Shown::Credentials,
        }
    }

    async fn credential_for(&self, host: &Host, repository: &str) -> Result<Credential, Error> {
        self.credentials()
            .credential(host.name(), repository)
            .await
            .map_err(no_credential)
    }

    async fn authorization(
        &self,
        host: &Host,
        call: &Call<'_>,
        attempted: &mut Attempted,
    ) -> Result<Option<HeaderValue>, Error> {
        let (realm, service) = match host.authentication() {
            Authentication::Unknown | Authentication::Open => return Ok(None),
            Authentication::Basic => {
                let credential = self.credential(host, call).await?;
                return Ok(match &credential {
                    Credential::RegistryToken(token) => bearer(token),
                    other => basic_of(other),
                });
            }
            Authentication::Bearer { realm, service } => (realm, service),
        };
        let credential = self.credential(host, call).await?;
        if let Credential::RegistryToken(token) = &credential {
            return Ok(bearer(token));
        }
        if attempted.candidates.is_empty() {
            let known = host.tokens.find(&call.scopes, &credential);
            if let Some(token) = known.filter(|_| attempted.named.is_empty()) {
                let header = bearer(&token.secret);
                attempted.sent = Some((token, false));
                return Ok(header);
            }
            self.find_candidates(host, call, &credential, attempted)
                .await;
        }
        loop {
            let Some(scopes) = attempted.candidates.get(attempted.candidate) else {
                return Ok(None);
            };
            let known = host.tokens.find(scopes, &credential).is_some();
            let more = attempted.candidate + 1 < attempted.candidates.len();
            match self
                .token(host, &realm, service.as_deref(), &credential, scopes)
                .await
            {
                Ok(token) => {
                    let header = bearer(&token.secret);
                    attempted.sent = Some((token, !known));
                    return Ok(header);
                }
                // A server that does not take several scopes at once may take fewer.
                Err(error)
                    if matches!(error.status(), Some(400 | 401 | 403 | 404 | 414))
                        && scopes.len() > 1
                        && more =>
                {
                    tracing::debug!(%error, "asking for a token for less");
                    attempted.joined_was_refused |= attempted.joined && attempted.candidate == 0;
                    attempted.candidate += 1;
                }
                // Where tokens were given out in an earlier run, they are not any more: the
                // registry says where.
                Err(error)
                    if host.give_up(&Authentication::Bearer {
                        realm: realm.clone(),
                        service: service.clone(),
                    }) =>
                {
                    tracing::debug!(%error, "asking the registry where to get a token");
                    attempted.candidates.clear();
                    attempted.candidate = 0;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds the sets of scopes that are worth asking for.
    async fn find_candidates(
        &self,
        host: &Host,
        call: &Call<'_>,
        credential: &Credential,
        attempted: &mut Attempted,
    ) {
        let mut wanted = call.scopes.clone();
        wanted.merge(&attempted.named);
        attempted.candidates.clear();
        attempted.joined = false;
        let joined = host.joined(&call.scopes);
        if let Some(joined) = joined.filter(|_| !attempted.joined_was_refused) {
            // A token is for one login; scopes that need another cannot go into it.
            let mut same = wanted.clone();
            for scope in joined.iter() {
                let name = scope.repository_name().unwrap_or_default();
                let login = self.credential_for(host, name).await;
                if login.is_ok_and(|login| login == *credential) {
                    same.insert(scope);
                }
            }
            attempted.joined = same != wanted;
            attempted.candidates.push(same);
        }
        let first = call.scopes.first_only();
        for set in [&wanted, &call.scopes, &attempted.named, &first] {
            if !attempted.candidates.contains(set) && (!set.is_empty() || wanted.is_empty()) {
                attempted.candidates.push(set.clone());
            }
        }
    }

    /// Whether a refused request is worth sending once more with other proof.
    async fn another(
        &self,
        host: &Host,
        call: &Call<'_>,
        reply: &Reply,
        attempted: &mut Attempted,
        named: &ScopeSet,
    ) -> bool {
        let status = reply.status().as_u16();
        match (host.authentication(), attempted.sent.take()) {
            (Authentication::Basic, _) => {
                status == 401 && !attempted.shown && !self.is_anonymous(host, call).await
            }
            // Refused without a token: now it is known where to get one.
            (Authentication::Bearer { .. }, None) => {
                attempted.named = named.clone();
                status == 401 && !attempted.shown
            }
            (Authentication::Bearer { .. }, Some((token, fresh))) => {
                let joined = token.holds_more_than(&call.scopes)
                    && !attempted.joined_was_refused
                    && (fresh || status == 403);
                // Some registries answer 403 where the token lacks a scope.
                if status != 401 && !(status == 403 && joined) {
                    return false;
                }
                host.tokens.forget(&token);
                attempted.joined_was_refused |= joined;
                if attempted.candidates.is_empty() {
                    return true;
                }
                if !call.scopes.covers(named) && !attempted.named.covers(named) {
                    attempted.named.merge(named);
                    attempted.candidates.clear();
                    attempted.candidate = 0;
                    return true;
                }
                // A kept token may have been revoked; a fresh one that is refused stays refused.
                if fresh || joined {
                    attempted.candidate += 1;
                }
                attempted.candidate < attempted.candidates.len()
            }
            _ => false,
        }
    }
}

fn no_credential(error: CredentialError) -> Error {
    let failure = Error::new(ErrorKind::Denied, error.why().to_owned());
    match error.hint() {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
    .caused_by(error)
}
