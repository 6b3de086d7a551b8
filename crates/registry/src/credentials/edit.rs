//! Changes files of credentials.
//!
//! They belong to other tools as well, so they are edited as JSON trees: what is not ours stays,
//! in its order.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::files::{self, TOKEN_USER};
use super::keys::{DOCKER_HUB_KEY, Scope};
use super::locations::{Form, Location};
use crate::{Credential, CredentialError};
use ohoci_image::reference::DOCKER_HUB;

/// How a scope is written in a location: Docker looks up Docker Hub under the old URL only.
pub(super) fn spelling(location: &Location, scope: &Scope) -> String {
    if location.form == Form::Docker && scope.is_host() && scope.host == DOCKER_HUB {
        DOCKER_HUB_KEY.to_owned()
    } else {
        scope.key()
    }
}

/// The fields that keep a credential.
pub(super) fn entry(credential: &Credential) -> Map<String, Value> {
    let fields = match credential {
        Credential::Basic { username, password } => {
            vec![("auth", files::encode(username, password))]
        }
        // Podman looks at an identity token only where there is an `auth` beside it.
        Credential::IdentityToken(token) => vec![
            ("auth", files::encode(TOKEN_USER, &"".into())),
            ("identitytoken", token.expose().to_owned()),
        ],
        Credential::Anonymous | Credential::RegistryToken(_) => Vec::new(),
    };
    fields
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Value::String(text)))
        .collect()
}

/// The fields of an entry that hold credentials.
const SECRET_FIELDS: [&str; 7] = [
    "auth",
    "username",
    "password",
    "identitytoken",
    "identityToken",
    "registrytoken",
    "registryToken",
];

/// Puts a credential in the location of the one that an entry has; its other fields stay.
pub(super) fn replace(kept: &mut Value, entry: Map<String, Value>) {
    match kept {
        Value::Object(fields) => {
            fields.retain(|name, _| !SECRET_FIELDS.contains(&name.as_str()));
            fields.extend(entry);
        }
        other => *other = Value::Object(entry),
    }
}

/// Changes what a file has below `auths`; a file that is right already is not written.
pub(super) fn edit(
    location: &Location,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<(), CredentialError> {
    let Some(path) = location.path() else {
        return Ok(());
    };
    let mut root = match files::text(location, path)? {
        Some(text) if !text.expose().trim().is_empty() => serde_json::from_str(text.expose())
            .map_err(|error| files::malformed(location, &error))?,
        _ => Value::Object(Map::new()),
    };
    let auths = match (&mut root, location.form) {
        (Value::Object(root), Form::Legacy) => Some(root),
        (Value::Object(root), Form::Containers | Form::Docker) => {
            let auths = root.entry("auths").or_insert(Value::Null);
            if auths.is_null() {
                *auths = Value::Object(Map::new());
            }
            auths.as_object_mut()
        }
        _ => None,
    };
    let auths = auths.ok_or_else(|| {
        CredentialError::new(format!(
            "cannot change {location}: it is no file of credentials"
        ))
    })?;
    let before = auths.clone();
    change(auths);
    if *auths == before {
        return Ok(());
    }
    write(path, &root)
        .map_err(|error| CredentialError::new(format!("cannot write {location}: {error}")))
}

/// Writes a file whole or not at all, so that only its owner can read it. A link stays a link.
fn write(path: &Path, root: &Value) -> std::io::Result<()> {
    let path = match fs_err::canonicalize(path) {
        Ok(target) => target,
        Err(_) => path.to_owned(),
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_private(directory)?;
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(
        root,
        &mut serde_json::Serializer::with_formatter(&mut text, indent),
    )?;
    text.push(b'\n');
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a directory, and those above it that are not there, for the owner only.
fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}
