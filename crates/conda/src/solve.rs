//! Choosing packages for what is asked for: `conda create`, without its files.
//!
//! `resolvo` solves; what it is told here is what conda's packages mean, and which of two that are both possible is
//! the better one. Equal questions have equal answers: there is no clock and no chance in it.

mod answers;
mod candidate;
mod order;
mod provider;

use resolvo::{Problem, Solver, UnsolvableOrCancelled};

use crate::match_spec::{MatchSpec, MatchSpecError};
use crate::record::Located;
use crate::shelf::Shelf;
use crate::virtual_package::Target;
use provider::Provider;

/// Whether a channel goes before those behind it (conda's `channel_priority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChannelPriority {
    /// A package is taken from the first channel that has any of its name.
    Strict,
    /// The first channel goes before, but what it cannot do others may. conda's default.
    #[default]
    Flexible,
    /// All channels are the same: the highest version counts.
    Disabled,
}

impl ChannelPriority {
    /// What settings of conda say: `strict`, `flexible`, `disabled`, and of old a boolean.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "strict" => Some(Self::Strict),
            "flexible" | "true" => Some(Self::Flexible),
            "disabled" | "false" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// Why nothing was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SolveError {
    /// A text asks for nothing.
    Unreadable(MatchSpecError),
    /// No packages do what is asked for: what contradicts what, in the solver's words, a tree of several lines.
    Conflict(String),
    /// It is not decided after very many steps.
    Unending,
}

impl std::fmt::Display for SolveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Conflict(tree) => f.write_str(tree),
            Self::Unending => f.write_str("it is not decided after very many steps"),
        }
    }
}

impl std::error::Error for SolveError {}

/// The most rounds that the solver may go through. Real environments take a few thousand.
const MOST_ROUNDS: u64 = 20_000_000;

/// Chooses packages that do all that is asked for, with all that they need, by name. The shelf has to have all that
/// may be needed.
///
/// # Errors
/// See [`SolveError`].
pub fn solve(
    wanted: &[String],
    shelf: &Shelf,
    target: &Target,
    priority: ChannelPriority,
) -> Result<Vec<Located>, SolveError> {
    let specs = wanted.iter().map(|text| MatchSpec::parse(text));
    let specs: Vec<MatchSpec> = specs
        .collect::<Result<_, _>>()
        .map_err(SolveError::Unreadable)?;
    let provider = Provider::new(shelf, target, priority, MOST_ROUNDS);
    let requirements = specs
        .into_iter()
        .map(|spec| provider.version_set(spec).into())
        .collect();
    let mut solver = Solver::new(provider);
    let solvables = solver
        .solve(Problem::new().requirements(requirements))
        .map_err(|error| match error {
            UnsolvableOrCancelled::Unsolvable(conflict) => {
                let text = conflict.display_user_friendly(&solver).to_string();
                SolveError::Conflict(text.trim_end().to_owned())
            }
            UnsolvableOrCancelled::Cancelled(_) => SolveError::Unending,
        })?;
    let mut chosen: Vec<Located> = solvables
        .into_iter()
        .filter_map(|solvable| solver.provider().package(solvable))
        .collect();
    chosen.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    Ok(chosen)
}

#[cfg(test)]
mod tests;
