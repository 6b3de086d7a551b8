//! What every command that touches images starts from: configuration, client, cache.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::arguments::RegistryArguments;
use super::failure::Failure;
use super::output;
use ohoci_compose::resolver::Resolver;
use ohoci_compose::trust::policy_file;
use ohoci_config::environment::OHOCI_STORE_DIR;
use ohoci_config::{
    Config, ConfigError, Environment, HostCertificates, certificate_roots, certificates_for,
};
use ohoci_http::RetryPolicy;
use ohoci_layer::limits::UnpackLimits;
use ohoci_node::{KnownLayers, LayerStore, StoreError};
use ohoci_openhands::contract::terms::Terms;
use ohoci_registry::credentials::ConfiguredCredentials;
use ohoci_registry::{
    Client, Credential, CredentialError, CredentialSource, HostSettings, Mirror, NoTokenMemory,
    Settings, TokenMemory,
};
use ohoci_sandbox::RemovedDirectory;
use ohoci_store::cache::Cache;

/// Where the store of unpacked layers is in the cache.
const STORE: &str = "unpacked";

/// An opened context.
#[derive(Debug)]
pub(crate) struct Context {
    /// Opens references.
    pub(crate) resolver: Resolver,
    /// What the configuration files say.
    pub(crate) config: Config,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// Where files that are made on the way are written.
    pub(crate) work_dir: PathBuf,
    /// Where the cache is; `None` when there is none.
    pub(crate) cache_dir: Option<PathBuf>,
    _work: RemovedDirectory,
}

/// An opened context whose client several jobs use.
#[derive(Debug)]
pub(crate) struct SharedContext {
    /// Opens references.
    pub(crate) resolver: Arc<Resolver>,
    /// What the configuration files say.
    pub(crate) config: Config,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// Where files that are made on the way are written.
    pub(crate) work_dir: PathBuf,
    /// Where the cache is; `None` when there is none.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Where the store of unpacked layers is, and how many bytes it may take.
    pub(crate) store: (PathBuf, Option<u64>),
    _work: RemovedDirectory,
}

impl Context {
    /// Reads the configuration and sets up client and cache. Touches no network.
    pub(crate) fn open(arguments: &RegistryArguments) -> Result<Self, Failure> {
        let environment = Environment::of_process();
        let config = Config::load(&environment, Path::new("."))?;
        let cache_dir = cache_dir(arguments, &environment);
        let cache = Arc::new(cache_dir.clone().map_or_else(Cache::disabled, Cache::new));
        let credentials = Arc::new(ConfiguredCredentials::new(
            environment.clone(),
            arguments.authfile.as_deref(),
        ));
        let hosts = host_settings(arguments, &environment, &config)?;
        let limits = unpack_limits(&environment, &config)?;
        let token_memory: Arc<dyn TokenMemory> = Arc::clone(&cache) as _;
        let client = client(hosts, credentials, token_memory, policy(&config))?;
        let policy = policy_file::load(&environment, config.trust())?;
        let work = RemovedDirectory::create().map_err(|error| {
            Failure::new("cannot make a temporary directory", error.to_string())
                .hinted("set TMPDIR to a directory that can be written")
        })?;
        let resolver = Resolver::new(client, cache)
            .knowing(Terms::known_layer)
            .within(limits)
            .trusting(policy);
        let store = store_directory(&config, &environment, cache_dir.as_deref());
        let resolver = match store {
            None => resolver,
            Some(directory) => {
                resolver.looking_into(Arc::new(KnownLayers::in_directory(directory)))
            }
        };
        Ok(Self {
            resolver,
            config,
            environment,
            work_dir: work.path().to_owned(),
            cache_dir,
            _work: work,
        })
    }

    /// A client that offers one credential, whatever is configured.
    pub(crate) fn client_with(
        arguments: &RegistryArguments,
        credential: Credential,
    ) -> Result<Client, Failure> {
        let environment = Environment::of_process();
        let config = Config::load(&environment, Path::new("."))?;
        let hosts = host_settings(arguments, &environment, &config)?;
        client(
            hosts,
            Arc::new(OneCredential(credential)),
            // Whether the registry takes the credential is what is asked.
            Arc::new(NoTokenMemory),
            policy(&config),
        )
    }

