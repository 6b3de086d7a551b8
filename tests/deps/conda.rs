//! Environments of conda's packages in recipes: solved, locked without hosts, linked below the prefix.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use testbed::file_server::FileServer;

use super::build::{document, json_of, listing};
use super::python::zip;
use crate::support::command::Ohoci;
use crate::support::peer::sha256;

/// A channel on a server, and a recipe that has an environment of it.
struct Project {
    ohoci: Ohoci,
    server: FileServer,
}

/// A tar of files; those of `bin` can be run.
fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if path.starts_with("bin/") {
            0o755
        } else {
            0o644
        });
        archive
            .append_data(&mut header, path, content.as_slice())
            .unwrap();
    }
    zstd::encode_all(archive.into_inner().unwrap().as_slice(), 1).unwrap()
}

/// A package as its channel lists it, and its file.
fn package(
    index: Value,
    files: &[(&str, &str)],
    entry_points: &[&str],
) -> (String, Value, Vec<u8>) {
    let text = |key: &str| index[key].as_str().unwrap().to_owned();
    let stem = format!("{}-{}-{}", text("name"), text("version"), text("build"));
    let placeholder = "/build/placehold_placehold_placehold";
    let paths: Vec<Value> = files
        .iter()
        .map(|(path, content)| {
            let mut entry = json!({"_path": path, "path_type": "hardlink", "sha256": sha256(content.as_bytes())});
            if content.contains(placeholder) {
                entry["prefix_placeholder"] = placeholder.into();
                entry["file_mode"] = "text".into();
            }
            entry
        })
        .collect();
    let mut info = vec![
        ("info/index.json".to_owned(), index.to_string().into_bytes()),
        (
            "info/paths.json".to_owned(),
            json!({"paths": paths, "paths_version": 1})
                .to_string()
                .into_bytes(),
        ),
    ];
    if !entry_points.is_empty() {
        let link = json!({"noarch": {"type": "python", "entry_points": entry_points}, "package_metadata_version": 1});
        info.push(("info/link.json".to_owned(), link.to_string().into_bytes()));
    }
    let files: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()))
        .collect();
    let archive = zip(&[
        (
            "metadata.json",
            b"{\"conda_pkg_format_version\": 2}".to_vec(),
        ),
        (&format!("pkg-{stem}.tar.zst"), tar_of(&files)),
        (&format!("info-{stem}.tar.zst"), tar_of(&info)),
    ]);
    let mut listed = index;
    listed["sha256"] = sha256(&archive).trim_start_matches("sha256:").into();
    listed["size"] = archive.len().into();
    (format!("{stem}.conda"), listed, archive)
}

impl Project {
    fn new() -> Self {
        let server = FileServer::start(BTreeMap::new());
        let ohoci = Ohoci::new();
        ohoci.write(
            "work/ohoci.toml",
            format!("[mirrors]\nconda = [\"{}conda/\"]\n", server.url()),
        );
        let project = Self { ohoci, server };
        project.publish("1.0");
        project.recipe("specs = [\"tool >=1\", \"python=3.12\"]\ndrop = [\"share/doc\"]");
        project
    }

