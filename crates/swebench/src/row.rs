//! Instances: the rows of a dataset, as JSON or as lines of JSON, in the shapes of versions 4 and 5.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/utils.py` and `types.py`; 4.1.0, `test_spec.py`. Rows of
//! version 5 say how they are evaluated (`image`, `eval_script`, `log_parser`, `eval_type`); those of
//! version 4 leave it to the harness.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::datasets;
pub use super::eval_type::EvalType;
pub use super::field::FieldProblem;
use super::json_text;
use super::log_parser::{Instance, LogParser, NoParser};
use super::names;
use super::specs::Specs;
use super::way::{Dataset, Reader, Way};

/// Repositories whose rows of version 4 are `fail_only`.
///
/// Source: `FAIL_ONLY_REPOS` of SWE-bench 5.0.2.
const FAIL_ONLY: [&str; 6] = [
    "chartjs/Chart.js",
    "processing/p5.js",
    "markedjs/marked",
    "bpmn-io/bpmn-js",
    "openlayers/openlayers",
    "eslint/eslint",
];

/// One instance: a repository at a commit, a problem, and the tests that show it solved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The instance's name, such as `pallets__flask-5014`; fit for file names.
    pub instance_id: String,
    /// The repository, `owner/name`.
    pub repo: String,
    /// The commit that patches apply to.
    pub base_commit: Option<String>,
    /// The patch that solves the problem (`gold`).
    pub patch: Option<String>,
    /// The patch that brings the tests.
    pub test_patch: Option<String>,
    /// The repository's version, which says how its environment is made.
    pub version: Option<String>,
    /// The commit whose requirements the environment has.
    pub environment_setup_commit: Option<String>,
    /// Tests that have to pass once the problem is solved.
    pub fail_to_pass: Vec<String>,
    /// Tests that have to go on passing.
    pub pass_to_pass: Vec<String>,
    /// The image to run in (version 5).
    pub image: Option<String>,
    /// The script that runs the tests (version 5).
    pub eval_script: Option<String>,
    /// The name of the log's parser (version 5).
    pub log_parser: Option<String>,
    /// The list of tests that the row does not have, so that it can be built but not graded.
    pub missing_tests: Option<MissingTests>,
    /// How tests are counted that a log does not name.
    pub eval_type: EvalType,
    /// How the instance's version is installed and tested, where the row says it (SWE-rebench's
    /// `install_config`).
    pub specs: Option<Specs>,
    /// What is done with it otherwise than SWE-bench does, where it is of another dataset.
    pub way: Way,
}

/// The fields that name tests.
const TESTS: [&str; 2] = ["FAIL_TO_PASS", "PASS_TO_PASS"];

/// A list of tests that a row does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingTests {
    /// Its field.
    pub field: &'static str,
    /// A field of the row that only its case tells from that.
    pub other: Option<String>,
}

/// Where a row stands in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A line of a `.jsonl`, from 1.
    Line(usize),
    /// A member of a `.json` list, from 1.
    Member(usize),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Member(member) => write!(f, "member {member} of the list"),
        }
    }
}

