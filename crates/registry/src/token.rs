//! Asking a token server (distribution, `docs/spec/auth`).

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::Instant;
use url::form_urlencoded;

use super::authorization_header::basic_of;
use super::call::{Call, Payload};
use super::cloud;
use super::credential::{Credential, Secret};
use super::error::{Error, ErrorKind};
use super::failure::authority;
use super::host::Host;
use super::pacing::Lane;
use super::reply::Reply;
use super::scope::ScopeSet;
use super::token_cache::Token;
use super::transport::Transport;

/// Largest answer of a token server that is read, in bytes.
const MAX_TOKEN_ANSWER: u64 = 1 << 20;

/// Longest token that is used, in bytes: it has to fit into a header.
const MAX_TOKEN: usize = 256 << 10;

/// How long a token lives whose server does not say.
const DEFAULT_LIFETIME: u64 = 60;

impl Transport {
    /// A token for `scopes`, from memory or from the token server, which many callers ask once.
    pub(crate) async fn token(
        &self,
        host: &Host,
        realm: &Url,
        service: Option<&str>,
        credential: &Credential,
        scopes: &ScopeSet,
    ) -> Result<Token, Error> {
        if let Some(token) = host.tokens.find(scopes, credential) {
            return Ok(token);
        }
        let arrived = Instant::now();
        let (key, flight) = host.tokens.flight(scopes, credential);
        let result = {
            let mut landing = flight.landing.lock().await;
            if let Some(token) = host.tokens.find(scopes, credential) {
                Ok(token)
            } else if let Some((at, error)) = landing.as_ref().filter(|(at, _)| *at >= arrived) {
                tracing::trace!(?at, "the token was refused while waiting");
                Err(error.clone())
            } else {
                let asked = Instant::now();
                match self.ask(host, realm, service, credential, scopes).await {
                    Ok((secret, lifetime)) => {
                        // Renewed before it expires, so that no request is wasted on a dead one.
                        let margin = (lifetime / 10).min(Duration::from_secs(30));
                        let token = Token {
                            secret,
                            scopes: scopes.clone(),
                            credential: credential.clone(),
                            renew_at: asked
                                .checked_add(lifetime.saturating_sub(margin))
                                .unwrap_or(asked),
                        };
                        host.tokens.keep(token.clone());
                        Ok(token)
                    }
                    Err(error) => {
                        *landing = Some((Instant::now(), error.clone()));
                        Err(error)
                    }
                }
            }
        };
        host.tokens.land(&key, flight);
        result
    }

    /// Sends a request to a token server, which is shown only what the request itself carries.
    async fn send_unauthenticated(&self, host: &Host, call: Call<'_>) -> Result<Reply, Error> {
        self.persist(host, &call, || Box::pin(self.exchange(host, &call, None)))
            .await
    }

    async fn ask(
        &self,
        host: &Host,
        realm: &Url,
        service: Option<&str>,
        credential: &Credential,
        scopes: &ScopeSet,
    ) -> Result<(Secret, Duration), Error> {
        check_realm(host, realm)?;
        let what = || format!("cannot get a token from {}", authority(realm));
        let mut reply = None;
        if let Credential::IdentityToken(refresh) = credential {
            let answer = self
                .send_unauthenticated(host, oauth2(realm, service, refresh, scopes))
                .await
                .map_err(|error| error.during(what))?;
            // Token servers without OAuth2 say so, and take the token as a password.
            if matches!(answer.status().as_u16(), 404 | 405) {
                answer.drain().await;
            } else {
                reply = Some(answer);
            }
        }
        let reply = match reply {
            Some(reply) => reply,
            None => self
                .send_unauthenticated(host, simple(realm, service, credential, scopes)?)
                .await
                .map_err(|error| error.during(what))?,
        };
        read_token(host, credential, reply)
            .await
            .map_err(|error| error.during(what))
    }
}

/// A realm sees credentials, so it must be trustworthy: HTTPS, or the registry itself, or on this
/// machine when the registry is.
fn check_realm(host: &Host, realm: &Url) -> Result<(), Error> {
    let same_host = realm.host() == host.base().host();
    let local = |url: &Url| {
        ohoci_http::AddressScope::of_literal(url) == Some(ohoci_http::AddressScope::Loopback)
    };
    let both_local = local(realm) && local(host.base());
    let fine = match realm.scheme() {
        "https" => true,
        "http" => host.base().scheme() == "http" && (same_host || both_local),
        _ => false,
    };
    if fine {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Denied,
        format!(
            "{} wants credentials to be sent to {}://{}, which is not protected by TLS",
            host.name(),
            realm.scheme(),
            authority(realm)
        ),
    ))
}

