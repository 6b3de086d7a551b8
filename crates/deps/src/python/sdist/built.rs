//! What a build would have made of a source distribution, as far as it is written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a build would have made, as far as it is written down.
#[derive(Debug)]
pub(super) struct Built {
    /// The packages and modules that can be imported.
    pub(super) top_level: Vec<String>,
    /// Where each file goes, and where it is.
    pub(super) files: BTreeMap<String, String>,
    /// Programs and plug-ins.
    pub(super) entry_points: Option<String>,
    /// What it requires, where that is written down beside its metadata.
    pub(super) requires: Option<Listed>,
}

/// Requirements as they stand elsewhere than in metadata.
#[derive(Debug)]
pub(super) enum Listed {
    /// The content of `requires.txt`.
    EggInfo(String),
    /// The table `[tool.poetry]`.
    Poetry(toml::Table),
}

/// The entry points in a `[project]` table, as they stand in `entry_points.txt`.
pub(super) fn entry_points(table: &toml::Table) -> Result<Option<String>, String> {
    let mut groups: BTreeMap<String, &toml::Value> = BTreeMap::new();
    for (key, group) in [
        ("scripts", "console_scripts"),
        ("gui-scripts", "gui_scripts"),
    ] {
        if let Some(value) = table.get(key) {
            groups.insert(group.to_owned(), value);
        }
    }
    if let Some(others) = table.get("entry-points").and_then(toml::Value::as_table) {
        groups.extend(others.iter().map(|(group, value)| (group.clone(), value)));
    }
    let mut text = String::new();
    for (group, points) in groups {
        let points = points
            .as_table()
            .ok_or_else(|| format!("pyproject.toml: {group} is no table"))?;
        let _ = writeln!(text, "[{group}]");
        for (name, value) in points {
            let value = value
                .as_str()
                .ok_or_else(|| format!("pyproject.toml: {name} is no string"))?;
            if [name.as_str(), value]
                .iter()
                .any(|part| part.contains('\n'))
            {
                return Err(format!("pyproject.toml: {name:?} has two lines"));
            }
            let _ = writeln!(text, "{name} = {value}");
        }
        text.push('\n');
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}