    /// The credentials that are configured.
    pub(crate) fn credentials(&self, arguments: &RegistryArguments) -> ConfiguredCredentials {
        ConfiguredCredentials::new(self.environment.clone(), arguments.authfile.as_deref())
    }

    /// Opens the store of unpacked layers; one that lasts as long as this where there is no cache.
    pub(crate) fn layer_store(&self) -> Result<LayerStore, Failure> {
        let (directory, most_bytes) = self.layer_store_settings();
        let store = LayerStore::open(&directory).map_err(unusable_store)?;
        Ok(store
            .limited_to(most_bytes)
            .unpacking_within(self.resolver.limits))
    }

    /// Where the store of unpacked layers is, and how many bytes it may take.
    pub(crate) fn layer_store_settings(&self) -> (PathBuf, Option<u64>) {
        let directory = store_directory(&self.config, &self.environment, self.cache_dir.as_deref())
            .unwrap_or_else(|| self.work_dir.join(STORE));
        (directory, self.config.store().most_bytes)
    }

    /// The same, for jobs side by side that read and write by one client.
    pub(crate) fn shared(self) -> SharedContext {
        SharedContext {
            store: self.layer_store_settings(),
            resolver: Arc::new(self.resolver),
            config: self.config,
            environment: self.environment,
            work_dir: self.work_dir,
            cache_dir: self.cache_dir,
            _work: self._work,
        }
    }

    /// Shows what the registries said between the lines.
    pub(crate) fn show_server_warnings(&self) {
        for warning in self.resolver.client.warnings() {
            output::warning(&warning);
        }
    }
}

/// Where the store of unpacked layers is that lasts; `None` where there is none.
fn store_directory(
    config: &Config,
    environment: &Environment,
    cache_dir: Option<&Path>,
) -> Option<PathBuf> {
    let own = environment.get(OHOCI_STORE_DIR).map(PathBuf::from);
    own.or_else(|| config.store().directory.clone())
        .or_else(|| Some(cache_dir?.join(STORE)))
}

/// The words for a store of unpacked layers that cannot be used.
#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
pub(crate) fn unusable_store(error: StoreError) -> Failure {
    Failure::new("cannot open the store of unpacked layers", error.to_string()).hinted(format!(
        "{OHOCI_STORE_DIR}, or `directory` in [store] of your ohoci/config.toml, names another directory"
    ))
}

#[derive(Debug)]
struct OneCredential(Credential);

#[async_trait]
impl CredentialSource for OneCredential {
    async fn credential(&self, _: &str, _: &str) -> Result<Credential, CredentialError> {
        Ok(self.0.clone())
    }
}

fn client(
    hosts: HostLookup,
    credentials: Arc<dyn CredentialSource>,
    token_memory: Arc<dyn TokenMemory>,
    retry: RetryPolicy,
) -> Result<Client, Failure> {
    Client::new(Settings {
        hosts,
        credentials,
        token_memory,
        user_agent: concat!("ohoci/", env!("CARGO_PKG_VERSION")).to_owned(),
        retry,
    })
    .map_err(|error| Failure::from(ohoci_store::Error::from(error)))
}

/// How patient ohoci is with servers.
pub(crate) fn policy(config: &Config) -> RetryPolicy {
    let own = config.network();
    let standard = RetryPolicy::default();
    let seconds =
        |given: Option<u64>, or| given.map_or(or, |given| Duration::from_secs(given.max(1)));
    RetryPolicy {
        idle_timeout: seconds(own.idle_seconds, standard.idle_timeout),
        document_timeout: seconds(own.document_seconds, standard.document_timeout),
        least_speed: own.least_bytes_per_second.unwrap_or(standard.least_speed),
        ..standard
    }
}

/// What the configuration lets an image come to.
fn unpack_limits(environment: &Environment, config: &Config) -> Result<UnpackLimits, Failure> {
    let own = config.limits().overridden_by(environment);
    let own = own.map_err(|variable| {
        Failure::usage(format!("{variable} is no number; it has to be a whole one"))
    })?;
    let standard = UnpackLimits::default();
    Ok(UnpackLimits {
        bytes: own.unpacked_bytes.unwrap_or(standard.bytes),
        entries: own.entries.unwrap_or(standard.entries),
        names: own.name_bytes.unwrap_or(standard.names),
    })
}

