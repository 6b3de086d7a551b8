//! Values that requirements of Python packages name, such as the version of a server, and that whoever
//! builds may set to others.

use std::collections::BTreeMap;

use super::sources::Python;

/// What stands in the place of names, by name.
pub type Values = BTreeMap<String, String>;

/// Puts values in the place of `${NAME}` in a feature's requirements: those that are given, or else the
/// feature's own.
///
/// # Errors
/// Which requirement names what is not there, or which value cannot be one.
pub(super) fn fill(python: &mut Python, given: &Values) -> Result<(), String> {
    let known = python.set.clone();
    for requirement in &mut python.requirements {
        let mut filled = String::new();
        let mut rest = requirement.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(format!("{requirement:?}: a ${{ has no end"));
            };
            let own = known
                .get(name)
                .ok_or_else(|| format!("{requirement:?}: [python.set] has no {name}"))?;
            let value = given.get(name).unwrap_or(own);
            if !is_value(value) {
                return Err(format!("{name}={value:?} is no version"));
            }
            filled.push_str(before);
            filled.push_str(value);
            rest = behind;
        }
        filled.push_str(rest);
        *requirement = filled;
    }
    Ok(())
}

/// What a version may be made of (PEP 440), and nothing that a requirement means something by.
fn is_value(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".+!-_*".contains(c);
    !text.is_empty() && text.chars().all(is_part)
}

/// What tells a file apart that was made with these values: `server-1.34.0`.
pub(super) fn in_name(values: &Values) -> String {
    let parts = values.iter().map(|(name, value)| format!("{name}-{value}"));
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(requirement: &str) -> Python {
        let text = format!(
            "version = '3.13'\nrequirements = [{requirement:?}]\ntarget = 'x'\n\
             [set]\nserver = '1.58.2'\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn filled(requirement: &str, given: &[(&str, &str)]) -> Result<String, String> {
        let given = given.iter();
        let given = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut python = python(requirement);
        fill(&mut python, &given.collect())?;
        Ok(python.requirements.remove(0))
    }

    #[test]
    fn a_given_value_counts_before_the_recipes_own() {
        assert_eq!(filled("a==${server}", &[]).unwrap(), "a==1.58.2");
        let given = [("server", "1.34.0")];
        assert_eq!(filled("a==${server}; b", &given).unwrap(), "a==1.34.0; b");
        assert_eq!(filled("plain>=1", &given).unwrap(), "plain>=1");
        assert!(
            filled("a==${other}", &given)
                .unwrap_err()
                .contains("no other")
        );
        assert!(filled("a==${server", &[]).is_err());
        for value in ["", "1; os_name", "1 @ x", "1\n--index-url=x"] {
            assert!(
                filled("a==${server}", &[("server", value)]).is_err(),
                "{value:?}"
            );
        }
    }
}
