//! The Python that an environment gets: a prefix of this machine, the base's own, or conda's.

use std::io;

use super::base_python::BasePython;
use super::conda_python::CondaPython;
use super::python::PythonPrefix;
use super::shim;
use ohoci_layer::Directory;

/// A Python for environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// Copied from this machine.
    Prefix(PythonPrefix),
    /// In the base.
    OfBase(BasePython),
    /// Among packages of conda, which are linked on their own.
    Conda(CondaPython),
}

impl Interpreter {
    /// A name for what [`Self::write`] writes.
    ///
    /// # Errors
    /// When a prefix cannot be read.
    pub(crate) fn key(&self) -> io::Result<String> {
        match self {
            Self::Prefix(prefix) => prefix.key(),
            Self::OfBase(python) => Ok(python.key()),
            Self::Conda(python) => Ok(python.key()),
        }
    }

    /// Writes it and what stands in for conda below a directory that stands for the root.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(crate) fn write(&self, root: &Directory) -> io::Result<()> {
        match self {
            Self::Prefix(prefix) => prefix.write(root),
            Self::OfBase(python) => python.write(root),
            Self::Conda(_) => shim::write(root),
        }
    }

    /// Writes what installs packages, as far as it brings that as files.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_installers(&self, root: &Directory) -> io::Result<()> {
        match self {
            Self::Prefix(prefix) => prefix.write_installers(root),
            Self::OfBase(_) | Self::Conda(_) => Ok(()),
        }
    }

    /// Whether that is all that it takes to install packages.
    #[must_use]
    pub(crate) fn has_pip(&self) -> bool {
        match self {
            Self::Prefix(prefix) => prefix.has_pip(),
            Self::OfBase(_) => false,
            Self::Conda(python) => python.has_pip(),
        }
    }
}
