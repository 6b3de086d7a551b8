//! Names of images and folders, as upstream makes them.
//!
//! Source: SWE-bench 4.1.0, `swebench/harness/test_spec/test_spec.py` (all three levels); 5.0.2,
//! `swebench/image_builder/image_spec.py` (instance images, named alike).

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::python_repr;

/// How many digits of the hash name an environment.
const ENVIRONMENT_DIGITS: usize = 22;

/// How many digits of the hash name a base that is not the language's usual one.
const BASE_DIGITS: usize = 10;

/// The longest name of a file that common file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// What Docker Hub does not take in names, and what stands there instead.
const SEPARATOR: (&str, &str) = ("__", "_1776_");

/// The architecture in an image's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`; platform `linux/amd64`.
    #[default]
    X86_64,
    /// `arm64`; platform `linux/arm64/v8`.
    Arm64,
}

impl Architecture {
    fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Why a name cannot be a folder's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// It is `.` or `..`.
    #[error("is {0:?}, which names another folder")]
    Dots(String),
    /// It is too long.
    #[error("is longer than {LONGEST_NAME} bytes")]
    Long,
    /// It has a character that does not belong there.
    #[error("has the character {0:?}, which cannot be part of a folder's name here")]
    Character(char),
}

/// Checks an instance's name, which becomes a folder and part of an image's name: ASCII letters and
/// digits, `.`, `_`, `-` and `+`.
///
/// # Errors
///
/// Says what is wrong with it.
pub(crate) fn check_path_component(name: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    check(name, allowed)
}

/// The folder of a model's results: its name with `__` in the place of slashes.
///
/// # Errors
///
/// When what is left cannot be a folder's name.
pub fn model_directory(model: &str) -> Result<String, NameError> {
    let name = model.replace('/', "__");
    check(&name, |c| !c.is_control())?;
    Ok(name)
}

/// Checks the name of a run, which becomes a folder and part of a file's name.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_run_id(run_id: &str) -> Result<(), NameError> {
    check(run_id, |c| !c.is_control() && c != '/')
}

fn check(name: &str, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if matches!(name, "." | "..") {
        return Err(NameError::Dots(name.to_owned()));
    }
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character(c));
    }
    if name.len() > LONGEST_NAME {
        return Err(NameError::Long);
    }
    Ok(())
}

/// The namespace that a flag asks for; `none`, `null` and nothing at all mean images of this machine.
#[must_use]
pub fn namespace(flag: &str) -> Option<&str> {
    let none = ["none", "null", ""];
    (!none.contains(&flag.to_lowercase().as_str())).then_some(flag)
}

/// The part of base and environment names that stands for a repository's language; `None` for
/// repositories that are not written in Python.
///
/// Source: the keys of `MAP_REPO_VERSION_TO_SPECS_PY` of SWE-bench 4.1.0.
#[must_use]
pub fn extension(repository: &str) -> Option<&'static str> {
    matches!(
        repository,
        "astropy/astropy"
            | "dbt-labs/dbt-core"
            | "django/django"
            | "matplotlib/matplotlib"
            | "marshmallow-code/marshmallow"
            | "mwaskom/seaborn"
            | "pallets/flask"
            | "psf/requests"
            | "pvlib/pvlib-python"
            | "pydata/xarray"
            | "pydicom/pydicom"
            | "pylint-dev/astroid"
            | "pylint-dev/pylint"
            | "pytest-dev/pytest"
            | "pyvista/pyvista"
            | "scikit-learn/scikit-learn"
            | "sphinx-doc/sphinx"
            | "sqlfluff/sqlfluff"
            | "swe-bench/humaneval"
            | "sympy/sympy"
    )
    .then_some("py")
}

/// The base image of a language: `sweb.base.py.x86_64:latest`, with a hash where the instance has
/// `docker_specs` of its own.
#[must_use]
pub fn base_image(
    extension: &str,
    architecture: Architecture,
    docker_specs: Option<&Value>,
    tag: &str,
) -> String {
    let architecture = architecture.word();
    let specs = specs_text(docker_specs);
    if specs.is_empty() {
        return format!("sweb.base.{extension}.{architecture}:{tag}");
    }
    let hash = hash(&specs, BASE_DIGITS);
    format!("sweb.base.{extension}.{architecture}.{hash}:{tag}")
}

/// The image of an environment, named after the script that sets it up:
/// `sweb.env.py.x86_64.{22 digits}:latest`.
#[must_use]
pub fn environment_image(
    extension: &str,
    architecture: Architecture,
    script: &[String],
    docker_specs: Option<&Value>,
    tag: &str,
) -> String {
    let hash = environment_hash(script, docker_specs);
    let architecture = architecture.word();
    format!("sweb.env.{extension}.{architecture}.{hash}:{tag}")
}

/// The 22 digits: SHA-256 of what Python prints for the list of commands, and for the specs if any.
#[must_use]
pub(crate) fn environment_hash(script: &[String], docker_specs: Option<&Value>) -> String {
    let text = python_repr::list(script) + &specs_text(docker_specs);
    hash(&text, ENVIRONMENT_DIGITS)
}

