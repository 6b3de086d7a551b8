//! What a reference may have been meant to be that led nowhere.

use std::path::Path;

use super::failure::Failure;
use ohoci_image::Reference;

/// Adds to a failure what the references that a person typed may have been meant to be.
/// `takes_layers` says that files of this machine can be layers of what is asked for.
pub(crate) fn meant(failure: Failure, typed: &[String], takes_layers: bool) -> Failure {
    let mut guesses = typed.iter().filter_map(|text| guess(text, takes_layers));
    match guesses.next() {
        Some(guess) => failure.also_hinted(&guess),
        None => failure,
    }
}

/// What is here under the name that was typed, or what it was read as.
fn guess(text: &str, takes_layers: bool) -> Option<String> {
    let is_read_as = text.parse::<Reference>();
    if let Ok(Reference::Registry(_)) | Err(_) = &is_read_as {
        let path = Path::new(text);
        if path.join("oci-layout").is_file() {
            return Some(format!("{text} is an OCI layout here: oci:{text}"));
        }
        if path.is_dir() {
            return Some(match takes_layers {
                true => format!(
                    "{text} is a directory here: --layer {text} puts what is in it on a base, and \
                     oci:{text} is an image in it"
                ),
                false => format!("{text} is a directory here: oci:{text} is an image in it"),
            });
        }
        if path.is_file() {
            let layer = match takes_layers {
                true => format!(", --layer {text} puts a tar on a base"),
                false => String::new(),
            };
            return Some(format!(
                "{text} is a file here: oci-archive:{text} and docker-archive:{text} are images in \
                 it{layer}"
            ));
        }
    }
    match is_read_as {
        Ok(reference @ Reference::Registry(_)) if looks_like_a_host(text) => Some(format!(
            "{text} is read as {reference}; of a registry, name a repository: {text}/NAME"
        )),
        _ => None,
    }
}

/// Whether a name without a slash looks like that of a registry: with a dot before any colon, a
/// port, or that of this machine.
fn looks_like_a_host(text: &str) -> bool {
    let text = text.trim_end_matches('/');
    if text.contains('/') || text.contains('@') {
        return false;
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| port.len() >= 2 && port.parse::<u16>().is_ok();
    name == "localhost" || name.contains('.') || (port.is_some_and(is_port) && name.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_repository_are_told_from_short_names() {
        for host in [
            "registry.example",
            "registry.example:5000",
            "localhost",
            "localhost:5000",
        ] {
            let guess = guess(host, false).unwrap();
            assert!(guess.contains(&format!("{host}/NAME")), "{guess}");
        }
        for name in [
            "ubuntu",
            "ubuntu:22.04",
            "registry.example/app",
            "python:3.12",
            "scratch",
        ] {
            assert_eq!(guess(name, true), None, "{name}");
        }
    }

    #[test]
    fn what_lies_here_is_named_by_its_kind() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        fs_err::create_dir_all(at("layout")).unwrap();
        fs_err::write(at("layout/oci-layout"), "{}").unwrap();
        fs_err::write(at("image.tar"), "x").unwrap();
        let said = |name: &str| guess(&at(name), true).unwrap();
        assert!(said("layout").ends_with(&format!("oci:{}", at("layout"))));
        assert!(said("image.tar").contains(&format!("oci-archive:{}", at("image.tar"))));
        assert!(said("").contains("--layer"));
        let read_only = guess(&at("image.tar"), false).unwrap();
        assert!(!read_only.contains("--layer"), "{read_only}");
        assert_eq!(guess(&format!("oci:{}", at("layout")), true), None);
    }
}
