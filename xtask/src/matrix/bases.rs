//! The bases: what each is called, how its root file system is made, and what its image says about running it.

mod busybox;
mod glibc;
mod packages;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use self::busybox::Shape;
pub(crate) use self::packages::{debian, mirror};
use super::authority::Authority;
use crate::command::output;

/// A base.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) name: &'static str,
    /// Its root file system as a tar; none for `scratch`.
    pub(super) rootfs: Option<PathBuf>,
    pub(super) config: Config,
    /// Whether something of its own stands at `/openhands`, so that it is to be refused.
    pub(super) taken: bool,
    /// Whether it is for arm64, on a machine that is not.
    pub(super) arm64: bool,
}

/// What a base's image says about running it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    /// As it stands in the image; `None` where the image has no `PATH`.
    pub(super) path: Option<&'static str>,
    pub(super) env: &'static [(&'static str, &'static str)],
    pub(super) user: Option<&'static str>,
    pub(super) entrypoint: Option<&'static str>,
}

const USUAL: Config = Config {
    path: Some("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    env: &[],
    user: None,
    entrypoint: None,
};

/// Variables that break whoever believes them: for loaders, for interpreters, for programs that look up their own files,
/// and for whoever needs a home, a place for temporary files or a character set. What is below `/trap` is there
/// ([`super::runner::trap`]), and is not what it should be.
const TRAPS: [(&str, &str); 28] = [
    ("LD_LIBRARY_PATH", "/trap/lib"),
    ("LD_PRELOAD", "/trap/lib/missing.so"),
    ("LD_AUDIT", "/trap/lib/missing.so"),
    ("PYTHONHOME", "/nonexistent"),
    ("PYTHONPATH", "/trap/python"),
    ("PYTHONSTARTUP", "/trap/python/ssl.py"),
    ("PYTHONUSERBASE", "/nonexistent"),
    ("NODE_OPTIONS", "--require=/trap/missing.js"),
    ("NODE_PATH", "/trap/node"),
    ("PERL5OPT", "-Mmissing"),
    ("PERL5LIB", "/nonexistent"),
    ("BASH_ENV", "/nonexistent/environment"),
    ("ENV", "/nonexistent/environment"),
    ("SHELL", "/bin/false"),
    ("FONTCONFIG_FILE", "/nonexistent/fonts.conf"),
    ("FONTCONFIG_PATH", "/nonexistent"),
    ("GIT_EXEC_PATH", "/nonexistent"),
    ("GIT_TEMPLATE_DIR", "/nonexistent"),
    ("GCONV_PATH", "/nonexistent"),
    ("LOCPATH", "/nonexistent"),
    ("TERMINFO", "/nonexistent"),
    ("LANG", "C"),
    ("LC_ALL", "C"),
    ("TMPDIR", "/nonexistent"),
    ("TMUX_TMPDIR", "/nonexistent"),
    ("HOME", "/nonexistent"),
    ("XDG_RUNTIME_DIR", "/nonexistent"),
    ("SSL_CERT_DIR", "/nonexistent"),
];

/// How a root file system is made.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// There is none.
    Scratch,
    /// A minimal Debian of this suite, with these packages besides.
    Debian(&'static str, &'static [&'static str]),
    /// A minimal Ubuntu of this suite.
    Ubuntu(&'static str),
    Musl,
    Busybox(Shape),
    Distroless,
    Nix,
    Arm64(Arm64),
}

/// What there is of a base for arm64: what can be made without running a program of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm64 {
    Scratch,
    Busybox,
    /// The packages that every Debian 12 has, unpacked and not configured.
    Debian,
}

struct Definition {
    name: &'static str,
    made: Made,
    config: Config,
    /// Whether it can be made without a mirror, and so belongs to the matrix's core.
    core: bool,
}

const fn base(name: &'static str, made: Made) -> Definition {
    Definition {
        name,
        made,
        config: USUAL,
        core: false,
    }
}

const fn core(name: &'static str, made: Made) -> Definition {
    Definition {
        core: true,
        ..base(name, made)
    }
}

/// What there is.
const ALL: [Definition; 23] = [
    core("scratch", Made::Scratch),
    core("busybox", Made::Busybox(Shape::Plain)),
    core("ostree", Made::Busybox(Shape::Ostree)),
    Definition {
        config: Config {
            env: &TRAPS,
            ..USUAL
        },
        ..core("traps", Made::Busybox(Shape::Plain))
    },
    core("no-passwd", Made::Busybox(Shape::NoPasswd)),
    core("no-tmp", Made::Busybox(Shape::NoTmp)),
    Definition {
        config: Config {
            path: Some(""),
            ..USUAL
        },
        ..core("path-empty", Made::Busybox(Shape::Plain))
    },
    Definition {
        config: Config {
            path: None,
            ..USUAL
        },
        ..core("path-unset", Made::Busybox(Shape::Plain))
    },
    core("own-directory", Made::Busybox(Shape::OwnDirectory)),
    core("own-link", Made::Busybox(Shape::OwnLink)),
    core("own-file", Made::Busybox(Shape::OwnFile)),
    base("musl", Made::Musl),
    Definition {
        config: Config {
            user: Some("65532:65532"),
            entrypoint: Some(r#"["/usr/bin/hello"]"#),
            ..USUAL
        },
        ..base("distroless", Made::Distroless)
    },
    Definition {
        config: Config {
            path: Some("/bin"),
            ..USUAL
        },
        ..base("nix", Made::Nix)
    },
    base("bionic", Made::Ubuntu("bionic")),
    base("bullseye", Made::Debian("bullseye", &[])),
    base("bookworm", Made::Debian("bookworm", &[])),
    base("trixie", Made::Debian("trixie", &[])),
    base("ubuntu", Made::Ubuntu("noble")),
    Definition {
        config: Config {
            user: Some("1000:1000"),
            entrypoint: Some(r#"["/bin/sh", "-c"]"#),
            ..USUAL
        },
        ..base("user-1000", Made::Debian("bookworm", &["sudo"]))
    },
    base("arm64", Made::Arm64(Arm64::Scratch)),
    base("arm64-busybox", Made::Arm64(Arm64::Busybox)),
    base("arm64-bookworm", Made::Arm64(Arm64::Debian)),
];

/// Which bases are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    All,
    /// Those that need no mirror.
    Core,
    Named(&'a [String]),
}

/// Makes those that are asked for, as far as they are not there from an earlier run; those for `arm64` only where
/// something is to be tried on them.
pub(super) fn make(
    directory: &Path,
    asked: Asked<'_>,
    arm64: bool,
    authority: &Authority,
) -> Result<Vec<Base>> {
    let wanted = |definition: &&Definition| match asked {
        Asked::All => arm64 || !definition.made.is_arm64(),
        Asked::Core => definition.core || (arm64 && definition.made.is_arm64()),
        Asked::Named(names) => names.iter().any(|name| name == definition.name),
    };
    if let Asked::Named(names) = asked {
        let known: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("no base {unknown}; there are {}", known.join(", "));
        }
        let foreign = ALL
            .iter()
            .filter(wanted)
            .find(|definition| definition.made.is_arm64());
        if let (Some(Definition { name, .. }), false) = (foreign, arm64) {
            bail!("{name} is for layers that --arm64 names");
        }
    }
    fs_err::create_dir_all(directory)?;
    let mut bases = Vec::new();
    for definition in ALL.iter().filter(wanted) {
        let Definition { name, made, .. } = definition;
        let rootfs = directory.join(format!("{name}.tar"));
        if !made.is_scratch() && !rootfs.exists() {
            println!("== making {name}");
            // Not every mirror has everything; what is missing is said, and no column is made of it.
            if let Err(error) = made.make(&rootfs, authority) {
                if matches!((asked, made), (Asked::All, Made::Ubuntu(_))) {
                    println!("no {name}: {error:#}");
                    continue;
                }
                return Err(error.context(format!("cannot make {name}")));
            }
        }
        bases.push(Base {
            name,
            rootfs: Some(rootfs).filter(|_| !made.is_scratch()),
            config: definition.config,
            taken: matches!(
                made,
                Made::Busybox(Shape::OwnDirectory | Shape::OwnLink | Shape::OwnFile)
            ),
            arm64: made.is_arm64(),
        });
    }
    Ok(bases)
}

impl Made {
    const fn is_scratch(self) -> bool {
        matches!(self, Self::Scratch | Self::Arm64(Arm64::Scratch))
    }

    const fn is_arm64(self) -> bool {
        matches!(self, Self::Arm64(_))
    }

    /// Writes the root file system as a tar.
    fn make(self, out: &Path, authority: &Authority) -> Result<()> {
        match self {
            Self::Scratch | Self::Arm64(Arm64::Scratch) => Ok(()),
            Self::Arm64(Arm64::Busybox) => busybox::arm64(out, &mirror()?, authority),
            Self::Arm64(Arm64::Debian) => {
                packages::extracted(out, &mirror()?, Some("arm64"), &["?essential"])
            }
            Self::Debian(suite, include) => debian(out, suite, &mirror()?, include),
            Self::Ubuntu(suite) => packages::ubuntu(out, suite, &mirror()?),
            Self::Musl => packages::musl(out, &mirror()?),
            Self::Busybox(shape) => busybox::make(out, shape, authority),
            Self::Distroless => glibc::distroless(out, &mirror()?),
            Self::Nix => glibc::nix(out, &mirror()?),
        }
    }
}

/// Packs a directory, whoever's its files are here: in the image they are root's.
fn pack(root: &Path, out: &Path) -> Result<()> {
    output(
        Command::new("tar")
            .args(["--create", "--sort=name", "--mtime=@0"])
            .args(["--owner=0", "--group=0", "--numeric-owner", "--file"])
            .arg(out)
            .arg("--directory")
            .arg(root)
            .arg("."),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_for_arm64_are_made_for_its_layers_alone() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::at(directory.path()).unwrap();
        let names = ["arm64".to_owned()];
        let asked = |arm64| make(directory.path(), Asked::Named(&names), arm64, &authority);
        assert!(asked(false).is_err());
        let made = asked(true).unwrap();
        assert!(matches!(
            made.as_slice(),
            [Base {
                arm64: true,
                rootfs: None,
                ..
            }]
        ));
    }

    #[test]
    fn names_and_traps_are_not_given_twice() {
        let mut names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let mut variables: Vec<&str> = TRAPS.iter().map(|(name, _)| *name).collect();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), TRAPS.len());
    }
}