fn cache_dir(arguments: &RegistryArguments, environment: &Environment) -> Option<PathBuf> {
    if arguments.no_cache {
        return None;
    }
    arguments
        .cache_dir
        .clone()
        .or_else(|| Some(environment.cache_home()?.join("ohoci")))
}

type HostLookup = Arc<dyn Fn(&str) -> HostSettings + Send + Sync>;

fn host_settings(
    arguments: &RegistryArguments,
    environment: &Environment,
    config: &Config,
) -> Result<HostLookup, Failure> {
    for file in &arguments.ca_file {
        if !file.is_file() {
            return Err(Failure::usage(format!(
                "--ca-file {}: there is no such file",
                file.display()
            )));
        }
    }
    let roots = certificate_roots(environment);
    let plain_http = arguments.plain_http.clone();
    let skip_tls_verify = arguments.skip_tls_verify.clone();
    let ca_files = arguments.ca_file.clone();
    let config = config.clone();
    let warned = Mutex::new(HashSet::new());
    let unverified_hosts = Mutex::new(HashSet::new());
    Ok(Arc::new(move |host| {
        let own = config.registry(host);
        let found = certificates_for(host, &roots).unwrap_or_else(|error| {
            if warned.lock().insert(host.to_owned()) {
                output::warning(&format!("{host} is used without its certificates: {error}"));
            }
            HostCertificates::default()
        });
        let mut certificate_authorities = own.ca;
        certificate_authorities.extend(found.ca);
        let plain_http =
            plain_http.iter().any(|named| named == host) || own.plain_http.unwrap_or_default();
        let unverified = skip_tls_verify.iter().any(|named| named == host)
            || own.skip_tls_verify.unwrap_or_default();
        if unverified && !plain_http && unverified_hosts.lock().insert(host.to_owned()) {
            output::warning(&format!(
                "the certificate of {host} is not verified: whoever is in between can read and \
                 change everything, passwords included"
            ));
        }
        let identity = own.client_identity.or(found.identities.into_iter().next());
        HostSettings {
            plain_http,
            skip_tls_verify: unverified,
            shared_authorities: ca_files.clone(),
            chunk_size: own.chunk_size,
            mirrors: own
                .mirrors
                .into_iter()
                .map(|mirror| Mirror {
                    host: mirror.host,
                    prefix: mirror.prefix,
                })
                .collect(),
            certificate_authorities,
            client_certificate: identity.map(|identity| (identity.certificate, identity.key)),
            requests_per_second: own.requests_per_second,
            concurrency: own.concurrency.map(|count| count.get() as usize),
            single_post: own.single_post,
        }
    }))
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = Self::new("cannot use the configuration", error.to_string());
        match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_config::environment::XDG_CONFIG_HOME;

    #[test]
    fn what_the_configuration_says_of_a_host_reaches_the_client() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ohoci/config.toml");
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(
            &file,
            r#"
            [registry."registry.example"]
            plain-http = true
            mirrors = ["mirror.example/proxy"]
            ca = ["own.pem"]
            client-certificate = "me.cert"
            client-key = "me.key"
            requests-per-second = 2.5
            concurrency = 3
            single-post = true
            "#,
        )
        .unwrap();
        let environment = Environment::of([(XDG_CONFIG_HOME, home.path().into())]);
        let config = Config::load(&environment, home.path()).unwrap();
        let arguments = RegistryArguments::default();
        let lookup = host_settings(&arguments, &environment, &config).unwrap();
        let beside = |name: &str| home.path().join("ohoci").join(name);
        assert_eq!(
            lookup("registry.example"),
            HostSettings {
                plain_http: true,
                mirrors: vec![Mirror {
                    host: "mirror.example".to_owned(),
                    prefix: "proxy".to_owned(),
                }],
                certificate_authorities: vec![beside("own.pem")],
                client_certificate: Some((beside("me.cert"), beside("me.key"))),
                requests_per_second: Some(2.5),
                concurrency: Some(3),
                single_post: Some(true),
                ..HostSettings::default()
            }
        );
        assert_eq!(lookup("other.example"), HostSettings::default());
    }
}
