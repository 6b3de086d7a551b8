//! What has to be shown for the images that a rule uses: this machine's policy for all of them, and what
//! the rule itself asks of the base.

use std::path::Path;

use ohoci_compose::trust::policy_file;
use ohoci_image::{Digest, Reference};
use ohoci_trust::Trusted;
use ohoci_trust::policy::{Order, Part, Policy, Requirement, Rule as Asked, Scope};

use crate::rules::{Rule, RuleError};

/// The policy for a rule's images.
///
/// # Errors
/// When a key that the rule names cannot be read.
pub(crate) fn of_rule(rule: &Rule, machines: &Policy) -> Result<Policy, RuleError> {
    let mut policy = machines.clone();
    if let Some(trust) = &rule.trust {
        let requirements = policy_file::requirements(trust)
            .map_err(|error| RuleError::of(&rule.title, error.to_string()))?;
        // Deps are the operator's choice; whose they are is for this machine's policy to say.
        let deps = Asked {
            name: "deps".to_owned(),
            scope: Scope::Patterns(rule.deps().iter().map(name_of).collect()),
            requirements: vec![Requirement::Accept],
        };
        let base = Asked {
            name: "trust".to_owned(),
            scope: Scope::All,
            requirements,
        };
        policy.parts.push(Part {
            file: rule.title.clone(),
            order: Order::First,
            rules: vec![deps, base],
        });
    }
    without_directories(&mut policy);
    Ok(policy)
}

/// Changes with everything that a policy asks for, keys included.
pub(crate) fn fingerprint(policy: &Policy) -> Digest {
    Digest::of(format!("{policy:?}").as_bytes())
}

/// The one image that a reference names, as patterns of policies see it.
fn name_of(reference: &Reference) -> String {
    match reference {
        Reference::Registry(name) if name.digest().is_none() => {
            format!("{}:{}", name.name(), name.tag().unwrap_or("latest"))
        }
        Reference::Registry(name) => name.to_string(),
        local => local.to_string(),
    }
}

/// Refusals are read by strangers, whom it does not concern where files of this machine are.
fn without_directories(policy: &mut Policy) {
    for part in &mut policy.parts {
        part.file = file_name(&part.file);
        for requirement in part
            .rules
            .iter_mut()
            .flat_map(|rule| &mut rule.requirements)
        {
            let (Requirement::Signed { by, .. } | Requirement::Attested { by, .. }) = requirement
            else {
                continue;
            };
            for trusted in by {
                let file = match trusted {
                    Trusted::Key(file, _) => file,
                    Trusted::Identity(identity) => &mut identity.root.0,
                };
                *file = file_name(file);
            }
        }
    }
}

/// The last component of a path; anything else as it is.
fn file_name(text: &str) -> String {
    let path = Path::new(text);
    match path.file_name() {
        Some(name) if path.is_absolute() => name.to_string_lossy().into_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ohoci_trust::PrivateKey;

    const RULE: &str = "[[rule]]\nname = \"{repository}\"\nbase = \"registry.example/{repository}\"\n\
        bases = [\"registry.example/**\"]\ndeps = [\"registry.example/deps\", \"oci:deps:1\"]\n";

    fn asked(policy: &Policy, image: &str) -> usize {
        policy.rules(&image.parse().unwrap()).len()
    }

    #[test]
    fn a_rules_own_demands_are_about_bases_and_messages_name_no_directories() {
        let directory = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_random(&[7; 32]).unwrap().public().to_pem();
        fs_err::write(directory.path().join("team.pub"), key).unwrap();
        let text = format!("{RULE}trust = {{ keys = [\"team.pub\"] }}\n");
        let rules = Rule::parse(&text, directory.path()).unwrap();
        let policy = of_rule(&rules[0], &Policy::default()).unwrap();
        let local = format!("oci:{}/deps:1", directory.path().display());
        for (image, rules) in [
            ("registry.example/base:1", 1),
            ("registry.example/deps:2", 1),
            ("registry.example/deps:latest", 0),
            (local.as_str(), 0),
        ] {
            assert_eq!(asked(&policy, image), rules, "{image}");
        }
        let image = "registry.example/base:1".parse().unwrap();
        let (file, rule) = policy.rules(&image)[0];
        let refusal = rule.judge(file, &image, &Digest::of(b""), &[]).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "rule 1 ({repository}) (trust) refuses it: no signature was found, and one by team.pub is asked for"
        );
        assert_ne!(fingerprint(&policy), fingerprint(&Policy::default()));
    }

    #[test]
    fn a_key_that_is_not_there_is_named_with_its_rule() {
        let text = format!("{RULE}trust = {{ keys = [\"none.pub\"] }}\n");
        let rules = Rule::parse(&text, Path::new("/rules")).unwrap();
        let error = of_rule(&rules[0], &Policy::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("rule 1 ({repository}): "),
            "{error}"
        );
        assert!(error.to_string().contains("/rules/none.pub"), "{error}");
    }
}
