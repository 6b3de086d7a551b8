//! `[tool.poetry.dependencies]` as headers of metadata (PEP 508).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::constraint::specifiers;
use super::string;
use crate::python::name::PackageName;

/// The headers `Requires-Dist` and `Provides-Extra` of a `[tool.poetry]` table. What comes from
/// elsewhere than an index is an error.
pub(super) fn headers(poetry: &toml::Table) -> Result<String, String> {
    let mut headers = String::new();
    let mut extras: BTreeMap<PackageName, Vec<PackageName>> = BTreeMap::new();
    if let Some(table) = poetry.get("extras") {
        let table = table
            .as_table()
            .ok_or("pyproject.toml: tool.poetry.extras is no table")?;
        for (extra, list) in table {
            let extra = name(extra)?;
            let _ = writeln!(headers, "Provides-Extra: {extra}");
            for item in list.as_array().into_iter().flatten() {
                let item = item.as_str().unwrap_or_default();
                extras.entry(name(item)?).or_default().push(extra.clone());
            }
        }
    }
    let none = toml::Table::new();
    let dependencies = poetry.get("dependencies").and_then(toml::Value::as_table);
    for (dependency, value) in dependencies.unwrap_or(&none) {
        if dependency.eq_ignore_ascii_case("python") {
            continue;
        }
        let package = name(dependency)?;
        let all = match value {
            toml::Value::Array(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        let extras = extras.get(&package).map(Vec::as_slice).unwrap_or_default();
        for one in all {
            if let Some(requirement) = requirement(&package, one, extras)? {
                let _ = writeln!(headers, "Requires-Dist: {requirement}");
            }
        }
    }
    Ok(headers)
}

/// One requirement, unless it is one that no extra asks for.
fn requirement(
    package: &PackageName,
    value: &toml::Value,
    in_extras: &[PackageName],
) -> Result<Option<String>, String> {
    let fail = |why: &str| format!("pyproject.toml: {package} {why}");
    let (mut text, mut conditions) = (package.to_string(), Vec::new());
    match value {
        toml::Value::String(version) => text.push_str(&specifiers(version)?),
        toml::Value::Table(table) => {
            for key in ["git", "path", "file", "url", "source"] {
                if table.contains_key(key) {
                    return Err(fail(&format!("comes from a {key}, which no index has")));
                }
            }
            let extras: Vec<String> = table
                .get("extras")
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
                .map(|extra| name(extra.as_str().unwrap_or_default()).map(|name| name.to_string()))
                .collect::<Result<_, _>>()?;
            if !extras.is_empty() {
                let _ = write!(text, "[{}]", extras.join(","));
            }
            text.push_str(&specifiers(string(table, "version")?.unwrap_or("*"))?);
            if let Some(markers) = string(table, "markers")? {
                conditions.push(format!("({markers})"));
            }
            if let Some(python) = string(table, "python")? {
                conditions.extend(python_version(&specifiers(python)?));
            }
            if let Some(platform) = string(table, "platform")? {
                let plain = platform
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric());
                if !plain {
                    return Err(fail("is for platforms that there are no words for"));
                }
                conditions.push(format!("sys_platform == \"{platform}\""));
            }
            if table.get("optional").and_then(toml::Value::as_bool) == Some(true)
                && in_extras.is_empty()
            {
                return Ok(None);
            }
        }
        _ => return Err(fail("has no constraint")),
    }
    let in_extras: Vec<String> = in_extras
        .iter()
        .map(|extra| format!("extra == \"{extra}\""))
        .collect();
    match in_extras.as_slice() {
        [] => {}
        [one] => conditions.push(one.clone()),
        all => conditions.push(format!("({})", all.join(" or "))),
    }
    if text.contains(['\n', '\r']) || conditions.iter().any(|part| part.contains(['\n', '\r'])) {
        return Err(fail("has two lines"));
    }
    Ok(Some(match conditions.is_empty() {
        true => text,
        false => format!("{text} ; {}", conditions.join(" and ")),
    }))
}

/// Specifiers of the versions of Python as markers. `python_version` has no third number, which
/// `python_full_version` has.
fn python_version(specifiers: &str) -> Vec<String> {
    let parts = specifiers.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let at = part.find(|letter: char| letter.is_ascii_digit());
            let (operator, version) = part.split_at(at.unwrap_or(0));
            format!("python_full_version {operator} \"{version}\"")
        })
        .collect()
}

fn name(text: &str) -> Result<PackageName, String> {
    PackageName::parse(text)
        .ok_or_else(|| format!("pyproject.toml: {text:?} is no name of a package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        headers(&toml::from_str(text).unwrap())
    }

    #[test]
    fn dependencies_become_requirements() {
        let text = r#"
            [dependencies]
            python = "^3.12,<3.14"
            Plain_Name = "^1.2"
            any = "*"
            dict = { version = "~2.0", extras = ["b", "a"], markers = "os_name == 'nt' or x" }
            old = { version = "1.0", python = "<3.10", platform = "linux" }
            opt = { version = "*", optional = true }
            unasked = { version = "*", optional = true }
            two = [{ version = "1", python = "<3" }, { version = "2", python = "^3" }]
            [extras]
            x_y = ["opt"]
        "#;
        assert_eq!(
            read(text).unwrap(),
            "Provides-Extra: x-y\n\
             Requires-Dist: plain-name>=1.2,<2.0\n\
             Requires-Dist: any\n\
             Requires-Dist: dict[b,a]>=2.0,<2.1 ; (os_name == 'nt' or x)\n\
             Requires-Dist: old==1.0 ; python_full_version < \"3.10\" and sys_platform == \"linux\"\n\
             Requires-Dist: opt ; extra == \"x-y\"\n\
             Requires-Dist: two==1 ; python_full_version < \"3\"\n\
             Requires-Dist: two==2 ; python_full_version >= \"3\" and python_full_version < \"4\"\n"
        );
    }

    #[test]
    fn what_no_index_has_is_refused_by_name() {
        for (text, why) in [
            ("a = { git = 'https://x' }", "a comes from a git"),
            ("a = { path = '../b' }", "a comes from a path"),
            ("a = { url = 'https://x' }", "a comes from a url"),
            ("a = 1", "a has no constraint"),
            ("a = '^1 || ^2'", "no constraint that PEP 440"),
            ("'-r x' = '*'", "no name of a package"),
            (
                "a = { version = '*', platform = 'x\" or \"y' }",
                "a is for platforms",
            ),
            (
                "a = { version = '*', markers = \"\"\"x\ny\"\"\" }",
                "a has two lines",
            ),
        ] {
            let error = read(&format!("[dependencies]\n{text}")).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
