//! `ohoci deps build`: from a lock to a deps image, the same one every time.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;
use testbed::debian::{Archive, Deb};

use super::{Project, archive};

/// The project of the other tests, with a patch, a link and a wrapper.
fn project() -> Project {
    let project = Project::new();
    let recipe = project.ohoci.work().join("layers/core.toml");
    let mut text = fs_err::read_to_string(&recipe).unwrap();
    text.push_str(
        "\n[patch.env]\nPATH = \"/openhands/bin:${PATH}\"\n\n[[link]]\nat = \"tools/bin/same\"\n\
         to = \"tools/bin/tool\"\n\n[[link]]\nat = \"tools/bin/ours\"\nto = \"bin/oh-tool\"\n\n[[wrapper]]\nname = \"oh-tool\"\nfrom = \"../oh-tool\"\n",
    );
    project.ohoci.write("work/layers/core.toml", &text);
    project
        .ohoci
        .write("work/oh-tool", "#!/openhands/tools/bin/tool\n");
    project
}

pub(super) fn json_of(path: impl AsRef<std::path::Path>) -> Value {
    serde_json::from_slice(&fs_err::read(path.as_ref()).unwrap()).unwrap()
}

/// A blob of a layout as JSON, by the descriptor that names it.
pub(super) fn document(layout: &std::path::Path, descriptor: &Value) -> Value {
    json_of(blob(layout, descriptor))
}

fn blob(layout: &std::path::Path, descriptor: &Value) -> std::path::PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Path, kind and target or content of everything in a layer.
pub(super) fn listing(layout: &std::path::Path, descriptor: &Value) -> BTreeMap<String, String> {
    let file = fs_err::File::open(blob(layout, descriptor)).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let what = match entry.link_name().unwrap() {
            Some(target) => format!("-> {}", target.display()),
            None => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text).unwrap();
                String::from_utf8_lossy(&text).into_owned()
            }
        };
        found.insert(path.trim_end_matches('/').to_owned(), what);
    }
    found
}

#[test]
fn a_recipe_becomes_an_index_with_a_layer_per_feature() {
    let project = project();
    project.locked();
    let (stdout, _) = project.deps(0, &["build", "layers/core.toml", "-o", "oci:out:deps"]);
    assert_eq!(stdout.trim_end(), "oci:out:deps");
    let layout = project.ohoci.work().join("out");
    let index = json_of(layout.join("index.json"));
    let root = document(&layout, &index["manifests"][0]);
    for (at, architecture) in [(0, "amd64"), (1, "arm64")] {
        assert_eq!(
            root["manifests"][at]["platform"]["architecture"],
            architecture
        );
        let manifest = document(&layout, &root["manifests"][at]);
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let config = document(&layout, &manifest["config"]);
        let patch = config["config"]["Labels"]["ohoci.patch"].as_str().unwrap();
        let patch: Value = serde_json::from_str(patch).unwrap();
        assert_eq!(patch["env"]["PATH"], "/openhands/bin:${PATH}");
        let files = listing(&layout, &manifest["layers"][0]);
        assert_eq!(files["openhands/tools/bin/tool"], "1.0-1");
        assert_eq!(files["openhands/tools/bin/same"], "-> tool");
        assert_eq!(files["openhands/tools/bin/ours"], "-> ../../bin/oh-tool");
        assert_eq!(files["openhands/lib/libtool.so"], architecture);
        assert!(files["openhands/bin/oh-tool"].starts_with("#!/openhands/"));
        assert!(
            files.keys().all(|path| path.starts_with("openhands")),
            "{files:?}"
        );
    }
}

#[test]
fn the_same_lock_gives_the_same_digest_elsewhere_offline_and_with_other_threads() {
    let project = project();
    project.locked();
    let digest = |out: &str, more: &[&str]| {
        let target = format!("oci:{out}:deps");
        let start = ["build", "layers/core.toml", "--format", "json", "-o"];
        let arguments = [&start[..], &[&target], more].concat();
        let (stdout, _) = project.deps(0, &arguments);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        report["digest"].as_str().unwrap().to_owned()
    };
    let first = digest("one", &["--threads", "1"]);
    project.mirror.take_requests();
    assert_eq!(digest("two", &["--threads", "4", "--offline"]), first);
    assert_eq!(project.asked_for(), []);
    let only = digest("three", &["--platform", "linux/arm64"]);
    assert_ne!(only, first);
    assert_ne!(digest("four", &["--compression", "zstd"]), first);
}

#[test]
fn without_the_network_what_is_missing_is_named() {
    let project = project();
    project.locked();
    let (_, stderr) = project.deps(
        1,
        &["build", "layers/core.toml", "-o", "oci:out:x", "--offline"],
    );
    assert!(stderr.contains("for amd64 is not in the cache"), "{stderr}");
    assert!(stderr.contains("ohoci deps fetch"), "{stderr}");
    assert!(!project.ohoci.work().join("out").exists());
}

