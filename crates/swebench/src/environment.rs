//! An instance's environment: the script by which upstream names it, and a lock of what is in it.
//!
//! Source: SWE-bench 4.1.0, `swebench/harness/test_spec/python.py`.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::conda::{self, Fate};
use super::frozen;
use super::row::Row;
use super::specs::{Catalogue, Specs};
use super::way::Dataset;

/// What upstream calls the environment.
pub const NAME: &str = "testbed";

/// What ends a file within upstream's scripts.
const DELIMITER: &str = "EOF_59812759871";

/// A package that is gone from the index, and what upstream takes instead.
const REPLACED: (&str, &str) = ("types-pkg_resources", "types-setuptools");

/// The version of [`Lock::key`]'s input.
const KEY_VERSION: u32 = 1;

/// An environment as upstream makes it, and as it is made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Upstream's commands, which give the environment's image its name.
    pub script: Vec<String>,
    /// What is in it.
    pub lock: Lock,
}

/// What is in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// Python's version: two numbers.
    pub python: String,
    /// What pip installs, one step after the other.
    pub steps: Vec<Step>,
    /// conda packages that Python's own files or the wheels of others bring.
    #[serde(skip)]
    pub left_out: Vec<String>,
    /// conda packages that nothing brings.
    #[serde(skip)]
    pub unavailable: Vec<String>,
    /// The same environment where there are channels of conda.
    #[serde(skip)]
    pub conda: CondaWay,
    /// The packages of conda that it is made of, Python among them. Where there are none, Python is that of
    /// the machine or the base.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<LinkedPackage>,
}

/// A package of conda in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LinkedPackage {
    /// Its file, below the root of a channel: `linux-64/python-3.6.13-h12debd9_1.conda`.
    pub path: String,
    /// The file's digest, as its channel says it.
    pub digest: String,
}

/// How upstream makes an environment: with packages of conda, and what pip adds to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CondaWay {
    /// What conda installs: `NAME=VERSION=BUILD` where it is frozen, else what is asked for.
    pub packages: Vec<String>,
    /// What pip installs then, one step after the other.
    pub steps: Vec<Step>,
}

impl CondaWay {
    /// With Python and pip, which conda brings along where they are not named.
    fn with_python(mut self, python: &str) -> Self {
        let has = |packages: &[String], name: &str| {
            let mut names = packages.iter().map(|line| {
                let end = line.find([' ', '=', '<', '>', '!', '~', '[']);
                line.get(..end.unwrap_or(line.len())).unwrap_or_default()
            });
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        if !has(&self.packages, "python") {
            self.packages.insert(0, format!("python={python}"));
        }
        if !has(&self.packages, "pip") {
            self.packages.push("pip".to_owned());
        }
        self
    }

    fn add(&mut self, requirements: String, with_dependencies: bool) {
        self.steps.extend(Step::of(requirements, with_dependencies));
    }
}

/// One run of pip.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Step {
    /// The requirements file.
    pub requirements: String,
    /// Whether pip adds what they require.
    pub with_dependencies: bool,
}

impl Step {
    /// A step, where there is anything to install.
    fn of(requirements: String, with_dependencies: bool) -> Option<Self> {
        let is_empty = requirements.lines().all(|line| line.trim().is_empty());
        (!is_empty).then_some(Self {
            requirements,
            with_dependencies,
        })
    }
}

