//! A token server for Debian's registry, with the quirks that real ones have.
//!
//! The exchange is distribution's `docs/spec/auth/{token,oauth,jwt}.md`; tokens are JWTs signed with
//! ES256 that carry their certificate (`x5c`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SigningKey,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::debian_registry::{PASSWORD, USER};
use super::peer::block_on;

/// What tokens name as their audience and issuer.
pub(crate) const SERVICE: &str = "registry of a test";
pub(crate) const ISSUER: &str = "token server of a test";

/// Accepted as a refresh token of [`USER`].
pub(crate) const IDENTITY_TOKEN: &str = "identity of the tester";

/// What a token server makes of several `scope` parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scopes {
    /// Grants all.
    All,
    /// Grants the first only.
    First,
    /// Grants the last only.
    Last,
    /// Answers 400 when `scope` is there twice.
    RejectRepeated,
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub(crate) scopes: Scopes,
    /// Actions granted to clients without credentials; with none they are refused.
    pub(crate) anonymous: &'static [&'static str],
    /// The `expires_in` of answers; absent means 60 seconds to a client.
    pub(crate) expires_in: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            scopes: Scopes::All,
            anonymous: &["pull"],
            expires_in: Some(300),
        }
    }
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    pub(crate) method: String,
    /// Who asked; empty without credentials.
    pub(crate) user: String,
    /// The scopes, in the order and in the pieces in which they were sent.
    pub(crate) scopes: Vec<String>,
    /// What it was answered.
    pub(crate) status: u16,
}

/// A running token server.
pub(crate) struct TokenServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    behaviour: Behaviour,
    signer: CertifiedIssuer<'static, KeyPair>,
    requests: Mutex<Vec<TokenRequest>>,
}

impl TokenServer {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, ISSUER);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let shared = Arc::new(Shared {
            behaviour,
            signer,
            requests: Mutex::default(),
        });

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let thread = thread::spawn(move || {
            block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = axum::serve(listener, router).into_future();
                // Open connections are cut, not waited for: a client may keep one for its next token.
                tokio::select! { result = serving => result.unwrap(), _ = stopped => {} }
            });
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What registries put into their challenge.
    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The certificate that registries must trust, as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.shared.signer.pem()
    }

    /// A token that grants everything in these repositories, given away without a request.
    pub(crate) fn token_for(&self, repositories: &[&str]) -> String {
        let scope = |repository: &&str| format!("repository:{repository}:pull,push,delete");
        let scopes: Vec<String> = repositories.iter().map(scope).collect();
        self.shared.token(USER, &scopes)
    }

    /// The requests since the start or the last call.
    pub(crate) fn take_requests(&self) -> Vec<TokenRequest> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the token server failed"
            );
        }
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let fields: Vec<(String, String)> = match method {
        Method::POST => url::form_urlencoded::parse(&body).into_owned().collect(),
        _ => url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
    };
    let all = |name: &str| {
        fields
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    };
    let scopes: Vec<String> = all("scope");
    let (user, result) = shared.decide(&headers, &fields, &scopes);
    let (status, document) = match result {
        Ok(token) => {
            let mut document = if method == Method::POST {
                json!({"access_token": token})
            } else {
                json!({"token": token})
            };
            if let Some(seconds) = shared.behaviour.expires_in {
                document["expires_in"] = json!(seconds);
            }
            (StatusCode::OK, document)
        }
        Err((status, message)) => {
            let code = if status == StatusCode::UNAUTHORIZED {
                "UNAUTHORIZED"
            } else {
                "DENIED"
            };
            (
                status,
                json!({"errors": [{"code": code, "message": message}]}),
            )
        }
    };
    shared.requests.lock().unwrap().push(TokenRequest {
        method: method.to_string(),
        user,
        scopes,
        status: status.as_u16(),
    });
    (
        status,
        [("Content-Type", "application/json")],
        document.to_string(),
    )
}

type Refusal = (StatusCode, &'static str);

impl Shared {
    /// Who asks, and the token or why there is none.
    fn decide(
        &self,
        headers: &HeaderMap,
        fields: &[(String, String)],
        scopes: &[String],
    ) -> (String, Result<String, Refusal>) {
        let user = match identify(headers, fields) {
            Ok(user) => user,
            Err(refusal) => return (String::new(), Err(refusal)),
        };
        if self.behaviour.scopes == Scopes::RejectRepeated && scopes.len() > 1 {
            return (
                user,
                Err((StatusCode::BAD_REQUEST, "parameter scope is repeated")),
            );
        }
        if user.is_empty() && self.behaviour.anonymous.is_empty() {
            return (
                user,
                Err((StatusCode::UNAUTHORIZED, "authentication required")),
            );
        }
        let pieces: Vec<String> = scopes
            .iter()
            .flat_map(|scope| scope.split(' '))
            .map(str::to_owned)
            .collect();
        let honoured = match self.behaviour.scopes {
            Scopes::All | Scopes::RejectRepeated => pieces,
            Scopes::First => pieces.into_iter().take(1).collect(),
            Scopes::Last => pieces.into_iter().next_back().into_iter().collect(),
        };
        let token = self.token(&user, &honoured);
        (user, Ok(token))
    }

    fn token(&self, user: &str, scopes: &[String]) -> String {
        let allowed = |action: &&str| !user.is_empty() || self.behaviour.anonymous.contains(action);
        let access: Vec<Value> = scopes
            .iter()
            .filter_map(|scope| {
                let (kind, rest) = scope.split_once(':')?;
                let (name, actions) = rest.rsplit_once(':')?;
                let actions: BTreeSet<&str> = actions.split(',').filter(allowed).collect();
                Some(json!({"type": kind, "name": name, "actions": actions}))
            })
            .collect();
        let now = now().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": user, "aud": SERVICE, "iat": now, "nbf": now - 60,
            "exp": now + self.behaviour.expires_in.unwrap_or(60), "jti": "1", "access": access,
        });
        let certificate = STANDARD.encode(self.signer.as_ref().der());
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [certificate]});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = raw_signature(&self.signer.key().sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The user whose password or refresh token was sent, empty when nothing was.
fn identify(headers: &HeaderMap, fields: &[(String, String)]) -> Result<String, Refusal> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let sent = if let Some(value) = headers.get("Authorization") {
        let encoded = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Basic "));
        let decoded = encoded
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .unwrap_or_default();
        String::from_utf8_lossy(&decoded).into_owned()
    } else {
        match field("grant_type") {
            Some("refresh_token") if field("refresh_token") == Some(IDENTITY_TOKEN) => {
                return Ok(USER.to_owned());
            }
            Some("refresh_token") => {
                return Err((StatusCode::UNAUTHORIZED, "refresh token is not valid"));
            }
            Some(_) => format!(
                "{}:{}",
                field("username").unwrap_or_default(),
                field("password").unwrap_or_default()
            ),
            None => return Ok(String::new()),
        }
    };
    if sent == format!("{USER}:{PASSWORD}") {
        Ok(USER.to_owned())
    } else {
        Err((StatusCode::UNAUTHORIZED, "incorrect username or password"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a token is valid from now on")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// JWTs carry both numbers of a P-256 signature as 32 bytes each (RFC 7518, section 3.4); signing
/// gives them as an ASN.1 sequence of two integers.
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut raw = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let digits = &number[length.saturating_sub(32)..];
        raw.resize(raw.len() + 32 - digits.len(), 0);
        raw.extend_from_slice(digits);
        rest = &rest[2 + length..];
    }
    raw
}
