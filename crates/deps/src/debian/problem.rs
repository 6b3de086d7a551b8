//! What can stand in the way of a closure, in words.

use std::fmt;

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The recipe asks for a package that the archive does not have.
    NotFound {
        /// The package.
        package: String,
        /// The packages that serve as it, when it is a virtual one.
        providers: Vec<String>,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// Nothing in the archive satisfies a dependency.
    Unsatisfied {
        /// The package that depends.
        package: String,
        /// On what.
        dependency: String,
        /// What the archive has of those names.
        there: Vec<String>,
    },
    /// Several packages could satisfy a dependency, and the recipe does not say which does.
    Undecided {
        /// The package that depends.
        package: String,
        /// On what.
        dependency: String,
        /// What could satisfy it.
        candidates: Vec<String>,
        /// What the recipe says, when that is none of them.
        chosen: Option<String>,
        /// The key to decide it under.
        key: String,
    },
    /// Two packages cannot be there together.
    Conflict {
        /// The package that says so.
        package: String,
        /// In which of its fields.
        field: &'static str,
        /// What it says there.
        relation: String,
        /// The other package, with its version.
        with: String,
    },
    /// The archive describes a package in a way that cannot be understood.
    Broken {
        /// The package.
        package: String,
        /// What is wrong.
        why: String,
    },
}

impl Problem {
    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound {
                providers, hint, ..
            } => hint.clone().or_else(|| {
                let first = providers.first()?;
                Some(format!("ask for the package itself, such as {first:?}"))
            }),
            Self::Undecided {
                candidates, key, ..
            } => {
                let first = candidates.first()?;
                Some(format!(
                    "decide it below [debian.choose], such as {key:?} = {first:?}"
                ))
            }
            Self::Unsatisfied { dependency, .. } => Some(format!(
                "if it can be done without, exclude {:?} and say why",
                dependency.split(' ').next().unwrap_or_default()
            )),
            Self::Conflict { .. } | Self::Broken { .. } => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound {
                package, providers, ..
            } if providers.is_empty() => {
                write!(f, "the archive has no package {package}")
            }
            Self::NotFound {
                package, providers, ..
            } => write!(
                f,
                "{package} is a virtual package; {} {} as it",
                all_of(providers),
                if providers.len() == 1 {
                    "serves"
                } else {
                    "serve"
                }
            ),
            Self::Unsatisfied {
                package,
                dependency,
                there,
            } => {
                write!(f, "{package} depends on {dependency}, but the archive has ")?;
                match there.as_slice() {
                    [] => f.write_str("nothing of that name"),
                    there => f.write_str(&all_of(there)),
                }
            }
            Self::Undecided {
                package,
                dependency,
                candidates,
                chosen,
                key,
            } => {
                write!(
                    f,
                    "{package} depends on {dependency}, which {} could satisfy",
                    any_of(candidates)
                )?;
                match chosen {
                    Some(chosen) => {
                        write!(f, "; the recipe chooses {chosen} for {key:?}, which cannot")
                    }
                    None => Ok(()),
                }
            }
            Self::Conflict {
                package,
                field,
                relation,
                with,
            } => write!(
                f,
                "{package} cannot be there together with {with}: {field}: {relation}"
            ),
            Self::Broken { package, why } => {
                write!(f, "the archive describes {package} wrongly: {why}")
            }
        }
    }
}

fn all_of(names: &[String]) -> String {
    names.join(" and ")
}

fn any_of(names: &[String]) -> String {
    names.join(" or ")
}
