//! Environments that were frozen: every package with its version and build.

use crate::listed::RepodataError;
use crate::record::Located;
use crate::shelf::Shelf;

/// A package of a frozen environment: `NAME=VERSION=BUILD`, as `conda env export` writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frozen {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its build.
    pub build: String,
}

impl Frozen {
    /// Reads a line of an environment; `None` where it is not frozen.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        // A channel may be named in front.
        let line = line.rsplit("::").next().unwrap_or(line).trim();
        let mut parts = line.split('=');
        let (name, version, build) = (parts.next()?, parts.next()?, parts.next()?);
        let all = [name, version, build];
        let is_whole = parts.next().is_none()
            && all
                .iter()
                .all(|part| !part.is_empty() && !part.contains([' ', '*', '<', '>', '!', '~']));
        is_whole.then(|| Self {
            name: name.to_owned(),
            version: version.to_owned(),
            build: build.to_owned(),
        })
    }

    /// Its file's name, without the ending.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.build)
    }
}

impl std::fmt::Display for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}={}", self.name, self.version, self.build)
    }
}

/// Finds frozen packages on a shelf: the first channel that has a build is taken. What none has is in the second
/// list.
///
/// # Errors
/// When a channel contradicts itself about one of them.
pub fn find(
    wanted: &[Frozen],
    shelf: &Shelf,
) -> Result<(Vec<Located>, Vec<Frozen>), RepodataError> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for frozen in wanted {
        let package = shelf.package(&frozen.name, &frozen.stem());
        match package.map_err(RepodataError::new)? {
            Some(located) => found.push((*located).clone()),
            None => missing.push(frozen.clone()),
        }
    }
    Ok((found, missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repodata::Repodata;

    #[test]
    fn only_whole_pins_are_frozen() {
        let frozen = Frozen::parse("conda-forge::python=3.6.13=h12debd9_1").unwrap();
        assert_eq!(frozen.to_string(), "python=3.6.13=h12debd9_1");
        for line in [
            "python",
            "python=3.6",
            "python=3.6=",
            "python==3.6",
            "a>=1=2",
            "a=1.*=b",
        ] {
            assert_eq!(Frozen::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_first_channel_that_has_a_build_is_taken_and_what_is_missing_is_named() {
        let list = |builds: &[&str]| {
            let packages = builds.iter().map(|build| {
                format!(
                    r#""a-1-{build}.conda": {{"name": "a", "version": "1", "build": "{build}"}}"#
                )
            });
            let packages: Vec<String> = packages.collect();
            format!(r#"{{"packages.conda": {{{}}}}}"#, packages.join(","))
        };
        let mut shelf = Shelf::new(2);
        for (at, (channel, builds)) in [("one", &["0"][..]), ("two", &["0", "1"])]
            .into_iter()
            .enumerate()
        {
            let list = Repodata::read(list(builds).into_bytes(), channel, "noarch").unwrap();
            shelf.add(at, "a", list.packages("a", &|_| true));
        }
        let wanted = ["a=1=0", "a=1=1", "a=1=2"].map(|line| Frozen::parse(line).unwrap());
        let (found, missing) = find(&wanted, &shelf).unwrap();
        let from: Vec<_> = found.iter().map(|found| found.channel.as_str()).collect();
        assert_eq!(from, ["one", "two"]);
        assert_eq!(missing, [wanted[2].clone()]);
    }
}