/// Why a dataset cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The document is no JSON.
    #[error("it is no JSON list of instances: {0}")]
    Document(#[source] serde_json::Error),
    /// It is not UTF-8.
    #[error("{0}")]
    Encoding(&'static str),
    /// A line is no JSON.
    #[error("{place}: it is no JSON: {why}")]
    Json {
        /// The line.
        place: Location,
        /// What the parser says.
        #[source]
        why: serde_json::Error,
    },
    /// Something else stands where an instance should.
    #[error("{place}: an instance is a JSON object")]
    NoObject {
        /// The row.
        place: Location,
    },
    /// A field is missing or is not what it should be.
    #[error("{place}: field `{field}` {problem}")]
    Field {
        /// The row.
        place: Location,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: FieldProblem,
    },
    /// A row does not say by which tests it is graded.
    #[error("instance {instance}: field `{field}` is missing, so nothing can be graded{}{}", .refused.as_ref().map(|why| format!("; {why}")).unwrap_or_default(), .other.as_ref().map(|other| format!("; there is a field `{other}`, whose name upstream does not know")).unwrap_or_default())]
    NoTests {
        /// The instance.
        instance: String,
        /// The list that is missing.
        field: &'static str,
        /// A field that only its case tells from that.
        other: Option<String>,
        /// Why rows of its dataset are not evaluated.
        refused: Option<String>,
    },
    /// Instances were asked for that are not there.
    #[error("the dataset has no instance {}", .0.join(", "))]
    Unknown(Vec<String>),
}

impl Row {
    /// The rows of a `.json` document: a list of objects.
    ///
    /// # Errors
    ///
    /// Names the first row and field that cannot be read.
    pub fn from_json(document: &[u8]) -> Result<Vec<Self>, RowError> {
        let document = json_text::unmarked(document).map_err(RowError::Encoding)?;
        let rows: Vec<Value> = serde_json::from_slice(document).map_err(RowError::Document)?;
        let rows = rows.iter().enumerate();
        rows.map(|(index, row)| Self::from_value(row, Location::Member(index + 1)))
            .collect()
    }

    /// The rows of a `.jsonl` document: one object a line; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// Names the first line and field that cannot be read.
    pub fn from_json_lines(document: &[u8]) -> Result<Vec<Self>, RowError> {
        let document = json_text::unmarked(document).map_err(RowError::Encoding)?;
        let lines = document.split(|byte| *byte == b'\n').enumerate();
        lines
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(index, line)| {
                let place = Location::Line(index + 1);
                let row =
                    serde_json::from_slice(line).map_err(|why| RowError::Json { place, why })?;
                Self::from_value(&row, place)
            })
            .collect()
    }

    /// One row that was read already, such as one of a parquet file.
    ///
    /// # Errors
    ///
    /// Names the first field that cannot be read.
    pub fn from_value(row: &Value, place: Location) -> Result<Self, RowError> {
        let Value::Object(row) = row else {
            return Err(RowError::NoObject { place });
        };
        let fail = |field| {
            move |problem| RowError::Field {
                place,
                field,
                problem,
            }
        };
        let adapted = datasets::adapt(row).map_err(|(field, problem)| fail(field)(problem))?;
        let row = adapted.as_ref().map_or(row, |adapted| &adapted.fields);
        let assets = datasets::assets(row).map_err(|(field, problem)| fail(field)(problem))?;
        let required = |field| {
            text(row, field)
                .and_then(|text| text.ok_or(FieldProblem::Missing))
                .map_err(fail(field))
        };
        let optional = |field| text(row, field).map_err(fail(field));
        let tests = |field| names_of_tests(row, field).map_err(fail(field));
        let instance_id = required("instance_id")?;
        names::check_path_component(&instance_id)
            .map_err(|problem| fail("instance_id")(problem.into()))?;
        let repo = required("repo")?;
        let eval_type = match optional("eval_type")?.as_deref() {
            Some("pass_and_fail") => EvalType::PassAndFail,
            Some("fail_only") => EvalType::FailOnly,
            Some(other) => {
                return Err(fail("eval_type")(FieldProblem::Unknown(other.to_owned())));
            }
            None if FAIL_ONLY.contains(&repo.as_str()) => EvalType::FailOnly,
            None => EvalType::PassAndFail,
        };
        let eval_type = adapted
            .as_ref()
            .map_or(eval_type, |adapted| match adapted.way.dataset {
                Dataset::Gym | Dataset::R2eGym => eval_type,
                _ => adapted.eval_type,
            });
        let config = install_config(row).map_err(fail("install_config"))?;
        let own_parser = || config.get("log_parser").and_then(Value::as_str);
        let specs = match config.is_empty() {
            true => None,
            false => Some(
                serde_json::from_value(Value::Object(config.clone()))
                    .map_err(|error| fail("install_config")(FieldProblem::Config(error)))?,
            ),
        };
        Ok(Self {
            base_commit: optional("base_commit")?,
            patch: optional("patch")?,
            test_patch: optional("test_patch")?,
            version: optional("version")?,
            environment_setup_commit: optional("environment_setup_commit")?,
            fail_to_pass: tests(TESTS[0])?,
            pass_to_pass: tests(TESTS[1])?,
            missing_tests: missing_tests(row),
            image: optional("image")?.or(optional("docker_image")?),
            eval_script: optional("eval_script")?,
            log_parser: optional("log_parser")?.or_else(|| own_parser().map(str::to_owned)),
            specs: specs.or_else(|| adapted.as_ref()?.specs.clone()),
            way: adapted
                .map(|adapted| adapted.way)
                .unwrap_or_default()
                .with(assets),
            eval_type,
            instance_id,
            repo,
        })
    }

    /// Whether its tests are run by files that stand beside the dataset, which are not there yet.
    #[must_use]
    pub fn awaits_scripts(&self) -> bool {
        self.way.awaited.is_some()
    }

    /// Takes in the files that run the tests of a row of SWE-bench Pro and read what they write:
    /// `run_script.sh` and `parser.py`.
    pub fn take_scripts(&mut self, script: &str, parser: String) {
        if let Some(awaited) = self.way.awaited.take() {
            self.eval_script = Some(awaited.eval_script(script));
            self.way.reader = Some(Reader::Program(parser));
        }
    }

    /// The parser of the instance's logs: the one that the row names, else its repository's.
    ///
    /// # Errors
    /// When there is none, or it knows no format for the instance.
    pub fn parser(&self) -> Result<LogParser, NoParser> {
        let instance = Instance {
            id: &self.instance_id,
            version: self.version.as_deref().unwrap_or_default(),
        };
        match &self.log_parser {
            Some(name) => LogParser::named(name, instance),
            None => LogParser::of_repository(&self.repo, instance),
        }
    }
}

