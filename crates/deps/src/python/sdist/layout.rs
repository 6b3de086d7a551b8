//! What of a source distribution becomes a package.

use std::collections::BTreeMap;

use super::built::{Built, Listed, entry_points};
use super::{Sources, is_named, poetry, refusal, requires, text};
use crate::python::name::PackageName;

/// Build backends that do what setuptools wrote into `*.egg-info`.
const SETUPTOOLS: [&str; 2] = ["setuptools.build_meta", "setuptools.build_meta:__legacy__"];
/// Build backends that take the package that is called like the project, unless told otherwise.
const BY_NAME: [&str; 3] = ["flit_core.buildapi", "hatchling.build", "pdm.backend"];

/// Finds what becomes a package. `data` and `leave_script` are what Poetry's projects need; see
/// [`poetry::find`].
pub(super) fn find(
    sources: &Sources,
    package: &PackageName,
    data: &str,
    leave_script: bool,
) -> Result<Built, String> {
    let project: toml::Table = match text(sources, "pyproject.toml")? {
        Some(project) => toml::from_str(&project)
            .map_err(|error| format!("pyproject.toml: {}", error.message()))?,
        None => toml::Table::new(),
    };
    refusal::check_project(&project)?;
    let backend = project
        .get("build-system")
        .and_then(|build| build.get("build-backend"))
        .and_then(toml::Value::as_str)
        .unwrap_or("setuptools.build_meta:__legacy__");
    if poetry::BACKENDS.contains(&backend) {
        // It compiles nothing and reads no setup.py; what else is in the archive stays there.
        let built = poetry::find(sources, &project, package, data, leave_script)?;
        refusal::check_files(built.files.values())?;
        return Ok(built);
    }
    refusal::check_files(sources.keys())?;
    refusal::check_settings(sources)?;
    if SETUPTOOLS.contains(&backend) {
        by_egg_info(sources)
    } else if BY_NAME.contains(&backend) {
        by_name(sources, &project, package)
    } else {
        Err(format!(
            "it is built with {backend}, of which nothing is known"
        ))
    }
}

/// As setuptools wrote it down when it made the archive.
fn by_egg_info(sources: &Sources) -> Result<Built, String> {
    let mut found = sources
        .keys()
        .filter_map(|path| path.strip_suffix(".egg-info/top_level.txt"));
    let stem = match (found.next(), found.next()) {
        (Some(stem), None) => stem,
        (None, _) => return Err("it is not written in it which packages it has".to_owned()),
        _ => return Err("it has several .egg-info directories".to_owned()),
    };
    // It lies where the packages lie: in `src`, where they are there.
    let base = stem.rsplit_once('/').map_or("", |(base, _)| base);
    let read = |name: &str| text(sources, &format!("{stem}.egg-info/{name}"));
    let names: Vec<String> = read("top_level.txt")?
        .unwrap_or_default()
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let mut files = BTreeMap::new();
    for name in &names {
        add(sources, base, name, &mut files)?;
    }
    if files.is_empty() {
        return Err("it has no packages".to_owned());
    }
    Ok(Built {
        top_level: names,
        files,
        entry_points: read("entry_points.txt")?,
        requires: read("requires.txt")?.map(Listed::EggInfo),
    })
}

/// The one package or module that is called like the project.
fn by_name(
    sources: &Sources,
    project: &toml::Table,
    package: &PackageName,
) -> Result<Built, String> {
    let table = project.get("project").and_then(toml::Value::as_table);
    let table = table.ok_or("pyproject.toml has no [project]")?;
    let dynamic = table.get("dynamic").and_then(toml::Value::as_array);
    let told_later = |key: &str| {
        dynamic.is_some_and(|dynamic| dynamic.iter().any(|item| item.as_str() == Some(key)))
    };
    for key in ["scripts", "gui-scripts", "entry-points"] {
        if told_later(key) {
            return Err(format!("pyproject.toml leaves {key} to a build"));
        }
    }
    let mut candidates = Vec::new();
    for base in ["", "src"] {
        let prefix = if base.is_empty() {
            String::new()
        } else {
            format!("{base}/")
        };
        for path in sources.keys() {
            let Some(below) = path.strip_prefix(&prefix) else {
                continue;
            };
            let name = below
                .strip_suffix("/__init__.py")
                .or_else(|| below.strip_suffix(".py"));
            if let Some(name) = name.filter(|name| is_named(name, package)) {
                candidates.push((base, name.to_owned()));
            }
        }
    }
    let [(base, name)] = candidates.as_slice() else {
        return Err(format!(
            "{} packages in it could be that of the project",
            candidates.len()
        ));
    };
    let mut files = BTreeMap::new();
    add(sources, base, name, &mut files)?;
    Ok(Built {
        top_level: vec![name.clone()],
        files,
        entry_points: entry_points(table)?,
        requires: None,
    })
}

/// Adds the package or module `name` that lies in `base`.
fn add(
    sources: &Sources,
    base: &str,
    name: &str,
    files: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let legal = |character: char| character == '_' || character.is_alphanumeric();
    if !name.chars().all(legal) {
        return Err(format!("{name:?} is no name of a package"));
    }
    let prefix = if base.is_empty() {
        String::new()
    } else {
        format!("{base}/")
    };
    let directory = format!("{prefix}{name}/");
    let module = format!("{prefix}{name}.py");
    let before = files.len();
    for path in sources.keys() {
        let inside = path.starts_with(&directory) || *path == module;
        if inside
            && !path.ends_with(".pyc")
            && let Some(at) = path.strip_prefix(&prefix)
        {
            files.insert(at.to_owned(), path.clone());
        }
    }
    match files.len() == before {
        true => Err(format!("the package {name} is not where it should be")),
        false => Ok(()),
    }
}

/// The headers `Requires-Dist` and `Provides-Extra` that requirements come to.
pub(super) fn requirement_headers(listed: &Listed) -> Result<String, String> {
    match listed {
        Listed::EggInfo(text) => requires::headers(text),
        Listed::Poetry(table) => poetry::headers(table),
    }
}
