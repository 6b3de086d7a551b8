//! Certificates that other tools have set up per registry: the `certs.d` directories.
//!
//! The layout is that of `dockerd` and of containers-certs.d(5): `DIR/HOST[:PORT]/` holds `*.crt`
//! (authorities to trust) and pairs of `*.cert` and `*.key` (what to show to the registry).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::ConfigError;
use super::registries::ClientIdentity;

/// What a `certs.d` directory holds for one host, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCertificates {
    /// Files of certificates to trust.
    pub ca: Vec<PathBuf>,
    /// Certificates to show to the registry.
    pub identities: Vec<ClientIdentity>,
}

/// The `certs.d` directories of this machine, in the order in which they are searched.
#[must_use]
pub fn certificate_roots(environment: &Environment) -> Vec<PathBuf> {
    let own = environment
        .config_home()
        .map(|home| home.join("containers/certs.d"));
    own.into_iter()
        .chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from))
        .collect()
}

/// Lists the certificates for a host. As in podman, the first root that has a directory for the
/// host is the only one that counts, and one that may not be read is passed over.
///
/// # Errors
/// When that directory holds half of a pair, or cannot be read.
pub fn certificates_for(host: &str, roots: &[PathBuf]) -> Result<HostCertificates, ConfigError> {
    // Not a file name, so not a host either.
    if host.is_empty() || host.contains('/') || matches!(host, "." | "..") {
        return Ok(HostCertificates::default());
    }
    for root in roots {
        let directory = root.join(host);
        let entries = match fs_err::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                ) =>
            {
                continue;
            }
            Err(error) => return Err(ConfigError::new(&directory, error.kind().to_string())),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry =
                entry.map_err(|error| ConfigError::new(&directory, error.kind().to_string()))?;
            files.push(entry.path());
        }
        files.sort();
        return sort_out(&files);
    }
    Ok(HostCertificates::default())
}

fn sort_out(files: &[PathBuf]) -> Result<HostCertificates, ConfigError> {
    let mut found = HostCertificates::default();
    let has = |path: &Path| files.iter().any(|file| file == path);
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => found.ca.push(file.clone()),
            Some("cert") => {
                let key = file.with_extension("key");
                if !has(&key) {
                    return Err(ConfigError::new(
                        file,
                        format!(
                            "there is no {} beside it; authorities to trust end in .crt",
                            name(&key)
                        ),
                    ));
                }
                found.identities.push(ClientIdentity {
                    certificate: file.clone(),
                    key,
                });
            }
            Some("key") => {
                let certificate = file.with_extension("cert");
                if !has(&certificate) {
                    return Err(ConfigError::new(
                        file,
                        format!("there is no {} beside it", name(&certificate)),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn the_first_root_that_knows_the_host_is_listed() {
        let first = root(&["other.example/ca.crt"]);
        let second = root(&[
            "registry.example:5000/b.crt",
            "registry.example:5000/a.crt",
            "registry.example:5000/me.cert",
            "registry.example:5000/me.key",
            "registry.example:5000/README",
        ]);
        let third = root(&["registry.example:5000/c.crt"]);
        let roots = [&first, &second, &third].map(|root| root.path().to_owned());
        let at = second.path().join("registry.example:5000");
        assert_eq!(
            certificates_for("registry.example:5000", &roots).unwrap(),
            HostCertificates {
                ca: vec![at.join("a.crt"), at.join("b.crt")],
                identities: vec![ClientIdentity {
                    certificate: at.join("me.cert"),
                    key: at.join("me.key"),
                }],
            }
        );
        for unknown in ["registry.example", "..", ""] {
            assert_eq!(
                certificates_for(unknown, &roots).unwrap(),
                HostCertificates::default()
            );
        }
    }

    #[test]
    fn half_a_pair_is_an_error_that_names_the_other_half() {
        for (file, missing) in [("me.cert", "me.key"), ("me.key", "me.cert")] {
            let root = root(&[&format!("registry.example/{file}")]);
            let error = certificates_for("registry.example", &[root.path().to_owned()])
                .unwrap_err()
                .to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
