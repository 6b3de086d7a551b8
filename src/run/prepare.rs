//! From what was asked for to a sandbox that can be started.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{Arguments, Request, RootChoice};
use crate::compose::on_base;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use ohoci_compose::compose::{ImageLayer, in_memory};
use ohoci_compose::read::{Choice, this_machine};
use ohoci_compose::{Observer, Unwatched};
use ohoci_config::environment::PATH;
use ohoci_image::Digest;
use ohoci_image::image_config::ImageConfig;
use ohoci_node::{KeptSandbox, LayerStore, SandboxError, Stack, keep};
use ohoci_sandbox::{
    Bind, Calls, CopyOnWrite, Network, Process, Root, RootError, Sandbox, User, UserError,
    Workspace, local_hosts, root::cleaned,
};
use ohoci_unpack::find_image;

/// How many symlinks are followed for one path: as many as Linux does.
const MAX_LINKS: usize = 40;

/// A sandbox, and what has to last as long as it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) sandbox: Sandbox,
    pub(super) command: Vec<OsString>,
    pub(super) root: Root,
    /// What the root file system of an image is mounted from.
    pub(super) workspace: Option<Workspace>,
    _over: Option<Over>,
}

/// The files by which programs find hosts.
const HOSTS: &str = "/etc/hosts";
const RESOLV: &str = "/etc/resolv.conf";

/// What a workspace stands on, and the sandbox that it is of, if that stays.
#[derive(Debug)]
struct Over {
    _stack: Stack,
    _kept: Option<KeptSandbox>,
}

/// An image that a root file system is made of.
struct Layers<'a> {
    config: &'a ImageConfig,
    digest: &'a Digest,
    layers: Vec<ImageLayer>,
    what: String,
    /// The name of the sandbox, if it stays.
    keep: Option<&'a str>,
}

