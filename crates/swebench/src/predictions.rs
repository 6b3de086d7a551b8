//! Predictions: the patches of a model, one for each instance.
//!
//! Source: SWE-bench 5.0.2, `get_predictions_from_file` of `swebench/harness/utils.py` and
//! `get_dataset_from_preds` of `run_evaluation.py`.

mod shapes;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::json_text;
use super::names::NameError;
use super::row::{Location, Row};

/// The model's name where the dataset's own patches are taken.
pub const GOLD: &str = "gold";

/// What a model says of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The instance.
    pub instance_id: String,
    /// The model's name (`model_name_or_path`).
    pub model: String,
    /// The patch; `None` where it is null.
    pub patch: Option<String>,
}

impl Prediction {
    /// Whether there is nothing to apply: such an instance is never run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patch.as_deref().unwrap_or_default().is_empty()
    }
}

/// Predictions in the order in which their instances are first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predictions {
    entries: Vec<Prediction>,
    places: HashMap<String, usize>,
    replaced: BTreeSet<String>,
    repaired: BTreeSet<String>,
}

/// Why predictions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PredictionError {
    /// The document is no JSON.
    #[error("it is no JSON: {0}")]
    Document(#[source] serde_json::Error),
    /// The document is JSON of another kind.
    #[error("it has to be a list of predictions, or an object of them by instance")]
    Shape,
    /// A line is no JSON.
    #[error("{place}: it is no JSON: {why}")]
    Json {
        /// The line.
        place: Location,
        /// What the parser says.
        #[source]
        why: serde_json::Error,
    },
    /// Something else stands where a prediction should.
    #[error("{place}: a prediction is a JSON object")]
    NoObject {
        /// The prediction.
        place: Location,
    },
    /// It is not UTF-8.
    #[error("{0}")]
    Encoding(&'static str),
    /// A row of a dataset stands where a prediction should.
    #[error(
        "{place}: it is a row of a dataset, not a prediction; `gold` takes the dataset's own patches"
    )]
    Row {
        /// The row.
        place: Location,
    },
    /// No field holds a patch.
    #[error("{place}: none of its fields holds a patch ({}); known are `model_patch`, `prediction`, `patch`, `fix_patch` and `test_result.git_patch`", .fields.join(", "))]
    NoPatch {
        /// The prediction.
        place: Location,
        /// Its fields.
        fields: Vec<String>,
    },
    /// A field is missing or is no text.
    #[error("{place}: field `{field}` has to be a string")]
    Field {
        /// The prediction.
        place: Location,
        /// The field.
        field: &'static str,
    },
    /// A field cannot name a folder.
    #[error("{place}: field `{field}` {why}")]
    Name {
        /// The prediction.
        place: Location,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        why: NameError,
    },
    /// There is not a single one.
    #[error("it holds no predictions")]
    None,
    /// The dataset does not know some of the instances.
    #[error("the dataset has no instance {}, which predictions name", .0.join(", "))]
    Unknown(Vec<String>),
    /// An instance has no patch of its own.
    #[error("instance {0} has no field `patch`, so it has no gold prediction")]
    NoGold(String),
}

impl Predictions {
    /// A `.json` document: a list, an object of predictions by instance, or a single one.
    ///
    /// # Errors
    ///
    /// Names the first prediction and field that cannot be read.
    pub fn from_json(document: &[u8]) -> Result<Self, PredictionError> {
        Self::read(document, false, None)
    }

    /// A `.jsonl` document: one prediction a line; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// Names the first line and field that cannot be read.
    pub fn from_json_lines(document: &[u8]) -> Result<Self, PredictionError> {
        Self::read(document, true, None)
    }

