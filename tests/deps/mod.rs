//! `ohoci deps` against mirrors that the tests serve themselves, with keys of their own.

mod build;
mod bytecode;
mod conda;
mod elsewhere;
mod fetch;
mod hostile;
mod lock;
mod look;
pub(crate) mod python;
mod recipes;
mod sbom;
mod schema;
mod trust;
mod update;
mod versions;

use testbed::debian::key::SignatureSettings;
use testbed::debian::{Archive, Deb, Key};
use testbed::file_server::FileServer;

use crate::support::command::Ohoci;

/// When the test archives are signed: the first day of 2026.
const SIGNED: u32 = 1_767_225_600;

/// A mirror with the archive of the tests, and a project that is set up for it.
struct Project {
    ohoci: Ohoci,
    key: Key,
    mirror: FileServer,
}

/// Packages for two platforms: `tool` needs `libtool`, of which arm64 has a rebuild, and `data`.
fn archive() -> Archive {
    Archive::new("trixie")
        .package(tool("amd64", "1.0-1"))
        .package(tool("arm64", "1.0-1"))
        .package(Deb::new("libtool", "2:1.5-1", "amd64").file("./usr/lib/libtool.so", b"amd64"))
        .package(
            Deb::new("libtool", "2:1.5-1+b1", "arm64")
                .field("Source", "libtool (2:1.5-1)")
                .file("./usr/lib/libtool.so", b"arm64"),
        )
        .package(Deb::new("data", "3", "all").file("./usr/share/data", &[7; 200_000]))
        .package(Deb::new("mawk", "1", "all").field("Provides", "awk"))
        .package(Deb::new("gawk", "1", "all").field("Provides", "awk"))
}

fn tool(architecture: &str, version: &str) -> Deb {
    Deb::new("tool", version, architecture)
        .field("Depends", "libtool (>= 2:1.5), data | other-data")
        .file("./usr/bin/tool", version.as_bytes())
}

impl Project {
    fn new() -> Self {
        Self::of(&archive())
    }

    fn of(archive: &Archive) -> Self {
        let key = Key::new(1, SIGNED - 1000);
        let mirror = FileServer::start(archive.files(&key, SignatureSettings::at(SIGNED)));
        let project = Self {
            ohoci: Ohoci::new(),
            key,
            mirror,
        };
        project.configure(&format!(
            "[mirrors]\ndebian = [\"{}\"]\n",
            project.mirror.url()
        ));
        project
            .ohoci
            .write("work/layers/key.gpg", project.key.public());
        project.recipe("packages = [\"tool\"]");
        project
    }

    /// Puts another archive in the place of the mirror's.
    fn publish(&self, archive: &Archive) {
        self.mirror
            .put(archive.files(&self.key, SignatureSettings::at(SIGNED)));
    }

    fn configure(&self, text: &str) {
        self.ohoci.write("work/ohoci.toml", text);
    }

    /// Writes the recipe with these lines of its `[debian]` table.
    fn recipe(&self, lines: &str) {
        let text = format!(
            "name = \"core\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\n[debian]\n\
             suite = \"trixie\"\nkeyring = \"key.gpg\"\n{lines}\n"
        );
        self.ohoci.write("work/layers/core.toml", text);
    }

    fn lock(&self) -> String {
        fs_err::read_to_string(self.ohoci.work().join("layers/core.lock")).unwrap()
    }

    /// Runs `ohoci deps`, which must end so, and returns its output and messages.
    #[track_caller]
    fn deps(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let outcome = self.ohoci.run([&["deps"], arguments].concat()).exits(code);
        (outcome.stdout, outcome.stderr)
    }

    #[track_caller]
    fn locked(&self) -> String {
        self.deps(0, &["lock", "layers/core.toml"]);
        self.lock()
    }

    /// Where the cache keeps its blobs, all of them.
    fn cached(&self) -> usize {
        fn count(directory: &std::path::Path) -> usize {
            let Ok(entries) = fs_err::read_dir(directory) else {
                return 0;
            };
            let paths = entries.map(|entry| entry.unwrap().path());
            paths
                .map(|path| if path.is_dir() { count(&path) } else { 1 })
                .sum()
        }
        count(&self.ohoci.work().join("../cache/ohoci/blobs"))
    }

    /// The paths below `pool/` that the mirror was asked for, with the ranges.
    fn asked_for(&self) -> Vec<(String, Option<String>)> {
        let requests = self.mirror.take_requests().into_iter();
        requests
            .filter(|request| request.path.starts_with("pool/"))
            .map(|request| (request.path, request.range))
            .collect()
    }
}
