//! One registry: where its API is, and what has been learned about it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use reqwest::Url;
use reqwest::header::WWW_AUTHENTICATE;
use tokio::time::Instant;

use super::challenge::{self, Challenge};
use super::error::{Error, ErrorKind};
use super::loopback;
use super::one_writer::OneWriter;
use super::pacing::Pacing;
use super::reply::Reply;
use super::scope::{Scope, ScopeSet};
use super::settings::HostSettings;
use super::token_cache::TokenCache;
use super::token_memory::{TokenMemory, TokenServer};
use ohoci_http::retry::is_transient;
use ohoci_http::{AddressScope, TransportSettings};
use ohoci_image::Digest;
use ohoci_image::reference::DOCKER_HUB;

/// Where Docker Hub's API is.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Most scopes that one token is asked for: token servers limit the length of a URL.
const SCOPES_PER_TOKEN: usize = 32;

/// How long a mirror is passed over that could not be reached, or sent wrong content.
const OUT_OF_USE: Duration = Duration::from_secs(60);

/// How a registry wants to be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Not known: nothing has been asked yet.
    Unknown,
    /// It has answered without.
    Open,
    /// A name and a password.
    Basic,
    /// A token.
    Bearer {
        /// Where to get it.
        realm: Url,
        /// The registry's name there.
        service: Option<String>,
    },
}

/// What the registry has shown that it can or cannot do.
#[derive(Debug, Default)]
struct Facts {
    single_post: Option<bool>,
    /// More bytes than this are not taken at once.
    body_limit: Option<u64>,
    /// Into which repository, and from which (or without naming one).
    refused_mounts: HashSet<(String, Option<String>)>,
    one_token_for_all: Option<bool>,
    out_of_use_until: Option<Instant>,
    /// Per repository, the blobs and manifests that its own answers have shown to be there since
    /// this process began.
    held: HashMap<String, HashSet<Digest>>,
    /// Blobs that answers to mounts have named, with the repositories.
    named_mounts: HashSet<(String, Digest)>,
}

/// One registry.
#[derive(Debug)]
pub(crate) struct Host {
    name: String,
    base: Url,
    settings: HostSettings,
    pub(crate) transport_settings: TransportSettings,
    pub(crate) pacing: Pacing,
    pub(crate) tokens: TokenCache,
    /// Held by the first request, from whose answer the others learn.
    pub(crate) discovery: tokio::sync::Mutex<()>,
    /// Lists of referrers are read, extended and written by one at a time.
    pub(crate) fallback_tags: OneWriter,
    authentication: Mutex<Authentication>,
    /// Whether that is what an earlier run was told, and no answer of this run has said it.
    is_assumed: AtomicBool,
    /// Whether a connection was begun beside the request for the first token.
    has_connected: AtomicBool,
    token_memory: Arc<dyn TokenMemory>,
    announced: Mutex<ScopeSet>,
    /// Whether it remembers what its repositories have shown to hold, and what was announced.
    remembers: bool,
    facts: Mutex<Facts>,
    address_scope: tokio::sync::OnceCell<AddressScope>,
}

