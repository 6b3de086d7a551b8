//! The packages of features, read for all features side by side: a feature that has one large package does not keep
//! others waiting.

use std::path::{Path, PathBuf};

use super::python::{self, Wheel};
use super::side_by_side::side_by_side;
use super::{AssembleError, packages};
use crate::archive::Spool;
use crate::debian::architecture;
use crate::debian::deb::Deb;
use crate::lock::{Lock, LockedFile};
use crate::python::Distribution;
use crate::recipe::Feature;
use ohoci_image::Platform;

/// What packages are read with.
pub(super) struct Reader<'a> {
    pub(super) lock: &'a Lock,
    pub(super) platform: &'a Platform,
    pub(super) cached: &'a (dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    pub(super) spool: &'a Spool,
    pub(super) spool_dir: &'a Path,
    pub(super) threads: usize,
}

/// The packages of a feature, in the order in which they are locked.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) debs: Vec<Deb>,
    pub(super) distributions: Vec<Distribution>,
}

/// A package to read.
enum Wanted<'a> {
    Debian(packages::Wanted<'a>),
    Python(Wheel<'a>),
}

/// A package that was read.
enum Package {
    Debian(Box<Deb>),
    Python(Box<Distribution>),
}

impl Wanted<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Debian((_, file)) => file.size,
            Self::Python(wheel) => wheel.file.size,
        }
    }
}

impl Reader<'_> {
    /// Reads the packages of these features; a feature has the first error of its own, in the order of its packages.
    pub(super) fn all(&self, features: &[&Feature]) -> Vec<Result<Inputs, AssembleError>> {
        let wanted: Vec<Result<Vec<Wanted<'_>>, AssembleError>> = features
            .iter()
            .map(|feature| self.wanted(feature))
            .collect();
        let all: Vec<&Wanted<'_>> = wanted.iter().flatten().flatten().collect();
        let read = side_by_side(
            &all,
            self.threads,
            |wanted| wanted.size(),
            |wanted| self.read(wanted),
        );
        let mut read = read.into_iter();
        let of_feature = |wanted: Result<Vec<Wanted<'_>>, AssembleError>| {
            let count = wanted?.len();
            let mut inputs = Inputs::default();
            // All of them are taken, whether one fails or not: those behind belong to the next feature.
            let packages: Vec<_> = read.by_ref().take(count).collect();
            for package in packages {
                match package? {
                    Package::Debian(deb) => inputs.debs.push(*deb),
                    Package::Python(distribution) => inputs.distributions.push(*distribution),
                }
            }
            Ok(inputs)
        };
        wanted.into_iter().map(of_feature).collect()
    }

    /// Reads the packages of one feature.
    pub(super) fn one(&self, feature: &Feature) -> Result<Inputs, AssembleError> {
        let mut read = self.all(&[feature]).into_iter();
        read.next().unwrap_or_else(|| Ok(Inputs::default()))
    }

    fn wanted(&self, feature: &Feature) -> Result<Vec<Wanted<'_>>, AssembleError> {
        let name = feature.name.get_ref().as_str();
        let debian = self
            .lock
            .debian
            .iter()
            .filter(|package| package.feature == name);
        let platform = self.platform.to_string();
        let debian = debian.filter_map(|package| Some((package, package.file.of(&platform)?)));
        let mut wanted: Vec<Wanted<'_>> = debian.map(Wanted::Debian).collect();
        if let Some(table) = &feature.python {
            let wheels = python::wheels(feature, table, self.lock, self.platform)?;
            wanted.extend(wheels.into_iter().map(Wanted::Python));
        }
        Ok(wanted)
    }

    fn read(&self, wanted: &Wanted<'_>) -> Result<Package, AssembleError> {
        Ok(match wanted {
            Wanted::Debian((package, file)) => {
                let architecture = architecture::of_platform(self.platform)
                    .ok_or_else(|| AssembleError::Platform(self.platform.to_string()))?;
                let deb = packages::one(package, file, architecture, self.cached, self.spool_dir)?;
                Package::Debian(Box::new(deb))
            }
            Wanted::Python(wheel) => {
                Package::Python(Box::new(wheel.read(self.cached, self.spool)?))
            }
        })
    }
}
