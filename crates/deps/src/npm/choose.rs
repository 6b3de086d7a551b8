//! Which packages of a lockfile a platform gets.

use std::collections::{BTreeMap, BTreeSet};

use super::NpmError;
use super::lockfile::{Lockfile, Needs, Package};
use super::name::parent_of;
use ohoci_image::Platform;

/// What packages are chosen for, in Node's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    os: String,
    cpu: String,
    libc: &'static str,
}

impl Target {
    /// The target of a platform with glibc (or else with musl).
    #[must_use]
    pub fn new(platform: &Platform, glibc: bool) -> Self {
        // Node's `process.arch`.
        let cpu = match platform.architecture.as_str() {
            "amd64" => "x64",
            "386" => "ia32",
            "ppc64le" => "ppc64",
            "loong64" => "loong64",
            other => other,
        };
        Self {
            os: platform.os.clone(),
            cpu: cpu.to_owned(),
            libc: if glibc { "glibc" } else { "musl" },
        }
    }

    /// Whether a package is for this target, as npm decides it.
    fn has(&self, package: &Package) -> bool {
        listed(&self.os, &package.os)
            && listed(&self.cpu, &package.cpu)
            && (self.os != "linux" || listed(self.libc, &package.libc))
    }
}

/// Whether `value` is in a list, which can also say what is not.
fn listed(value: &str, list: &[String]) -> bool {
    if list.is_empty() || list == ["any"] {
        return true;
    }
    let mut named = false;
    let mut all_exclude = true;
    for item in list {
        match item.strip_prefix('!') {
            Some(excluded) if excluded == value => return false,
            Some(_) => {}
            None => {
                all_exclude = false;
                named |= item == value;
            }
        }
    }
    named || all_exclude
}

/// The packages that a target gets, by place: all that the project needs to run, without those
/// for other platforms and what only these need.
///
/// # Errors
/// When a package that cannot be done without is for other platforms, or is not in the lockfile.
pub fn choose<'a>(
    lockfile: &'a Lockfile,
    target: &Target,
) -> Result<BTreeMap<&'a str, &'a Package>, NpmError> {
    let unfit = unfit(lockfile, target)?;
    let mut chosen = BTreeMap::new();
    let mut waiting = vec![("", &lockfile.root)];
    while let Some((from, needs)) = waiting.pop() {
        for (name, optional) in &needs.0 {
            match find(lockfile, from, name) {
                Some((location, _)) if unfit.contains(location) => {
                    if from.is_empty() && !optional {
                        return Err(foreign(location, target));
                    }
                }
                Some((location, package)) => {
                    if chosen.insert(location, package).is_none() {
                        waiting.push((location, &package.needs));
                    }
                }
                None if *optional => {}
                None => {
                    let from = if from.is_empty() { "the project" } else { from };
                    let why = format!("{from} needs {name}, which the lockfile does not have");
                    return Err(NpmError::new("package-lock.json", why)
                        .hinted("write the lockfile anew with npm"));
                }
            }
        }
    }
    Ok(chosen)
}

/// The packages for other platforms, and the optional ones that cannot do without these.
fn unfit<'a>(lockfile: &'a Lockfile, target: &Target) -> Result<BTreeSet<&'a str>, NpmError> {
    let mut unfit: BTreeSet<&str> = lockfile
        .packages
        .iter()
        .filter(|(_, package)| !target.has(package))
        .map(|(location, _)| location.as_str())
        .collect();
    loop {
        let before = unfit.len();
        for (location, package) in &lockfile.packages {
            let broken = package.needs.0.iter().any(|(name, optional)| {
                let found = find(lockfile, location, name);
                !optional && found.is_some_and(|(needed, _)| unfit.contains(needed))
            });
            if broken && !package.optional {
                return Err(foreign(location, target));
            }
            if broken {
                unfit.insert(location);
            }
        }
        if unfit.len() == before {
            return Ok(unfit);
        }
    }
}

fn foreign(location: &str, target: &Target) -> NpmError {
    let Target { os, cpu, libc } = target;
    NpmError::new(
        "package-lock.json",
        format!(
            "{location} is needed, but is not for {os} on {cpu} with {libc}, or needs what is not"
        ),
    )
}

/// The package that `name` means to one at `from`: Node looks for it in every `node_modules` on
/// the way up.
fn find<'a>(lockfile: &'a Lockfile, from: &str, name: &str) -> Option<(&'a str, &'a Package)> {
    let mut from = from;
    loop {
        let slash = if from.is_empty() { "" } else { "/" };
        let location = format!("{from}{slash}node_modules/{name}");
        if let Some((location, package)) = lockfile.packages.get_key_value(&location) {
            return Some((location, package));
        }
        if from.is_empty() {
            return None;
        }
        from = parent_of(from);
    }
}