/// Refuses rows that do not say by which tests they are graded: a list that is missing or null is not
/// an empty one, by which every patch would be resolved. Upstream fails on such rows, too.
///
/// # Errors
///
/// Names the first of these rows.
pub fn check_graded(rows: &[Row]) -> Result<(), RowError> {
    match rows
        .iter()
        .find_map(|row| Some((row, row.missing_tests.as_ref()?)))
    {
        None => Ok(()),
        Some((row, missing)) => Err(RowError::NoTests {
            instance: row.instance_id.clone(),
            field: missing.field,
            other: missing.other.clone(),
            refused: row.way.refused.clone(),
        }),
    }
}

/// The first list of tests that a row does not have.
fn missing_tests(row: &Map<String, Value>) -> Option<MissingTests> {
    let is_missing = |field: &&str| row.get(*field).is_none_or(Value::is_null);
    let field = TESTS.into_iter().find(is_missing)?;
    let other = row.keys().find(|key| key.eq_ignore_ascii_case(field));
    Some(MissingTests {
        field,
        other: other.filter(|key| *key != field).cloned(),
    })
}

/// The rows with these names, in the dataset's order; all of them where none is asked for.
///
/// # Errors
///
/// Names every instance that is not there, as upstream refuses the run.
pub fn select(rows: Vec<Row>, instance_ids: &[String]) -> Result<Vec<Row>, RowError> {
    if instance_ids.is_empty() {
        return Ok(rows);
    }
    let mut unknown: BTreeSet<&str> = instance_ids.iter().map(String::as_str).collect();
    let wanted = unknown.clone();
    for row in &rows {
        unknown.remove(row.instance_id.as_str());
    }
    if !unknown.is_empty() {
        let unknown = unknown.into_iter().map(str::to_owned).collect();
        return Err(RowError::Unknown(unknown));
    }
    let mut chosen = rows.clone();
    chosen.retain(|row| wanted.contains(row.instance_id.as_str()));
    Ok(chosen)
}

/// A field that is text; `None` where it is missing or null.
fn text(row: &Map<String, Value>, field: &str) -> Result<Option<String>, FieldProblem> {
    match row.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(FieldProblem::NoText),
    }
}

/// SWE-rebench's `install_config`: an object, or its JSON as text; empty where it is missing. What is
/// null in it is not said.
fn install_config(row: &Map<String, Value>) -> Result<Map<String, Value>, FieldProblem> {
    let mut config = match row.get("install_config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => config.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(FieldProblem::Config)?,
        Some(_) => return Err(FieldProblem::NoText),
    };
    config.retain(|_, value| !value.is_null());
    // Some say several commands.
    if let Some(Value::Array(commands)) = config.get("test_cmd") {
        let commands: Vec<&str> = commands.iter().filter_map(Value::as_str).collect();
        config.insert("test_cmd".to_owned(), commands.join(" && ").into());
    }
    Ok(config)
}

