//! Turns config flags into a patch.

use super::arguments::PatchArguments;
use crate::failure::Failure;
use crate::output;
use ohoci_image::config_patch::{ConfigPatch, Setting, Unset};
use ohoci_image::env;

/// The patch that the flags ask for.
///
/// # Errors
/// A flag's value that is not of its form.
pub(super) fn patch(arguments: &PatchArguments) -> Result<ConfigPatch, Failure> {
    let mut patch = ConfigPatch {
        unset_env: arguments.unset_env.clone(),
        keep_cmd: arguments.keep_cmd,
        user: arguments.user.clone(),
        working_dir: arguments.workdir.clone(),
        stop_signal: arguments.stop_signal.clone(),
        exposed_ports: arguments.expose.iter().cloned().collect(),
        volumes: arguments.volume.iter().cloned().collect(),
        ..ConfigPatch::default()
    };
    for text in &arguments.env {
        let (name, value) = key_value("--env", text)?;
        if let Some(named) = env::unbraced(&value) {
            check_unbraced(text, &name, named)?;
        }
        patch.env.push((name, value));
    }
    for text in &arguments.label {
        let (key, value) = key_value("--label", text)?;
        patch.labels.insert(key, Some(value));
    }
    for key in &arguments.unset_label {
        if patch.labels.insert(key.clone(), None).flatten().is_some() {
            return Err(Failure::usage(format!(
                "--unset-label {key}: --label sets it"
            )));
        }
    }
    patch.entrypoint = match arguments.unset_entrypoint {
        true => Some(Vec::new()),
        false => words("--entrypoint", arguments.entrypoint.as_deref())?,
    };
    patch.cmd = match arguments.unset_cmd {
        true => Some(Vec::new()),
        false => words("--cmd", arguments.cmd.as_deref())?,
    };
    patch.unset = unset(arguments);
    patch
        .check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(patch)
}

/// What the flags take away of the base's settings.
fn unset(arguments: &PatchArguments) -> Unset {
    let is_all = |name: &String| name == "all";
    let some = |names: &[String]| names.iter().filter(|name| !is_all(name)).cloned().collect();
    let settings = [
        (
            Setting::ExposedPorts,
            arguments.unset_expose.iter().any(is_all),
        ),
        (Setting::Volumes, arguments.unset_volume.iter().any(is_all)),
        (Setting::Healthcheck, arguments.unset_healthcheck),
        (Setting::User, arguments.unset_user),
        (Setting::WorkingDir, arguments.unset_workdir),
        (Setting::StopSignal, arguments.unset_stop_signal),
    ];
    Unset {
        ports: some(&arguments.unset_expose),
        volumes: some(&arguments.unset_volume),
        settings: settings
            .into_iter()
            .filter_map(|(setting, is_wanted)| is_wanted.then_some(setting))
            .collect(),
    }
}

/// Refuses what can only be meant to be expanded, and says so of what may be: a runtime hands an
/// image's variables to programs as they stand.
fn check_unbraced(text: &str, name: &str, named: &str) -> Result<(), Failure> {
    if named == name || named == "PATH" {
        return Err(Failure::usage(format!(
            "--env {text:?}: ${named} would be kept as it stands, and no runtime expands it"
        ))
        .hinted(format!(
            "${{{named}}} is the base's value; quote it, or the shell puts its own there"
        )));
    }
    if named
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    {
        output::warning(&format!(
            "--env {text:?}: ${named} is kept as it stands; ${{{named}}} is the base's value"
        ));
    }
    Ok(())
}

/// Splits `KEY=VALUE`; the value may be empty and may hold further `=`.
pub(crate) fn key_value(flag: &str, text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!(
            "{flag} {text:?}: expected KEY=VALUE"
        ))),
    }
}

/// A JSON array of strings, or one word; an empty string is an empty list.
fn words(flag: &str, text: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = text else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map(Some).map_err(|error| {
            Failure::usage(format!(
                "{flag} {text:?}: not a JSON array of strings: {error}"
            ))
        });
    }
    if text.contains(char::is_whitespace) {
        return Err(Failure::usage(format!(
            "{flag} {text:?}: several words must be a JSON array"
        ))
        .hinted(format!(
            "{flag} '{}'",
            serde_json::Value::from(text.split_whitespace().collect::<Vec<_>>())
        )));
    }
    Ok(Some(vec![text.to_owned()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_json_or_one_word() {
        assert_eq!(words("--cmd", None).unwrap(), None);
        assert_eq!(words("--cmd", Some("")).unwrap(), Some(vec![]));
        assert_eq!(
            words("--cmd", Some("/bin/sh")).unwrap(),
            Some(vec!["/bin/sh".to_owned()])
        );
        assert_eq!(
            words("--cmd", Some(r#"["a", "b c"]"#)).unwrap(),
            Some(vec!["a".to_owned(), "b c".to_owned()])
        );
        assert!(words("--cmd", Some("[1]")).is_err());
        let refused = words("--cmd", Some("sh -c true")).unwrap_err().to_string();
        assert!(
            refused.contains(r#"--cmd '["sh","-c","true"]'"#),
            "{refused}"
        );
    }

    #[test]
    fn values_may_be_empty_and_hold_equals_signs() {
        assert_eq!(
            key_value("--env", "A=b=c").unwrap(),
            ("A".to_owned(), "b=c".to_owned())
        );
        assert_eq!(
            key_value("--env", "A=").unwrap(),
            ("A".to_owned(), String::new())
        );
        assert!(key_value("--env", "A").is_err());
        assert!(key_value("--env", "=b").is_err());
    }
}
