//! Why a program did not start, by what lies where it should be.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::description::Sandbox;
use super::root::{Found, Root, interpreter};

/// How much of a program may name what it is to be interpreted by (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is none of that name.
    #[error("there is no such program in the sandbox{0}")]
    NotFound(String),
    /// What it is to be interpreted by is not there.
    #[error("its first line asks for {}, which is not in the sandbox", .0.display())]
    NoInterpreter(PathBuf),
    /// It is a directory.
    #[error("it is a directory")]
    Directory,
    /// No one has the permission to execute it.
    #[error("it is not executable")]
    NotExecutable,
}

/// Looks for a program as execvp(3) does, in the root file system and in what is put over it.
///
/// # Errors
/// When it cannot be started; what else may be wrong is not looked at.
pub fn check(sandbox: &Sandbox, root: &Root, program: &OsStr) -> Result<(), ProgramError> {
    let view = View { sandbox, root };
    if program.as_bytes().contains(&b'/') {
        let path = sandbox.directory.join(program);
        return match view.find(&path) {
            Some(found) => view.judge(&path, found),
            None => Err(ProgramError::NotFound(String::new())),
        };
    }
    let path = sandbox
        .environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or("", |(_, value)| value.as_str());
    let mut refused = None;
    for directory in path.split(':').filter(|directory| !directory.is_empty()) {
        let path = sandbox.directory.join(directory).join(program);
        let Some(found) = view.find(&path) else {
            continue;
        };
        match view.judge(&path, found) {
            Ok(()) => return Ok(()),
            // The search goes on behind what cannot be executed.
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    Err(refused.unwrap_or_else(|| ProgramError::NotFound(format!(", whose PATH is {path}"))))
}

struct View<'a> {
    sandbox: &'a Sandbox,
    root: &'a Root,
}

impl View<'_> {
    fn find(&self, path: &Path) -> Option<Found> {
        let (root, path) = self.place(path)?;
        root.as_ref().unwrap_or(self.root).find(&path)
    }

    fn judge(&self, path: &Path, found: Found) -> Result<(), ProgramError> {
        match found {
            Found::Directory => return Err(ProgramError::Directory),
            Found::Other => return Err(ProgramError::NotExecutable),
            Found::Program => {}
        }
        let start = self.place(path).and_then(|(root, path)| {
            let root = root.as_ref().unwrap_or(self.root);
            root.read_up_to(&path, FIRST_LINE).ok()?
        });
        match start.as_deref().and_then(interpreter) {
            Some(interpreter) if self.find(interpreter).is_none() => {
                Err(ProgramError::NoInterpreter(interpreter.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Where a path inside is: in which directory that was put over the root, or in the root, and
    /// under which path there.
    fn place(&self, path: &Path) -> Option<(Option<Root>, PathBuf)> {
        let over = self
            .sandbox
            .binds
            .iter()
            .filter(|bind| path.starts_with(&bind.destination))
            .max_by_key(|bind| bind.destination.components().count());
        let Some(bind) = over else {
            return Some((None, path.to_owned()));
        };
        let below = path.strip_prefix(&bind.destination).ok()?;
        if below.as_os_str().is_empty() {
            let root = Root::open(bind.source.parent()?).ok()?;
            return Some((Some(root), bind.source.file_name()?.into()));
        }
        Some((Some(Root::open(&bind.source).ok()?), below.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::description::{Bind, Network};
    use super::super::seccomp::Calls;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(path: &Path, content: &str, mode: u32) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
        fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_are_looked_for_where_they_would_be_started_from() {
        let (inside, over) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| inside.path().join(name);
        program(&at("bin/sh"), "\x7fELF", 0o755);
        program(&at("bin/script"), "#!/bin/sh\n", 0o755);
        program(&at("bin/lost"), "#!/bin/nothing -x\n", 0o755);
        program(&at("first/sh"), "", 0o644);
        program(&at("first/data"), "", 0o644);
        program(&over.path().join("tool"), "#!/bin/sh\n", 0o755);
        let sandbox = Sandbox {
            root: inside.path().to_owned(),
            writable: true,
            binds: vec![
                Bind {
                    source: over.path().to_owned(),
                    destination: "/over".into(),
                    writable: true,
                },
                Bind {
                    source: over.path().join("tool"),
                    destination: "/tool".into(),
                    writable: true,
                },
            ],
            temporary: Vec::new(),
            environment: vec![("PATH".into(), "/first::/bin".into())],
            directory: "/bin".into(),
            user: 0,
            group: 0,
            network: Network::None,
            host_name: String::new(),
            calls: Calls::default(),
        };
        let root = Root::open(inside.path()).unwrap();
        let check = |name: &str| check(&sandbox, &root, OsStr::new(name));
        for good in ["sh", "script", "./sh", "/bin/sh", "/over/tool", "/tool"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert!(matches!(check("nothing"), Err(ProgramError::NotFound(_))));
        assert!(matches!(
            check("/over/nothing"),
            Err(ProgramError::NotFound(_))
        ));
        assert_eq!(check("data"), Err(ProgramError::NotExecutable));
        assert_eq!(check("/bin"), Err(ProgramError::Directory));
        let lost = ProgramError::NoInterpreter("/bin/nothing".into());
        assert_eq!(check("lost"), Err(lost));
    }
}