    /// Serves the channel, with that version of `tool`.
    fn publish(&self, version: &str) {
        let python = package(
            json!({"name": "python", "version": "3.12.7", "build": "h1_0", "build_number": 0, "license": "Python-2.0",
                "depends": ["__glibc >=2.17"], "subdir": "linux-64"}),
            &[
                (
                    "bin/python3.12",
                    "#!/bin/sh\nexec /build/placehold_placehold_placehold/lib/python\n",
                ),
                ("lib/python3.12/os.py", "import sys\n"),
                ("share/doc/python/README", "read me\n"),
            ],
            &[],
        );
        let other = package(
            json!({"name": "python", "version": "3.13.1", "build": "h1_0", "build_number": 0, "depends": [],
                "subdir": "linux-64"}),
            &[],
            &[],
        );
        let scripted = package(
            json!({"name": "scripted", "version": "1", "build": "0", "build_number": 0, "depends": [],
                "subdir": "linux-64"}),
            &[("bin/.scripted-post-link.sh", "echo linked\n")],
            &[],
        );
        let tool = package(
            json!({"name": "tool", "version": version, "build": "py_0", "build_number": 0, "license": "BSD-3-Clause",
                "depends": ["python >=3.8"], "subdir": "noarch", "noarch": "python"}),
            &[("site-packages/tool/__init__.py", "def main(): pass\n")],
            &["tool = tool:main"],
        );
        let micromamba = package(
            json!({"name": "micromamba", "version": "2.8.1", "build": "0", "build_number": 0, "depends": [],
                "license": "BSD-3-Clause", "subdir": "linux-64"}),
            &[("bin/micromamba", "#!/bin/sh\necho of its own\n")],
            &[],
        );
        let mut files = BTreeMap::new();
        for (subdir, packages) in [
            ("linux-64", vec![python, other, scripted, micromamba]),
            ("noarch", vec![tool]),
        ] {
            let mut list = serde_json::Map::new();
            for (name, listed, archive) in packages {
                files.insert(format!("conda/forge/{subdir}/{name}"), archive);
                list.insert(name, listed);
            }
            let list = json!({"info": {"subdir": subdir}, "packages": {}, "packages.conda": list});
            files.insert(
                format!("conda/forge/{subdir}/repodata.json"),
                list.to_string().into_bytes(),
            );
        }
        self.server.put(files);
    }

    /// Writes the recipe with these lines of its table.
    fn recipe(&self, lines: &str) {
        let text = format!(
            "name = \"env\"\nplatforms = [\"linux/amd64\"]\n\n[conda]\nchannels = [\"forge\"]\n\
             target = \"micromamba/envs/openhands\"\n{lines}\n"
        );
        self.ohoci.write("work/layers/env.toml", text);
    }

    #[track_caller]
    fn deps(&self, code: i32, arguments: &[&str]) -> String {
        let outcome = self.ohoci.run([&["deps"], arguments].concat()).exits(code);
        match code {
            0 => outcome.stdout,
            _ => outcome.stderr,
        }
    }

    #[track_caller]
    fn locked(&self) -> String {
        self.deps(0, &["lock", "layers/env.toml"]);
        fs_err::read_to_string(self.ohoci.work().join("layers/env.lock")).unwrap()
    }

    /// The files in all layers of the only image in a layout.
    fn files(&self, name: &str) -> BTreeMap<String, String> {
        let layout: PathBuf = self.ohoci.work().join(name);
        let mut manifest = document(&layout, &json_of(layout.join("index.json"))["manifests"][0]);
        if manifest["manifests"].is_array() {
            manifest = document(&layout, &manifest["manifests"][0]);
        }
        let layers = manifest["layers"].as_array().unwrap();
        let files = layers.iter().flat_map(|layer| listing(&layout, layer));
        files.collect()
    }
}

