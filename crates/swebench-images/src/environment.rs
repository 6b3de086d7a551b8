//! The environment level: Python, and on it the packages that a lock names.

use std::path::Path;

use super::changes::changes;
use super::error::{BuildError, Level, at};
use super::interpreter::Interpreter;
use super::pip::PipSettings;
use super::python::place;
use super::stage::{Program, Stage, StageError, Tools};
use ohoci_layer::Tree;
use ohoci_sandbox::{Bind, Network};
use ohoci_swebench::environment::Lock;

/// How C is compiled, apart from what a package says itself.
const COMPILING: &str = "-O2 -g0";

/// Installs what pip builds wheels with, where Debian has put it (its package
/// `python3-wheel-whl`): without it old packages would be installed in another way.
const INSTALL_WHEEL: &str = r#"set -- "$0" /usr/share/python-wheels/wheel-*.whl
if [ -f "$2" ]; then exec "$1" -m pip install --no-index --no-deps "$2"; fi"#;

/// What all programs of a build find in their environment, before pip's settings.
///
/// Hashes and dates are fixed: both get into files. Byte code goes by its source's date nonetheless,
/// so that it stays valid in the layer. What is compiled has no information for debuggers: it would
/// name the directory, which pip calls otherwise each time.
#[must_use]
pub(crate) fn variables(base_path: &str) -> Vec<(String, String)> {
    let date = super::changes::DATE.to_string();
    [
        ("PATH", format!("/opt/miniconda3/bin:{base_path}")),
        ("HOME", "/root".to_owned()),
        ("TZ", "Etc/UTC".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
        ("SOURCE_DATE_EPOCH", date),
        ("CFLAGS", COMPILING.to_owned()),
        ("CXXFLAGS", COMPILING.to_owned()),
        ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// What a build is done with.
#[derive(Clone, Debug)]
pub(crate) struct Means<'a> {
    /// Programs of this machine.
    pub tools: &'a Tools,
    /// pip's settings.
    pub pip: &'a PipSettings,
    /// Whether what runs may use the network.
    pub network: Network,
    /// The base's `PATH`.
    pub base_path: &'a str,
    /// Where what is written goes.
    pub log: &'a Path,
}

impl Means<'_> {
    /// Runs a command in a stage.
    pub(super) fn run(
        &self,
        stage: &Stage,
        level: Level,
        step: &str,
        command: &[&str],
        directory: &str,
    ) -> Result<(), BuildError> {
        self.run_with(stage, level, step, command, directory, None)
    }

    /// The same with a file that is handed in.
    pub(super) fn run_with(
        &self,
        stage: &Stage,
        level: Level,
        step: &str,
        command: &[&str],
        directory: &str,
        file: Option<Bind>,
    ) -> Result<(), BuildError> {
        self.try_run(stage, command, directory, file)
            .map_err(|error| error.of(level, step, self.log))
    }

    fn try_run(
        &self,
        stage: &Stage,
        command: &[&str],
        directory: &str,
        file: Option<Bind>,
    ) -> Result<(), StageError> {
        let mut environment = variables(self.base_path);
        environment.extend(self.pip.environment.iter().cloned());
        let program = Program {
            command,
            environment,
            binds: self.pip.binds.iter().cloned().chain(file).collect(),
            network: self.network,
            directory,
            gives_files_away: false,
        };
        stage.run(self.tools, &program, self.log)
    }
}

/// Builds Python's level in a stage over the base.
///
/// # Errors
/// When the prefix cannot be copied or does not work on the base.
pub(crate) fn python(
    prefix: &Interpreter,
    stage: &Stage,
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    ["root", "opt"]
        .into_iter()
        .try_for_each(|path| stage.prepare(path).map(drop))
        .and_then(|()| prefix.write(&stage.open()?))
        .map_err(at(Level::Environment, "copy Python"))?;
    let python = format!("/{}/bin/python", place().display());
    let library = format!("/{}/lib", place().display());
    // What is compiled here need not be compiled by every process of every evaluation.
    let words = [&python, "-m", "compileall", "-q", "-j", "0", &library];
    let compile = ["env", "-u", "SOURCE_DATE_EPOCH"].iter().chain(&words);
    let compile: Vec<&str> = compile.copied().collect();
    means
        .run(stage, Level::Environment, "start Python", &[&python, "-c", "import ssl, zlib, ctypes"], "/")
        .map_err(|error| {
            error.hinted("the base may lack libraries that this Python needs, such as OpenSSL's: take another base or another --python-dir")
        })?;
    match means.try_run(stage, &compile, "/", None) {
        // The standard library holds files that are no Python on purpose.
        Ok(()) | Err(StageError::Failed(_)) => {}
        Err(error) => {
            let step = "compile the standard library";
            return Err(error.of(Level::Environment, step, means.log));
        }
    }
    let found =
        changes(&stage.own(), stage.below()).map_err(at(Level::Environment, "pack Python"))?;
    Ok(found.tree)
}

/// Builds an environment's level in a stage over Python and the base.
///
/// # Errors
/// When packages cannot be installed.
pub(crate) fn packages(
    prefix: &Interpreter,
    lock: &Lock,
    stage: &Stage,
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    let level = Level::Environment;
    stage
        .open()
        .and_then(|changes| prefix.write_installers(&changes))
        .map_err(at(level, "copy pip"))?;
    let python = format!("/{}/bin/python", place().display());
    if !prefix.has_pip() {
        let words = [&python, "-m", "ensurepip", "--default-pip"];
        means
            .run(stage, level, "install pip", &words, "/")
            .map_err(|error| {
                error.hinted("this Python has neither pip nor ensurepip; take another --python-dir")
            })?;
    }
    if matches!(prefix, Interpreter::OfBase(_)) {
        let words = ["sh", "-c", INSTALL_WHEEL, &python];
        means.run(stage, level, "install wheel", &words, "/")?;
    }
    for (number, step) in lock.steps.iter().enumerate() {
        // Nothing is written into what the packages of an earlier step may have changed.
        let file = stage
            .hand_in("requirements.txt", &format!("{}\n", step.requirements))
            .map_err(at(level, "write requirements"))?;
        let requirements = file.destination.display().to_string();
        let mut words = vec![python.as_str(), "-m", "pip", "install", "--no-input"];
        if !step.with_dependencies {
            words.push("--no-deps");
        }
        words.extend(["-r", &requirements]);
        let name = format!(
            "install packages, step {} of {}",
            number + 1,
            lock.steps.len()
        );
        means.run_with(stage, level, &name, &words, "/", Some(file)).map_err(|error| {
            error.hinted("look into the log; pip's index is the one that this machine's pip is configured for")
        })?;
    }
    let found = changes(&stage.own(), stage.below()).map_err(at(level, "pack packages"))?;
    if let Some(path) = found.removed.first() {
        return Err(BuildError::new(
            level,
            "pack packages",
            format!("installing packages removed {path} of the level below"),
        ));
    }
    Ok(found.tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pip unpacks a package into a directory with another name each time.
    #[test]
    fn what_is_compiled_does_not_tell_where() {
        let compiled = |flags: &str| {
            let directory = tempfile::tempdir().unwrap();
            fs_err::write(directory.path().join("x.c"), "int x(void) { return 1; }\n").unwrap();
            let done = std::process::Command::new("cc")
                .args("-g -O3".split(' ').chain(flags.split_whitespace()))
                .args(["-c", "x.c"])
                .current_dir(directory.path())
                .status()
                .unwrap();
            assert!(done.success());
            fs_err::read(directory.path().join("x.o")).unwrap()
        };
        assert_ne!(compiled(""), compiled(""), "the test has no effect");
        for name in ["CFLAGS", "CXXFLAGS"] {
            let all = variables("");
            let flags = all.iter().find(|(known, _)| known == name);
            let (_, flags) = flags.unwrap();
            assert_eq!(compiled(flags), compiled(flags));
        }
    }
}