/// The image of an instance: `sweb.eval.x86_64.pallets__flask-5014:latest`, or in a namespace
/// `swebench/sweb.eval.x86_64.pallets_1776_flask-5014:latest`.
#[must_use]
pub fn instance_image(
    namespace: Option<&str>,
    architecture: Architecture,
    instance_id: &str,
    tag: &str,
) -> String {
    let architecture = architecture.word();
    let instance_id = instance_id.to_lowercase();
    let name = format!("sweb.eval.{architecture}.{instance_id}:{tag}");
    match namespace {
        None => name,
        Some(namespace) => {
            let (separator, instead) = SEPARATOR;
            format!("{namespace}/{name}").replace(separator, instead)
        }
    }
}

/// The folder of an image's build log: its name with `__` before the tag.
#[must_use]
pub fn log_directory(image: &str) -> String {
    image.replace(':', "__")
}

fn specs_text(docker_specs: Option<&Value>) -> String {
    match docker_specs {
        Some(Value::Object(specs)) if specs.is_empty() => String::new(),
        Some(specs) => python_repr::value(specs),
        None => String::new(),
    }
}

/// The first digits of a text's SHA-256.
fn hash(text: &str, digits: usize) -> String {
    let mut hex = hex::encode(Sha256::digest(text));
    hex.truncate(digits);
    hex
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn script(commands: &[&str]) -> Vec<String> {
        commands
            .iter()
            .map(|command| (*command).to_owned())
            .collect()
    }

    /// The names of the published images of SymPy 1.x and Sphinx.
    #[test]
    fn environments_have_the_hashes_that_upstream_published() {
        let sympy = script(&[
            "source /opt/miniconda3/bin/activate",
            "conda create -n testbed python=3.9 mpmath flake8 -y",
            "conda activate testbed",
            "python -m pip install mpmath==1.3.0 flake8-comprehensions",
        ]);
        assert_eq!(
            environment_image("py", Architecture::X86_64, &sympy, None, "latest"),
            "sweb.env.py.x86_64.c795f4b88616b8462021ed:latest"
        );
        let sphinx = script(&[
            "source /opt/miniconda3/bin/activate",
            "conda create -n testbed python=3.9  -y",
            "conda activate testbed",
            "python -m pip install tox==4.16.0 tox-current-env==0.0.11 Jinja2==3.0.3",
        ]);
        assert_eq!(environment_hash(&sphinx, None), "764c21123474adcba1e003");
    }

    /// The environment that SWE-bench 4.1.0 has for pallets__flask-5014 in
    /// `swebench/resources/swebench-og/`.
    #[test]
    fn an_environment_of_a_file_has_upstreams_hash() {
        let yml = include_str!("../../../fixtures/swebench/pallets__flask-5014/environment.yml");
        let create =
            format!("cat <<'EOF_59812759871' > /root/environment.yml\n{yml}\nEOF_59812759871");
        let flask = script(&[
            "source /opt/miniconda3/bin/activate",
            &create,
            "conda env create -f /root/environment.yml",
            "conda activate testbed",
        ]);
        assert_eq!(environment_hash(&flask, None), "2bad0f5ce546a731bf98b1");
    }

    /// The hashes are those of Python's `hashlib` over `str()` of the same values.
    #[test]
    fn specs_of_an_instance_change_its_base_and_environment() {
        let specs = json!({"go_version": "1.23.8"});
        assert_eq!(
            base_image("go", Architecture::Arm64, Some(&specs), "v1"),
            "sweb.base.go.arm64.baefb9506c:v1"
        );
        assert_eq!(
            environment_hash(&script(&["a 'b'"]), Some(&specs)),
            "0117e0b2e8c059fdc35978"
        );
        let none = json!({});
        assert_eq!(
            base_image("py", Architecture::X86_64, Some(&none), "latest"),
            "sweb.base.py.x86_64:latest"
        );
    }

    #[test]
    fn instances_are_named_with_and_without_a_namespace() {
        assert_eq!(
            instance_image(
                Some("swebench"),
                Architecture::X86_64,
                "pallets__flask-5014",
                "latest"
            ),
            "swebench/sweb.eval.x86_64.pallets_1776_flask-5014:latest"
        );
        let local = instance_image(None, Architecture::X86_64, "chartjs__Chart.js-8650", "t");
        assert_eq!(local, "sweb.eval.x86_64.chartjs__chart.js-8650:t");
        assert_eq!(
            log_directory(&local),
            "sweb.eval.x86_64.chartjs__chart.js-8650__t"
        );
        assert_eq!(namespace("None"), None);
        assert_eq!(namespace(""), None);
        assert_eq!(namespace("swebench"), Some("swebench"));
    }

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        assert_eq!(
            model_directory("org/model (high)").unwrap(),
            "org__model (high)"
        );
        assert_eq!(
            model_directory("..").unwrap_err(),
            NameError::Dots("..".to_owned())
        );
        assert_eq!(
            check_path_component("a/b").unwrap_err(),
            NameError::Character('/')
        );
        assert_eq!(check_run_id("").unwrap_err(), NameError::Empty);
        assert_eq!(
            check_path_component(&"a".repeat(256)).unwrap_err(),
            NameError::Long
        );
    }
}
