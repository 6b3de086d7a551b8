//! The files by which programs find hosts.

use std::path::{Path, PathBuf};

use ohoci_sandbox::{Bind, Network, Root, RootError, local_hosts, root::cleaned};

use super::failure::RunFailure;
use super::request::Request;

const HOSTS: &str = "/etc/hosts";
const RESOLV: &str = "/etc/resolv.conf";

/// How many symlinks are followed for one path: as many as Linux does.
const MAX_LINKS: usize = 40;

/// These files, put over the image's as every container runtime does: without them not even `localhost`
/// has an address. What is made for them lies in `scratch`. Also gives what deserves a second look.
pub(super) fn binds(
    request: &Request,
    scratch: &Path,
    (root, is_image): (&Root, bool),
) -> Result<(Vec<Bind>, Vec<String>), RunFailure> {
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
        let file = scratch.join("hosts");
        fs_err::write(&file, hosts)
            .map_err(|error| RunFailure::new("cannot write a temporary file", error.to_string()))?;
        files.push((file, HOSTS));
    }
    // A directory of this machine without /etc gets none, unless there is a name that has to lead somewhere.
    if !is_image && request.hosts.is_empty() && root.find(Path::new("/etc")).is_none() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut binds, mut warnings) = (Vec::new(), Vec::new());
    for (source, path) in files {
        match file_behind_links(root, Path::new(path)) {
            Ok(destination) => binds.push(Bind {
                source,
                destination,
                writable: false,
            }),
            Err(error) => warnings.push(format!("hosts may not be found by name: {error}")),
        }
    }
    Ok((binds, warnings))
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
