//! Reads the policy: containers' `policy.json`, where their tools look for it, and the `[trust]` of ohoci's
//! configuration.

use std::io::{ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};

use ohoci_config::{Environment, TrustDefault, TrustRule, TrustSettings};
use ohoci_files::regular;
use ohoci_store::{Error, ErrorKind};
use ohoci_trust::policy::{Identity, Order, Part, Policy, Requirement, Rule, Scope};
use ohoci_trust::policy_json::{self, MAX_POLICY};
use ohoci_trust::trusted_root::MAX_TRUSTED_ROOT;
use ohoci_trust::{CertificateIdentity, Trusted, TrustedRoot};

use super::key_file;

/// The policy of the machine, where its user has none.
const MACHINES: &str = "/etc/containers/policy.json";
/// The user's policy, below the home directory.
const USERS: &str = ".config/containers/policy.json";
/// What the configuration's table is called in messages.
const TABLE: &str = "[trust] in ohoci/config.toml";

/// Reads the policy. Where there is neither a file nor a table, every image is let in.
///
/// # Errors
/// When a file or a key in it cannot be read: what may be used is not known then.
pub fn load(environment: &Environment, settings: &TrustSettings) -> Result<Policy, Error> {
    let mut policy = Policy::default();
    let users = environment.home().map(|home| home.join(USERS));
    for path in users.into_iter().chain([PathBuf::from(MACHINES)]) {
        if let Some(bytes) = read(&path)? {
            policy.parts.push(containers(&path, &bytes)?);
            break;
        }
    }
    policy.parts.extend(own(settings)?);
    Ok(policy)
}

/// Reads a Sigstore's trusted root.
///
/// # Errors
/// When it cannot be read or is none.
pub fn trusted_root(path: &Path) -> Result<TrustedRoot, Error> {
    let what = || format!("cannot use the trusted root {}", path.display());
    let file = regular::open(path).map_err(|error| Error::io(what(), error))?;
    let bytes = limited(file, MAX_TRUSTED_ROOT, &what)?;
    TrustedRoot::parse(&bytes).map_err(|why| Error::new(ErrorKind::Unsupported, what(), why))
}

fn fail(path: &Path, why: String) -> Error {
    let what = format!("cannot use the policy {}", path.display());
    Error::new(ErrorKind::Unsupported, what, why)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let what = || format!("cannot use the policy {}", path.display());
    match regular::open(path) {
        Ok(file) => limited(file, MAX_POLICY, &what).map(Some),
        Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(what(), error)),
    }
}

fn limited(file: impl Read, most: u64, what: &dyn Fn() -> String) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(what(), error))?;
    if bytes.len() as u64 > most {
        let why = format!("it is larger than {} MiB", most >> 20);
        return Err(Error::new(ErrorKind::Unsupported, what(), why));
    }
    Ok(bytes)
}

fn containers(path: &Path, bytes: &[u8]) -> Result<Part, Error> {
    let read_key = |file: &str| {
        let text = key_file::read(Path::new(file)).map_err(|error| error.to_string())?;
        Ok(text.to_string())
    };
    policy_json::parse(&path.display().to_string(), bytes, &read_key).map_err(|why| fail(path, why))
}

fn own(settings: &TrustSettings) -> Result<Option<Part>, Error> {
    let mut rules = settings
        .rule
        .iter()
        .enumerate()
        .map(|(at, rule)| own_rule(at, rule))
        .collect::<Result<Vec<_>, _>>()?;
    if settings.default == TrustDefault::Reject {
        rules.push(Rule {
            name: "default".to_owned(),
            scope: Scope::All,
            requirements: vec![Requirement::Reject],
        });
    }
    Ok((!rules.is_empty()).then(|| Part {
        file: TABLE.to_owned(),
        order: Order::First,
        rules,
    }))
}

fn own_rule(at: usize, rule: &TrustRule) -> Result<Rule, Error> {
    Ok(Rule {
        name: format!("rule {}, {}", at.saturating_add(1), rule.images.join(" ")),
        scope: Scope::Patterns(rule.images.clone()),
        requirements: requirements(rule)?,
    })
}

/// What a rule asks of its images; its keys are read.
///
/// # Errors
/// When a key or a trusted root cannot be read.
pub fn requirements(rule: &TrustRule) -> Result<Vec<Requirement>, Error> {
    let mut by = Vec::new();
    for path in &rule.keys {
        let key = key_file::public(path)?;
        by.push(Trusted::Key(path.display().to_string(), key));
    }
    if let Some(path) = &rule.trusted_root {
        let root = trusted_root(path)?;
        let root = (path.display().to_string(), root);
        by.extend(rule.identities.iter().map(|one| {
            Trusted::Identity(CertificateIdentity {
                root: root.clone(),
                issuer: one.issuer.clone(),
                identity: one.identity.clone(),
            })
        }));
    }
    let mut requirements = Vec::new();
    if rule.reject {
        requirements.push(Requirement::Reject);
    }
    if !rule.digests.is_empty() {
        requirements.push(Requirement::Digests(rule.digests.clone()));
    }
    if !rule.platforms.is_empty() {
        requirements.push(Requirement::Platforms(rule.platforms.clone()));
    }
    // Workflows sign statements and nothing else: where only identities are named, those are enough.
    let are_enough = rule.keys.is_empty() && !rule.attestations.is_empty();
    if !by.is_empty() && !are_enough {
        requirements.push(Requirement::Signed {
            by: by.clone(),
            identity: Identity::Any,
        });
    }
    if !rule.attestations.is_empty() {
        requirements.push(Requirement::Attested {
            by,
            types: rule.attestations.clone(),
        });
    }
    Ok(requirements)
}
