//! Recipes over small archives for two platforms.

use super::super::freeze::{freeze, frozen};
use super::*;
use crate::lock::Lock;

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Lines `name version architecture dependencies`.
fn archive(lines: &str) -> String {
    lines
        .trim()
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.trim().splitn(4, ' ').collect();
            let depends = words.get(3).copied().unwrap_or_default();
            format!(
                "Package: {0}\nVersion: {1}\nArchitecture: {2}\nDepends: {depends}\n\
                 Filename: pool/{0}_{1}_{2}.deb\nSize: 3\nSHA256: {HASH}\n\n",
                words[0], words[1], words[2]
            )
        })
        .collect()
}

struct Layers(tempfile::TempDir);

impl Layers {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(directory.path().join(format!("{name}.toml")), text).unwrap();
        }
        Self(directory)
    }

    fn recipe(&self, name: &str) -> Recipe {
        Recipe::load(&self.0.path().join(format!("{name}.toml"))).unwrap()
    }
}

const CORE: &str = "name = \"core\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
    [debian]\nsuite = \"trixie\"\npackages = [\"bash\", \"ca\"]\n";

const ARCHIVE: &str = "bash 5 amd64 libc6
    bash 5+b1 arm64 libc6
    libc6 2 amd64
    libc6 2 arm64
    ca 1 all
    git 1 amd64 libc6, libonly
    git 1 arm64 libc6
    libonly 1 amd64";

fn resolve_all(
    recipe: &Recipe,
    text: &str,
    lock: Option<(&Lock, &str)>,
) -> Result<Resolution, Vec<ConfigError>> {
    let update: BTreeSet<String> = lock.iter().map(|(_, name)| (*name).to_owned()).collect();
    let platforms: Vec<(&Platform, Vec<_>)> = recipe
        .platforms
        .iter()
        .map(|platform| {
            let kept = lock.map(|(lock, _)| frozen(lock, &platform.to_string(), &update));
            (platform, kept.unwrap_or_default())
        })
        .collect();
    let available: Vec<_> = platforms
        .iter()
        .map(|(platform, kept)| {
            let mut index = Index::new();
            index.add(text, "trixie", &platform.architecture).unwrap();
            freeze(&mut index, kept, "trixie").unwrap();
            Available { platform, index }
        })
        .collect();
    resolve(recipe, &available)
}

fn shown(packages: &[DebianPackage]) -> Vec<String> {
    packages
        .iter()
        .map(|package| {
            let files: Vec<&str> = package.file.keys().map(String::as_str).collect();
            format!(
                "{} {} in {} for {}",
                package.name,
                package.version,
                package.feature,
                files.join(", ")
            )
        })
        .collect()
}

#[test]
fn a_package_has_one_block_for_what_platforms_share_and_is_in_the_lowest_layer() {
    let layers = Layers::new(&[
        ("core", CORE),
        (
            "dev",
            "name = \"dev\"\nrequires = [\"core\"]\n[debian]\nsuite = \"trixie\"\npackages = [\"git\", \"bash\"]\n",
        ),
    ]);
    let resolution = resolve_all(&layers.recipe("dev"), &archive(ARCHIVE), None).unwrap();
    assert_eq!(
        shown(&resolution.packages),
        [
            "bash 5 in core for linux/amd64",
            "bash 5+b1 in core for linux/arm64",
            "ca 1 in core for any",
            "git 1 in dev for linux/amd64, linux/arm64",
            "libc6 2 in core for linux/amd64, linux/arm64",
            "libonly 1 in dev for linux/amd64",
        ]
    );
    let git = &resolution.packages[3];
    let needs: Vec<&str> = git.needs.iter().map(String::as_str).collect();
    assert_eq!(needs, ["libc6", "libonly"]);
}

#[test]
fn problems_are_shown_where_they_come_from() {
    let text = CORE.replace("\"ca\"", "\"bahs\"")
        + "choose = { \"aa | bb\" = \"cc\" }\nexclude = { dd = \"why\" }\n";
    let layers = Layers::new(&[("core", &text)]);
    let lines = "bash 5 amd64 aa | bb
        bash 5 arm64 gone
        ca 1 all
        aa 1 amd64
        bb 1 amd64";
    let errors = resolve_all(&layers.recipe("core"), &archive(lines), None).unwrap_err();
    let at = format!("{}/", layers.0.path().display());
    let shown: Vec<String> = errors
        .iter()
        .map(|error| error.to_string().replace(&at, ""))
        .collect();
    assert_eq!(
        shown,
        [
            "core.toml:5:21: the archive has no package bahs",
            "core.toml:6:24: bash depends on aa | bb, which aa or bb could satisfy; the recipe \
             chooses cc for \"aa | bb\", which cannot (on linux/amd64)",
            "core.toml:3:1: bash depends on gone, but the archive has nothing of that name (on \
             linux/arm64)",
        ]
    );
    assert_eq!(errors[0].hint(), Some("did you mean \"bash\"?"));
}

#[test]
fn entries_without_effect_are_noted() {
    let text = CORE.to_owned()
        + "choose = { awk = \"mawk\" }\nexclude = { libc6 = \"why\", zz = \"why\" }\n";
    let layers = Layers::new(&[("core", &text)]);
    let resolution = resolve_all(&layers.recipe("core"), &archive(ARCHIVE), None).unwrap();
    assert_eq!(resolution.packages.len(), 3);
    let notes: Vec<&str> = resolution
        .notes
        .iter()
        .filter_map(|note| note.split("core.toml:").nth(1))
        .collect();
    assert_eq!(
        notes,
        [
            "7:28: the exclusion of \"zz\" makes no difference",
            "6:12: the choice of \"awk\" makes no difference",
        ]
    );
}

#[test]
fn one_package_can_be_updated_and_the_others_stay() {
    let layers = Layers::new(&[("core", CORE)]);
    let recipe = layers.recipe("core");
    let mut lock = Lock::new("core", &recipe.platforms);
    lock.debian = resolve_all(&recipe, &archive(ARCHIVE), None)
        .unwrap()
        .packages;

    let newer = archive(
        "bash 6 amd64 libc6 (>= 2), libnew
         bash 6 arm64 libc6 (>= 2), libnew
         libc6 3 amd64
         libc6 3 arm64
         libnew 1 all
         ca 2 all",
    );
    let updated = resolve_all(&recipe, &newer, Some((&lock, "bash"))).unwrap();
    assert_eq!(
        shown(&updated.packages),
        [
            "bash 6 in core for linux/amd64, linux/arm64",
            "ca 1 in core for any",
            "libc6 2 in core for linux/amd64, linux/arm64",
            "libnew 1 in core for any",
        ]
    );
    assert_eq!(updated.packages[1..3], lock.debian[2..]);

    let too_new = newer.replace("libc6 (>= 2)", "libc6 (>= 3)");
    let errors = resolve_all(&recipe, &too_new, Some((&lock, "bash"))).unwrap_err();
    assert!(
        errors[0]
            .why()
            .contains("libc6 (>= 3), but the archive has libc6 2")
    );
}
