//! Which directory of a Debian system becomes which below the prefix.

use super::machine::Machine;
use ohoci_layer::LayerPath;

/// The loader, below the prefix. Its name says `ld-linux` because programs that want to know
/// their C library look for that in their interpreter's path.
pub const LOADER: &str = "lib/ld-linux-oh";

/// Where a path goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// This path below the prefix.
    At(LayerPath),
    /// Only a container of what goes elsewhere: `/usr`.
    Container,
    /// Nothing below the prefix stands for it: `/run/lock`.
    Nowhere,
}

/// Where a path of a Debian system goes.
///
/// `/bin`, `/sbin` and `/lib*` count as those in `/usr` (Debian's merged `/usr`). All programs
/// go to `tools/bin`, libraries of the machine and everything else in `/usr/lib` to `lib`, and
/// Python's interpreter to `micromamba`, where it finds its own library beside itself.
#[must_use]
pub fn destination(path: &LayerPath, machine: Machine) -> Destination {
    let mut names: Vec<&[u8]> = path.names().collect();
    let below_usr = names.first() == Some(&b"usr".as_slice());
    if below_usr {
        names.remove(0);
    }
    let Some((top, rest)) = names.split_first() else {
        return Destination::Container;
    };
    match (*top, below_usr) {
        (b"bin" | b"sbin", _) | (b"games", true) => match rest {
            [name] if is_python(name) => at("micromamba/bin", rest),
            _ => at("tools/bin", rest),
        },
        (b"lib" | b"lib64", _) => in_lib(rest, machine),
        (b"share", true) => at("share", rest),
        (b"libexec", true) => at("libexec", rest),
        (b"include", true) => at("include", rest),
        (b"etc", false) => at("etc", rest),
        (b"opt", false) => at("opt", rest),
        (b"var", false) => at("var", rest),
        _ => Destination::Nowhere,
    }
}

fn in_lib(names: &[&[u8]], machine: Machine) -> Destination {
    match names {
        [triplet, name]
            if *triplet == machine.triplet().as_bytes() && *name == machine.loader().as_bytes() =>
        {
            at(LOADER, &[])
        }
        [triplet, rest @ ..] if *triplet == machine.triplet().as_bytes() => at("lib", rest),
        [name, ..] if is_python(name) => at("micromamba/lib", names),
        [b"terminfo", rest @ ..] => at("share/terminfo", rest),
        _ => at("lib", names),
    }
}

/// `python3`, `python3.13`: the interpreter and its library, but not `python3.13-config` or
/// `pythonize`.
fn is_python(name: &[u8]) -> bool {
    name.strip_prefix(b"python3")
        .is_some_and(|version| version.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}

fn at(directory: &str, rest: &[&[u8]]) -> Destination {
    let mut bytes = directory.as_bytes().to_vec();
    for name in rest {
        bytes.push(b'/');
        bytes.extend_from_slice(name);
    }
    // Only a path close to the longest that Linux knows can fail here.
    LayerPath::parse(&bytes).map_or(Destination::Nowhere, Destination::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_paths_have_their_place() {
        for (path, expected) in [
            ("usr/bin/git", "tools/bin/git"),
            ("bin/sh", "tools/bin/sh"),
            ("usr/sbin/zic", "tools/bin/zic"),
            ("usr/bin/python3.13", "micromamba/bin/python3.13"),
            ("usr/bin/python3-config", "tools/bin/python3-config"),
            (
                "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "lib/ld-linux-oh",
            ),
            ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-x86-64.so.2"),
            ("lib/x86_64-linux-gnu/libc.so.6", "lib/libc.so.6"),
            ("usr/lib/x86_64-linux-gnu", "lib"),
            (
                "usr/lib/aarch64-linux-gnu/libc.so.6",
                "lib/aarch64-linux-gnu/libc.so.6",
            ),
            ("usr/lib/git-core/git", "lib/git-core/git"),
            (
                "usr/lib/python3.13/os.py",
                "micromamba/lib/python3.13/os.py",
            ),
            ("lib/terminfo/x/xterm", "share/terminfo/x/xterm"),
            ("usr/share/doc", "share/doc"),
            ("etc/ssl/openssl.cnf", "etc/ssl/openssl.cnf"),
        ] {
            let found = destination(&LayerPath::parse(path.as_bytes()).unwrap(), Machine::Amd64);
            let expected = LayerPath::parse(expected.as_bytes()).unwrap();
            assert_eq!(found, Destination::At(expected), "{path}");
        }
        for (path, expected) in [
            ("usr", Destination::Container),
            (".", Destination::Container),
            ("run/lock", Destination::Nowhere),
            ("usr/local/bin/x", Destination::Nowhere),
            ("usr/etc/x", Destination::Nowhere),
        ] {
            let path = LayerPath::parse(path.as_bytes()).unwrap();
            assert_eq!(destination(&path, Machine::Amd64), expected, "{path}");
        }
    }
}