#[test]
fn a_lock_is_made_unless_it_has_to_be_there() {
    let project = project();
    let (_, stderr) = project.deps(
        1,
        &["build", "layers/core.toml", "-o", "oci:out:x", "--locked"],
    );
    assert!(stderr.contains("there is no lock"), "{stderr}");
    project.deps(0, &["build", "layers/core.toml", "-o", "oci:out:x"]);
    assert!(project.lock().contains("libtool"));
}

#[test]
fn a_layer_that_would_not_work_everywhere_stops_the_build() {
    // A program of this machine's, whose libraries no package brings.
    let program = fs_err::read("/bin/true").unwrap();
    let archive = Archive::new("trixie").package(
        Deb::new(
            "tool",
            "1",
            std::env::consts::ARCH
                .replace("x86_64", "amd64")
                .replace("aarch64", "arm64")
                .as_str(),
        )
        .file("./usr/bin/tool", &program),
    );
    let project = Project::of(&archive);
    let platform = if cfg!(target_arch = "aarch64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap().replace(
        "platforms = [\"linux/amd64\", \"linux/arm64\"]",
        &format!("platforms = [\"{platform}\"]"),
    );
    project.ohoci.write("work/layers/core.toml", text);
    project.locked();
    let (_, stderr) = project.deps(1, &["build", "layers/core.toml", "-o", "oci:out:x"]);
    assert!(stderr.contains("/openhands/tools/bin/tool"), "{stderr}");
    assert!(stderr.contains("libc.so.6"), "{stderr}");
    assert!(!project.ohoci.work().join("out").exists());
}

#[test]
fn parts_of_a_recipe_are_built_alone() {
    let project = Project::of(&archive());
    for (name, requires, package) in [("core", "", "mawk"), ("more", "\"core\"", "gawk")] {
        project.ohoci.write(
            format!("work/layers/{name}.toml"),
            format!(
                "name = \"{name}\"\nplatforms = [\"linux/amd64\"]\nrequires = [{requires}]\n\
                 [debian]\nsuite = \"trixie\"\nkeyring = \"key.gpg\"\npackages = [\"{package}\"]\n"
            ),
        );
    }
    project.ohoci.write(
        "work/layers/both.toml",
        "profile = \"both\"\nfeatures = [\"core\", \"more\"]\n",
    );
    let layers = |more: &[&str], code: i32| {
        let start = [
            "build",
            "layers/both.toml",
            "--format",
            "json",
            "-o",
            "oci:out:x",
        ];
        let (stdout, stderr) = project.deps(code, &[&start[..], more].concat());
        if code != 0 {
            return stderr;
        }
        let report: Value = serde_json::from_str(&stdout).unwrap();
        let layers = report["platformsBuilt"][0]["layers"].as_array().unwrap();
        let names: Vec<&str> = layers
            .iter()
            .map(|layer| layer["feature"].as_str().unwrap())
            .collect();
        names.join(" ")
    };
    assert_eq!(layers(&[], 0), "core more");
    assert_eq!(layers(&["--feature", "core"], 0), "core");
    assert_eq!(layers(&["--feature", "more"], 0), "core more");
    assert_eq!(layers(&["--without", "more"], 0), "core");
    assert!(layers(&["--without", "core"], 2).contains("needs core"));
    assert!(layers(&["--without", "cor"], 2).contains("core"));
}

/// A project whose profile `both` has the features `core` and `more`, of which the upper links into the lower.
fn two_features() -> Project {
    let project = Project::of(&archive());
    for (name, requires, package, more) in [
        ("core", "", "tool", ""),
        (
            "more",
            "\"core\"",
            "gawk",
            "[[link]]\nat = \"tools/bin/same\"\nto = \"tools/bin/tool\"\n[[wrapper]]\nname = \"oh-more\"\nfrom = \"../oh-more\"\n",
        ),
    ] {
        project.ohoci.write(
            format!("work/layers/{name}.toml"),
            format!(
                "name = \"{name}\"\nplatforms = [\"linux/amd64\"]\nrequires = [{requires}]\n\
                 [debian]\nsuite = \"trixie\"\nkeyring = \"key.gpg\"\npackages = [\"{package}\"]\n{more}"
            ),
        );
    }
    project.ohoci.write(
        "work/layers/both.toml",
        "profile = \"both\"\nfeatures = [\"core\", \"more\"]\n",
    );
    project
        .ohoci
        .write("work/oh-more", "#!/openhands/tools/bin/tool\n");
    project
}

