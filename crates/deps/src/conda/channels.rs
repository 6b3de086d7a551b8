//! The channels of this machine: those of the command line, of the environment, of `.condarc`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use url::Url;

use super::error::{CondaError, CondaErrorKind};
use crate::hosts::Mirror;
use ohoci_conda::condarc::{Condarc, is_place, name_of};
use ohoci_conda::solve::ChannelPriority;
use ohoci_config::environment::{
    CONDA_CHANNEL_ALIAS, CONDA_CHANNEL_PRIORITY, CONDA_CHANNELS, CONDARC,
};
use ohoci_config::{Environment, PackageMirrors};

/// The largest settings that are read, in bytes.
const MAX_SETTINGS: u64 = 1 << 20;

/// What `defaults` stands for below an alias, where settings do not say it.
const DEFAULTS: &str = "main";

/// Channels in the order of their priority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// The channels.
    pub list: Vec<Channel>,
    /// Whether one goes before those behind it.
    pub priority: ChannelPriority,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What it is called: no host.
    pub name: String,
    /// Where it is, each place with all of it.
    pub places: Vec<Location>,
}

/// A place of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A server.
    Mirror(Mirror),
}

impl Location {
    /// What a person knows it by.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Mirror(mirror) => mirror.name(),
        }
    }
}

/// What settings say of channels, before they are looked up by name.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    condarc: Condarc,
    mirrors: Vec<Url>,
    home: Option<PathBuf>,
}

impl Settings {
    /// What the environment, the files of the user and the machine, and ohoci's configuration say. `flags` go
    /// before all of them.
    #[must_use]
    pub fn of_machine(
        flags: &[String],
        environment: &Environment,
        mirrors: &PackageMirrors,
        etc: &Path,
    ) -> Self {
        let text = |variable| environment.get(variable)?.into_string().ok();
        let mut settings = Condarc::default();
        let channels = text(CONDA_CHANNELS).unwrap_or_default();
        let channels = channels.split(',').map(str::trim);
        settings.channels = channels
            .filter(|channel| !channel.is_empty())
            .map(str::to_owned)
            .collect();
        settings.channel_alias = text(CONDA_CHANNEL_ALIAS).filter(|alias| !alias.is_empty());
        settings.channel_priority = text(CONDA_CHANNEL_PRIORITY).filter(|text| !text.is_empty());
        let is_said = !flags.is_empty() || !settings.channels.is_empty();
        let mut said = settings.channels.clone();
        for file in files(environment, etc) {
            if let Some(text) = read(&file) {
                settings = settings.or(Condarc::parse(&text));
            }
        }
        // Those nearer by replace the lists of files, they do not join them.
        if !flags.is_empty() {
            said = flags.to_vec();
        }
        if is_said {
            settings.channels = said;
        }
        Self {
            condarc: settings,
            mirrors: mirrors.conda.clone(),
            home: environment.home().map(Path::to_owned),
        }
    }

    /// Whether this machine is told of any channel, or of where channels are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.condarc.channels.is_empty()
            && self.condarc.channel_alias.is_none()
            && self.mirrors.is_empty()
    }

    /// The channels; those called `fallback` where settings say only where channels are.
    ///
    /// # Errors
    /// A name that nothing says the place of.
    pub fn channels(&self, fallback: &[&str]) -> Result<Channels, CondaError> {
        let mut names: Vec<String> = self.condarc.channels.clone();
        if names.is_empty() {
            names = fallback.iter().map(|name| (*name).to_owned()).collect();
        }
        let mut list = Vec::new();
        for name in &names {
            list.extend(self.channel(name)?);
        }
        let priority = self.condarc.channel_priority.as_deref();
        let priority = priority.and_then(ChannelPriority::parse);
        Ok(Channels {
            list,
            priority: priority.unwrap_or_default(),
        })
    }

    fn channel(&self, name: &str) -> Result<Vec<Channel>, CondaError> {
        let is_defaults = name == "defaults" && self.condarc.default_channels.is_empty();
        let below = if is_defaults { DEFAULTS } else { name };
        if !is_place(name) && !self.mirrors.is_empty() {
            let places = self.mirrors.iter().filter_map(|root| {
                let url = root.join(&format!("{}/", below.trim_matches('/'))).ok()?;
                Some(Location::Mirror(Mirror::new(url)))
            });
            return Ok(vec![Channel {
                name: name.to_owned(),
                places: places.collect(),
            }]);
        }
        let places = self.condarc.places(below).map_err(|_| {
            // A directory may be called without anything that tells it from a name.
            CondaError::new(CondaErrorKind::NoPlace, name, "")
        });
        let places = match places {
            Ok(places) => places,
            Err(_) if Path::new(name).is_dir() => vec![(name_of(name), name.to_owned())],
            Err(error) => return Err(error),
        };
        let channels = places.into_iter().map(|(called, place)| {
            let name = if is_defaults { name.to_owned() } else { called };
            let places = vec![self.place(&place)?];
            Ok(Channel { name, places })
        });
        channels.collect()
    }

    fn place(&self, text: &str) -> Result<Location, CondaError> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Location::Directory(PathBuf::from(path)));
        }
        if !text.contains("://") {
            let below_home = text.strip_prefix("~/").zip(self.home.as_ref());
            return Ok(Location::Directory(match below_home {
                Some((path, home)) => home.join(path),
                None => PathBuf::from(text),
            }));
        }
        let url = ohoci_config::mirrors::root(text).map_err(|_| {
            CondaError::new(
                CondaErrorKind::Unreachable,
                name_of(text),
                "its address is no URL of http or https",
            )
        })?;
        Ok(Location::Mirror(Mirror::new(url)))
    }
}

