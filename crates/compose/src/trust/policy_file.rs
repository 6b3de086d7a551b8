//! Reads the policy: containers' `policy.json`, where their tools look for it, and the `[trust]` of ohoci's
//! configuration.

use std::io::{ErrorKind as IoKind, Read as _};
use std::path::{Path, PathBuf};

use ohoci_config::{Environment, TrustDefault, TrustRule, TrustSettings};
use ohoci_files::regular;
use ohoci_store::{Error, ErrorKind};
use ohoci_trust::policy::{Identity, Order, Part, Policy, Requirement, Rule, Scope};
use ohoci_trust::policy_json::{self, MAX_POLICY};

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

fn fail(path: &Path, why: String) -> Error {
    let what = format!("cannot use the policy {}", path.display());
    Error::new(ErrorKind::Unsupported, what, why)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let io = |error: std::io::Error| {
        let what = format!("cannot use the policy {}", path.display());
        Error::io(what, error)
    };
    let file = match regular::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io(error)),
    };
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_POLICY + 1);
    file.read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_POLICY {
        return Err(fail(path, "it is larger than 1 MiB".to_owned()));
    }
    Ok(Some(bytes))
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
    let mut keys = Vec::new();
    for path in &rule.keys {
        keys.push((path.display().to_string(), key_file::public(path)?));
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
    if !keys.is_empty() {
        requirements.push(Requirement::Signed {
            keys: keys.clone(),
            identity: Identity::Any,
        });
    }
    if !rule.attestations.is_empty() {
        requirements.push(Requirement::Attested {
            keys,
            types: rule.attestations.clone(),
        });
    }
    Ok(Rule {
        name: format!("rule {}, {}", at.saturating_add(1), rule.images.join(" ")),
        scope: Scope::Patterns(rule.images.clone()),
        requirements,
    })
}
