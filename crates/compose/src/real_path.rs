//! Where paths of an image lead, as Linux follows them.

/// Most symlinks on the way to something, as in Linux.
pub(crate) const MOST_LINKS: usize = 40;

/// Why a walk along a path ends early.
pub(crate) enum Stopped<E> {
    /// Symlinks lead in a circle, or there are too many.
    Circle,
    /// Something on the way.
    By(E),
}

/// Walks along an absolute path and gives where it ends, from the root and without a slash in front.
/// `look` is shown what has been reached, by its path, and whether it is the end; it gives the target
/// where that is a symlink which is to be followed.
pub(crate) fn walk<'a, E>(
    path: &str,
    mut look: impl FnMut(&str, bool) -> Result<Option<&'a str>, E>,
) -> Result<String, Stopped<E>> {
    let mut names = reversed(path);
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(name) = names.pop() {
        match name.as_str() {
            "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(name),
        }
        let target = look(&done.join("/"), names.is_empty()).map_err(Stopped::By)?;
        if let Some(target) = target {
            links += 1;
            if links > MOST_LINKS {
                return Err(Stopped::Circle);
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            names.extend(reversed(target));
        }
    }
    Ok(done.join("/"))
}

/// Where an absolute path really stands, from the root and without a slash in front: symlinks among its
/// directories are followed, one at its end is not, and what is not there is taken as it is written.
/// `link` says what the symlink at a path leads to. `None` when they never end.
pub(crate) fn real_path<'a>(path: &str, link: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let above = |path: &str, is_end| Ok::<_, ()>(if is_end { None } else { link(path) });
    walk(path, above).ok()
}

/// The names of a path, the last one first.
fn reversed(path: &str) -> Vec<String> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.rev().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_among_directories_are_followed_and_one_at_the_end_is_not() {
        let link = |path: &str| match path {
            "bin" => Some("usr/bin"),
            "usr/lib" => Some("/opt/lib"),
            "a" => Some("b"),
            "b" => Some("a"),
            _ => None,
        };
        for (path, real) in [
            ("/bin/sh", Some("usr/bin/sh")),
            ("/bin", Some("bin")),
            ("/usr/lib/x/../y", Some("opt/lib/y")),
            ("/../../etc/./passwd", Some("etc/passwd")),
            ("/a/x", None),
        ] {
            assert_eq!(real_path(path, link).as_deref(), real, "{path}");
        }
    }
}
