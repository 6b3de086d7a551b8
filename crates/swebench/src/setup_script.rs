//! `setup_repo.sh`: what upstream does in a fresh checkout, from `pre_install` to the commit
//! "SWE-bench".
//!
//! Source: SWE-bench 4.1.0, `make_repo_script_list_py` of `swebench/harness/test_spec/python.py`. The
//! clone and the removal of what is newer are not part of it: the checkout never holds anything
//! newer.

use super::environment::NAME;
use super::specs::Specs;

/// The message of the commit that an instance's work tree stands at.
pub const COMMIT_MESSAGE: &str = "SWE-bench";

/// What `pre_install` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreInstall {
    /// Commands that run in the checkout.
    pub commands: Vec<String>,
    /// Packages of the system that it would have installed, which the base has to have.
    pub system_packages: Vec<String>,
}

/// Takes out what installs packages of the system: those are the base's, and an ordinary user
/// cannot install any.
#[must_use]
pub fn pre_install(specs: &Specs) -> PreInstall {
    let mut found = PreInstall::default();
    for command in &specs.pre_install {
        let mut kept = Vec::new();
        for part in command.split("&&").map(str::trim) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let words: Vec<&str> = words
                .into_iter()
                .skip_while(|word| word.contains('='))
                .collect();
            if !matches!(words.first(), Some(&("apt-get" | "apt"))) {
                kept.push(part);
                continue;
            }
            let named = words.iter().skip_while(|word| **word != "install").skip(1);
            let named = named.filter(|word| !word.starts_with('-'));
            found.system_packages.extend(named.map(ToString::to_string));
        }
        if !kept.is_empty() {
            found.commands.push(kept.join(" && "));
        }
    }
    found
}

/// The script's text.
#[must_use]
pub fn setup_repo(specs: &Specs) -> String {
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        "set -euxo pipefail".to_owned(),
        "cd /testbed".to_owned(),
        "source /opt/miniconda3/bin/activate".to_owned(),
        format!("conda activate {NAME}"),
        "echo \"Current environment: $CONDA_DEFAULT_ENV\"".to_owned(),
    ];
    lines.extend(pre_install(specs).commands);
    lines.extend(specs.install.clone());
    lines.extend([
        "git config --global user.email setup@swebench.config".to_owned(),
        "git config --global user.name SWE-bench".to_owned(),
        format!("git commit --allow-empty -am {COMMIT_MESSAGE}"),
    ]);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_the_system_are_named_and_not_installed() {
        let specs = Specs {
            pre_install: [
                "apt-get update && apt-get install -y locales",
                "echo 'en_US UTF-8' > /etc/locale.gen",
                "apt-get -y update && DEBIAN_FRONTEND=noninteractive apt-get install -y a b && make",
            ]
            .map(str::to_owned)
            .to_vec(),
            install: Some("python -m pip install -e .".to_owned()),
            ..Specs::default()
        };
        let found = pre_install(&specs);
        assert_eq!(found.system_packages, ["locales", "a", "b"]);
        assert_eq!(
            found.commands,
            ["echo 'en_US UTF-8' > /etc/locale.gen", "make"]
        );
        let script = setup_repo(&specs);
        assert!(!script.contains("apt-get"));
        assert!(script.ends_with(
            "make\npython -m pip install -e .\ngit config --global user.email \
             setup@swebench.config\ngit config --global user.name SWE-bench\ngit commit \
             --allow-empty -am SWE-bench\n"
        ));
    }
}
