//! Which mirrors may have a distribution of a Debian archive, and whose keys may have signed it.

use std::path::{Path, PathBuf};

use super::apt::{self, AptSources, SignedBy};
use super::apt_login::AptLogins;
use super::mirror::Mirror;
use ohoci_config::PackageMirrors;

/// The keys of Debian's archives, as its package `debian-archive-keyring` installs them.
const DEBIAN_KEYRING: &str = "usr/share/keyrings/debian-archive-keyring.gpg";

/// What this machine knows of Debian archives.
#[derive(Clone, Debug)]
pub struct DebianHosts {
    mirrors: Vec<Known>,
    root: PathBuf,
    notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Known {
    mirror: Mirror,
    suites: Vec<String>,
    signed_by: Vec<SignedBy>,
    check_valid_until: bool,
}

/// A mirror that may have a distribution.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The mirror.
    pub mirror: Mirror,
    /// The keys that may have signed the distribution.
    pub keys: Vec<Keys>,
    /// Whether a release that has expired is refused.
    pub check_valid_until: bool,
}

/// Where keys are.
pub type Keys = SignedBy;

impl DebianHosts {
    /// What the configuration says, or else what apt is set up with below `root`, which is `/` but
    /// in tests.
    #[must_use]
    pub fn read(root: &Path, configured: &PackageMirrors) -> Self {
        let logins = AptLogins::read(root);
        let mirror = |base: &url::Url| {
            let mut mirror = Mirror::new(base.clone());
            mirror.login = mirror.login.or_else(|| logins.for_url(&mirror.base));
            mirror
        };
        let AptSources { sources, notes } = apt::read(root);
        let mirrors = if configured.debian.is_empty() {
            let known = sources.into_iter().map(|source| Known {
                mirror: mirror(&source.base),
                suites: source.suites,
                signed_by: source.signed_by,
                check_valid_until: source.check_valid_until,
            });
            known.collect()
        } else {
            let known = configured.debian.iter().map(|base| Known {
                mirror: mirror(base),
                suites: Vec::new(),
                signed_by: Vec::new(),
                check_valid_until: true,
            });
            known.collect()
        };
        Self {
            mirrors,
            root: root.to_owned(),
            notes,
        }
    }

    /// What of apt's sources was passed over, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The mirrors that may have a distribution, the likeliest first: those that apt takes it from,
    /// then those that it takes the same part of another release from (`bookworm-security` for
    /// `trixie-security`), then the rest.
    #[must_use]
    pub fn candidates(&self, suite: &str) -> Vec<Candidate> {
        let likeliness = |known: &Known| {
            let same_part = |other: &String| part(other) == part(suite);
            if known.suites.iter().any(|other| other == suite) {
                0
            } else if known.suites.iter().any(same_part) {
                1
            } else {
                2
            }
        };
        let mut known: Vec<&Known> = self.mirrors.iter().collect();
        known.sort_by_key(|known| likeliness(known));
        let mut candidates: Vec<Candidate> = Vec::new();
        for known in known {
            if candidates.iter().any(|other| other.mirror == known.mirror) {
                continue;
            }
            let mut keys = known.signed_by.clone();
            // Where apt takes nothing from, no option limits the keys.
            if keys.is_empty() || likeliness(known) > 0 {
                let own = Keys::File(self.root.join(DEBIAN_KEYRING));
                if !keys.contains(&own) {
                    keys.push(own);
                }
            }
            candidates.push(Candidate {
                mirror: known.mirror.clone(),
                keys,
                check_valid_until: known.check_valid_until,
            });
        }
        candidates
    }

    /// The mirrors alone, in the same order.
    #[must_use]
    pub fn mirrors(&self, suite: &str) -> Vec<Mirror> {
        let candidates = self.candidates(suite).into_iter();
        candidates.map(|candidate| candidate.mirror).collect()
    }
}

/// What of a release a distribution is: `trixie-security` is its `security`.
fn part(suite: &str) -> &str {
    suite.split_once(['-', '/']).map_or("", |(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &DebianHosts, suite: &str) -> Vec<String> {
        let mirrors = hosts.mirrors(suite).into_iter();
        mirrors.map(|mirror| mirror.name()).collect()
    }

    #[test]
    fn the_likeliest_mirror_comes_first() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("etc/apt")).unwrap();
        fs_err::write(
            root.path().join("etc/apt/sources.list"),
            "deb http://other.example nodistro main\n\
             deb http://sec.example bookworm-security main\n\
             deb [signed-by=/k.gpg] http://main.example bookworm main\n\
             deb http://main.example bookworm-updates main\n\
             deb [signed-by=/k.gpg] http://new.example trixie main\n",
        )
        .unwrap();
        let hosts = DebianHosts::read(root.path(), &PackageMirrors::default());
        assert_eq!(
            names(&hosts, "trixie"),
            [
                "new.example",
                "other.example",
                "main.example",
                "sec.example"
            ]
        );
        assert_eq!(names(&hosts, "trixie-security")[0], "sec.example");
        let keys = |suite: &str, name: &str| {
            let candidates = hosts.candidates(suite).into_iter();
            let mut named = candidates.filter(|candidate| candidate.mirror.name() == name);
            named.next().unwrap().keys
        };
        let file = |path: &str| Keys::File(root.path().join(path));
        assert_eq!(keys("trixie", "new.example"), [file("k.gpg")]);
        assert_eq!(
            keys("trixie", "main.example"),
            [file("k.gpg"), file(DEBIAN_KEYRING)]
        );
        assert_eq!(keys("trixie", "sec.example"), [file(DEBIAN_KEYRING)]);

        let configured = PackageMirrors {
            debian: vec!["https://mine.example/debian/".parse().unwrap()],
            ..PackageMirrors::default()
        };
        let hosts = DebianHosts::read(root.path(), &configured);
        assert_eq!(names(&hosts, "trixie"), ["mine.example/debian"]);
    }
}