    /// Reads predictions in any of the shapes that harnesses and agents write. `is_lines` says that
    /// each line is to be a document of its own, `model` what the model is called where a prediction
    /// names none.
    ///
    /// # Errors
    ///
    /// Names the first prediction and field that cannot be read.
    pub fn read(
        document: &[u8],
        is_lines: bool,
        model: Option<&str>,
    ) -> Result<Self, PredictionError> {
        let document = json_text::unmarked(document).map_err(PredictionError::Encoding)?;
        let whole = || Self::from_document(document, model);
        let lines = || Self::from_lines(document, model);
        // What a file is called is not always what it holds.
        match is_lines {
            false => match whole() {
                Err(PredictionError::Document(error)) if error.is_syntax() => {
                    lines().map_err(|_| PredictionError::Document(error))
                }
                read => read,
            },
            true => match lines() {
                Err(
                    error @ (PredictionError::Json { .. }
                    | PredictionError::NoObject { .. }
                    | PredictionError::Field { .. }),
                ) => whole().map_err(|_| error),
                read => read,
            },
        }
    }

    fn from_document(document: &[u8], model: Option<&str>) -> Result<Self, PredictionError> {
        let (document, is_repaired) =
            json_text::parse(document).map_err(PredictionError::Document)?;
        let one = |index: usize, member: &Value, key: Option<&str>| {
            let place = Location::Member(index + 1);
            Ok((shapes::prediction(member, place, key, model)?, is_repaired))
        };
        match &document {
            Value::Array(members) => {
                let members = members.iter().enumerate();
                Self::collect(members.map(|(index, member)| one(index, member, None)))
            }
            Value::Object(members) if members.get("instance_id").is_some_and(Value::is_string) => {
                Self::collect([one(0, &document, None)].into_iter())
            }
            Value::Object(members) => {
                let members = members.iter().enumerate();
                let all = members.map(|(index, (key, member))| one(index, member, Some(key)));
                Self::collect(all)
            }
            _ => Err(PredictionError::Shape),
        }
    }

    fn from_lines(document: &[u8], model: Option<&str>) -> Result<Self, PredictionError> {
        let lines = document.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        let all = lines.map(|(index, line)| {
            let place = Location::Line(index + 1);
            let (value, is_repaired) =
                json_text::parse(line).map_err(|why| PredictionError::Json { place, why })?;
            Ok((shapes::prediction(&value, place, None, model)?, is_repaired))
        });
        Self::collect(all)
    }

