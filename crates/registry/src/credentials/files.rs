//! Reads one location of credentials and finds in it what counts for a repository.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::keys::{self, Scope};
use super::locations::{Form, Location, Source};
use crate::{Credential, CredentialError, Secret};
use ohoci_config::text;

/// Largest file of credentials that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The name that says that what goes with it is an identity token, not a password (the credential
/// helper protocol; some files have it as well).
pub(super) const TOKEN_USER: &str = "<token>";

/// Some tools leave out the padding.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What one location says.
#[derive(Default)]
pub(super) struct Content {
    auths: BTreeMap<String, Entry>,
    /// Helpers by the key under which they are asked.
    helpers: BTreeMap<String, String>,
    store: Option<String>,
    legacy: bool,
}

/// A helper that a location wants asked for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What stands behind `docker-credential-` in the program's name.
    pub(super) helper: String,
    /// What it is asked for.
    pub(super) server: String,
    pub(super) setting: Setting,
}

impl Asked {
    /// Whether the helper is set for exactly this host.
    pub(super) fn is_for_host(&self) -> bool {
        self.setting == Setting::Host
    }
}

/// What names a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// `credHelpers`.
    Host,
    /// `credsStore`.
    EveryHost,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "credHelpers",
            Self::EveryHost => "credsStore",
        })
    }
}

/// An entry that should hold a credential and cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEntry {
    pub(super) key: String,
    pub(super) why: &'static str,
}

/// The fields of Docker's `types.AuthConfig` that hold credentials.
#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(alias = "identityToken")]
    identitytoken: Option<String>,
    #[serde(alias = "registryToken")]
    registrytoken: Option<String>,
}

#[derive(Default, Deserialize)]
struct Document {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// Reads a location; `None` when it is not there.
///
/// # Errors
/// When it is required and not there, cannot be read, is too large or is malformed.
pub(super) fn read(location: &Location) -> Result<Option<Content>, CredentialError> {
    match &location.source {
        Source::Inline { content, .. } => parse(location, content.expose()).map(Some),
        Source::File(path) => match text(location, path)? {
            Some(text) => parse(location, text.expose()).map(Some),
            None => Ok(None),
        },
    }
}

/// The text of a file of credentials; `None` when it is not there and need not be.
///
/// # Errors
/// When it is required and not there, cannot be read, or is too large.
pub(super) fn text(location: &Location, path: &Path) -> Result<Option<Secret>, CredentialError> {
    let fail =
        |why: &str| CredentialError::new(format!("cannot read credentials from {location}: {why}"));
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            if location.required {
                return Err(fail("there is no such file"));
            }
            return Ok(None);
        }
        Err(error) => return Err(fail(&error.kind().to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(&error.kind().to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail("it is larger than 1 MiB"));
    }
    let text = text::decode(bytes).map_err(|_| fail("it is not UTF-8 text"))?;
    Ok(Some(Secret::new(text)))
}

fn parse(location: &Location, text: &str) -> Result<Content, CredentialError> {
    // What `touch auth.json` makes.
    if text.trim().is_empty() {
        return Ok(Content::default());
    }
    let legacy = location.form == Form::Legacy;
    let document = if legacy {
        serde_json::from_str(text).map(|auths| Document {
            auths: Some(auths),
            ..Document::default()
        })
    } else {
        serde_json::from_str::<Document>(text)
    };
    let document = document.map_err(|error| malformed(location, &error))?;
    Ok(Content {
        auths: document
            .auths
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(key, entry)| Some((key, entry?)))
            .collect(),
        helpers: document.helpers.unwrap_or_default(),
        store: document.store.filter(|store| !store.is_empty()),
        legacy,
    })
}

/// Says that a location is not the JSON that it should be. Serde's messages quote the values that it
/// met, and here these are secrets, so only those about the grammar are passed on.
pub(super) fn malformed(location: &Location, error: &serde_json::Error) -> CredentialError {
    let why = if error.is_data() {
        format!(
            "line {} column {} is not what a file of credentials has there",
            error.line(),
            error.column()
        )
    } else {
        error.to_string()
    };
    CredentialError::new(format!("cannot read credentials from {location}: {why}"))
}

