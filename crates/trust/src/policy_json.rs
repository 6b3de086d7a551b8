//! containers' `policy.json` (`containers-policy.json(5)`), without its files: keys are asked of whoever
//! reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::json::{self, Shape};
use serde_json::{Map, Value};

use crate::certificate::CertificateIdentity;
use crate::policy::{Identity, Order, Part, Requirement, Rule, Scope};
use crate::public_key::PublicKey;
use crate::trusted::Trusted;
use crate::trusted_root::TrustedRoot;

/// Most of a policy that is read, in bytes.
pub const MAX_POLICY: u64 = 1 << 20;

/// What is between a reader and the files that keys and certificates are in: the file's text, or why it cannot
/// be read.
pub type ReadKey<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Reads a policy; `file` is what it is called in messages.
///
/// # Errors
/// What is wrong with it. As in containers' tools, fields that are not known make it invalid: they may
/// ask for more.
pub fn parse(file: &str, bytes: &[u8], read_key: &ReadKey<'_>) -> Result<Part, String> {
    let value = json::parse(bytes, &Shape::Any).map_err(|error| error.to_string())?;
    let object = value.as_object().ok_or("it is no JSON object")?;
    only(object, &["default", "transports"], "the policy")?;
    let default = object.get("default").ok_or("it has no \"default\"")?;
    let mut rules = vec![Rule {
        name: "default".to_owned(),
        scope: Scope::All,
        requirements: requirements(default, "default", read_key)?,
    }];
    let transports = object.get("transports").and_then(Value::as_object);
    for (transport, scopes) in transports.into_iter().flatten() {
        let scopes = scopes
            .as_object()
            .ok_or_else(|| format!("transport {transport:?} is no object"))?;
        for (scope, value) in scopes {
            let name = format!("{transport}:{scope}");
            let scope = match transport.as_str() {
                "docker" => Scope::Docker(scope.clone()),
                "oci" => Scope::Local("oci", scope.clone()),
                "oci-archive" => Scope::Local("oci-archive", scope.clone()),
                "docker-archive" => Scope::Local("docker-archive", scope.clone()),
                // Places that ohoci does not read from.
                _ => continue,
            };
            rules.push(Rule {
                requirements: requirements(value, &name, read_key)?,
                name,
                scope,
            });
        }
    }
    Ok(Part {
        file: file.to_owned(),
        order: Order::MostSpecial,
        rules,
    })
}

fn only(object: &Map<String, Value>, known: &[&str], what: &str) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{what} has an unknown field {key:?}")),
        None => Ok(()),
    }
}

fn requirements(
    value: &Value,
    name: &str,
    read_key: &ReadKey<'_>,
) -> Result<Vec<Requirement>, String> {
    let list = value
        .as_array()
        .filter(|list| !list.is_empty())
        .ok_or_else(|| format!("{name} has no list of requirements"))?;
    list.iter()
        .map(|value| requirement(value, read_key).map_err(|error| format!("{name}: {error}")))
        .collect()
}

fn requirement(value: &Value, read_key: &ReadKey<'_>) -> Result<Requirement, String> {
    let object = value.as_object().ok_or("a requirement is no object")?;
    let kind = object.get("type").and_then(Value::as_str);
    match kind.ok_or("a requirement has no \"type\"")? {
        "insecureAcceptAnything" => {
            only(object, &["type"], "insecureAcceptAnything")?;
            Ok(Requirement::Accept)
        }
        "reject" => {
            only(object, &["type"], "reject")?;
            Ok(Requirement::Reject)
        }
        "signedBy" => Ok(Requirement::Unknown(
            "it asks for a signature by GnuPG (signedBy), which ohoci does not verify; sigstoreSigned \
             is verified"
                .to_owned(),
        )),
        "sigstoreSigned" => sigstore_signed(object, read_key),
        other => Err(format!("the requirement {other:?} is not known")),
    }
}

