//! What packages ask of the machine that they run on, as packages that are there without files: conda's virtual
//! packages (CEP 30).

use crate::record::{Located, Record};

/// The oldest glibc that the packages of a machine can rely on where it is not known which it has: that of
/// manylinux2014, which conda's channels were built for until they said themselves what they need.
pub const OLDEST_GLIBC: &str = "2.17";

/// The Linux kernel that packages can rely on: that of the same distributions. Images carry no kernel.
pub const OLDEST_LINUX: &str = "3.10";

/// The machine that packages are for. It is what they will run on, and not the one that chooses them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The directory of a channel with packages for it, such as `linux-64`.
    pub subdir: String,
    /// The version of its glibc.
    pub glibc: String,
    /// The version of its kernel.
    pub linux: String,
    /// The version of CUDA that its driver has, where it has one.
    pub cuda: Option<String>,
}

impl Target {
    /// A machine of which nothing is known but the directory of its packages.
    #[must_use]
    pub fn oldest(subdir: &str) -> Self {
        Self {
            subdir: subdir.to_owned(),
            glibc: OLDEST_GLIBC.to_owned(),
            linux: OLDEST_LINUX.to_owned(),
            cuda: None,
        }
    }

    /// Its virtual packages, each as `NAME=VERSION=BUILD`.
    #[must_use]
    pub fn virtual_packages(&self) -> Vec<String> {
        let packages = self.packages().into_iter();
        packages.map(|package| package.record.to_string()).collect()
    }

    /// The same as packages of no channel. Processors are the oldest of their kind: which one an image will run on is
    /// not known.
    pub(crate) fn packages(&self) -> Vec<Located> {
        let processor = match self.subdir.as_str() {
            "linux-aarch64" => "aarch64",
            _ => "x86_64",
        };
        let all = [
            ("__archspec", Some("1"), processor),
            ("__cuda", self.cuda.as_deref(), "0"),
            ("__glibc", Some(self.glibc.as_str()), "0"),
            ("__linux", Some(self.linux.as_str()), "0"),
            ("__unix", Some("0"), "0"),
        ];
        let all = all.into_iter().filter_map(|(name, version, build)| {
            Some(Located {
                record: Record {
                    name: name.to_owned(),
                    version: version?.to_owned(),
                    build: build.to_owned(),
                    ..Record::default()
                },
                file_name: String::new(),
                channel: String::new(),
            })
        });
        all.collect()
    }
}

/// Whether a package of that name is one without files.
pub(crate) fn is_virtual(name: &str) -> bool {
    name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_target() {
        let mut target = Target::oldest("linux-64");
        assert_eq!(
            target.virtual_packages(),
            [
                "__archspec=1=x86_64",
                "__glibc=2.17=0",
                "__linux=3.10=0",
                "__unix=0=0"
            ]
        );
        target.cuda = Some("12.4".to_owned());
        target.subdir = "linux-aarch64".to_owned();
        let all = target.virtual_packages();
        assert!(all.contains(&"__cuda=12.4=0".to_owned()), "{all:?}");
        assert!(all.contains(&"__archspec=1=aarch64".to_owned()), "{all:?}");
    }
}