    /// Predictions from elsewhere, such as the folders of a run.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new(predictions: impl IntoIterator<Item = Prediction>) -> Result<Self, PredictionError> {
        Self::collect(predictions.into_iter().map(|one| Ok((one, false))))
    }

    /// The dataset's own patches.
    ///
    /// # Errors
    ///
    /// When there is no instance, or one has no patch.
    pub fn gold(rows: &[Row]) -> Result<Self, PredictionError> {
        Self::collect(rows.iter().map(|row| {
            let patch = row.patch.clone();
            if patch.is_none() {
                return Err(PredictionError::NoGold(row.instance_id.clone()));
            }
            let prediction = Prediction {
                instance_id: row.instance_id.clone(),
                model: GOLD.to_owned(),
                patch,
            };
            Ok((prediction, false))
        }))
    }

    /// Of several predictions for an instance the last is taken, in the place of the first.
    fn collect(
        predictions: impl Iterator<Item = Result<(Prediction, bool), PredictionError>>,
    ) -> Result<Self, PredictionError> {
        let mut all = Self::default();
        for prediction in predictions {
            let (prediction, is_repaired) = prediction?;
            let id = prediction.instance_id.clone();
            let has_half = |patch: &str| patch.contains('\u{fffd}');
            if is_repaired && prediction.patch.as_deref().is_some_and(has_half) {
                all.repaired.insert(id.clone());
            }
            match all
                .places
                .get(&id)
                .and_then(|place| all.entries.get_mut(*place))
            {
                Some(entry) => {
                    *entry = prediction;
                    all.replaced.insert(id);
                }
                None => {
                    all.places.insert(id, all.entries.len());
                    all.entries.push(prediction);
                }
            }
        }
        if all.entries.is_empty() {
            return Err(PredictionError::None);
        }
        Ok(all)
    }

    /// The prediction for an instance.
    #[must_use]
    pub fn get(&self, instance_id: &str) -> Option<&Prediction> {
        let place = *self.places.get(instance_id)?;
        self.entries.get(place)
    }

    /// All predictions, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Prediction> {
        self.entries.iter()
    }

    /// The model after which the run's summary is called: that of the first prediction.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.entries
            .first()
            .map(|prediction| prediction.model.as_str())
    }

    /// Instances that were predicted more than once.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        self.replaced.iter().map(String::as_str)
    }

    /// Instances whose patches had halves of characters, which were replaced by U+FFFD.
    pub fn repaired(&self) -> impl Iterator<Item = &str> {
        self.repaired.iter().map(String::as_str)
    }

    /// Checks that every instance is one of the dataset's.
    ///
    /// # Errors
    ///
    /// Names all that are not, as upstream refuses the run.
    pub fn check_known(&self, rows: &[Row]) -> Result<(), PredictionError> {
        let known: HashSet<&str> = rows.iter().map(|row| row.instance_id.as_str()).collect();
        let unknown: BTreeSet<&str> = self
            .entries
            .iter()
            .map(|prediction| prediction.instance_id.as_str())
            .filter(|id| !known.contains(id))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown = unknown.into_iter().map(str::to_owned).collect();
        Err(PredictionError::Unknown(unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#"{"instance_id":"a","model_name_or_path":"org/m","model_patch":"p"}"#;
    const B: &str = r#"{"instance_id":"b","model_name_or_path":"n","model_patch":null}"#;

    #[test]
    fn lists_objects_and_lines_hold_the_same() {
        let list = Predictions::from_json(format!("[{A},{B}]").as_bytes()).unwrap();
        let object = format!(r#"{{"x":{A},"y":{B}}}"#);
        assert_eq!(list, Predictions::from_json(object.as_bytes()).unwrap());
        let lines = format!("{A}\n\n{B}\n");
        assert_eq!(
            list,
            Predictions::from_json_lines(lines.as_bytes()).unwrap()
        );
        assert_eq!(list.model(), Some("org/m"));
        assert!(!list.get("a").unwrap().is_empty());
        assert!(list.get("b").unwrap().is_empty());
        assert_eq!(list.get("c"), None);
    }

    #[test]
    fn the_last_of_several_predictions_counts_in_the_place_of_the_first() {
        let again = A.replace(r#""p""#, r#""""#).replace("org/m", "z");
        let lines = format!("{A}\n{B}\n{again}");
        let all = Predictions::from_json_lines(lines.as_bytes()).unwrap();
        let ids: Vec<_> = all.iter().map(|p| p.instance_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(all.model(), Some("z"));
        assert!(all.get("a").unwrap().is_empty());
        assert_eq!(all.replaced().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn unknown_instances_are_refused_by_name() {
        let row =
            r#"[{"instance_id":"a","repo":"x/y","patch":"q"},{"instance_id":"c","repo":"x/y"}]"#;
        let rows = Row::from_json(row.as_bytes()).unwrap();
        let all = Predictions::from_json(format!("[{A},{B}]").as_bytes()).unwrap();
        assert_eq!(
            all.check_known(&rows).unwrap_err().to_string(),
            "the dataset has no instance b, which predictions name"
        );
        let gold = Predictions::gold(&rows[..1]).unwrap();
        assert_eq!(gold.get("a").unwrap().patch.as_deref(), Some("q"));
        assert_eq!(gold.model(), Some(GOLD));
        assert!(gold.check_known(&rows).is_ok());
        let error = Predictions::gold(&rows).unwrap_err().to_string();
        assert_eq!(
            error,
            "instance c has no field `patch`, so it has no gold prediction"
        );
    }

    #[test]
    fn predictions_are_read_as_harnesses_and_agents_write_them() {
        let openhands = r#"{"instance_id":"a","test_result":{"git_patch":"$ git diff\n\ndiff --git a/x b/x\n+y"},"metadata":{"llm_config":{"model":"org/m"}},"instance":{"patch":"gold"},"history":[]}"#;
        for (document, model, patch) in [
            (r#"{"a":{"model_patch":"p"}}"#, "file", Some("p")),
            (
                r#"[{"instance_id":"a","patch":"p","prefix":"run"}]"#,
                "run",
                Some("p"),
            ),
            (
                r#"[{"instance_id":"a","prediction":"p","model":"m"}]"#,
                "m",
                Some("p"),
            ),
            (
                r#"[{"org":"a","repo":"b","number":1,"fix_patch":"p"}]"#,
                "file",
                Some("p"),
            ),
            (
                r#"{"instance_id":"a","model_patch":"p"}"#,
                "file",
                Some("p"),
            ),
            (
                r#"[{"instance_id":"a","test_result":null,"error":"x"}]"#,
                "file",
                None,
            ),
            (
                r#"[{"instance_id":"a","model_patch":null,"patch":"p"}]"#,
                "file",
                None,
            ),
            (openhands, "org/m", Some("diff --git a/x b/x\n+y\n")),
        ] {
            let marked = format!("\u{feff}{document}");
            let lines = document.replace('\n', " ");
            for (text, is_lines) in [(document, false), (&marked, false), (&lines, true)] {
                let all = Predictions::read(text.as_bytes(), is_lines, Some("file"));
                let all = all.unwrap_or_else(|error| panic!("{document}: {error}"));
                let first = all.iter().next().unwrap();
                let id = if document.contains("org\":\"a") {
                    "a__b-1"
                } else {
                    "a"
                };
                assert_eq!(first.instance_id, id, "{document}");
                assert_eq!(first.model, model, "{document}");
                assert_eq!(first.patch.as_deref(), patch, "{document}");
            }
        }
    }

    #[test]
    fn what_holds_no_patch_is_not_taken_for_an_empty_one() {
        let read = |document: &str| {
            let read = Predictions::read(document.as_bytes(), false, Some("file"));
            read.unwrap_err().to_string()
        };
        let said = read(r#"[{"instance_id":"a","diff":"p"}]"#);
        assert!(said.contains("(instance_id, diff)"), "{said}");
        let said = read(r#"[{"instance_id":"a","patch":"p","test_patch":"t"}]"#);
        assert!(said.contains("a row of a dataset"), "{said}");
        let said = Predictions::read(b"\xff\xfe[\0", false, None).unwrap_err();
        assert!(said.to_string().contains("UTF-16"));
    }

    #[test]
    fn halves_of_characters_are_told() {
        let text = r#"[{"instance_id":"a","model_name_or_path":"m","model_patch":"p\udce9"},{"instance_id":"b","model_name_or_path":"m","model_patch":"q"}]"#;
        let all = Predictions::from_json(text.as_bytes()).unwrap();
        assert_eq!(all.get("a").unwrap().patch.as_deref(), Some("p\u{fffd}"));
        assert_eq!(all.repaired().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn an_error_names_the_place_and_the_field() {
        for (document, expected) in [
            ("5", "it has to be a list of predictions"),
            ("[]", "it holds no predictions"),
            ("[5]", "member 1 of the list: a prediction is a JSON object"),
            (
                "[{}]",
                "member 1 of the list: field `instance_id` has to be a string",
            ),
            (
                r#"[{"instance_id":"a"}]"#,
                "member 1 of the list: field `model_name_or_path` has to be a string",
            ),
            (
                r#"[{"instance_id":"a","model_name_or_path":".."}]"#,
                "member 1 of the list: field `model_name_or_path` is \"..\"",
            ),
            (
                r#"[{"instance_id":"a","model_name_or_path":"m","model_patch":1}]"#,
                "member 1 of the list: field `model_patch` has to be a string",
            ),
        ] {
            let error = Predictions::from_json(document.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let error = Predictions::from_json_lines(b"\n{\n").unwrap_err();
        assert!(error.to_string().starts_with("line 2: it is no JSON"));
    }
}
