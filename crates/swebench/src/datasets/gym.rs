//! SWE-Gym: rows in the shape of SWE-bench's version 4, of other repositories.
//!
//! Source: SWE-Gym's fork of SWE-bench, `swebench/harness/constants.py`, `log_parsers.py` and
//! `utils.py`; its images as OpenHands finds them, `xingyaoww/sweb.eval.x86_64.…`.

use serde_json::{Map, Value, json};

use super::Adapted;
use crate::eval_type::EvalType;
use crate::specs::Catalogue;
use crate::way::{Dataset, Way};

/// What installs and tests its repositories.
const TABLE: &[u8] = include_bytes!("gym.json");

/// Where its images are.
const IMAGES: &str = "xingyaoww/sweb.eval.x86_64.";

/// What is no part of a repository's name there, and what stands in its place.
const SEPARATOR: (&str, &str) = ("__", "_s_");

/// The names of its rows' repositories, as ohoci's table of parsers has them.
pub(super) fn adapt(row: &Map<String, Value>) -> Option<Adapted> {
    let field = |name: &str| row.get(name).and_then(Value::as_str);
    let says_itself = ["eval_script", "install_config", "log_parser"];
    if says_itself
        .iter()
        .any(|name| row.get(*name).is_some_and(|value| !value.is_null()))
    {
        return None;
    }
    let (repository, id) = (field("repo")?, field("instance_id")?);
    let table = Catalogue::parse(TABLE).ok()?;
    let repository = table.spelling(repository)?.to_owned();
    let specs = table.specs(&repository, field("version").unwrap_or_default());
    let specs = specs.cloned();
    let mut fields = row.clone();
    let is_missing = |name: &str| row.get(name).is_none_or(Value::is_null);
    if is_missing("image") && is_missing("docker_image") {
        let (separator, instead) = SEPARATOR;
        let name = id.to_lowercase().replace(separator, instead);
        fields.insert("image".to_owned(), json!(format!("{IMAGES}{name}:latest")));
    }
    let parser = match repository.as_str() {
        "pydantic/pydantic" => "parse_log_pytest_pydantic",
        _ => "parse_log_pytest",
    };
    fields.insert("log_parser".to_owned(), json!(parser));
    Some(Adapted {
        fields,
        way: Way::of(Dataset::Gym),
        eval_type: EvalType::PassAndFail,
        specs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_the_table_says_how_it_is_tested() {
        let table = Catalogue::parse(TABLE).unwrap();
        for (repository, version) in [
            ("getmoto/moto", "5.0"),
            ("project-monai/monai", "1.3"),
            ("pandas-dev/pandas", "3.0"),
            ("iterative/dvc", "0.92"),
        ] {
            let repository = table.spelling(repository).unwrap();
            let specs = table.specs(repository, version).unwrap();
            assert!(specs.test_cmd.starts_with("pytest "), "{repository}");
        }
        assert_eq!(table.spelling("pallets/flask"), None);
    }
}
