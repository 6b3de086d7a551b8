//! What goes wrong with recipes, as failures of a command: in words, with what may help.

use std::fmt::Write as _;
use std::io::ErrorKind;

use crate::failure::Failure;
use ohoci_config::ConfigError;
use ohoci_deps::assemble::AssembleError;
use ohoci_deps::audit::{Audit, Severity};
use ohoci_deps::debian::repository::RepositoryError;
use ohoci_deps::fetching::Missing;
use ohoci_deps::locking::LockingError;
use ohoci_deps::recipe::{Recipe, SelectionError};
use ohoci_deps::rootfs::{FilesError, RootFsError};
use ohoci_deps::{BuildError, LockError};
use ohoci_image::Platform;

/// How many findings of an audit are shown when a build stops.
const SHOWN: usize = 20;

/// Files that a person wrote.
pub(super) fn unusable(what: &str, errors: &[ConfigError]) -> Failure {
    if let [error] = errors {
        let failure = Failure::new(what, error.to_string());
        return hinted(failure, error.hint());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match error.hint() {
            Some(hint) => format!("{error}\n  {hint}"),
            None => error.to_string(),
        })
        .collect();
    Failure::new(what, lines.join("\n"))
}

/// Files that a lock names and no mirror has.
pub(super) fn missing(recipe: &Recipe, missing: &Missing) -> Failure {
    let lock = recipe.lock_path();
    let what = format!("cannot download what {} names", lock.display());
    let failure = Failure::new(what, missing.to_string());
    if !missing.is_gone() {
        return failure;
    }
    failure.hinted(format!(
        "mirrors keep no old versions. Lock anew with `ohoci deps lock {}`; or name an archive of \
         snapshots in `debian-snapshots` below [mirrors] in ohoci.toml; or use a cache that still \
         has the files, with --cache-dir; or take a deps image that is built already",
        recipe.source.path().display()
    ))
}

/// A recipe without a lock.
pub(super) fn lock(recipe: &Recipe, error: &LockError) -> Failure {
    let hint = format!("ohoci deps lock {}", recipe.source.path().display());
    match error {
        LockError::Unusable(error) => unusable("cannot use the lock", std::slice::from_ref(error)),
        LockError::Absent(path) => Failure::new(
            format!("there is no lock {}", path.display()),
            "nothing was locked yet",
        )
        .hinted(hint),
        LockError::Stale { path, reasons } => Failure::new(
            format!(
                "{} is not the lock of its recipe any longer",
                path.display()
            ),
            reasons.join("\n"),
        )
        .hinted(hint),
        LockError::NothingToUpdate => {
            Failure::usage(error.to_string()).hinted("leave out --update to make one")
        }
        LockError::NotLocked { name, hint } => hinted(
            Failure::usage(format!("--update {name}: it is not in the lock")),
            hint.as_deref(),
        ),
        LockError::Resolve(error) => resolve(recipe, error),
        LockError::Write { path, error } if *path == recipe.lock_path() => {
            Failure::new("cannot write the lock", error.to_string())
        }
        LockError::Write { path, error } => Failure::new(
            format!("cannot write {}", path.display()),
            error.to_string(),
        ),
    }
}

/// A lock that has to be there already: what is wrong with it is mended by locking anew.
pub(crate) fn current_lock(recipe: &Recipe, error: &LockError) -> Failure {
    let failure = lock(recipe, error);
    match error {
        LockError::Unusable(_) => failure.hinted(format!(
            "ohoci deps lock {}",
            recipe.source.path().display()
        )),
        _ => failure,
    }
}

fn resolve(recipe: &Recipe, error: &LockingError) -> Failure {
    let what = format!("cannot lock {}", recipe.source.path().display());
    let hint = match error {
        LockingError::Recipe(errors) => return unusable(&what, errors),
        LockingError::Repository(RepositoryError::NoMirror { suite, reasons }) => {
            return hinted(
                Failure::new(what, error.to_string()),
                Some(&mirrors(suite, reasons)),
            );
        }
        LockingError::Python { hint, .. } | LockingError::Source { hint, .. } => hint.as_deref(),
        _ => None,
    };
    hinted(Failure::new(what, error.to_string()), hint)
}