impl Host {
    /// The registry that stands as `name` in references.
    pub(crate) fn new(
        name: &str,
        settings: HostSettings,
        token_memory: Arc<dyn TokenMemory>,
    ) -> Result<Self, Error> {
        let host = if name == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            name
        };
        let invalid = || Error::new(ErrorKind::Unsupported, format!("{name:?} is no host name"));
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/"))
                .ok()
                .filter(|url| url.path() == "/" && url.query().is_none())
                .filter(|url| url.username().is_empty() && url.fragment().is_none())
                .ok_or_else(invalid)
        };
        let secure = parse("https")?;
        let tls_is_set_up = settings.skip_tls_verify
            || settings.client_certificate.is_some()
            || !settings.certificate_authorities.is_empty();
        let on_this_machine = AddressScope::of_literal(&secure) == Some(AddressScope::Loopback);
        let plain = parse("http")?;
        // An authority that counts for all registries says nothing of this one: it is asked.
        let is_plain = settings.plain_http
            || (on_this_machine
                && !tls_is_set_up
                && (settings.shared_authorities.is_empty() || !loopback::speaks_tls(&plain)));
        let base = if is_plain { plain } else { secure };
        let assumed = token_memory.recall(base.as_str()).and_then(|server| {
            Some(Authentication::Bearer {
                realm: base.join(&server.realm).ok()?,
                service: server.service,
            })
        });
        Ok(Self {
            name: name.to_owned(),
            transport_settings: TransportSettings::own(&base, &settings.tls()),
            pacing: Pacing::new(settings.requests_per_second, settings.concurrency),
            tokens: TokenCache::default(),
            discovery: tokio::sync::Mutex::default(),
            fallback_tags: OneWriter::default(),
            is_assumed: AtomicBool::new(assumed.is_some()),
            has_connected: AtomicBool::new(false),
            authentication: Mutex::new(assumed.unwrap_or(Authentication::Unknown)),
            token_memory,
            announced: Mutex::default(),
            remembers: true,
            facts: Mutex::new(Facts {
                single_post: settings.single_post,
                body_limit: settings.chunk_size,
                ..Facts::default()
            }),
            address_scope: tokio::sync::OnceCell::new(),
            base,
            settings,
        })
    }

    /// The same, which remembers neither what its repositories have shown to hold nor what was announced.
    pub(crate) fn reading_only(self) -> Self {
        Self {
            remembers: false,
            ..self
        }
    }

    /// The registry as it stands in references.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port of the API.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &HostSettings {
        &self.settings
    }

    /// The URL of something in a repository.
    pub(crate) fn url(&self, repository: &str, rest: &str) -> Result<Url, Error> {
        let invalid = || {
            Error::new(
                ErrorKind::Unsupported,
                format!("{repository:?} is no repository name"),
            )
        };
        let path = format!("/v2/{repository}/{rest}");
        let harmless = |b: u8| b.is_ascii_alphanumeric() || b"-._/:".contains(&b);
        if !path.bytes().all(harmless) || path.split('/').any(|part| part == "." || part == "..") {
            return Err(invalid());
        }
        self.base.join(&path).map_err(|_| invalid())
    }

    /// Whether a URL is the registry's own, so that it may see credentials.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// How far the registry's own address reaches.
    pub(crate) async fn address_scope(&self) -> AddressScope {
        *self
            .address_scope
            .get_or_init(|| async {
                if let Some(reach) = AddressScope::of_literal(&self.base) {
                    return reach;
                }
                let Some(name) = self.base.host_str() else {
                    return AddressScope::Public;
                };
                // Behind a proxy the name may be unknown here. Then it counts as public, which
                // permits the least.
                match tokio::net::lookup_host((name, 0)).await {
                    Ok(found) => found
                        .map(|address| AddressScope::of(address.ip()))
                        .min()
                        .unwrap_or(AddressScope::Public),
                    Err(_) => AddressScope::Public,
                }
            })
            .await
    }

    /// How the registry wants to be convinced, as far as is known.
    pub(crate) fn authentication(&self) -> Authentication {
        self.authentication.lock().clone()
    }

    /// Whether [`authentication`](Self::authentication) is what an earlier run was told, and no
    /// answer of this run has said it.
    pub(crate) fn is_assumed(&self) -> bool {
        self.is_assumed.load(Ordering::Relaxed)
    }

    /// Whether a connection is to be begun while a token is asked for: once, where an earlier run was told
    /// where tokens are given out, so that no request to the registry comes before it. Plain HTTP has no
    /// handshake that would be worth a request.
    pub(crate) fn connects_beside_token(&self) -> bool {
        self.is_assumed()
            && self.base.scheme() == "https"
            && !self.has_connected.swap(true, Ordering::Relaxed)
    }

    /// Gives up what an earlier run was told, since it is of no use; `false` where an answer of this
    /// run has said it.
    pub(crate) fn give_up(&self, of_no_use: &Authentication) -> bool {
        let mut known = self.authentication.lock();
        if *known != *of_no_use {
            return true;
        }
        let was_assumed = self.is_assumed.swap(false, Ordering::Relaxed);
        if was_assumed {
            *known = Authentication::Unknown;
        }
        was_assumed
    }

    /// Learns from an answer, and returns the scopes that it names.
    pub(crate) fn learn(&self, reply: &Reply) -> ScopeSet {
        let mut known = self.authentication.lock();
        let refused = reply.status().as_u16() == 401;
        if !refused && *known == Authentication::Unknown && !is_transient(reply.status()) {
            *known = Authentication::Open;
        }
        // Where the registry redirects to has no say in how the registry is convinced.
        if !refused || !self.owns(&reply.url) {
            return ScopeSet::default();
        }
        let headers = reply.headers().get_all(WWW_AUTHENTICATE);
        let challenges = challenge::parse(headers.iter().map(|value| value.as_bytes()));
        let mut basic = false;
        for challenge in challenges {
            match challenge {
                Challenge::Basic => basic = true,
                Challenge::Bearer {
                    realm,
                    service,
                    scopes,
                    error,
                } => {
                    tracing::debug!(host = %self.name, realm, error, "the registry wants a token");
                    // A realm may be relative to the registry.
                    let Ok(realm) = self.base.join(&realm) else {
                        continue;
                    };
                    self.is_assumed.store(false, Ordering::Relaxed);
                    let learned = Authentication::Bearer {
                        realm: realm.clone(),
                        service: service.clone(),
                    };
                    if *known != learned {
                        let realm = realm.to_string();
                        let server = TokenServer { realm, service };
                        self.token_memory.remember(self.base.as_str(), &server);
                        *known = learned;
                    }
                    return scopes;
                }
            }
        }
        if basic {
            self.is_assumed.store(false, Ordering::Relaxed);
            *known = Authentication::Basic;
        }
        ScopeSet::default()
    }

    /// Notes scopes that will be needed.
    pub(crate) fn announce(&self, scopes: impl IntoIterator<Item = Scope>) {
        if !self.remembers {
            return;
        }
        let mut announced = self.announced.lock();
        for scope in scopes {
            announced.insert(scope);
        }
    }

    /// `wanted` together with announced scopes that may well go into the same token; `None` when
    /// there is nothing to add, or the registry has shown that it does not work.
    pub(crate) fn joined(&self, wanted: &ScopeSet) -> Option<ScopeSet> {
        if self.facts().one_token_for_all == Some(false) {
            return None;
        }
        let announced = self.announced.lock();
        if wanted.is_empty() || !announced.covers(wanted) {
            return None;
        }
        // The last one wanted decides which group it is: the source of a mount, of which a batch
        // has thousands, while the target stays the same.
        let last = wanted.iter().last()?;
        let at = announced
            .iter()
            .position(|scope| scope.same_resource(&last))?;
        let mut joined = wanted.clone();
        for scope in announced
            .iter()
            .skip(at / SCOPES_PER_TOKEN * SCOPES_PER_TOKEN)
            .take(SCOPES_PER_TOKEN)
        {
            joined.insert(scope);
        }
        (joined != *wanted).then_some(joined)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    /// Remembers that tokens for several announced scopes are of no use here.
    pub(crate) fn set_one_token_for_all(&self, works: bool) {
        self.facts().one_token_for_all = Some(works);
    }

    /// Whether it is of no use as a mirror for now.
    pub(crate) fn is_out_of_use(&self) -> bool {
        self.facts()
            .out_of_use_until
            .is_some_and(|until| until > Instant::now())
    }

    /// Passes over it as a mirror for a while.
    pub(crate) fn set_out_of_use(&self) {
        self.facts().out_of_use_until = Instant::now().checked_add(OUT_OF_USE);
    }

    /// Whether a blob can be uploaded in one POST; `None` when that is not known.
    pub(crate) fn single_post(&self) -> Option<bool> {
        self.facts().single_post
    }

    /// Remembers whether a blob can be uploaded in one POST.
    pub(crate) fn set_single_post(&self, works: bool) {
        self.facts().single_post = Some(works);
    }

    /// How many bytes of a blob may be sent at once, where there is a limit.
    pub(crate) fn body_limit(&self) -> Option<u64> {
        self.facts().body_limit
    }

    /// Remembers how many bytes were taken where more were not.
    pub(crate) fn set_body_limit(&self, bytes: u64) {
        self.facts().body_limit = Some(bytes);
    }

    /// Whether mounts from a repository (or without naming one) into another have been refused
    /// for good.
    pub(crate) fn refuses_mounts(&self, into: &str, from: Option<&str>) -> bool {
        self.facts()
            .refused_mounts
            .contains(&(into.to_owned(), from.map(str::to_owned)))
    }

    /// Notes that a repository has shown that it holds these.
    pub(crate) fn set_held<'a>(
        &self,
        repository: &str,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) {
        if !self.remembers {
            return;
        }
        let mut facts = self.facts();
        let held = facts.held.entry(repository.to_owned()).or_default();
        held.extend(digests.into_iter().cloned());
    }

    /// Whether a repository has shown that it holds this.
    pub(crate) fn holds(&self, repository: &str, digest: &Digest) -> bool {
        let facts = self.facts();
        let held = facts.held.get(repository);
        held.is_some_and(|held| held.contains(digest))
    }

    /// Forgets all that a repository has shown.
    pub(crate) fn forget_held(&self, repository: &str) {
        self.facts().held.remove(repository);
    }

    /// Notes that the answer to a mount named the blob.
    pub(crate) fn set_mount_named(&self, into: &str, digest: &Digest) {
        let mut facts = self.facts();
        facts.named_mounts.insert((into.to_owned(), digest.clone()));
    }

    /// Whether the answer to a mount has named the blob.
    pub(crate) fn mount_named(&self, into: &str, digest: &Digest) -> bool {
        let key = (into.to_owned(), digest.clone());
        self.facts().named_mounts.contains(&key)
    }

    /// Remembers that such mounts are refused. It says nothing of other targets: who may not
    /// write to one may write to the next.
    pub(crate) fn set_mounts_refused(&self, into: &str, from: Option<&str>) {
        let mut facts = self.facts();
        if facts.refused_mounts.len() < 100_000 {
            facts
                .refused_mounts
                .insert((into.to_owned(), from.map(str::to_owned)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token_memory::NoTokenMemory;

    fn host(name: &str, settings: HostSettings) -> Host {
        Host::new(name, settings, Arc::new(NoTokenMemory)).unwrap()
    }

    #[test]
    fn where_the_api_is() {
        let base = |name: &str, settings| host(name, settings).base().to_string();
        let plain = || HostSettings {
            plain_http: true,
            ..HostSettings::default()
        };
        let authority = || HostSettings {
            certificate_authorities: vec!["ca.pem".into()],
            ..HostSettings::default()
        };
        let default = HostSettings::default;
        assert_eq!(
            base("docker.io", default()),
            "https://registry-1.docker.io/"
        );
        assert_eq!(
            base("registry.example", default()),
            "https://registry.example/"
        );
        assert_eq!(
            base("registry.example:5000", plain()),
            "http://registry.example:5000/"
        );
        assert_eq!(base("127.0.0.1:5000", default()), "http://127.0.0.1:5000/");
        assert_eq!(base("localhost:5000", default()), "http://localhost:5000/");
        assert_eq!(base("[::1]:5000", default()), "http://[::1]:5000/");
        assert_eq!(
            base("localhost:5000", authority()),
            "https://localhost:5000/"
        );
    }

    #[test]
    fn no_name_leads_out_of_the_api() {
        for bad in ["a@b", "a/b", "a?b", "a#b", "", "a b"] {
            let memory = Arc::new(NoTokenMemory);
            let host = Host::new(bad, HostSettings::default(), memory);
            assert!(host.is_err(), "{bad}");
        }
        let host = host("registry.example", HostSettings::default());
        for bad in ["../x", "a/../../b", "a?b", "a#b", "a%2e", "a b"] {
            assert!(host.url(bad, "tags/list").is_err(), "{bad}");
        }
        assert_eq!(
            host.url("a/b", "tags/list").unwrap().as_str(),
            "https://registry.example/v2/a/b/tags/list"
        );
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_its_own() {
        let host = host("registry.example:5000", HostSettings::default());
        let owns = |url: &str| host.owns(&url.parse().unwrap());
        assert!(owns("https://registry.example:5000/v2/x"));
        assert!(!owns("https://registry.example/v2/x"));
        assert!(!owns("http://registry.example:5000/v2/x"));
        assert!(!owns("https://registry.example.evil.example:5000/v2/x"));
    }

    #[test]
    fn announced_scopes_join_in_groups() {
        let host = host("registry.example", HostSettings::default());
        host.announce([Scope::push("target")]);
        host.announce((0..100).map(|n| Scope::pull(&format!("base{n}"))));
        let target = ScopeSet::of(Scope::push("target"));
        let joined = host.joined(&target).unwrap();
        assert_eq!(joined.len(), SCOPES_PER_TOKEN);
        let mount = ScopeSet::from_iter([Scope::push("target"), Scope::pull("base99")]);
        let joined = host.joined(&mount).unwrap();
        assert!(joined.covers(&mount) && joined.len() <= SCOPES_PER_TOKEN + 1);
        assert_eq!(joined.iter().next(), Some(Scope::push("target")));
        assert_eq!(host.joined(&ScopeSet::of(Scope::pull("unannounced"))), None);
        let reading =
            super::tests::host("registry.example", HostSettings::default()).reading_only();
        reading.announce((0..100).map(|n| Scope::pull(&format!("base{n}"))));
        assert_eq!(reading.joined(&ScopeSet::of(Scope::pull("base1"))), None);
        let digest = Digest::of(b"");
        reading.set_held("base1", [&digest]);
        assert!(!reading.holds("base1", &digest));
    }
}