/// Brings the image's layers into the store, if there is an image, and makes what has to be there
/// before the sandbox starts: mount points and the working directory. They are made here, because here
/// no symlink leads out of the root file system.
pub(super) async fn prepare(
    request: &Request,
    arguments: &Arguments,
    context: &Context,
) -> Result<Prepared, Failure> {
    let mut volumes = Vec::new();
    let mut of_image = None;
    let (process, root) = match &request.root {
        RootChoice::Directory(path) => {
            let root = open(path)?;
            root.lock(!request.read_only).map_err(|in_use| {
                Failure::new(
                    format!("cannot use {} as a root file system", path.display()),
                    format!("{in_use}; what that writes meanwhile, this one would start from"),
                )
                .hinted("wait for its end, or use a copy; with --read-only several can run in one")
            })?;
            (Process::default(), root)
        }
        RootChoice::Image(reference, platform) => {
            let image = find_image(&context.resolver, reference, platform.as_ref()).await?;
            let layers = Layers {
                config: &image.config,
                digest: image.digest(),
                layers: image.layers()?,
                what: format!("cannot run {reference}"),
                keep: arguments.keep.as_deref(),
            };
            let (process, root, made) = of_layers(context, layers).await?;
            volumes = declared_volumes(&image.config);
            of_image = Some(made);
            (process, root)
        }
        RootChoice::Composed(base, platform) => {
            let choice = platform
                .clone()
                .map(|platform| Choice::Platforms(vec![platform]));
            let (deps, layers) = (&arguments.deps, &arguments.layers);
            let job = on_base(base.clone(), deps, layers, choice, context).await?;
            let observer: Arc<dyn Observer> = Arc::new(Unwatched);
            let image = in_memory(&job, &context.resolver, &observer).await?;
            for warning in &image.warnings {
                output::warning(warning);
            }
            let layers = Layers {
                config: &image.config,
                digest: &image.digest,
                layers: image.layers,
                what: format!("cannot run {} on {base}", image.digest),
                keep: arguments.keep.as_deref(),
            };
            let (process, root, made) = of_layers(context, layers).await?;
            volumes = declared_volumes(&image.config);
            of_image = Some(made);
            (process, root)
        }
    };
    let command = process.command_line(request.entrypoint.as_deref(), &request.words);
    if command.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::usage("there is no program to run")
            .hinted("the image has no command of its own: name one after it"));
    }
    let user = user(request, &process, &root)?;
    let made = |error: RootError| {
        Failure::new("cannot prepare the root file system", error.to_string())
            .hinted("make it there, or use a copy of the directory that can be written")
    };
    for path in ["/proc", "/dev"] {
        let at = root.directory(Path::new(path)).map_err(made)?;
        if at != Path::new(path) {
            return Err(Failure::new(
                "cannot prepare the root file system",
                format!("its {path} is a symlink to {}", at.display()),
            ));
        }
    }
    let mut binds = names(request, context, &root)?;
    for mount in &request.mounts {
        let source = fs_err::canonicalize(&mount.source).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
                io::ErrorKind::PermissionDenied => "it may not be looked at".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(format!("cannot mount {}", mount.source.display()), why)
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
    for volume in &volumes {
        if let Err(error) = root.directory(volume) {
            output::warning(&format!("the image declares a volume: {error}"));
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
    let sandbox = Sandbox {
        root: root.path().to_owned(),
        writable: !request.read_only,
        binds,
        temporary,
        environment: process.environment(&request.environment, &request.host_name, &user.home),
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
    let (workspace, over) = of_image.unzip();
    Ok(Prepared {
        sandbox,
        command,
        root,
        workspace,
        _over: over,
    })
}

/// What an image says of programs, and its root file system.
async fn of_layers(
    context: &Context,
    image: Layers<'_>,
) -> Result<(Process, Root, (Workspace, Over)), Failure> {
    let process = Process::of(image.config)
        .map_err(|error| Failure::new(image.what.as_str(), error.to_string()))?;
    let (made_for, here) = (image.config.platform(), this_machine());
    if made_for.architecture != here.architecture {
        output::warning(&format!(
            "the image is for {made_for}, this machine is {here}"
        ));
    }
    let (workspace, over) = writable(context, image).await?;
    let root = workspace
        .view()
        .map_err(|error| Failure::new("cannot prepare the root file system", error.to_string()))?;
    Ok((process, root, (workspace, over)))
}

/// A root file system that can be written, over an image's layers in the store.
async fn writable(context: &Context, image: Layers<'_>) -> Result<(Workspace, Over), Failure> {
    let what = image.what.as_str();
    let store = context.layer_store()?;
    // Before anything is downloaded.
    let kept = match image.keep {
        None => None,
        Some(name) => {
            let sandbox = store.sandbox(name, image.digest);
            Some(sandbox.map_err(|error| not_kept(name, &error))?)
        }
    };
    let stack = keep(&store, image.layers, what).await?;
    let failed = |error: io::Error| Failure::new(what, error.to_string());
    let scratch = &context.work_dir;
    let way = copy_on_write(context, &store).map_err(failed)?;
    let directories = stack.directories().to_vec();
    let (workspace, is_new) = match &kept {
        None => (Workspace::over(&way, directories, scratch), true),
        Some(kept) => {
            let workspace = Workspace::kept(&way, directories, &kept.directory());
            (workspace, kept.is_new())
        }
    };
    let workspace = workspace.map_err(failed)?;
    if is_new {
        workspace.set_root_mode(stack.root_mode()).map_err(failed)?;
    }
    let over = Over {
        _stack: stack,
        _kept: kept,
    };
    Ok((workspace, over))
}

/// How this machine makes a root file system that can be written. That it mounts overlays is remembered
/// until it is started anew, for these namespaces: in a container with the same store it may be
/// otherwise. Trying takes as long as starting a program does.
fn copy_on_write(context: &Context, store: &LayerStore) -> io::Result<CopyOnWrite> {
    let scratch = &context.work_dir;
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let device = fs_err::metadata(scratch)?.dev();
    let namespace = |kind: &str| match fs_err::read_link(format!("/proc/self/ns/{kind}")) {
        Ok(name) => name.display().to_string(),
        Err(_) => String::new(),
    };
    let (mounts, users) = (namespace("mnt"), namespace("user"));
    let here = format!("{} {mounts} {users} {device}", boot.trim());
    if !boot.is_empty() && store.mounts_overlays(&here) {
        return Ok(CopyOnWrite::Overlay);
    }
    let path = context.environment.get(PATH);
    let (way, why) = CopyOnWrite::find(path.as_deref(), scratch)?;
    match why {
        Some(why) => output::note(&format!(
            "this machine mounts no overlay ({why}); using {} instead",
            way.name()
        )),
        None => store.remember_overlays(&here),
    }
    Ok(way)
}

/// That a sandbox whose writes stay cannot be had, and why.
pub(crate) fn not_kept(name: &str, error: &SandboxError) -> Failure {
    let failure = Failure::new(format!("cannot use the sandbox {name}"), error.to_string());
    match error {
        SandboxError::Name(_) => Failure::usage(error.to_string()),
        SandboxError::OtherImage(_) => failure.hinted(format!(
            "`ohoci reset {name}` takes away what was written to it, or use another name"
        )),
        SandboxError::NotFound => failure.hinted("`ohoci reset --list` lists those that there are"),
        SandboxError::InUse | SandboxError::Io(_) => failure,
    }
}

/// The directories that an image says are volumes.
fn declared_volumes(config: &ImageConfig) -> Vec<PathBuf> {
    let inner = config.document().object().get("config");
    let volumes = inner.and_then(|inner| inner.get("Volumes")?.as_object());
    let paths = volumes.into_iter().flat_map(|volumes| volumes.keys());
    paths
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .collect()
}

/// The file at a path, made where a symlink leads to if that is a place that is not there: images
/// that run systemd have their `resolv.conf` below `/run`, which is empty in an image.
fn file_behind_links(root: &Root, path: &Path) -> Result<PathBuf, RootError> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = root.directory(at.parent().unwrap_or(Path::new("/")))?;
        let Some(name) = at.file_name() else {
            break;
        };
        let here = parent.join(name);
        let inside = here.strip_prefix("/").unwrap_or(&here);
        match root.link(inside) {
            Some(target) => at = cleaned(&parent.join(target)),
            None => return root.file(&here),
        }
    }
    root.file(path)
}

fn open(path: &Path) -> Result<Root, Failure> {
    Root::open(path).map_err(|error| {
        Failure::new(
            format!("cannot use {} as a root file system", path.display()),
            error.to_string(),
        )
    })
}

fn user(request: &Request, process: &Process, root: &Root) -> Result<User, Failure> {
    let wanted = request.user.as_ref().unwrap_or(&process.user);
    let what = || format!("cannot run as user {wanted:?}");
    let list = |path: &str| {
        root.read(Path::new(path))
            .map(Option::unwrap_or_default)
            .map_err(|error| Failure::new(what(), error.to_string()))
    };
    User::find(wanted, &list("/etc/passwd")?, &list("/etc/group")?).map_err(|error| {
        let failure = Failure::new(what(), error.to_string());
        match error {
            UserError::Number(_) => failure.hinted("--user names another"),
            UserError::User(_) | UserError::Group(_) => {
                failure.hinted("name it by its number with --user")
            }
        }
    })
}

/// The files by which programs find hosts, put over the image's as every container runtime does:
/// without them not even `localhost` has an address.
fn names(request: &Request, context: &Context, root: &Root) -> Result<Vec<Bind>, Failure> {
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    let mut hosts = match request.network {
        Network::None | Network::DeadEnd => local_hosts(&request.host_name),
        Network::Host => {
            if let Ok(file) = fs_err::canonicalize(RESOLV) {
                files.push((file, RESOLV));
            }
            fs_err::read_to_string(HOSTS).unwrap_or_default()
        }
    };
    for (name, address) in &request.hosts {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    if !hosts.is_empty() {
        let file = context.work_dir.join("hosts");
        fs_err::write(&file, hosts)
            .map_err(|error| Failure::new("cannot write a temporary file", error.to_string()))?;
        files.push((file, HOSTS));
    }
    // A root file system without /etc has programs that know no names either.
    if root.find(Path::new("/etc")).is_none() {
        return Ok(Vec::new());
    }
    let mut binds = Vec::new();
    for (source, path) in files {
        match file_behind_links(root, Path::new(path)) {
            Ok(destination) => binds.push(Bind {
                source,
                destination,
                writable: false,
            }),
            Err(error) => output::warning(&format!("hosts may not be found by name: {error}")),
        }
    }
    Ok(binds)
}