/// A list of tests, or its JSON as text; empty where it is missing, which [`check_graded`] refuses.
fn names_of_tests(row: &Map<String, Value>, field: &str) -> Result<Vec<String>, FieldProblem> {
    let names = |list: &Value| serde_json::from_value(list.clone()).ok();
    match row.get(field) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(list) => names(list),
    }
    .ok_or(FieldProblem::NoList)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_name_their_tests_are_not_graded() {
        for (tests, refused) in [
            (r#""FAIL_TO_PASS":[],"PASS_TO_PASS":"[]""#, None),
            (
                r#""FAIL_TO_PASS":["a"]"#,
                Some("field `PASS_TO_PASS` is missing"),
            ),
            (
                r#""FAIL_TO_PASS":null,"PASS_TO_PASS":[]"#,
                Some("field `FAIL_TO_PASS` is missing"),
            ),
            (
                r#""fail_to_pass":["a"],"pass_to_pass":[]"#,
                Some("there is a field `fail_to_pass`"),
            ),
        ] {
            let line = format!(r#"{{"instance_id":"a__b-1","repo":"a/b",{tests}}}"#);
            let rows = Row::from_json_lines(line.as_bytes()).unwrap();
            let said = check_graded(&rows).map_err(|error| error.to_string());
            match refused {
                None => assert_eq!(said, Ok(())),
                Some(words) => assert!(said.unwrap_err().contains(words), "{tests}"),
            }
        }
    }

    #[test]
    fn a_row_may_say_itself_how_it_is_tested() {
        let line = r#"{"instance_id":"a__b-1","repo":"a/b","FAIL_TO_PASS":[],"PASS_TO_PASS":[],"docker_image":"x/y:1","install_config":{"python":"3.9","install":"pip install -e .","packages":null,"pip_packages":["pytest"],"test_cmd":"pytest -rA","log_parser":"parse_log_pytest"}}"#;
        let row = Row::from_json_lines(line.as_bytes()).unwrap().remove(0);
        let specs = row.specs.as_ref().unwrap();
        assert_eq!(specs.steps().test, "pytest -rA");
        assert_eq!(row.image.as_deref(), Some("x/y:1"));
        assert_eq!(row.log_parser.as_deref(), Some("parse_log_pytest"));
        let wrong = line.replace("\"3.9\"", "[]");
        let error = Row::from_json_lines(wrong.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("line 1: field `install_config` does not say how"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_datasets_with_a_harness_of_their_own_are_named() {
        let line = r#"{"instance_id":"a","repo":"a/b","expected_output_json":"{}"}"#;
        let rows = Row::from_json_lines(line.as_bytes()).unwrap();
        let error = check_graded(&rows).unwrap_err().to_string();
        assert!(error.contains("a row of R2E-Gym"), "{error}");
    }

    const OLD: &str = r#"{"instance_id":"pallets__flask-1","repo":"pallets/flask","base_commit":"c0ffee","patch":"p","test_patch":"t","version":"2.3","FAIL_TO_PASS":"[\"a\"]","PASS_TO_PASS":"[]"}"#;
    const NEW: &str = r#"{"instance_id":"a__b-2","repo":"a/b","image":"x/y:latest","eval_script":"true","log_parser":"parse_log_sphinx","eval_type":"fail_only","FAIL_TO_PASS":["a","b"],"PASS_TO_PASS":[],"environment_setup_commit":null}"#;

    #[test]
    fn both_shapes_are_read_from_lists_and_from_lines() {
        let rows = Row::from_json_lines(format!("{OLD}\n\n{NEW}\r\n").as_bytes()).unwrap();
        assert_eq!(
            rows,
            Row::from_json(format!("[{OLD},{NEW}]").as_bytes()).unwrap()
        );
        let [old, new] = rows.as_slice() else {
            panic!("two rows")
        };
        assert_eq!(old.fail_to_pass, ["a"]);
        assert_eq!(old.parser().unwrap().name(), "parse_log_pytest");
        assert_eq!(old.eval_type, EvalType::PassAndFail);
        assert_eq!(new.fail_to_pass, ["a", "b"]);
        assert_eq!(new.parser().unwrap().name(), "parse_log_sphinx");
        assert_eq!(new.eval_type, EvalType::FailOnly);
        assert_eq!(new.base_commit, None);
    }

    #[test]
    fn an_error_names_the_line_and_the_field() {
        for (row, expected) in [
            ("{", "line 2: it is no JSON: EOF while parsing an object"),
            ("[]", "line 2: an instance is a JSON object"),
            ("{}", "line 2: field `instance_id` is missing"),
            (
                r#"{"instance_id":5}"#,
                "line 2: field `instance_id` has to be a string",
            ),
            (
                r#"{"instance_id":"../x","repo":"a/b"}"#,
                "line 2: field `instance_id` has the character '/'",
            ),
            (
                r#"{"instance_id":"x","repo":"a/b","FAIL_TO_PASS":"[1]"}"#,
                "line 2: field `FAIL_TO_PASS` has to be a list of strings",
            ),
            (
                r#"{"instance_id":"x","repo":"a/b","eval_type":"all"}"#,
                "line 2: field `eval_type` is \"all\"",
            ),
        ] {
            let document = format!("{OLD}\n{row}\n");
            let error = Row::from_json_lines(document.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let error = Row::from_json(b"[{}]").unwrap_err().to_string();
        assert_eq!(
            error,
            "member 1 of the list: field `instance_id` is missing"
        );
    }

    #[test]
    fn instances_are_selected_and_unknown_ones_are_named() {
        let rows = Row::from_json(format!("[{OLD},{NEW}]").as_bytes()).unwrap();
        assert_eq!(select(rows.clone(), &[]).unwrap().len(), 2);
        let one = select(rows.clone(), &["a__b-2".to_owned()]).unwrap();
        assert_eq!(one.len(), 1);
        let asked = ["z".to_owned(), "y".to_owned(), "a__b-2".to_owned()];
        let error = select(rows, &asked).unwrap_err();
        assert_eq!(error.to_string(), "the dataset has no instance y, z");
    }
}
