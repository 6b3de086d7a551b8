//! `Release` files: what a distribution consists of, when it was made, how long that counts.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use crate::deb822::{Comments, ControlError, Stanzas};
use crate::lock::file::is_relative;
use ohoci_image::Digest;
use ohoci_image::timestamp::Timestamp;

/// How far a release may be dated ahead of this machine's clock, in seconds.
const CLOCK_SKEW: i64 = 3600;

/// A `Release` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `Suite`: a name that moves on, such as `stable`.
    pub suite: String,
    /// `Codename`: a name that stays, such as `trixie`.
    pub codename: String,
    /// When it was made, in seconds since 1970.
    pub date: i64,
    /// Until when it counts, if that is limited.
    pub valid_until: Option<i64>,
    /// Whether its files can be had by their digest.
    pub by_hash: bool,
    /// Whether packages for all architectures have indexes of their own only.
    pub separate_all: bool,
    /// Its files by path.
    pub files: BTreeMap<String, ReleaseFile>,
}

/// A file of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Why a `Release` file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is no control data.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It is none.
    #[error("it is no release: {0}")]
    Malformed(String),
    /// It is for another distribution.
    #[error("it is the release of {found}, not of {wanted}")]
    OtherSuite {
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// It is dated ahead of this machine's clock.
    #[error("it was made at {0}, which is in the future: is this machine's clock right?")]
    Future(Timestamp),
    /// It does not count any longer.
    #[error(
        "it was made at {date} and counted until {until}: the mirror is out of date, or someone \
         holds newer ones back"
    )]
    Expired {
        /// When it was made.
        date: Timestamp,
        /// Until when it counted.
        until: Timestamp,
    },
}

impl Release {
    /// Reads the text of a `Release` file.
    ///
    /// # Errors
    /// When it is none. Whether it is the right one is for [`Release::check`].
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let malformed = |why: &str| ReleaseError::Malformed(why.to_owned());
        let mut stanzas = Stanzas::new(text, Comments::Refused);
        let stanza = stanzas.next().ok_or_else(|| malformed("it is empty"))??;
        if stanzas.next().is_some() {
            return Err(malformed("there is something behind its fields"));
        }
        let field = |name: &str| stanza.get(name).unwrap_or_default().to_owned();
        let moment = |name: &str| match stanza.get(name) {
            None => Ok(None),
            Some(text) => parse_date(text)
                .map(Some)
                .ok_or_else(|| ReleaseError::Malformed(format!("{name}: {text:?} is no date"))),
        };
        let has = |name: &str, word: &str| field(name).split_whitespace().any(|w| w == word);
        let files = stanza
            .get("SHA256")
            .ok_or_else(|| malformed("it lists no files by SHA256"))?;
        Ok(Self {
            suite: field("Suite"),
            codename: field("Codename"),
            date: moment("Date")?.ok_or_else(|| malformed("it has no date"))?,
            valid_until: moment("Valid-Until")?,
            by_hash: field("Acquire-By-Hash").eq_ignore_ascii_case("yes"),
            separate_all: has("Architectures", "all")
                && !has("No-Support-for-Architecture-all", "Packages"),
            files: parse_files(files)?,
        })
    }

    /// Checks that it is what was asked for, and counts at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    pub fn check(&self, suite: &str, now: i64, valid_until: bool) -> Result<(), ReleaseError> {
        if suite != self.suite && suite != self.codename {
            let names: Vec<&str> = [self.suite.as_str(), self.codename.as_str()]
                .into_iter()
                .filter(|name| !name.is_empty())
                .collect();
            return Err(ReleaseError::OtherSuite {
                wanted: suite.to_owned(),
                found: names.join(", also called "),
            });
        }
        if self.date > now.saturating_add(CLOCK_SKEW) {
            return Err(ReleaseError::Future(Timestamp::from_epoch(self.date)));
        }
        match self.valid_until {
            Some(until) if valid_until && until <= now => Err(ReleaseError::Expired {
                date: Timestamp::from_epoch(self.date),
                until: Timestamp::from_epoch(until),
            }),
            _ => Ok(()),
        }
    }
}

