//! containers' `policy.json` (`containers-policy.json(5)`), without its files: keys are asked of whoever
//! reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::json::{self, Shape};
use serde_json::{Map, Value};

use crate::policy::{Identity, Order, Part, Requirement, Rule, Scope};
use crate::public_key::PublicKey;

/// Most of a policy that is read, in bytes.
pub const MAX_POLICY: u64 = 1 << 20;

/// What is between a reader and the files that keys are in: the file's text, or why it cannot be read.
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
    // What containers' tools know and ohoci does not verify is refused image by image.
    let more = [
        "fulcio",
        "pki",
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
        "signedIdentity",
    ];
    only(object, &[more.as_slice(), own.as_slice()].concat(), what)?;
    if let Some(key) = more.iter().find(|key| object.contains_key(**key)) {
        return Ok(Requirement::Unknown(format!(
            "it asks for sigstoreSigned with {key:?}, which ohoci does not verify; keys alone are"
        )));
    }
    let mut keys = Vec::new();
    for path in strings(object, "keyPath", "keyPaths")? {
        let text = read_key(&path)?;
        keys.push((path.clone(), key(&path, &text)?));
    }
    for data in strings(object, "keyData", "keyDatas")? {
        let bytes = STANDARD.decode(data).map_err(|_| "keyData is no base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "keyData is no PEM")?;
        keys.push(("keyData".to_owned(), key("keyData", &text)?));
    }
    if keys.is_empty() {
        return Err(format!("{what} names no key"));
    }
    Ok(Requirement::Signed {
        keys,
        identity: match object.get("signedIdentity") {
            Some(value) => identity(value)?,
            None => Identity::RepositoryOrExact,
        },
    })
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