fn sigstore_signed(
    object: &Map<String, Value>,
    read_key: &ReadKey<'_>,
) -> Result<Requirement, String> {
    let what = "sigstoreSigned";
    let logs = [
        "rekorPublicKeyPath",
        "rekorPublicKeyPaths",
        "rekorPublicKeyData",
        "rekorPublicKeyDatas",
    ];
    let own = [
        "type",
        "keyPath",
        "keyPaths",
        "keyData",
        "keyDatas",
        "fulcio",
        "pki",
        "signedIdentity",
    ];
    only(object, &[logs.as_slice(), own.as_slice()].concat(), what)?;
    let identity = match object.get("signedIdentity") {
        Some(value) => identity(value)?,
        None => Identity::RepositoryOrExact,
    };
    let keys = keys(
        object,
        ["keyPath", "keyPaths", "keyData", "keyDatas"],
        read_key,
    )?;
    // What containers' tools know and ohoci does not verify is refused image by image.
    let unverified = |key: &str| {
        Requirement::Unknown(format!(
            "it asks for sigstoreSigned with {key:?}, which ohoci does not verify; keys alone are, and \
             \"fulcio\" with keys of Rekor"
        ))
    };
    if object.contains_key("pki") {
        return Ok(unverified("pki"));
    }
    if let Some(value) = object.get("fulcio") {
        if !keys.is_empty() {
            return Err(format!("{what} has both keys and \"fulcio\""));
        }
        let logs = self::keys(object, logs, read_key)?;
        let by = fulcio(value, logs, read_key).map_err(|error| format!("\"fulcio\": {error}"))?;
        return Ok(Requirement::Signed {
            by: vec![Trusted::Identity(by)],
            identity,
        });
    }
    if let Some(key) = logs.iter().find(|key| object.contains_key(**key)) {
        return Ok(unverified(key));
    }
    if keys.is_empty() {
        return Err(format!("{what} names no key"));
    }
    let by = keys.into_iter();
    Ok(Requirement::Signed {
        by: by.map(|(name, key)| Trusted::Key(name, key)).collect(),
        identity,
    })
}

/// Whom certificates of an authority have to name.
fn fulcio(
    value: &Value,
    logs: Vec<(String, PublicKey)>,
    read_key: &ReadKey<'_>,
) -> Result<CertificateIdentity, String> {
    let object = value.as_object().ok_or("it is no object")?;
    only(
        object,
        &["caPath", "caData", "oidcIssuer", "subjectEmail"],
        "it",
    )?;
    let text = |key: &str| {
        let found = object.get(key).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("it has no {key:?}"))
    };
    let (name, certificates) = match (object.contains_key("caPath"), object.contains_key("caData"))
    {
        (true, false) => {
            let path = text("caPath")?;
            let text = read_key(&path)?;
            (path, text)
        }
        (false, true) => ("caData".to_owned(), decoded("caData", &text("caData")?)?),
        (true, true) => return Err("it has both \"caPath\" and \"caData\"".to_owned()),
        (false, false) => return Err("it has neither \"caPath\" nor \"caData\"".to_owned()),
    };
    if logs.is_empty() {
        return Err("there is no key of Rekor beside it".to_owned());
    }
    let logs: Vec<PublicKey> = logs.into_iter().map(|(_, key)| key).collect();
    let root = TrustedRoot::of_authority(&certificates, &logs)
        .map_err(|error| format!("{name}: {error}"))?;
    let exact = |key: &str| {
        let text = text(key)?;
        // Here they are no patterns.
        if text.contains('*') || text.is_empty() {
            return Err(format!("{key:?} is {text:?}"));
        }
        Ok(text)
    };
    Ok(CertificateIdentity {
        root: (name, root),
        issuer: exact("oidcIssuer")?,
        identity: exact("subjectEmail")?,
    })
}

/// Keys in files and in the policy itself.
fn keys(
    object: &Map<String, Value>,
    [path, paths, data, datas]: [&str; 4],
    read_key: &ReadKey<'_>,
) -> Result<Vec<(String, PublicKey)>, String> {
    let mut keys = Vec::new();
    for path in strings(object, path, paths)? {
        let text = read_key(&path)?;
        keys.push((path.clone(), key(&path, &text)?));
    }
    for value in strings(object, data, datas)? {
        keys.push((data.to_owned(), key(data, &decoded(data, &value)?)?));
    }
    Ok(keys)
}

