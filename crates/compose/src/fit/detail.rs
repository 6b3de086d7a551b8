//! The small things that programs take for granted and some bases lack.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::account::Account;
use super::listing::Listing;

/// Something that a base may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// `/bin/sh`
    Sh,
    /// `/bin/bash`
    Bash,
    /// `/usr/bin/env`
    Env,
    /// `/etc/passwd` and `/etc/group`
    Users,
    /// A line in both for the user that the image is made to start as
    Account,
    /// `/tmp`
    Tmp,
    /// A bundle of CA certificates where programs look for one
    Certificates,
    /// In the prefix's bundle those of the base's certificates that it lacks
    Trust,
}

/// What a base is given where it lacks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Nothing, and none of its layers is read.
    #[default]
    None,
    /// Everything that [`Detail`] names.
    Auto,
    /// These.
    Only(BTreeSet<Detail>),
}

/// What a base is to have besides what is the same for all.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The user that the image is made to start as.
    pub(super) account: Option<&'a Account>,
    /// Where the prefix's certificates are, and those with what only the base has.
    pub(super) bundle: Option<(String, String)>,
}

/// Text that names nothing that a base can be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of auto, none, and a list of sh, bash, env, users, account, tmp, certificates"
)]
pub struct FitError(String);

/// What the name of a layer begins with in an image's record, when it was made for the base.
const RECORD: &str = "ohoci-fit:";

impl Detail {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Sh,
        Self::Bash,
        Self::Env,
        Self::Users,
        Self::Account,
        Self::Tmp,
        Self::Certificates,
        Self::Trust,
    ];

    /// What it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Bash => "bash",
            Self::Env => "env",
            Self::Users => "users",
            Self::Account => "account",
            Self::Tmp => "tmp",
            Self::Certificates => "certificates",
            Self::Trust => "trust",
        }
    }

    /// What of a deps image it becomes a link to; `None` where it is a file of its own.
    #[must_use]
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::Sh => Some("/openhands/tools/bin/dash"),
            Self::Bash => Some("/openhands/tools/bin/bash"),
            Self::Env => Some("/openhands/tools/bin/env"),
            Self::Certificates => Some("/openhands/etc/ssl/certs/ca-certificates.crt"),
            Self::Users | Self::Account | Self::Tmp | Self::Trust => None,
        }
    }

    /// The places of which one is enough.
    #[must_use]
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::Sh => &["/bin/sh"],
            Self::Bash => &["/bin/bash"],
            Self::Env => &["/usr/bin/env"],
            Self::Users | Self::Account => &["/etc/passwd"],
            Self::Tmp => &["/tmp"],
            Self::Certificates | Self::Trust => &[
                "/etc/ssl/certs/ca-certificates.crt",
                "/etc/ssl/cert.pem",
                "/etc/ssl/certs/ca-bundle.crt",
                "/etc/pki/tls/certs/ca-bundle.crt",
                "/etc/ssl/ca-bundle.pem",
            ],
        }
    }
}

impl Fit {
    /// What this gives a base.
    #[must_use]
    pub(super) fn missing(&self, base: &Listing, wanted: &Wanted<'_>) -> Vec<Detail> {
        Detail::ALL
            .into_iter()
            .filter(|detail| self.has(*detail))
            .filter(|detail| match detail {
                Detail::Account => wanted.account.is_some_and(|one| one.is_missing(base)),
                Detail::Trust => wanted.bundle.is_some(),
                // A link to nothing is of no use.
                Detail::Tmp => !base.has("/tmp") || base.dangles("/tmp"),
                _ => !detail.places().iter().any(|place| base.has(place)),
            })
            .collect()
    }

    /// Whether a base gets this where it lacks it.
    #[must_use]
    pub fn has(&self, detail: Detail) -> bool {
        match self {
            Self::None => false,
            Self::Auto => true,
            Self::Only(list) => list.contains(&detail),
        }
    }

    /// The name that its layer has in an image's record.
    #[must_use]
    pub fn record(&self) -> String {
        format!("{RECORD}{self}")
    }

    /// What a layer of this name in an image's record was made by; `None` for any other layer.
    #[must_use]
    pub fn recorded(name: &str) -> Option<Self> {
        name.strip_prefix(RECORD)?.parse().ok()
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Auto => f.write_str("auto"),
            Self::Only(list) => {
                let names: Vec<&str> = list.iter().map(|detail| detail.name()).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl FromStr for Fit {
    type Err = FitError;

    fn from_str(text: &str) -> Result<Self, FitError> {
        match text {
            "none" => Ok(Self::None),
            "auto" => Ok(Self::Auto),
            list => list
                .split(',')
                .map(|name| {
                    Detail::ALL
                        .into_iter()
                        .find(|detail| detail.name() == name.trim())
                        .ok_or_else(|| FitError(text.chars().take(200).collect()))
                })
                .collect::<Result<_, _>>()
                .map(Self::Only),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_is_what_it_is_written_as() {
        for text in ["none", "auto", "sh,users"] {
            let fit: Fit = text.parse().unwrap();
            assert_eq!(fit.to_string(), text);
            assert_eq!(Fit::recorded(&fit.record()), Some(fit));
        }
        assert!("shell".parse::<Fit>().is_err() && "".parse::<Fit>().is_err());
        assert_eq!(Fit::recorded("code"), None);
        let account = Account {
            name: "agent".to_owned(),
            uid: 10001,
            gid: 10001,
            home: "/home/agent".to_owned(),
        };
        let nothing = Listing::default();
        let wanted = Wanted {
            account: Some(&account),
            bundle: Some((String::new(), String::new())),
        };
        assert_eq!(Fit::Auto.missing(&nothing, &wanted), Detail::ALL);
        let without = Fit::Auto.missing(&nothing, &Wanted::default());
        assert_eq!(without.len(), Detail::ALL.len() - 2);
        assert_eq!(Fit::None.missing(&nothing, &wanted), []);
    }
}