fn simple(
    realm: &Url,
    service: Option<&str>,
    credential: &Credential,
    scopes: &ScopeSet,
) -> Result<Call<'static>, Error> {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes.iter() {
            query.append_pair("scope", &scope.to_string());
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    let mut call = Call::new(Method::GET, url);
    call.lane = Lane::Token;
    call.headers
        .insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !credential.is_anonymous() {
        let header = basic_of(credential).ok_or_else(|| {
            Error::new(
                ErrorKind::Denied,
                "the credentials contain characters that cannot be sent",
            )
        })?;
        call.headers.insert(AUTHORIZATION, header);
    }
    Ok(call)
}

fn oauth2(
    realm: &Url,
    service: Option<&str>,
    refresh: &Secret,
    scopes: &ScopeSet,
) -> Call<'static> {
    let joined: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("service", service.unwrap_or_default());
    form.append_pair("client_id", "ohoci");
    form.append_pair("scope", &joined.join(" "));
    form.append_pair("refresh_token", refresh.expose());
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut call = Call::new(Method::POST, realm.clone());
    call.lane = Lane::Token;
    call.headers = headers;
    call.payload = Payload::Secret(Bytes::from(form.finish()));
    call
}

async fn read_token(
    host: &Host,
    credential: &Credential,
    reply: Reply,
) -> Result<(Secret, Duration), Error> {
    let status = reply.status();
    if !status.is_success() {
        let (mut error, _) = reply.into_error_and_body().await;
        if matches!(status.as_u16(), 400 | 401 | 403) {
            error = error
                .with_kind(ErrorKind::Denied)
                .hinted(if credential.is_anonymous() {
                    format!(
                        "no credentials were sent; to log in: {}",
                        cloud::login(host.name())
                    )
                } else {
                    format!(
                        "the credentials for {0} were refused; to renew them: ohoci login {0}",
                        host.name()
                    )
                });
        }
        return Err(error);
    }
    let body = reply
        .bytes(MAX_TOKEN_ANSWER)
        .await
        .map_err(|failure| failure.error)?;
    parse_token(&body).ok_or_else(|| {
        Error::new(
            ErrorKind::Server,
            "the token server's answer has no usable token in it",
        )
    })
}

fn parse_token(body: &[u8]) -> Option<(Secret, Duration)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    let token = text("token").or_else(|| text("access_token"))?;
    if token.len() > MAX_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let lifetime = value
        .get("expires_in")
        .and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()))
        .filter(|seconds| *seconds > 0)
        .unwrap_or(DEFAULT_LIFETIME);
    Some((
        Secret::from(token),
        Duration::from_secs(lifetime.min(86_400)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HostSettings;

    #[test]
    fn answers_of_token_servers() {
        let read = |text: &str| {
            parse_token(text.as_bytes())
                .map(|(secret, life)| (secret.expose().to_owned(), life.as_secs()))
        };
        let found = |token: &str, life| Some((token.to_owned(), life));
        assert_eq!(read(r#"{"token":"a","expires_in":300}"#), found("a", 300));
        assert_eq!(read(r#"{"access_token":"b"}"#), found("b", 60));
        assert_eq!(
            read(r#"{"token":"a","access_token":"b","expires_in":0}"#),
            found("a", 60)
        );
        assert_eq!(
            read(r#"{"token":"","access_token":"b","expires_in":"90"}"#),
            found("b", 90)
        );
        for bad in [
            r#"{"token":"a\r\nX: y"}"#,
            r#"{"token":1}"#,
            "{}",
            "[]",
            "",
            "token",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn credentials_go_only_to_protected_realms() {
        let check = |host: &str, plain_http: bool, realm: &str| {
            let settings = HostSettings {
                plain_http,
                ..HostSettings::default()
            };
            let memory = std::sync::Arc::new(crate::token_memory::NoTokenMemory);
            let host = Host::new(host, settings, memory).unwrap();
            check_realm(&host, &realm.parse().unwrap()).is_ok()
        };
        assert!(check(
            "registry.example",
            false,
            "https://auth.example/token"
        ));
        assert!(!check(
            "registry.example",
            false,
            "http://auth.example/token"
        ));
        assert!(!check(
            "registry.example",
            false,
            "http://registry.example/token"
        ));
        assert!(check(
            "registry.example",
            true,
            "http://registry.example:81/token"
        ));
        assert!(!check(
            "registry.example",
            true,
            "http://auth.example/token"
        ));
        assert!(check("127.0.0.1:1", false, "http://localhost:2/token"));
        assert!(!check("registry.example", true, "http://127.0.0.1/token"));
        assert!(!check("registry.example", false, "file:///etc/passwd"));
    }
}