fn decoded(name: &str, data: &str) -> Result<String, String> {
    let bytes = STANDARD
        .decode(data)
        .map_err(|_| format!("{name} is no base64"))?;
    String::from_utf8(bytes).map_err(|_| format!("{name} is no PEM"))
}

fn key(name: &str, text: &str) -> Result<PublicKey, String> {
    PublicKey::parse(text).map_err(|error| format!("{name}: {error}"))
}

fn strings(object: &Map<String, Value>, one: &str, many: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("{one:?} is no text"))
    };
    match (object.get(one), object.get(many)) {
        (Some(_), Some(_)) => Err(format!("it has both {one:?} and {many:?}")),
        (Some(value), None) => Ok(vec![text(value)?]),
        (None, Some(values)) => values
            .as_array()
            .ok_or_else(|| format!("{many:?} is no list"))?
            .iter()
            .map(text)
            .collect(),
        (None, None) => Ok(Vec::new()),
    }
}

fn identity(value: &Value) -> Result<Identity, String> {
    let object = value.as_object().ok_or("signedIdentity is no object")?;
    let text = |key: &str| {
        let found = object.get(key).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("signedIdentity has no {key:?}"))
    };
    match text("type")?.as_str() {
        "matchExact" => Ok(Identity::Exact),
        "matchRepoDigestOrExact" => Ok(Identity::RepositoryOrExact),
        "matchRepository" => Ok(Identity::Repository),
        "exactReference" => Ok(Identity::ExactReference(text("dockerReference")?)),
        "exactRepository" => Ok(Identity::ExactRepository(text("dockerRepository")?)),
        other => Err(format!("signedIdentity {other:?} is not known here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    fn read(text: &str) -> Result<Part, String> {
        let key = PrivateKey::from_random(&[1; 32]).unwrap();
        parse("policy.json", text.as_bytes(), &|path| match path {
            "/key.pub" => Ok(key.public().to_pem()),
            _ => Err(format!("{path}: there is no such file")),
        })
    }

    #[test]
    fn what_is_known_is_read_and_what_is_not_makes_a_policy_invalid() {
        let part = read(
            r#"{"default": [{"type": "reject"}], "transports": {
                "docker": {"": [{"type": "insecureAcceptAnything"}],
                    "registry.example": [{"type": "sigstoreSigned", "keyPath": "/key.pub",
                        "signedIdentity": {"type": "matchRepository"}}],
                    "old.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}],
                    "log.example": [{"type": "sigstoreSigned", "keyPath": "/key.pub",
                        "rekorPublicKeyPath": "/r"}]},
                "docker-daemon": {"": [{"type": "reject"}]}}}"#,
        )
        .unwrap();
        let asks: Vec<String> = part
            .rules
            .iter()
            .map(|rule| {
                let text = format!("{:?}", rule.requirements);
                text.split([' ', '(', ']']).next().unwrap().to_owned()
            })
            .collect();
        assert_eq!(
            asks,
            ["[Reject", "[Accept", "[Signed", "[Unknown", "[Unknown"]
        );
        for (text, words) in [
            ("{}", "no \"default\""),
            (r#"{"default": []}"#, "no list"),
            (r#"{"default": [{"type": "x"}]}"#, "not known"),
            (
                r#"{"default": [{"type": "reject", "keyPath": "x"}]}"#,
                "unknown field",
            ),
            (
                r#"{"default": [{"type": "reject"}], "defaults": 1}"#,
                "unknown field",
            ),
            (
                r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/none"}]}"#,
                "/none: there is no such file",
            ),
            (
                r#"{"default": [{"type": "sigstoreSigned"}]}"#,
                "names no key",
            ),
            (
                r#"{"default": [{"type": "reject"}], "default": []}"#,
                "twice",
            ),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
