//! Which packages of the channels an environment is made of.

use std::collections::BTreeSet;

use super::error::{CondaError, CondaErrorKind};
use super::lists::Lists;
use super::source::CondaSource;
use ohoci_conda::frozen::{self, Frozen};
use ohoci_conda::match_spec::MatchSpec;
use ohoci_conda::record::{Located, NOARCH};
use ohoci_conda::solve::solve;
use ohoci_conda::virtual_package::Target;

/// The packages of an environment, or what is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These packages.
    Packages(Vec<Located>),
    /// No channel has these, which were frozen.
    Missing(Vec<Frozen>),
    /// No packages do what is asked for: why, in the solver's words.
    Conflict(String),
}

/// The directories of a channel for a machine of this architecture, in Rust's words.
#[must_use]
pub fn subdirs(architecture: &str) -> [&'static str; 2] {
    match architecture {
        "aarch64" => ["linux-aarch64", NOARCH],
        _ => ["linux-64", NOARCH],
    }
}

/// The packages of a frozen environment; `None` where it is not frozen.
#[must_use]
pub fn frozen_packages(lines: &[String]) -> Option<Vec<Frozen>> {
    lines.iter().map(|line| Frozen::parse(line)).collect()
}

impl CondaSource {
    /// Chooses the packages of environments for a machine, each of which is a list of lines. Frozen ones are taken as
    /// they are, others are solved: what they ask for, with all that it needs.
    ///
    /// # Errors
    /// When a channel's list cannot be had or understood.
    pub async fn choose(
        &self,
        environments: &[&[String]],
        lists: &Lists,
        target: &Target,
    ) -> Result<Vec<Choice>, CondaError> {
        let frozen: Vec<Option<Vec<Frozen>>> = environments
            .iter()
            .map(|lines| frozen_packages(lines))
            .collect();
        let all = || frozen.iter().flatten().flatten();
        let stems: BTreeSet<String> = all().map(Frozen::stem).collect();
        let names = all().map(|frozen| frozen.name.clone()).collect();
        let pinned = self
            .shelf(lists, names, &|stem| stems.contains(stem), false)
            .await?;
        let unfrozen = environments.iter().zip(&frozen);
        let unfrozen = unfrozen.filter(|(_, frozen)| frozen.is_none());
        let names = unfrozen
            .flat_map(|(lines, _)| lines.iter())
            .filter_map(|line| Some(MatchSpec::parse(line).ok()?.name().to_owned()))
            .collect();
        let all = self.shelf(lists, names, &|_| true, true).await?;
        let choices = environments.iter().zip(frozen).map(|(lines, frozen)| {
            let Some(frozen) = frozen else {
                let solved = solve(lines, &all, target, self.channels.priority);
                return Ok(match solved {
                    Ok(packages) => Choice::Packages(packages),
                    Err(error) => Choice::Conflict(error.to_string()),
                });
            };
            let (found, missing) = frozen::find(&frozen, &pinned).map_err(|error| {
                CondaError::new(CondaErrorKind::Malformed, "a frozen environment", error)
            })?;
            Ok(match missing.is_empty() {
                true => Choice::Packages(found),
                false => Choice::Missing(missing),
            })
        });
        choices.collect()
    }
}