fn parse_files(field: &str) -> Result<BTreeMap<String, ReleaseFile>, ReleaseError> {
    let mut files = BTreeMap::new();
    for line in field.lines().filter(|line| !line.trim().is_empty()) {
        let malformed = || ReleaseError::Malformed(format!("{line:?} names no file"));
        let mut words = line.split_ascii_whitespace();
        let (Some(digest), Some(size), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let file = ReleaseFile {
            size: size.parse().map_err(|_| malformed())?,
            digest: format!("sha256:{digest}")
                .parse()
                .map_err(|_| malformed())?,
        };
        if !is_relative(path) {
            return Err(malformed());
        }
        match files.insert(path.to_owned(), file.clone()) {
            Some(other) if other != file => return Err(malformed()),
            _ => {}
        }
    }
    Ok(files)
}

/// Reads a date as archives write it: `Sat, 12 Sep 2026 07:55:41 UTC`.
fn parse_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [
        weekday,
        day,
        month,
        year,
        time,
        "UTC" | "GMT" | "Z" | "+0000",
    ] = words.as_slice()
    else {
        return None;
    };
    let date = format!("{weekday} {day:0>2} {month} {year} {time} GMT");
    let moment = httpdate::parse_http_date(&date).ok()?;
    let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Suite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n\
        Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\n\
        Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\nSHA256:\n \
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  3 main/binary-amd64/Packages\n";
    const DATE: i64 = 1_789_199_741;

    #[test]
    fn releases_are_read() {
        let release = Release::parse(TEXT).unwrap();
        assert_eq!(release.date, DATE);
        assert_eq!(release.valid_until, Some(DATE + 7 * 86_400));
        assert!(release.by_hash && !release.separate_all);
        assert_eq!(
            release.files["main/binary-amd64/Packages"],
            ReleaseFile {
                size: 3,
                digest: Digest::of(b"abc"),
            }
        );
        let separate = TEXT.replace("No-Support", "X");
        assert!(Release::parse(&separate).unwrap().separate_all);
    }

    #[test]
    fn dates_are_read_however_archives_write_them() {
        for text in [
            "Sat, 05 Sep 2026 07:55:41 UTC",
            "Sat,  5 Sep 2026 07:55:41 +0000",
            "Sat, 5 Sep 2026 07:55:41 GMT",
        ] {
            assert_eq!(parse_date(text), Some(DATE - 7 * 86_400), "{text}");
        }
        for text in [
            "",
            "2026-09-05",
            "Sat, 5 Sep 2026 07:55:41 +0200",
            "Sat, 5 Sep 2026 07:55:41",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_release_counts_for_its_names_and_its_time() {
        let release = Release::parse(TEXT).unwrap();
        let words =
            |suite: &str, now: i64| release.check(suite, now, true).unwrap_err().to_string();
        release.check("trixie", DATE, true).unwrap();
        release.check("stable", DATE + 86_400, true).unwrap();
        assert_eq!(
            words("bookworm", DATE),
            "it is the release of stable, also called trixie, not of bookworm"
        );
        assert!(
            words("trixie", DATE - 7200).contains("2026-09-12T07:55:41Z, which is in the future")
        );
        let late = DATE + 7 * 86_400;
        assert!(words("trixie", late).contains("counted until 2026-09-19T07:55:41Z"));
        release.check("trixie", late, false).unwrap();
    }

    #[test]
    fn what_is_no_release() {
        for (from, to) in [
            (TEXT, ""),
            ("Date: Sat, 12 Sep 2026 07:55:41 UTC\n", ""),
            ("Date: Sat", "Date: X"),
            ("SHA256:", "MD5Sum:"),
            ("  3 main", "  x main"),
            ("  3 main", "  main"),
            (" main/binary", " ../binary"),
            ("ba7816bf", "BA7816bf"),
            ("SHA256:", "\nSHA256:"),
        ] {
            let text = TEXT.replace(from, to);
            assert!(Release::parse(&text).is_err(), "{to}");
        }
    }
}
