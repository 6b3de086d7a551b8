//! How each version of a repository is installed and tested: upstream's table, and a user's own.
//!
//! Source: SWE-bench 4.1.0, `swebench/harness/constants/python.py`; rows of version 5 no longer need
//! it to be evaluated, but nothing else says how their images are built.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How one version of a repository is installed and tested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Specs {
    /// Python's version, such as `3.9`.
    pub python: String,
    /// conda packages, or `requirements.txt` or `environment.yml` for what the repository says.
    pub packages: Option<String>,
    /// Whether an `environment.yml` comes on top of an environment that is there.
    pub no_use_env: bool,
    /// Packages that pip installs after that.
    pub pip_packages: Vec<String>,
    /// Commands before the repository is installed.
    pub pre_install: Vec<String>,
    /// The command that installs the repository.
    pub install: Option<String>,
    /// Commands before the tests.
    pub eval_commands: Vec<String>,
    /// The command to which the tests are added.
    pub test_cmd: String,
}

impl Specs {
    /// What the evaluation script is made of.
    #[must_use]
    pub fn steps(&self) -> Steps {
        Steps {
            before: self.eval_commands.clone(),
            install: self.install.clone(),
            test: self.test_cmd.clone(),
        }
    }
}

/// The table: repositories, their versions, and where they list their requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Catalogue {
    /// Where it is from, for people.
    #[serde(rename = "source")]
    _source: Option<String>,
    requirements: BTreeMap<String, Vec<String>>,
    environments: BTreeMap<String, Vec<String>>,
    repositories: BTreeMap<String, Vec<Group>>,
}

/// Versions that are treated alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Group {
    versions: Vec<String>,
    #[serde(flatten)]
    specs: Specs,
}

impl Catalogue {
    /// Upstream's table for repositories in Python.
    ///
    /// # Errors
    /// Never: the table is part of the program, and a test reads it.
    pub fn upstream() -> serde_json::Result<Self> {
        Self::parse(include_bytes!("specs.json"))
    }

    /// A table in the form of `crates/swebench/src/specs.json`.
    ///
    /// # Errors
    /// When it is no such table.
    pub fn parse(document: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(document)
    }

    /// Adds another table; its repositories replace those of the same name.
    pub fn extend(&mut self, other: Self) {
        self.requirements.extend(other.requirements);
        self.environments.extend(other.environments);
        self.repositories.extend(other.repositories);
    }

    /// How this version of the repository is treated.
    #[must_use]
    pub fn specs(&self, repository: &str, version: &str) -> Option<&Specs> {
        let groups = self.repositories.get(repository)?;
        groups
            .iter()
            .find(|group| group.versions.iter().any(|known| known == version))
            .map(|group| &group.specs)
    }

    /// The repository as the table spells it, however its letters are written.
    #[must_use]
    pub fn spelling(&self, repository: &str) -> Option<&str> {
        let mut known = self.repositories.keys();
        known
            .find(|name| name.eq_ignore_ascii_case(repository))
            .map(String::as_str)
    }

    /// Whether the repository is known at all.
    #[must_use]
    pub fn knows(&self, repository: &str) -> bool {
        self.repositories.contains_key(repository)
    }

    /// Where the repository may list its requirements for pip, best first.
    #[must_use]
    pub(crate) fn requirements_files(&self, repository: &str) -> &[String] {
        self.requirements.get(repository).map_or(&[], Vec::as_slice)
    }

    /// Where the repository may describe its conda environment, best first.
    #[must_use]
    pub(crate) fn environment_files(&self, repository: &str) -> &[String] {
        self.environments.get(repository).map_or(&[], Vec::as_slice)
    }
}

/// How a version of a repository is tested, for rows that do not hold their script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Commands that come first (`eval_commands`).
    pub before: Vec<String>,
    /// The command that installs the repository once more (`install`).
    pub install: Option<String>,
    /// The command to which the tests are added (`test_cmd`).
    pub test: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_table_has_all_its_versions() {
        let catalogue = Catalogue::upstream().unwrap();
        let versions: usize = catalogue
            .repositories
            .values()
            .flatten()
            .map(|group| group.versions.len())
            .sum();
        assert_eq!((catalogue.repositories.len(), versions), (20, 300));
        let flask = catalogue.specs("pallets/flask", "2.3").unwrap();
        assert_eq!(flask.python, "3.11");
        assert_eq!(flask.packages.as_deref(), Some("requirements.txt"));
        assert_eq!(flask.steps().test, "pytest -rA");
        assert_eq!(
            catalogue.requirements_files("pallets/flask"),
            ["requirements/dev.txt"]
        );
        assert_eq!(catalogue.specs("pallets/flask", "0.1"), None);
        assert!(!catalogue.knows("a/b"));
    }

    #[test]
    fn a_table_in_upstreams_own_shape_is_not_taken_for_an_empty_one() {
        let upstreams = r#"{"pallets/flask":{"2.3":{"python":"3.11","test_cmd":"pytest"}}}"#;
        let error = Catalogue::parse(upstreams.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `pallets/flask`"),
            "{error}"
        );
    }

    #[test]
    fn a_users_table_goes_before_upstreams() {
        let own = r#"{"repositories":{"a/b":[{"versions":["1"],"python":"3.9","install":"make"}],
            "pallets/flask":[{"versions":["2.3"],"python":"3.12"}]}}"#;
        let mut catalogue = Catalogue::upstream().unwrap();
        catalogue.extend(Catalogue::parse(own.as_bytes()).unwrap());
        let specs = catalogue.specs("a/b", "1").unwrap();
        assert_eq!(specs.install.as_deref(), Some("make"));
        assert_eq!(
            catalogue.specs("pallets/flask", "2.3").unwrap().python,
            "3.12"
        );
        assert!(catalogue.knows("sympy/sympy"));
    }
}