/// The files that conda reads, the nearer ones first.
fn files(environment: &Environment, etc: &Path) -> Vec<PathBuf> {
    if let Some(file) = environment.path(CONDARC) {
        return vec![file];
    }
    let mut files = Vec::new();
    if let Some(home) = environment.home() {
        files.extend([".condarc", ".conda/.condarc", ".mambarc"].map(|name| home.join(name)));
    }
    let config = environment.config_home();
    files.extend(config.map(|config| config.join("conda/.condarc")));
    files.push(etc.join("conda/.condarc"));
    files
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    let file = ohoci_files::regular::open(file).ok()?;
    file.take(MAX_SETTINGS).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn settings(
        flags: &[&str],
        variables: &[(ohoci_config::environment::Variable, &str)],
    ) -> Settings {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let variables = variables
            .iter()
            .map(|(name, value)| (*name, OsString::from(value)));
        let environment = Environment::of(variables);
        let nothing = Path::new("/nothing");
        Settings::of_machine(&flags, &environment, &PackageMirrors::default(), nothing)
    }

    fn places(settings: &Settings) -> Vec<(String, String)> {
        let channels = settings.channels(&["defaults", "conda-forge"]).unwrap();
        let named = channels.list.into_iter().map(|channel| {
            let places: Vec<String> = channel.places.iter().map(Location::name).collect();
            (channel.name, places.join(" "))
        });
        named.collect()
    }

    #[test]
    fn flags_go_before_variables_and_names_are_below_the_alias() {
        let alias = (
            CONDA_CHANNEL_ALIAS,
            "https://me:secret@mirror.example/conda",
        );
        let of = |name: &str, place: &str| (name.to_owned(), place.to_owned());
        let all = settings(&[], &[alias]);
        assert!(!all.is_empty());
        assert_eq!(
            places(&all),
            [
                of("defaults", "mirror.example/conda/main"),
                of("conda-forge", "mirror.example/conda/conda-forge")
            ]
        );
        let strict = (CONDA_CHANNEL_PRIORITY, "strict");
        let priority = |settings: &Settings| settings.channels(&[]).unwrap().priority;
        assert_eq!(priority(&all), ChannelPriority::Flexible);
        assert_eq!(
            priority(&settings(&[], &[alias, strict])),
            ChannelPriority::Strict
        );
        let named = settings(&[], &[alias, (CONDA_CHANNELS, "bioconda, file:///srv/own")]);
        assert_eq!(
            places(&named),
            [
                of("bioconda", "mirror.example/conda/bioconda"),
                of("own", "/srv/own")
            ]
        );
        let flag = settings(&["./here"], &[alias, (CONDA_CHANNELS, "bioconda")]);
        assert_eq!(places(&flag), [of("here", "./here")]);
        assert!(settings(&[], &[]).is_empty());
    }

    #[test]
    fn a_name_without_a_place_says_so() {
        let error = settings(&["conda-forge"], &[]).channels(&[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing says where the channel conda-forge is"
        );
        assert!(error.hint().unwrap().contains("CONDA_CHANNEL_ALIAS"));
    }

    #[test]
    fn ohocis_own_mirrors_are_asked_one_after_the_other() {
        let mirrors = PackageMirrors {
            conda: ["https://a.example/conda/", "https://b.example/"]
                .map(|url| url.parse().unwrap())
                .to_vec(),
            ..PackageMirrors::default()
        };
        let environment = Environment::of([]);
        let all = Settings::of_machine(&[], &environment, &mirrors, Path::new("/nothing"));
        let channels = all.channels(&["conda-forge"]).unwrap();
        let names: Vec<String> = channels.list[0].places.iter().map(Location::name).collect();
        assert_eq!(
            names,
            ["a.example/conda/conda-forge", "b.example/conda-forge"]
        );
    }
}