#[test]
fn of_what_has_changed_only_the_features_own_layer_is_made_again() {
    let project = two_features();
    let kept_of = |recipe: &str, out: &str| {
        let push = format!("oci:{out}:1");
        let (_, said) = project.deps(0, &["build", recipe, "-o", &push]);
        let lines = said.lines().filter(|line| line.ends_with(", unchanged"));
        let names = lines.map(|line| line.split_whitespace().nth(1).unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let kept = |out: &str| kept_of("layers/both.toml", out);
    assert_eq!(kept("one"), "");
    assert_eq!(kept("two"), "core: more:");
    // A wrapper of the upper feature.
    project
        .ohoci
        .write("work/oh-more", "#!/openhands/tools/bin/tool\n# other\n");
    assert_eq!(kept("three"), "core:");
    // A package of the lower one: the upper's link still leads somewhere.
    let newer = archive().package(
        Deb::new("tool", "1.0-2", "amd64")
            .field("Depends", "libtool (>= 2:1.5), data | other-data")
            .file("./usr/bin/tool", b"newer"),
    );
    project.publish(&newer);
    project.deps(0, &["lock", "layers/both.toml", "--update", "tool"]);
    assert_eq!(kept("four"), "more:");
    // Words about a feature are not in its layer.
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    let text = text.replace("requires = []", "description = \"other\"\nrequires = []");
    project.ohoci.write("work/layers/core.toml", text);
    assert_eq!(kept("five"), "core: more:");
    // Other recipes with the same feature find its layer.
    project.deps(0, &["lock", "layers/core.toml"]);
    assert_eq!(kept_of("layers/core.toml", "six"), "core:");
    // What is put together of kept layers is what would be made of nothing.
    project
        .ohoci
        .write("work/oh-more", "#!/openhands/tools/bin/tool\n# third\n");
    assert_eq!(kept("seven"), "core:");
    let digest = |layout: &str| {
        let index = json_of(project.ohoci.work().join(layout).join("index.json"));
        index["manifests"][0]["digest"].clone()
    };
    let elsewhere = ["--cache-dir", "empty"];
    let start = ["build", "layers/both.toml", "-o", "oci:eight:1"];
    project.deps(0, &[&start[..], &elsewhere].concat());
    assert_eq!(digest("seven"), digest("eight"));
}

#[test]
fn a_link_into_a_lower_layer_is_looked_at_again_when_that_changes() {
    let project = two_features();
    project.deps(0, &["build", "layers/both.toml", "-o", "oci:one:1"]);
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    project.ohoci.write(
        "work/layers/core.toml",
        text + "drop = [\"usr/bin/tool\"]\n",
    );
    let (_, said) = project.deps(1, &["build", "layers/both.toml", "-o", "oci:two:1"]);
    assert!(said.contains("tools/bin/tool"), "{said}");
}

#[test]
fn a_directory_for_mounts_has_what_is_below_the_prefix() {
    let project = project();
    let build = |code: i32, to: &str, more: &[&str]| {
        let start = ["build", "layers/core.toml", "-o", to];
        project.deps(code, &[&start[..], more].concat())
    };
    let (_, said) = build(1, "dir:mount", &[]);
    assert!(said.contains("--platform"), "{said}");
    let platform = ["--platform", "linux/amd64"];
    let (stdout, _) = build(0, "dir:mount", &platform);
    assert_eq!(stdout, "dir:mount\n");
    let mount = project.ohoci.work().join("mount");
    let read = |path: &str| fs_err::read_to_string(mount.join(path)).unwrap();
    assert_eq!(read("tools/bin/tool"), "1.0-1");
    assert_eq!(read("tools/bin/same"), "1.0-1");
    assert!(read("bin/oh-tool").starts_with("#!/openhands/"));
    // It is made again as a whole.
    fs_err::write(mount.join("stranger"), "").unwrap();
    build(0, "dir:mount", &platform);
    assert!(!mount.join("stranger").exists());
    // What is somebody else's is left.
    project.ohoci.write("work/mine/letter", "dear");
    let (_, said) = build(1, "dir:mine", &platform);
    assert!(said.contains("something else in it"), "{said}");
    let names = fs_err::read_dir(project.ohoci.work()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.any(|name| name.starts_with(".m")));
}

#[test]
fn layers_that_nothing_has_changed_of_are_not_made_again() {
    let project = project();
    let build = |out: &str| {
        let push = format!("oci:{out}:1");
        let arguments = ["build", "layers/core.toml", "-o", &push, "--format", "json"];
        let (stdout, _) = project.deps(0, &arguments);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        report
    };
    let first = build("one");
    // Not even the packages are needed any more, nor the mirror.
    let blobs = project.ohoci.work().join("../cache/ohoci/blobs/sha256");
    for folder in fs_err::read_dir(blobs).unwrap() {
        for entry in fs_err::read_dir(folder.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if fs_err::read(&path).unwrap().starts_with(b"!<arch>") {
                fs_err::remove_file(path).unwrap();
            }
        }
    }
    project.mirror.take_requests();
    let again = build("two");
    assert_eq!(project.asked_for(), []);
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!(again["platformsBuilt"], first["platformsBuilt"]);
    // A file of the recipe's counts, and so does the recipe.
    project
        .ohoci
        .write("work/oh-tool", "#!/openhands/tools/bin/tool\n# other\n");
    let other = build("three");
    assert_ne!(other["digest"], first["digest"]);
    assert_ne!(project.asked_for(), []);
    assert_eq!(build("four")["digest"], other["digest"]);
}
