//! From a root file system and what was asked for to a sandbox that can be started.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use ohoci_sandbox::{
    Bind, Calls, Process, Root, RootError, Sandbox, User, UserError, root::cleaned,
};

use super::failure::RunFailure;
use super::hosts;
use super::request::Request;
use super::root::RunRoot;

/// A sandbox that can be started.
#[derive(Debug)]
pub struct Prepared {
    /// What is to be seen inside.
    pub sandbox: Sandbox,
    /// The command line.
    pub command: Vec<OsString>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
}

/// Makes what has to be there before the sandbox starts: mount points and the working directory. They
/// are made here, because here no symlink leads out of the root file system. Files that are put over it
/// lie in `scratch`, which is the sandbox's own.
///
/// # Errors
/// When something cannot be made, or what is asked for is not in the root file system.
pub fn prepare(of: &RunRoot, request: &Request, scratch: &Path) -> Result<Prepared, RunFailure> {
    let (process, root) = (&of.process, &of.root);
    root.lock(!request.read_only).map_err(|in_use| {
        RunFailure::new(
            format!("cannot use {} as a root file system", root.path().display()),
            format!("{in_use}; what that writes meanwhile, this one would start from"),
        )
        .hinted("wait for its end, or use a copy; with --read-only several can run in one")
    })?;
    let command = process.command_line(request.entrypoint.as_deref(), &request.words);
    if command.first().is_none_or(|program| program.is_empty()) {
        return Err(RunFailure::mistake("there is no program to run")
            .hinted("the image has no command of its own: name one after it"));
    }
    let user = user(request, process, root)?;
    let made = |error: RootError| {
        RunFailure::new("cannot prepare the root file system", error.to_string())
            .hinted("make it there, or use a copy of the directory that can be written")
    };
    for path in ["/proc", "/dev"] {
        let at = root.directory(Path::new(path)).map_err(made)?;
        if at != Path::new(path) {
            return Err(RunFailure::new(
                "cannot prepare the root file system",
                format!("its {path} is a symlink to {}", at.display()),
            ));
        }
    }
    let (mut binds, mut warnings) =
        hosts::binds(request, scratch, (root, of.workspace().is_some()))?;
    for mount in &request.mounts {
        let source = fs_err::canonicalize(&mount.source).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
                io::ErrorKind::PermissionDenied => "it may not be looked at".to_owned(),
                _ => error.to_string(),
            };
            RunFailure::new(format!("cannot mount {}", mount.source.display()), why)
        })?;
        let destination = if source.is_dir() {
            root.directory(&mount.destination)
        } else {
            root.file(&mount.destination)
        };
        binds.push(Bind {
            destination: destination.map_err(made)?,
            source,
            writable: mount.writable,
        });
    }
    let temporary = request
        .temporary
        .iter()
        .map(|path| root.directory(path).map_err(made))
        .collect::<Result<Vec<_>, _>>()?;
    // As `docker run` does, where they become volumes of their own.
    for volume in &of.volumes {
        if let Err(error) = root.directory(volume) {
            warnings.push(format!("the image declares a volume: {error}"));
        }
    }
    let wanted = request.directory.as_ref().unwrap_or(&process.directory);
    let wanted = cleaned(Path::new(wanted));
    let mut over = binds.iter().map(|bind| &bind.destination).chain(&temporary);
    let directory = if over.any(|over| wanted.starts_with(over)) {
        wanted
    } else {
        root.directory(&wanted).map_err(made)?
    };
    let mut environment = process.environment(&request.environment, &request.host_name, &user.home);
    if request.terminal && environment.iter().all(|(name, _)| name != "TERM") {
        // As `docker run -t` has it.
        environment.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let sandbox = Sandbox {
        root: root.path().to_owned(),
        writable: !request.read_only,
        binds,
        temporary,
        environment,
        directory,
        user: user.id,
        group: user.group,
        network: request.network,
        host_name: request.host_name.clone(),
        calls: Calls {
            nested_namespaces: request.nested_namespaces,
            ..Calls::default()
        },
    };
    Ok(Prepared {
        sandbox,
        command,
        warnings,
    })
}

fn user(request: &Request, process: &Process, root: &Root) -> Result<User, RunFailure> {
    let wanted = request.user.as_ref().unwrap_or(&process.user);
    let what = || format!("cannot run as user {wanted:?}");
    let list = |path: &str| {
        root.read(Path::new(path))
            .map(Option::unwrap_or_default)
            .map_err(|error| RunFailure::new(what(), error.to_string()))
    };
    User::find(wanted, &list("/etc/passwd")?, &list("/etc/group")?).map_err(|error| {
        let failure = RunFailure::new(what(), error.to_string());
        match error {
            UserError::Number(_) => failure.hinted("--user names another"),
            UserError::User(_) | UserError::Group(_) => {
                failure.hinted("name it by its number with --user")
            }
        }
    })
}