#[test]
fn an_environment_is_solved_locked_without_hosts_and_linked_below_the_prefix() {
    let project = Project::new();
    let lock = project.locked();
    assert!(
        !lock.contains("127.0.0.1") && !lock.contains("://"),
        "{lock}"
    );
    for line in [
        "kind = \"conda\"",
        "version = \"3.12.7=h1_0\"",
        "licence = \"Python-2.0\"",
        "forge/linux-64/python-3.12.7-h1_0.conda",
        "forge/noarch/tool-1.0-py_0.conda",
    ] {
        assert!(lock.contains(line), "{line}: {lock}");
    }
    assert!(!lock.contains("3.13.1"), "{lock}");
    project.deps(0, &["fetch", "layers/env.toml"]);
    project.server.take_requests();
    let build = [
        "build",
        "layers/env.toml",
        "--offline",
        "--locked",
        "--format",
        "json",
        "-o",
    ];
    let digest = |out: &str| {
        let report: Value =
            serde_json::from_str(&project.deps(0, &[&build[..], &[out]].concat())).unwrap();
        report["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("oci:out:x"), digest("oci:again:x"));
    assert_eq!(project.server.take_requests(), []);
    let files = project.files("out");
    let root = "openhands/micromamba/envs/openhands";
    let program = &files[&format!("{root}/bin/python3.12")];
    assert!(
        program.contains("exec /openhands/micromamba/envs/openhands/lib/python"),
        "{program}"
    );
    let script = &files[&format!("{root}/bin/tool")];
    assert!(
        script.starts_with(&format!("#!/{root}/bin/python")),
        "{script}"
    );
    assert!(files.contains_key(&format!(
        "{root}/lib/python3.12/site-packages/tool/__init__.py"
    )));
    assert!(!files.keys().any(|path| path.contains("share/doc")));
    let record = &files[&format!("{root}/conda-meta/tool-1.0-py_0.json")];
    assert!(
        record.contains("BSD-3-Clause") && !record.contains("127.0.0.1"),
        "{record}"
    );
    let licences = project.deps(0, &["audit", "oci:out:x", "--licences"]);
    assert!(
        licences.contains("conda:tool") && licences.contains("Python-2.0"),
        "{licences}"
    );
}

/// As `docs/deps.md` has it: the program in one feature, the environment that it is asked for in another.
#[test]
fn micromamba_and_the_environment_of_openhands_are_features_of_one_image() {
    let project = Project::new();
    project.ohoci.write(
        "work/layers/micromamba.toml",
        "name = \"micromamba\"\nplatforms = [\"linux/amd64\"]\n\n[conda]\nchannels = [\"forge\"]\n\
         specs = [\"micromamba\"]\ntarget = \"micromamba\"\n",
    );
    project.ohoci.write(
        "work/layers/both.toml",
        "profile = \"both\"\nfeatures = [\"micromamba\", \"env\"]\n",
    );
    project.deps(0, &["lock", "layers/both.toml"]);
    project.deps(
        0,
        &["build", "layers/both.toml", "--locked", "-o", "oci:both:x"],
    );
    let files = project.files("both");
    let root = "openhands/micromamba";
    assert!(files[&format!("{root}/bin/micromamba")].contains("of its own"));
    for path in [
        "conda-meta/micromamba-2.8.1-0.json",
        "envs/openhands/bin/python3.12",
        "envs/openhands/conda-meta/python-3.12.7-h1_0.json",
        "envs/openhands/conda-meta/history",
    ] {
        assert!(files.contains_key(&format!("{root}/{path}")), "{path}");
    }
    let licences = project.deps(0, &["audit", "oci:both:x", "--licences"]);
    for package in ["conda:micromamba", "conda:python", "conda:tool"] {
        assert!(licences.contains(package), "{licences}");
    }
}

#[test]
fn what_is_locked_stays_until_it_is_updated() {
    let project = Project::new();
    let lock = project.locked();
    project.publish("1.5");
    fs_err::remove_dir_all(project.ohoci.work().join("../cache")).unwrap();
    project.deps(0, &["lock", "layers/env.toml", "--check"]);
    project.deps(0, &["lock", "layers/env.toml", "--update", "tool"]);
    let updated = fs_err::read_to_string(project.ohoci.work().join("layers/env.lock")).unwrap();
    assert!(updated.contains("tool-1.5-py_0.conda"), "{updated}");
    assert_ne!(updated, lock);
    project.recipe("specs = [\"tool\"]");
    project.deps(4, &["lock", "layers/env.toml", "--check"]);
}

#[test]
fn a_conflict_a_script_and_an_unknown_channel_have_messages_of_their_own() {
    let project = Project::new();
    project.recipe("specs = [\"python=3.12\", \"python=3.13\"]");
    let said = project.deps(1, &["lock", "layers/env.toml"]);
    assert!(
        said.contains("no packages for linux/amd64") && said.contains("__glibc=2.17=0"),
        "{said}"
    );
    assert!(said.contains("python 3.13.*"), "{said}");
    project.recipe("specs = [\"python 3.12 0 x\"]");
    let said = project.deps(1, &["lock", "layers/env.toml"]);
    assert!(
        said.contains("asks for no package") && said.contains("env.toml:7"),
        "{said}"
    );
    project.recipe("specs = [\"scripted\"]");
    project.locked();
    let build = ["build", "layers/env.toml", "--locked", "-o", "oci:out:x"];
    let said = project.deps(1, &build);
    assert!(said.contains("skip-scripts = [\"scripted\"]"), "{said}");
    project.recipe("specs = [\"scripted\"]\nskip-scripts = [\"scripted\"]");
    project.deps(0, &build);
    project.ohoci.write("work/ohoci.toml", "");
    fs_err::remove_dir_all(project.ohoci.work().join("../cache")).unwrap();
    let said = project.deps(1, &build);
    assert!(
        said.contains("nothing says where the channel forge is"),
        "{said}"
    );
}