impl Lock {
    /// A name for the content: equal locks have equal keys, on every machine.
    #[must_use]
    pub fn key(&self) -> String {
        // Strings and lists of them: nothing that JSON could not hold.
        let text = serde_json::to_string(&(KEY_VERSION, self)).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// The conda packages that nothing brings, but for those that are to be left out, by name.
    #[must_use]
    pub fn missing(&self, left_out: &[String]) -> Vec<String> {
        let name = |line: &str| line.split('=').next().unwrap_or(line).to_owned();
        let missing = |line: &&String| !left_out.contains(&name(line));
        self.unavailable.iter().filter(missing).cloned().collect()
    }

    /// The same made of packages of conda, to which pip adds the rest.
    #[must_use]
    pub fn of_packages(&self, linked: Vec<LinkedPackage>) -> Self {
        Self {
            steps: self.conda.steps.clone(),
            unavailable: Vec::new(),
            left_out: Vec::new(),
            linked,
            ..self.clone()
        }
    }

    fn add(&mut self, requirements: String, with_dependencies: bool) {
        self.steps.extend(Step::of(requirements, with_dependencies));
    }

    fn add_conda(&mut self, found: conda::CondaEnvironment) {
        self.conda.packages.extend(found.packages);
        self.conda.add(found.pip.join("\n"), !found.is_frozen);
        let requirements = found.requirements.join("\n");
        self.add(requirements, !found.is_frozen);
        self.left_out.extend(found.left_out);
        self.unavailable.extend(found.unavailable);
    }
}

/// Why a row has no environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The row lacks a field.
    #[error("it has no field `{0}`")]
    Field(&'static str),
    /// There is no specification of how this version of the repository is installed.
    #[error("nothing says how {repository} {version} is installed")]
    Unknown {
        /// The repository.
        repository: String,
        /// Its version.
        version: String,
    },
    /// The repository's requirements cannot be found.
    #[error("{repository} has none of {} at commit {commit}", .paths.join(", "))]
    NoFile {
        /// The repository.
        repository: String,
        /// Where it was looked at.
        commit: String,
        /// What was looked for.
        paths: Vec<String>,
    },
    /// Images of the row's dataset are not built.
    #[error("rows of {dataset} do not say how their images are built; {image} is published")]
    Published {
        /// The dataset.
        dataset: Dataset,
        /// The instance's image.
        image: String,
    },
}

/// The specs of a row: its own, or the table's.
///
/// # Errors
/// When the row has no version, or one that the table does not know.
pub fn specs<'a>(row: &'a Row, catalogue: &'a Catalogue) -> Result<&'a Specs, EnvironmentError> {
    if row.way.dataset != Dataset::SweBench {
        return Err(EnvironmentError::Published {
            dataset: row.way.dataset,
            image: row.image.clone().unwrap_or_default(),
        });
    }
    if let Some(specs) = &row.specs {
        return Ok(specs);
    }
    let version = row.version.as_deref();
    let version = version.ok_or(EnvironmentError::Field("version"))?;
    catalogue
        .specs(&row.repo, version)
        .ok_or_else(|| EnvironmentError::Unknown {
            repository: row.repo.clone(),
            version: version.to_owned(),
        })
}

/// A row's environment. `file` is asked for a file of the repository at a commit.
///
/// # Errors
/// When the row or the table lack something, or the repository has no such file.
pub fn environment(
    row: &Row,
    catalogue: &Catalogue,
    file: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<Environment, EnvironmentError> {
    let specs = specs(row, catalogue)?;
    if let Some(yml) = frozen::environment_of(&row.instance_id) {
        return Ok(of_frozen(yml, specs));
    }
    let commit = row
        .environment_setup_commit
        .as_deref()
        .or(row.base_commit.as_deref())
        .ok_or(EnvironmentError::Field("base_commit"))?;
    let first = |paths: &[String]| {
        let found = paths
            .iter()
            .find_map(|path| Some((path.clone(), file(commit, path)?)));
        found.ok_or_else(|| EnvironmentError::NoFile {
            repository: row.repo.clone(),
            commit: commit.to_owned(),
            paths: paths.to_vec(),
        })
    };
    let python = &specs.python;
    let mut script = vec!["source /opt/miniconda3/bin/activate".to_owned()];
    let mut lock = Lock {
        python: minor(python),
        ..Lock::default()
    };
    match specs.packages.as_deref() {
        Some("requirements.txt") => {
            let (path, text) = first(catalogue.requirements_files(&row.repo))?;
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let requirements = requirements(&text, &|name| file(commit, &joined(directory, name)));
            let target = "$HOME/requirements.txt";
            script.push(format!("conda create -n {NAME} python={python} -y"));
            script.push(here_document(&requirements, target));
            script.push(format!(
                "conda activate {NAME} && python -m pip install -r {target}"
            ));
            script.push(format!("rm {target}"));
            lock.conda.add(requirements.clone(), true);
            lock.add(requirements, true);
        }
        Some("environment.yml") => {
            let (_, text) = first(catalogue.environment_files(&row.repo))?;
            let yml = environment_file(&text);
            let target = "environment.yml";
            script.push(here_document(&yml, target));
            if specs.no_use_env {
                script.push(format!(
                    "conda create -c conda-forge -n {NAME} python={python} -y"
                ));
                script.push(format!("conda env update -f {target}"));
            } else {
                script.push(format!("conda env create --file {target}"));
                script.push(format!(
                    "conda activate {NAME} && conda install python={python} -y"
                ));
            }
            script.push(format!("rm {target}"));
            lock.add_conda(conda::environment(&yml));
        }
        packages => {
            let packages = packages.unwrap_or_default();
            script.push(format!(
                "conda create -n {NAME} python={python} {packages} -y"
            ));
            lock.add_conda(conda_packages(packages));
        }
    }
    script.push(format!("conda activate {NAME}"));
    if !specs.pip_packages.is_empty() {
        let packages = specs.pip_packages.join(" ");
        script.push(format!("python -m pip install {packages}"));
        lock.conda.add(specs.pip_packages.join("\n"), true);
        lock.add(specs.pip_packages.join("\n"), true);
    }
    lock.conda = std::mem::take(&mut lock.conda).with_python(python);
    Ok(Environment { script, lock })
}

fn of_frozen(yml: &str, specs: &Specs) -> Environment {
    let target = "/root/environment.yml";
    let script = vec![
        "source /opt/miniconda3/bin/activate".to_owned(),
        here_document(yml, target),
        format!("conda env create -f {target}"),
        format!("conda activate {NAME}"),
    ];
    let found = conda::environment(yml);
    let mut lock = Lock {
        python: minor(found.python.as_deref().unwrap_or(&specs.python)),
        ..Lock::default()
    };
    lock.add_conda(found);
    Environment { script, lock }
}

/// Upstream's script as the file that it writes.
#[must_use]
pub fn script_file(commands: &[String]) -> String {
    format!("#!/bin/bash\nset -euxo pipefail\n{}\n", commands.join("\n"))
}

fn here_document(text: &str, target: &str) -> String {
    format!("cat <<'{DELIMITER}' > {target}\n{text}\n{DELIMITER}")
}

/// The first two numbers of a version.
fn minor(version: &str) -> String {
    let numbers: Vec<&str> = version.split('.').take(2).collect();
    numbers.join(".")
}

/// Packages of conda's command line, some of them in quotes.
fn conda_packages(words: &str) -> conda::CondaEnvironment {
    let mut found = conda::CondaEnvironment::default();
    for word in words.split_whitespace() {
        let word = word.trim_matches(['\'', '"']);
        found.packages.push(word.to_owned());
        match conda::fate(word) {
            Fate::Python(_) => {}
            Fate::Requirement(requirement) => found.requirements.push(requirement),
            Fate::LeftOut => found.left_out.push(word.to_owned()),
            Fate::Unavailable => found.unavailable.push(word.to_owned()),
        }
    }
    found
}

/// Requirements as upstream puts them together: those that a file includes first, without the
/// repository itself and without comments.
fn requirements(text: &str, include: &dyn Fn(&str) -> Option<String>) -> String {
    let is_kept = |line: &str| {
        let line = line.trim();
        !["-e .", "#", ".[test"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let (mut own, mut included) = (Vec::new(), Vec::new());
    for line in text.split('\n') {
        if line.trim().starts_with("-r") {
            // Upstream cuts two bytes off whatever stands there.
            let name = line.get(2..).unwrap_or_default().trim();
            let other = include(name).unwrap_or_default();
            let lines = other.split('\n').filter(|line| is_kept(line));
            if !other.is_empty() {
                included.extend(lines.map(str::to_owned));
            }
        } else if is_kept(line) {
            own.push(line);
        }
    }
    included.push(own.join("\n"));
    let all = included.join("\n");
    let lines: Vec<String> = all.split('\n').map(replaced).collect();
    lines.join("\n")
}

fn replaced(line: &str) -> String {
    let (gone, instead) = REPLACED;
    match line.strip_prefix(gone) {
        Some(rest) if rest.is_empty() || rest.starts_with(['<', '>', '=', '!', '~']) => {
            instead.to_owned()
        }
        _ => line.to_owned(),
    }
}

/// A repository's `environment.yml` under the environment's name.
fn environment_file(text: &str) -> String {
    let mut in_pip = None;
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| {
            if line.starts_with("name:") {
                return format!("name: {NAME}");
            }
            let content = line.trim_start();
            let indent = line.len() - content.len();
            let item = content.strip_prefix('-').map(str::trim);
            if item.is_some_and(|item| item.replace(' ', "") == "pip:") {
                in_pip = Some(indent);
            } else if !content.is_empty() && in_pip.is_some_and(|pip| indent <= pip) {
                in_pip = None;
            }
            match (in_pip, item) {
                (Some(_), Some(item)) if replaced(item) != item => {
                    let start = line.find(item).unwrap_or_default();
                    format!(
                        "{}{}",
                        line.get(..start).unwrap_or_default(),
                        replaced(item)
                    )
                }
                _ => line.to_owned(),
            }
        })
        .collect();
    lines.join("\n")
}

/// A path below a directory, without `.` and `..`.
fn joined(directory: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    fn row(id: &str, repo: &str, version: &str) -> Row {
        let row = serde_json::json!({
            "instance_id": id, "repo": repo, "version": version,
            "base_commit": "base", "environment_setup_commit": "setup",
        });
        Row::from_value(&row, super::super::row::Location::Line(1)).unwrap()
    }

    fn nothing(_: &str, _: &str) -> Option<String> {
        None
    }

    fn hash(row: &Row, file: &dyn Fn(&str, &str) -> Option<String>) -> String {
        let catalogue = Catalogue::upstream().unwrap();
        let environment = environment(row, &catalogue, file).unwrap();
        names::environment_hash(&environment.script, None)
    }

    /// The names of published images, and that which 4.1.0 makes for Flask from its own file.
    #[test]
    fn environments_have_upstreams_names() {
        let sympy = row("sympy__sympy-1", "sympy/sympy", "1.12");
        assert_eq!(hash(&sympy, &nothing), "c795f4b88616b8462021ed");
        let sphinx = row("sphinx-doc__sphinx-1", "sphinx-doc/sphinx", "3.5");
        assert_eq!(hash(&sphinx, &nothing), "764c21123474adcba1e003");
        let flask = row("pallets__flask-5014", "pallets/flask", "2.3");
        assert_eq!(hash(&flask, &nothing), "2bad0f5ce546a731bf98b1");
    }

    #[test]
    fn a_frozen_environment_needs_no_resolving_and_others_do() {
        let catalogue = Catalogue::upstream().unwrap();
        let flask = row("pallets__flask-5014", "pallets/flask", "2.3");
        let lock = environment(&flask, &catalogue, &nothing).unwrap().lock;
        assert_eq!(lock.python, "3.11");
        assert_eq!(lock.steps.len(), 1);
        assert!(!lock.steps[0].with_dependencies);
        let sympy = row("sympy__sympy-1", "sympy/sympy", "1.12");
        let lock = environment(&sympy, &catalogue, &nothing).unwrap().lock;
        assert_eq!(lock.steps[0].requirements, "mpmath\nflake8");
        assert_eq!(
            lock.steps[1].requirements,
            "mpmath==1.3.0\nflake8-comprehensions"
        );
        assert!(lock.steps.iter().all(|step| step.with_dependencies));
        assert_eq!(
            lock.conda.packages,
            ["python=3.9", "mpmath", "flake8", "pip"]
        );
        assert_eq!(lock.conda.steps, lock.steps[1..]);
        let linked = vec![LinkedPackage {
            path: "noarch/a-1-0.conda".to_owned(),
            digest: "sha256:0".to_owned(),
        }];
        let of_packages = lock.of_packages(linked);
        assert_eq!(of_packages.steps, lock.conda.steps);
        assert_ne!(of_packages.key(), lock.key());
        assert_eq!(lock.key().len(), 64);
        assert_ne!(lock.key(), Lock::default().key());
    }

    #[test]
    fn requirements_are_read_at_the_commit_that_the_row_names() {
        let file = |commit: &str, path: &str| match (commit, path) {
            ("setup", "requirements/dev.txt") => {
                Some("# all\n-r docs.txt\n-r ../top.txt\nclick==8.1.3\n-e .\n".to_owned())
            }
            ("setup", "requirements/docs.txt") => {
                Some("types-pkg_resources==1.2\nsphinx".to_owned())
            }
            ("setup", "top.txt") => Some("pytest\n#x".to_owned()),
            _ => None,
        };
        let catalogue = Catalogue::upstream().unwrap();
        let flask = row("pallets__flask-1", "pallets/flask", "2.3");
        let lock = environment(&flask, &catalogue, &file).unwrap().lock;
        assert_eq!(
            lock.steps[0].requirements,
            "types-setuptools\nsphinx\npytest\nclick==8.1.3\n"
        );
        let error = environment(&flask, &catalogue, &nothing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pallets/flask has none of requirements/dev.txt at commit setup"
        );
        let unknown = row("a__b-1", "a/b", "1");
        let error = environment(&unknown, &catalogue, &nothing).unwrap_err();
        assert_eq!(error.to_string(), "nothing says how a/b 1 is installed");
    }

    #[test]
    fn images_of_other_datasets_are_published_and_not_built() {
        let gym = row("getmoto__moto-1", "getmoto/moto", "4.2");
        let error = environment(&gym, &Catalogue::upstream().unwrap(), &nothing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rows of SWE-Gym do not say how their images are built; xingyaoww/sweb.eval.x86_64.getmoto_s_moto-1:latest is published"
        );
    }
}
