//! What an image starts, by its config and by what its user says.

use std::ffi::OsString;

use serde_json::Value;

use ohoci_image::env::{self, NameCase};
use ohoci_image::image_config::ImageConfig;

/// What starts when nothing else is said: the image's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `Entrypoint`: the program and its first arguments.
    pub entrypoint: Vec<OsString>,
    /// `Cmd`: further arguments, or the program where there is no entrypoint.
    pub command: Vec<OsString>,
    /// `Env`, as `NAME=value`.
    pub environment: Vec<String>,
    /// `WorkingDir`; empty for `/`.
    pub directory: String,
    /// `User`; empty for root.
    pub user: String,
}

/// A field of a config that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// It has another type.
    #[error("`{field}` of the image config is not {expected}")]
    Type {
        /// Which.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// No program can be given such a text.
    #[error("`{0}` of the image config has a NUL in it: {1:?}")]
    Nul(&'static str, String),
}

impl Process {
    /// Reads a config (image-spec `config.md`, "Properties").
    ///
    /// # Errors
    /// When a field has another type than it should, or a NUL in it.
    pub fn of(config: &ImageConfig) -> Result<Self, ProcessError> {
        let field = |name: &str| {
            let inner = config.document().object().get("config")?;
            inner.get(name).filter(|value| !value.is_null())
        };
        let text = |name: &'static str| match field(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => without_nul(name, text).map(|()| text.clone()),
            Some(_) => Err(ProcessError::Type {
                field: name,
                expected: "text",
            }),
        };
        let list = |name: &'static str| match field(name) {
            None => Ok(Vec::new()),
            Some(value) => {
                let words = value.as_array().and_then(|list| {
                    list.iter()
                        .map(|word| word.as_str().map(str::to_owned))
                        .collect::<Option<Vec<String>>>()
                });
                let words = words.ok_or(ProcessError::Type {
                    field: name,
                    expected: "a list of texts",
                })?;
                words.iter().try_for_each(|word| without_nul(name, word))?;
                Ok(words)
            }
        };
        let words =
            |name| list(name).map(|list| list.into_iter().map(OsString::from).collect::<Vec<_>>());
        Ok(Self {
            entrypoint: words("Entrypoint")?,
            command: words("Cmd")?,
            environment: list("Env")?,
            directory: text("WorkingDir")?,
            user: text("User")?,
        })
    }

    /// The command line that `docker run` would start with these words behind the image, and with
    /// `--entrypoint`: an entrypoint that is given takes the image's arguments with it, and empty
    /// text takes the entrypoint away.
    #[must_use]
    pub fn command_line(&self, entrypoint: Option<&str>, words: &[OsString]) -> Vec<OsString> {
        let mut line: Vec<OsString> = match entrypoint {
            None => self.entrypoint.clone(),
            Some("") => Vec::new(),
            Some(program) => vec![program.into()],
        };
        if !words.is_empty() {
            line.extend_from_slice(words);
        } else if entrypoint.is_none() {
            line.extend_from_slice(&self.command);
        }
        line
    }

    /// The environment with further variables, and with what every container has: `PATH`,
    /// `HOSTNAME` and `HOME`, unless they are set.
    #[must_use]
    pub fn environment(
        &self,
        further: &[(String, String)],
        host_name: &str,
        home: &str,
    ) -> Vec<(String, String)> {
        let case = NameCase::Sensitive;
        let mut list = Vec::new();
        for entry in &self.environment {
            // A name without a value sets nothing, and without a name nothing can be set.
            if let Some((name, value)) = entry.split_once('=')
                && env::is_name(name)
            {
                env::set(&mut list, name, value, case);
            }
        }
        for (name, value) in further {
            env::set(&mut list, name, value, case);
        }
        for (name, value) in [
            ("PATH", env::DEFAULT_PATH),
            ("HOSTNAME", host_name),
            ("HOME", home),
        ] {
            if env::get(&list, name, case).is_none() {
                env::set(&mut list, name, value, case);
            }
        }
        list.iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

fn without_nul(field: &'static str, text: &str) -> Result<(), ProcessError> {
    match text.contains('\0') {
        true => Err(ProcessError::Nul(field, text.chars().take(80).collect())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_image::{Document, shape};
    use serde_json::json;

    fn process(config: &Value) -> Result<Process, ProcessError> {
        let document = json!({"os": "linux", "architecture": "amd64", "config": config});
        let document = Document::parse(document.to_string(), &shape::CONFIG).unwrap();
        Process::of(&ImageConfig::parse(document).unwrap())
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_command_line_is_dockers() {
        let both = json!({"Entrypoint": ["a", "b"], "Cmd": ["c"]});
        let only = json!({"Cmd": ["c", "d"], "Entrypoint": null});
        for (config, entrypoint, given, expected) in [
            (&both, None, &[][..], &["a", "b", "c"][..]),
            (&both, None, &["x"], &["a", "b", "x"]),
            (&both, Some("e"), &[], &["e"]),
            (&both, Some("e"), &["x"], &["e", "x"]),
            (&both, Some(""), &["x"], &["x"]),
            (&both, Some(""), &[], &[]),
            (&only, None, &[], &["c", "d"]),
            (&only, None, &["x", "y"], &["x", "y"]),
        ] {
            let line = process(config)
                .unwrap()
                .command_line(entrypoint, &words(given));
            assert_eq!(line, words(expected), "{config} {entrypoint:?} {given:?}");
        }
    }

    #[test]
    fn later_variables_win_and_none_is_missing() {
        let process = process(&json!({"Env": ["A=1", "B=2=3", "A=4", "broken", "=x"]})).unwrap();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = process.environment(&[set("B", "5"), set("HOME", "/h")], "box", "/root");
        assert_eq!(
            environment,
            [
                set("A", "4"),
                set("B", "5"),
                set("HOME", "/h"),
                set("PATH", env::DEFAULT_PATH),
                set("HOSTNAME", "box"),
            ]
        );
    }

    #[test]
    fn fields_of_other_types_are_refused() {
        for config in [
            json!({"Entrypoint": "a"}),
            json!({"Cmd": [1]}),
            json!({"Env": {}}),
            json!({"User": 0}),
            json!({"WorkingDir": []}),
        ] {
            assert!(process(&config).is_err(), "{config}");
        }
        for field in ["Entrypoint", "Cmd", "Env"] {
            let error = process(&json!({field: ["A=1", "B=\0"]})).unwrap_err();
            let expected = format!("`{field}` of the image config has a NUL in it: \"B=\\0\"");
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(process(&json!({})).unwrap(), Process::default());
    }
}