impl Content {
    /// The helper to ask for a host's credential. One set for the host goes before the one for
    /// all; one that is set to nothing says to use what stands in the file.
    pub(super) fn helper(&self, host: &str) -> Option<Asked> {
        let own = self.helpers.iter().map(|(key, name)| (key.as_str(), name));
        let own = keys::matching(own, false, host, "");
        if let Some((server, _, helper)) = own.into_iter().next() {
            return (!helper.is_empty()).then(|| Asked {
                helper: helper.clone(),
                server: server.to_owned(),
                setting: Setting::Host,
            });
        }
        Some(Asked {
            helper: self.store.clone()?,
            server: keys::store_key(&keys::canonical_host(host)).to_owned(),
            setting: Setting::EveryHost,
        })
    }

    /// The credential that stands in the file for a repository below a path of the host.
    ///
    /// # Errors
    /// When the best entry is malformed.
    pub(super) fn for_path(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, BadEntry> {
        self.inline(host, repository, |scope| !scope.is_host())
    }

    /// The credential that stands in the file for the whole host.
    ///
    /// # Errors
    /// When the best entry is malformed.
    pub(super) fn for_host(&self, host: &str) -> Result<Option<Credential>, BadEntry> {
        self.inline(host, "", Scope::is_host)
    }

    /// Whether a credential stands in the file for exactly this scope.
    pub(super) fn has(&self, scope: &Scope) -> bool {
        self.auths.iter().any(|(key, entry)| {
            Scope::of_key(key, self.legacy) == *scope && !matches!(entry.credential(), Ok(None))
        })
    }

    /// An entry without a credential says that one is kept elsewhere; the next is taken then.
    fn inline(
        &self,
        host: &str,
        repository: &str,
        wanted: impl Fn(&Scope) -> bool,
    ) -> Result<Option<Credential>, BadEntry> {
        let entries = self.auths.iter().map(|(key, entry)| (key.as_str(), entry));
        for (key, scope, entry) in keys::matching(entries, self.legacy, host, repository) {
            if !wanted(&scope) {
                continue;
            }
            let credential = entry.credential().map_err(|why| BadEntry {
                key: key.to_owned(),
                why,
            })?;
            if credential.is_some() {
                return Ok(credential);
            }
        }
        Ok(None)
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        fn set(field: Option<&String>) -> Option<&str> {
            field.map(String::as_str).filter(|text| !text.is_empty())
        }
        if let Some(token) = set(self.registrytoken.as_ref()) {
            return Ok(Some(Credential::RegistryToken(token.into())));
        }
        if let Some(token) = set(self.identitytoken.as_ref()) {
            return Ok(Some(Credential::IdentityToken(token.into())));
        }
        let (username, password) = match set(self.auth.as_ref()) {
            Some(auth) => decode(auth)?,
            None => match (set(self.username.as_ref()), set(self.password.as_ref())) {
                (Some(username), Some(password)) => (username.to_owned(), password.into()),
                _ => return Ok(None),
            },
        };
        Ok(basic(username, password))
    }
}

/// A name and a password as a credential; none where half of it is missing, as for podman.
pub(super) fn basic(username: String, password: Secret) -> Option<Credential> {
    if username == TOKEN_USER {
        return Some(Credential::IdentityToken(password));
    }
    (!username.is_empty() && !password.expose().is_empty())
        .then_some(Credential::Basic { username, password })
}

/// Takes `base64(username:password)` apart, at the first colon.
fn decode(auth: &str) -> Result<(String, Secret), &'static str> {
    let bytes = TOLERANT
        .decode(auth.trim())
        .map_err(|_| "its auth is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "its auth is not UTF-8 text in base64")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("its auth is not base64 of a name, a colon and a password")?;
    Ok((username.to_owned(), password.trim_matches('\0').into()))
}

/// What is kept as `auth`: base64 of the name, a colon and the password.
pub(super) fn encode(username: &str, password: &Secret) -> String {
    TOLERANT.encode(format!("{username}:{}", password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(form: Form) -> Location {
        Location {
            source: Source::File("auth.json".into()),
            form,
            required: false,
        }
    }

    fn content(text: &str) -> Content {
        parse(&location(Form::Containers), text).unwrap()
    }

    fn one(entry: &str) -> Result<Option<Credential>, &'static str> {
        serde_json::from_str::<Entry>(entry).unwrap().credential()
    }

    fn user(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic {
            username: username.to_owned(),
            password: password.into(),
        })
    }

    #[test]
    fn every_field_that_holds_a_credential_is_read() {
        for (entry, wanted) in [
            (r#"{"auth":"dXNlcjpwYXNz"}"#, user("user", "pass")),
            // `user:pa:ss`, `user:pass` and two NULs, `user:passw` without padding.
            (r#"{"auth":"dXNlcjpwYTpzcw=="}"#, user("user", "pa:ss")),
            (r#"{"auth":"dXNlcjpwYXNzAAA="}"#, user("user", "pass")),
            (r#"{"auth":"dXNlcjpwYXNzdw"}"#, user("user", "passw")),
            (r#"{"auth":"dXNlcjpwYXNz\n"}"#, user("user", "pass")),
            (
                r#"{"username":"user","password":"pass"}"#,
                user("user", "pass"),
            ),
            (
                r#"{"auth":"dXNlcjpwYXNz","username":"other","password":"word"}"#,
                user("user", "pass"),
            ),
            (
                r#"{"auth":"MDAwOg==","identitytoken":"refresh"}"#,
                Some(Credential::IdentityToken("refresh".into())),
            ),
            (
                r#"{"identitytoken":"refresh","registrytoken":"bearer"}"#,
                Some(Credential::RegistryToken("bearer".into())),
            ),
            (
                r#"{"username":"<token>","password":"refresh"}"#,
                Some(Credential::IdentityToken("refresh".into())),
            ),
            ("{}", None),
            (r#"{"auth":"","identitytoken":null}"#, None),
            (r#"{"auth":"dXNlcjo="}"#, None),
            (r#"{"username":"user","email":"me@registry.example"}"#, None),
        ] {
            assert_eq!(one(entry), Ok(wanted), "{entry}");
        }
    }

    #[test]
    fn an_auth_that_cannot_be_decoded_is_an_error() {
        for (entry, wanted) in [
            (r#"{"auth":"dXNl!"}"#, "base64"),
            (r#"{"auth":"dXNlcg=="}"#, "colon"),
            (r#"{"auth":"//8="}"#, "UTF-8"),
        ] {
            assert!(one(entry).unwrap_err().contains(wanted), "{entry}");
        }
    }

    #[test]
    fn an_empty_entry_leaves_it_to_the_next() {
        let content = content(
            r#"{"auths": {
                "registry.example/org/repo": {},
                "registry.example/org": {"auth": "dXNlcjpwYXNz"},
                "registry.example": null
            }}"#,
        );
        assert_eq!(
            content.for_path("registry.example", "org/repo"),
            Ok(user("user", "pass"))
        );
        assert_eq!(content.for_host("registry.example"), Ok(None));
    }

    #[test]
    fn the_helper_of_a_host_goes_before_that_of_all() {
        let content = content(
            r#"{"credsStore": "desktop", "credHelpers": {
                "registry.example": "own", "https://index.docker.io/v1/": "hub", "plain.example": ""
            }}"#,
        );
        let asked = |host| {
            content
                .helper(host)
                .map(|asked| (asked.helper, asked.server))
        };
        let pair = |helper: &str, server: &str| Some((helper.to_owned(), server.to_owned()));
        assert_eq!(asked("registry.example"), pair("own", "registry.example"));
        assert_eq!(
            asked("docker.io"),
            pair("hub", "https://index.docker.io/v1/")
        );
        assert_eq!(asked("other.example"), pair("desktop", "other.example"));
        assert_eq!(asked("plain.example"), None);
        let everything = super::tests::content(r#"{"credsStore": "desktop"}"#);
        assert_eq!(
            everything.helper("docker.io").map(|asked| asked.server),
            Some("https://index.docker.io/v1/".to_owned())
        );
    }

    #[test]
    fn a_malformed_file_is_placed_without_quoting_it() {
        for text in [
            r#"{"auths": {"registry.example": "hunter2"}}"#,
            r#"{"auths": {"registry.example": {"auth": "hunter2"}"#,
            r#"{"auths": ["hunter2"]}"#,
            "hunter2",
        ] {
            let error = parse(&location(Form::Containers), text)
                .err()
                .unwrap()
                .to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(
                error.contains("auth.json") && error.contains("line 1"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        assert_eq!(content(" \n").for_host("registry.example"), Ok(None));
        assert_eq!(content("{}").for_host("registry.example"), Ok(None));
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let location = Location {
            source: Source::File("/dev/zero".into()),
            ..location(Form::Containers)
        };
        let error = read(&location).err().unwrap().to_string();
        assert!(
            error.contains("/dev/zero: it is larger than 1 MiB"),
            "{error}"
        );
    }
}