impl Needs {
    /// Whether nothing is needed.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lockfile(packages: &str) -> Lockfile {
        let hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let packages = packages.replace(
            '~',
            &format!("\"version\":\"1.0.0\",\"integrity\":\"{hash}\""),
        );
        let text = format!("{{\"lockfileVersion\":3,\"packages\":{{{packages}}}}}");
        Lockfile::parse("package-lock.json", text.as_bytes()).unwrap()
    }

    fn chosen(packages: &str, architecture: &str, glibc: bool) -> Result<Vec<String>, NpmError> {
        let platform = Platform::new("linux", architecture);
        let lockfile = lockfile(packages);
        let chosen = choose(&lockfile, &Target::new(&platform, glibc))?;
        Ok(chosen.into_keys().map(str::to_owned).collect())
    }

    #[test]
    fn lists_can_name_and_exclude() {
        // The cases of npm-install-checks.
        let listed = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|item| (*item).to_owned()).collect();
            super::listed("linux", &list)
        };
        for good in [
            [].as_slice(),
            &["any"],
            &["linux"],
            &["darwin", "linux"],
            &["!win32"],
            &["!win32", "!darwin"],
            &["!win32", "linux"],
        ] {
            assert!(listed(good), "{good:?}");
        }
        for bad in [
            ["darwin"].as_slice(),
            &["!linux"],
            &["!linux", "!win32"],
            &["linux", "!linux"],
            &["!win32", "darwin"],
        ] {
            assert!(!listed(bad), "{bad:?}");
        }
    }

    const NATIVE: &str = r#""": {"dependencies": {"tool": "1"}, "devDependencies": {"test": "1"}},
        "node_modules/tool": {~, "optionalDependencies": {"x64": "1", "arm": "1", "musl": "1"}},
        "node_modules/x64": {~, "os": ["linux"], "cpu": ["x64"], "libc": ["glibc"], "optional": true},
        "node_modules/musl": {~, "os": ["linux"], "cpu": ["x64"], "libc": ["musl"], "optional": true},
        "node_modules/arm": {~, "cpu": ["arm64"], "optional": true, "dependencies": {"helper": "1"}},
        "node_modules/helper": {~, "optional": true},
        "node_modules/test": {~, "dev": true}"#;

    #[test]
    fn a_platform_gets_its_own_packages_and_what_they_need() {
        assert_eq!(
            chosen(NATIVE, "amd64", true).unwrap(),
            ["node_modules/tool", "node_modules/x64"]
        );
        assert_eq!(
            chosen(NATIVE, "amd64", false).unwrap(),
            ["node_modules/musl", "node_modules/tool"]
        );
        assert_eq!(
            chosen(NATIVE, "arm64", true).unwrap(),
            [
                "node_modules/arm",
                "node_modules/helper",
                "node_modules/tool"
            ]
        );
    }

    #[test]
    fn the_nearest_version_is_meant() {
        let packages = r#""": {"dependencies": {"a": "1", "b": "1"}},
            "node_modules/a": {~, "dependencies": {"b": "2"}},
            "node_modules/a/node_modules/b": {~, "dependencies": {"c": "1"}},
            "node_modules/b": {~},
            "node_modules/c": {~},
            "node_modules/unused": {~}"#;
        assert_eq!(
            chosen(packages, "amd64", true).unwrap(),
            [
                "node_modules/a",
                "node_modules/a/node_modules/b",
                "node_modules/b",
                "node_modules/c"
            ]
        );
        assert!(
            lockfile(packages).packages["node_modules/c"]
                .needs
                .is_empty()
        );
    }

    #[test]
    fn what_is_needed_must_be_there() {
        let missing = r#""": {"dependencies": {"a": "1"}}, "node_modules/a": {~, "dependencies": {"b": "1"}}"#;
        let error = chosen(missing, "amd64", true).unwrap_err().to_string();
        assert!(error.contains("node_modules/a needs b"), "{error}");

        let foreign =
            r#""": {"dependencies": {"a": "1"}}, "node_modules/a": {~, "cpu": ["arm64"]}"#;
        let error = chosen(foreign, "amd64", true).unwrap_err().to_string();
        assert!(error.contains("not for linux on x64"), "{error}");

        let peer = r#""": {"dependencies": {"a": "1"}}, "node_modules/a": {~,
            "peerDependencies": {"b": "1"}, "peerDependenciesMeta": {"b": {"optional": true}}}"#;
        assert_eq!(chosen(peer, "amd64", true).unwrap(), ["node_modules/a"]);

        // An optional package falls with what it cannot do without.
        let falls = r#""": {"optionalDependencies": {"a": "1"}},
            "node_modules/a": {~, "optional": true, "dependencies": {"b": "1"}},
            "node_modules/b": {~, "optional": true, "cpu": ["arm64"]}"#;
        assert!(chosen(falls, "amd64", true).unwrap().is_empty());
    }
}
