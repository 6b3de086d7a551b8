//! Which packages of the channels an environment is made of.

use std::collections::BTreeSet;

use super::error::CondaError;
use super::lists::Lists;
use ohoci_conda::frozen::{self, Frozen};
use ohoci_conda::record::{Located, NOARCH};

/// The packages of an environment, or what is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These packages.
    Packages(Vec<Located>),
    /// No channel has these, which were frozen.
    Missing(Vec<Frozen>),
    /// What is asked for is not frozen.
    Unfrozen,
}

/// The directories of a channel for a machine of this architecture, in Rust's words.
#[must_use]
pub fn subdirs(architecture: &str) -> [&'static str; 2] {
    match architecture {
        "aarch64" => ["linux-aarch64", NOARCH],
        _ => ["linux-64", NOARCH],
    }
}

/// Chooses the packages of environments, each of which is a list of lines. Frozen ones are taken as they
/// are, nothing is solved.
///
/// # Errors
/// When a channel's list cannot be understood.
pub fn choose(environments: &[&[String]], lists: &Lists) -> Result<Vec<Choice>, CondaError> {
    let frozen: Vec<Option<Vec<Frozen>>> = environments
        .iter()
        .map(|lines| lines.iter().map(|line| Frozen::parse(line)).collect())
        .collect();
    let all = frozen.iter().flatten().flatten();
    let stems: BTreeSet<String> = all.map(Frozen::stem).collect();
    let lists = lists.repodata(&|stem| stems.contains(stem))?;
    let choices = frozen.into_iter().map(|frozen| {
        let Some(frozen) = frozen else {
            return Choice::Unfrozen;
        };
        let (found, missing) = frozen::find(&frozen, &lists);
        match missing.is_empty() {
            true => Choice::Packages(found),
            false => Choice::Missing(missing),
        }
    });
    Ok(choices.collect())
}
