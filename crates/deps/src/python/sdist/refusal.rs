//! What makes a source distribution one that has to be built.

use super::{Sources, text};

/// Sources of other languages, and what was compiled from them.
const FOREIGN: [&str; 30] = [
    "a", "asm", "c", "c++", "cc", "cpp", "cu", "cxx", "dll", "dylib", "exe", "f", "f03", "f77",
    "f90", "f95", "for", "go", "i", "lib", "m", "mm", "o", "pxd", "pxi", "pyd", "pyx", "rs", "s",
    "so",
];

/// Files that other build systems begin with.
const BUILDS: [&str; 5] = [
    "CMakeLists.txt",
    "Cargo.toml",
    "meson.build",
    "configure",
    "setup_build.py",
];

/// Arguments of `setup()`, and calls for them, that put into a wheel what is written down nowhere
/// else, or run code to make it.
const ARGUMENTS: [&str; 16] = [
    "cffi_modules",
    "cmake_args",
    "cmdclass",
    "cythonize",
    "data_files",
    "distclass",
    "ext_modules",
    "ext_package",
    "Extension",
    "headers",
    "libraries",
    "mypycify",
    "namespace_packages",
    "rust_extensions",
    "scripts",
    "use_2to3",
];

/// Says why one of these files makes a source distribution one that has to be built, if it does.
pub(super) fn check_files<'a>(paths: impl Iterator<Item = &'a String>) -> Result<(), String> {
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        if BUILDS.contains(&name) {
            return Err(format!("{path} says that something has to be built"));
        }
        if extension.is_some_and(|known| FOREIGN.contains(&known.to_ascii_lowercase().as_str())) {
            return Err(format!("{path} is not Python"));
        }
    }
    Ok(())
}

/// Says why the scripts and settings of a source distribution need a build, if they do.
pub(super) fn check_settings(sources: &Sources) -> Result<(), String> {
    if let Some(script) = text(sources, "setup.py")?
        && let Some(word) = words(&script).find(|word| ARGUMENTS.contains(word))
    {
        return Err(format!(
            "setup.py mentions {word}, which only a build can follow"
        ));
    }
    if let Some(config) = text(sources, "setup.cfg")?
        && let Some(found) = in_config(&config)
    {
        return Err(format!(
            "setup.cfg has {found}, which only a build can follow"
        ));
    }
    Ok(())
}

/// The words of a script, outside of comments. Strings count: there is no telling what they are
/// for.
fn words(script: &str) -> impl Iterator<Item = &str> {
    let part = |character: char| character == '_' || character.is_alphanumeric();
    script
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(move |line| line.split(move |character: char| !part(character)))
}

fn in_config(config: &str) -> Option<String> {
    let mut section = "";
    for line in config.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim();
            if matches!(section, "build_ext" | "options.data_files" | "files") {
                return Some(format!("[{section}]"));
            }
            continue;
        }
        let key = trimmed.split(['=', ':']).next().unwrap_or_default().trim();
        let folded = key.replace('-', "_");
        if section == "options"
            && !line.starts_with([' ', '\t'])
            && matches!(
                folded.as_str(),
                "scripts" | "namespace_packages" | "cmdclass" | "ext_modules"
            )
        {
            return Some(format!("{key} in [options]"));
        }
    }
    None
}

/// Says what in `pyproject.toml` needs a build, if anything does.
pub(super) fn check_project(project: &toml::Table) -> Result<(), String> {
    let at = |path: &[&str]| {
        let mut value = project.get(*path.first()?)?;
        for key in path.get(1..).unwrap_or_default() {
            value = value.get(*key)?;
        }
        Some(value)
    };
    for path in [
        ["build-system", "backend-path"].as_slice(),
        &["tool", "setuptools", "ext-modules"],
        &["tool", "setuptools", "script-files"],
        &["tool", "setuptools", "data-files"],
        &["tool", "setuptools", "cmdclass"],
        &["tool", "setuptools", "namespace-packages"],
        &["tool", "hatch", "build"],
        &["tool", "flit"],
        &["tool", "pdm", "build"],
    ] {
        if at(path).is_some() {
            let path = path.join(".");
            return Err(format!(
                "pyproject.toml has {path}, which only a build can follow"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_and_outside_of_comments() {
        let script = "# ext_modules\nentry_points={'console_scripts': ['a=b:c']}, my_headers=1";
        assert_eq!(words(script).find(|word| ARGUMENTS.contains(word)), None);
        let script = "setup(\n  scripts = ['bin/x'])";
        assert!(words(script).any(|word| ARGUMENTS.contains(&word)));
    }

    #[test]
    fn configuration_that_needs_a_build_is_found() {
        assert_eq!(
            in_config("[options]\npackages = find:\nscripts_dir = x\n"),
            None
        );
        assert_eq!(
            in_config("[options]\nscripts =\n  bin/x\n").as_deref(),
            Some("scripts in [options]")
        );
        assert_eq!(
            in_config("[options.data_files]\n").as_deref(),
            Some("[options.data_files]")
        );
        let project = |text| check_project(&toml::from_str(text).unwrap());
        assert!(project("[build-system]\nbackend-path = ['.']\n").is_err());
        assert!(project("[tool.setuptools.packages.find]\n").is_ok());
    }
}
