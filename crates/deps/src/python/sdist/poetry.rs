//! What of a source distribution becomes a package where Poetry builds it, as its project says.
//!
//! Source: poetry-core 2.5, `masonry/builders/{builder,wheel}.py` and `masonry/utils/{module,
//! include,package_include}.py`, which decide by patterns and run nothing, unless there is a build
//! script.

mod constraint;
mod requires;

use std::collections::{BTreeMap, BTreeSet};

use glob::{MatchOptions, Pattern};
use pep440_rs::{Version, VersionSpecifiers};

use super::Sources;
use super::built::{Built, Listed, entry_points};
use crate::python::name::PackageName;

/// What a project calls the backend.
pub(super) const BACKENDS: [&str; 2] = ["poetry.core.masonry.api", "poetry.masonry.api"];

/// Most patterns of a project.
const MAX_PATTERNS: usize = 1000;

/// Why a project with a build script is refused; the hint is chosen by it.
pub(in crate::python) const SCRIPT: &str =
    "pyproject.toml has tool.poetry.build, a script that only a build runs";

/// Finds what becomes a package. `data` is the directory of a wheel for what is installed
/// elsewhere (`NAME-VERSION.data`); a build script is an error unless it is to be left out.
pub(super) fn find(
    sources: &Sources,
    project: &toml::Table,
    package: &PackageName,
    data: &str,
    leave_script: bool,
) -> Result<Built, String> {
    let empty = toml::Table::new();
    let table = |table: &toml::Table, key: &str| match table.get(key) {
        None => Ok(None),
        Some(toml::Value::Table(table)) => Ok(Some(table.clone())),
        Some(_) => Err(format!("pyproject.toml: {key} is no table")),
    };
    let tool = table(project, "tool")?.unwrap_or_default();
    let poetry = table(&tool, "poetry")?.unwrap_or_default();
    let standard = table(project, "project")?;
    if poetry.get("package-mode").and_then(toml::Value::as_bool) == Some(false) {
        return Err("pyproject.toml says that it is no package".to_owned());
    }
    if poetry.contains_key("build") && !leave_script {
        return Err(SCRIPT.to_owned());
    }
    let files = files(sources, project, &poetry, package)?;
    let mut built = Built {
        top_level: top_level(files.keys()),
        files,
        entry_points: None,
        requires: (poetry.contains_key("dependencies")).then(|| Listed::Poetry(poetry.clone())),
    };
    let (points, scripts) = programs(standard.as_ref().unwrap_or(&empty), &poetry)?;
    built.entry_points = entry_points(&points)?;
    for from in scripts {
        let name = from.rsplit('/').next().unwrap_or(&from);
        built.files.insert(format!("{data}/scripts/{name}"), from);
    }
    Ok(built)
}

/// The headers that a project's dependencies come to.
pub(super) fn headers(poetry: &toml::Table) -> Result<String, String> {
    requires::headers(poetry)
}

/// Where each file goes, and where it is.
fn files(
    sources: &Sources,
    project: &toml::Table,
    poetry: &toml::Table,
    package: &PackageName,
) -> Result<BTreeMap<String, String>, String> {
    let mut packages = Vec::new();
    for item in array(poetry, "packages")? {
        let item = item
            .as_table()
            .ok_or("pyproject.toml: tool.poetry.packages has an item that is no table")?;
        if goes_into_wheels(item, true)? {
            packages.push(Rule::new(item)?);
        }
    }
    if !poetry.contains_key("packages") {
        packages.push(default_package(sources, package)?);
    }
    let mut includes = Vec::new();
    for item in array(poetry, "include")? {
        let (path, into_wheels) = match item {
            toml::Value::String(path) => (path.as_str(), includes_are_for_wheels(project)),
            toml::Value::Table(item) => (
                string(item, "path")?.ok_or("pyproject.toml: an include has no path")?,
                goes_into_wheels(item, includes_are_for_wheels(project))?,
            ),
            _ => return Err("pyproject.toml: an include is no path".to_owned()),
        };
        if into_wheels {
            includes.push(Globbed::new(path)?);
        }
    }
    let mut excludes = Vec::new();
    for item in array(poetry, "exclude")? {
        let path = item.as_str();
        excludes.push(Globbed::new(
            path.ok_or("pyproject.toml: an exclude is no path")?,
        )?);
    }
    if packages.len() + includes.len() + excludes.len() > MAX_PATTERNS {
        return Err("pyproject.toml has too many patterns".to_owned());
    }
    let mut files = BTreeMap::new();
    let mut put = |at: String, from: &String| match files.insert(at.clone(), from.clone()) {
        Some(other) if other != *from => Err(format!("{other} and {from} both go to {at}")),
        _ => Ok(()),
    };
    let mut found = vec![false; packages.len()];
    for path in sources.keys().filter(|path| !is_bytecode(path)) {
        let included = includes.iter().any(|include| include.takes(path));
        if included {
            put(path.clone(), path)?;
        }
        let excluded = !included && excludes.iter().any(|exclude| exclude.takes(path));
        for (rule, found) in packages.iter().zip(&mut found) {
            if let Some(at) = rule.place(path) {
                *found = true;
                if !excluded {
                    put(at, path)?;
                }
            }
        }
    }
    match packages.iter().zip(found).find(|(_, found)| !found) {
        Some((rule, _)) => Err(format!("the package {} is not there", rule.include.text)),
        None if files.is_empty() => Err("it has no packages".to_owned()),
        None => Ok(files),
    }
}