/// What helps where no mirror has a distribution: this machine's apt may be another distribution's, or
/// none at all.
fn mirrors(suite: &str, reasons: &[(String, String)]) -> String {
    let set = "name a mirror of Debian in ohoci.toml, `[mirrors]` and below it \
               `debian = [\"https://mirror.example/debian\"]`";
    let keys = "its keys come from Debian's package debian-archive-keyring, or from `keyring` in the \
                recipe";
    if reasons.is_empty() {
        return format!("this machine has no apt to take a mirror from: {set}; {keys}");
    }
    let is_elsewhere = |(_, why): &(String, String)| why.contains("404") || why.contains("410");
    match reasons.iter().all(is_elsewhere) {
        true => format!(
            "the mirrors of this machine's apt are another distribution's, or do not have {suite} any \
             more: {set}; {keys}"
        ),
        false => format!("mirrors come from apt's configuration of this machine, or {set}; {keys}"),
    }
}

/// A recipe that does not become an image.
pub(super) fn build(recipe: &Recipe, error: BuildError) -> Failure {
    let path = recipe.source.path().display();
    match error {
        BuildError::System => Failure::new(
            format!("{path} is a system of its own"),
            "it cannot be a layer of other images",
        )
        .hinted("`ohoci swebench images --base-recipe` builds it, as the base of what it builds"),
        BuildError::Selection(error) => selection(&error),
        BuildError::Lock(error) => current_lock(recipe, &error),
        BuildError::NoInterpreter { feature, here } => Failure::new(
            format!("cannot build feature {feature}"),
            BuildError::NoInterpreter {
                feature: feature.clone(),
                here: here.clone(),
            }
            .to_string(),
        )
        .hinted(format!(
            "--without {feature}, or add {here} to the platforms"
        )),
        BuildError::Missing(error) => missing(recipe, &error),
        BuildError::Assemble(error) => assemble(
            recipe,
            Failure::new(format!("cannot build {path}"), error.to_string()),
            &error,
        ),
        BuildError::Audit { platform, audit } => audited(&platform, &audit),
        BuildError::Compile { feature, error } => {
            let failure = Failure::new(
                format!("cannot compile feature {feature}"),
                error.to_string(),
            );
            match error.hint() {
                Some(hint) => failure.hinted(format!("{hint}; or --without {feature}")),
                None => failure,
            }
        }
        BuildError::Directory { path, source } => {
            let failure = Failure::new(
                format!("cannot write {}", path.display()),
                source.to_string(),
            );
            match source.kind() {
                ErrorKind::AlreadyExists => failure.hinted("name another, or remove it first"),
                _ => failure,
            }
        }
        BuildError::Platforms => Failure::new(
            "cannot write a directory",
            BuildError::Platforms.to_string(),
        )
        .hinted("--platform names one"),
        BuildError::Image(error) => error.into(),
    }
}

/// A recipe that does not become a system.
pub(crate) fn files(recipe: &Recipe, error: &FilesError) -> Failure {
    let error = match error {
        FilesError::Missing(error) => return missing(recipe, error),
        FilesError::Assemble(error) => error,
    };
    let path = recipe.source.path().display();
    let failure = Failure::new(
        format!("cannot put together the packages of {path}"),
        error.to_string(),
    );
    match error {
        RootFsError::Assemble(error) => assemble(recipe, failure, error),
        RootFsError::Clash { .. } => failure.hinted(
            "leave one of the packages out below [debian.exclude], or its file with `drop`",
        ),
        _ => failure,
    }
}

fn assemble(recipe: &Recipe, failure: Failure, error: &AssembleError) -> Failure {
    match error {
        AssembleError::NotCached { .. } => failure.hinted(format!(
            "ohoci deps fetch {}, or leave out --offline",
            recipe.source.path().display()
        )),
        _ => failure,
    }
}

fn selection(error: &SelectionError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        SelectionError::Unknown { hint, .. } => hinted(failure, hint.as_deref()),
        SelectionError::LeftOut { feature, .. } => {
            failure.hinted(format!("--without {feature} as well"))
        }
        SelectionError::Empty => failure,
    }
}

/// Why a build stops at its audit.
fn audited(platform: &Platform, audit: &Audit) -> Failure {
    let mut text = String::new();
    let errors: Vec<_> = audit
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    for finding in errors.iter().take(SHOWN) {
        let _ = writeln!(text, "{}: {}: {}", finding.file, finding.what, finding.why);
    }
    if errors.len() > SHOWN {
        let _ = writeln!(text, "and {} more", errors.len() - SHOWN);
    }
    Failure::new(
        format!("the layers for {platform} would not work on every base"),
        text.trim_end().to_owned(),
    )
    .hinted("drop the files in the recipe, or add the packages that bring what they need")
}

fn hinted(failure: Failure, hint: Option<&str>) -> Failure {
    match hint {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
}