/// A package that a project names.
struct Rule {
    /// The directory that it lies in and that its paths do not begin with.
    from: String,
    include: Globbed,
    to: String,
}

impl Rule {
    fn new(item: &toml::Table) -> Result<Self, String> {
        let path = |key| match string(item, key)? {
            Some(path) => inside(path),
            None => Ok(String::new()),
        };
        let include = string(item, "include")?.ok_or("pyproject.toml: a package has no include")?;
        Ok(Self {
            from: path("from")?,
            include: Globbed::new(include)?,
            to: path("to")?,
        })
    }

    /// Where a file goes, if it belongs to the package.
    fn place(&self, path: &str) -> Option<String> {
        let below = match self.from.as_str() {
            "" => path,
            from => path.strip_prefix(from)?.strip_prefix('/')?,
        };
        self.include.takes(below).then(|| match self.to.as_str() {
            "" => below.to_owned(),
            to => format!("{to}/{below}"),
        })
    }
}

/// A pattern; a directory that it matches takes along what is below it.
struct Globbed {
    text: String,
    pattern: Pattern,
}

impl Globbed {
    fn new(text: &str) -> Result<Self, String> {
        let text = inside(text)?;
        let pattern = Pattern::new(&text)
            .map_err(|error| format!("pyproject.toml: {text:?}: {}", error.msg))?;
        Ok(Self { text, pattern })
    }

    fn takes(&self, path: &str) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .filter_map(|end| path.get(..end))
            .any(|start| self.pattern.matches_with(start, options))
    }
}

/// A path without what leads nowhere else, or out.
fn inside(path: &str) -> Result<String, String> {
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    match path.starts_with('/') || path.contains('\\') || names.contains(&"..") {
        true => Err(format!("pyproject.toml: {path:?} leads out of the archive")),
        false => Ok(names.join("/")),
    }
}

/// The package or module that is called like the project, where it says nothing.
fn default_package(sources: &Sources, package: &PackageName) -> Result<Rule, String> {
    let name = package.to_string().replace('-', "_");
    for from in ["", "src"] {
        let base = match from {
            "" => String::new(),
            from => format!("{from}/"),
        };
        let directory = format!("{base}{name}/");
        let module = format!("{name}.py");
        let is_package = sources.keys().any(|path| path.starts_with(&directory));
        let is_module = sources.contains_key(&format!("{base}{module}"));
        let include = match (is_package, is_module) {
            (true, true) => return Err(format!("both {directory} and {base}{module} are there")),
            (true, false) => &name,
            (false, true) => &module,
            (false, false) => continue,
        };
        return Ok(Rule {
            from: from.to_owned(),
            include: Globbed::new(include)?,
            to: String::new(),
        });
    }
    Err(format!("there is no package {name}"))
}

/// The entry points as a `[project]` table would have them, and files that are programs as they
/// are.
fn programs(
    standard: &toml::Table,
    poetry: &toml::Table,
) -> Result<(toml::Table, Vec<String>), String> {
    let mut points = toml::Table::new();
    for key in ["scripts", "gui-scripts", "entry-points"] {
        if let Some(value) = standard.get(key) {
            points.insert(key.to_owned(), value.clone());
        }
    }
    let mut console = toml::Table::new();
    let mut files = Vec::new();
    let table = |key: &str| match poetry.get(key) {
        None => Ok(toml::Table::new()),
        Some(value) => value
            .as_table()
            .cloned()
            .ok_or_else(|| format!("pyproject.toml: tool.poetry.{key} is no table")),
    };
    for (name, script) in table("scripts")? {
        let fail = || format!("pyproject.toml: the script {name} is not one that is known");
        let script = match script {
            toml::Value::String(text) => {
                console.insert(name, toml::Value::String(text));
                continue;
            }
            toml::Value::Table(script) => script,
            _ => return Err(fail()),
        };
        let reference = string(&script, "reference")?.ok_or_else(fail)?;
        match string(&script, "type")? {
            Some("console") => {
                console.insert(name, toml::Value::String(reference.to_owned()));
            }
            Some("file") => files.push(inside(reference)?),
            _ => return Err(fail()),
        }
    }
    if !console.is_empty() && !points.contains_key("scripts") {
        points.insert("scripts".to_owned(), toml::Value::Table(console));
    }
    let plugins = table("plugins")?;
    if !plugins.is_empty() && !points.contains_key("entry-points") {
        points.insert("entry-points".to_owned(), toml::Value::Table(plugins));
    }
    Ok((points, files))
}

/// Whether something goes into wheels: what its `format` says, or else `default`.
fn goes_into_wheels(item: &toml::Table, default: bool) -> Result<bool, String> {
    let fail = || "pyproject.toml: a format is neither sdist nor wheel".to_owned();
    let one = |value: &toml::Value| match value.as_str() {
        Some("wheel") => Ok(true),
        Some("sdist") => Ok(false),
        _ => Err(fail()),
    };
    match item.get("format") {
        None => Ok(default),
        Some(toml::Value::Array(list)) => list
            .iter()
            .try_fold(false, |found, value| Ok(found | one(value)?)),
        Some(value) => one(value),
    }
}

/// Whether an include that says nothing of formats is for wheels: it was before version 2 of the
/// backend, which a project may still ask for.
fn includes_are_for_wheels(project: &toml::Table) -> bool {
    let requires = project
        .get("build-system")
        .and_then(|build| build.get("requires"))
        .and_then(toml::Value::as_array);
    let specifiers = requires.into_iter().flatten().find_map(|requirement| {
        let text = requirement.as_str()?.split(';').next()?;
        let rest = text.trim().strip_prefix("poetry-core")?;
        rest.trim().parse::<VersionSpecifiers>().ok()
    });
    let second = ["2.0.0", "2.1.3", "2.2.1", "2.5.0", "2.99"];
    specifiers.is_some_and(|specifiers| {
        let names_second = specifiers.iter().any(|specifier| {
            specifier.version().release().first() >= Some(&2)
                && !specifier.operator().to_string().starts_with('<')
        });
        !names_second
            && !second.iter().any(|version| {
                let version = version.parse::<Version>();
                version.is_ok_and(|version| specifiers.contains(&version))
            })
    })
}

fn array<'a>(table: &'a toml::Table, key: &str) -> Result<&'a [toml::Value], String> {
    match table.get(key) {
        None => Ok(&[]),
        Some(toml::Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("pyproject.toml: tool.poetry.{key} is no list")),
    }
}

fn string<'a>(table: &'a toml::Table, key: &str) -> Result<Option<&'a str>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("pyproject.toml: {key} is no string")),
    }
}

fn is_bytecode(path: &str) -> bool {
    path.ends_with(".pyc") || path.split('/').any(|name| name == "__pycache__")
}

/// The packages and modules that can be imported.
fn top_level<'a>(files: impl Iterator<Item = &'a String>) -> Vec<String> {
    let tops: BTreeSet<&str> = files
        .filter_map(|path| match path.split_once('/') {
            Some((top, _)) => Some(top),
            None => path.strip_suffix(".py"),
        })
        .collect();
    tops.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
