//! Python packages of a recipe: from an index into a virtual environment, without being run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ohoci_deps::lock::{self, LockedFile, PlatformFiles, PythonPackage};
use ohoci_deps::recipe::Recipe;
use sha2::{Digest as _, Sha256};
use testbed::debian::key::SignatureSettings;
use testbed::debian::{Archive, Deb};

use super::{Project, SIGNED};
use crate::support::peer::sha256;

const WHEEL: &str = "pkg-1.0-py3-none-any.whl";

/// A zip of stored files.
pub(crate) fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<Member<'_>> = files
        .iter()
        .map(|(name, content)| Member::file(name, content))
        .collect();
    zip_of(&members)
}

/// A member of a zip, which may say what is not so.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    /// Stored like this, whatever `method` says.
    pub(crate) content: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) size: u32,
    pub(crate) checksum: u32,
    pub(crate) mode: u32,
}

impl<'a> Member<'a> {
    pub(crate) fn file(name: &'a str, content: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        Self {
            name,
            content: content.to_vec(),
            method: 0,
            size: u32::try_from(content.len()).unwrap(),
            checksum: crc.sum(),
            mode: 0o100_644,
        }
    }
}

pub(crate) fn zip_of(members: &[Member<'_>]) -> Vec<u8> {
    let (mut whole, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let compressed = u32::try_from(member.content.len()).unwrap().to_le_bytes();
        let length = u16::try_from(member.name.len()).unwrap().to_le_bytes();
        let mut common = vec![20, 0, 0, 0];
        common.extend(member.method.to_le_bytes());
        common.extend([0, 0, 0x21, 0]);
        common.extend(member.checksum.to_le_bytes());
        common.extend(compressed);
        common.extend(member.size.to_le_bytes());
        common.extend(length);
        common.extend([0, 0]);
        let offset = u32::try_from(whole.len()).unwrap().to_le_bytes();
        whole.extend(b"PK\x03\x04");
        whole.extend(&common);
        whole.extend(member.name.as_bytes());
        whole.extend(&member.content);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend(member.mode.rotate_left(16).to_le_bytes());
        directory.extend(offset);
        directory.extend(member.name.as_bytes());
    }
    let start = u32::try_from(whole.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    whole.extend(directory);
    whole.extend(b"PK\x05\x06\0\0\0\0");
    whole.extend(count);
    whole.extend(count);
    whole.extend(size);
    whole.extend(start);
    whole.extend([0, 0]);
    whole
}

/// `pkg` 1.0, with a module and a program.
pub(crate) fn wheel() -> Vec<u8> {
    zip(&wheel_files(&[]))
}

/// The files of that, and more, all of them recorded.
pub(crate) fn wheel_files<'a>(more: &[(&'a str, &[u8])]) -> Vec<(&'a str, Vec<u8>)> {
    let mut files: Vec<(&str, Vec<u8>)> = [
        ("pkg/__init__.py", "def main(): print('hello')\n"),
        (
            "pkg-1.0.dist-info/METADATA",
            "Metadata-Version: 2.4\nName: pkg\nVersion: 1.0\nLicense-Expression: ISC\n",
        ),
        (
            "pkg-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (
            "pkg-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nhello = pkg:main\n",
        ),
    ]
    .map(|(path, text)| (path, text.as_bytes().to_vec()))
    .to_vec();
    files.extend(more.iter().map(|(path, content)| (*path, content.to_vec())));
    let mut record = String::new();
    for (path, content) in &files {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        record.push_str(&format!("{path},sha256={hash},{}\n", content.len()));
    }
    record.push_str("pkg-1.0.dist-info/RECORD,,\n");
    files.push(("pkg-1.0.dist-info/RECORD", record.into_bytes()));
    files
}

/// A source distribution with these files below its one directory.
pub(super) fn sdist(name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("{name}/{path}"), content.as_bytes())
            .unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// A project with an interpreter, and a recipe and a lock that name the wheel.
pub(super) fn project(wheel: &[u8]) -> Project {
    project_of(WHEEL, wheel, false)
}

/// The same of a wheel, or of a source distribution without what its build script makes.
fn project_of(name: &str, content: &[u8], without_build_script: bool) -> Project {
    let archive = Archive::new("trixie").package(
        Deb::new("python3.13-minimal", "3.13.5-2+b1", "amd64")
            .file("./usr/bin/python3.13", b"an interpreter"),
    );
    let project = Project::of(&archive);
    project.ohoci.write(
        "work/layers/core.toml",
        "name = \"core\"\nplatforms = [\"linux/amd64\"]\n[debian]\nsuite = \"trixie\"\n\
         keyring = \"key.gpg\"\npackages = [\"python3.13-minimal\"]\n",
    );
    project.locked();
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap()
        + "[python]\nversion = \"3.13\"\nrequirements = [\"pkg\"]\ntarget = \"poetry/oh\"\n"
        + match without_build_script {
            true => "allow-sdist = [\"pkg\"]\nskip-build-script = [\"pkg\"]\n",
            false => "",
        };
    project.ohoci.write("work/layers/core.toml", text);
    let (_, reason) = project.deps(4, &["lock", "layers/core.toml", "--check"]);
    assert!(
        reason.contains("core asks for pkg, not locked yet"),
        "{reason}"
    );
    // What `ohoci deps lock` writes of packages that uv resolved; uv is not there everywhere.
    let recipe = Recipe::load(&recipe).unwrap();
    let mut lock = lock::read(&recipe.lock_path()).unwrap().unwrap();
    lock.feature[0].inputs = lock::inputs_of(&recipe.features[0]);
    lock.python.push(PythonPackage {
        name: "pkg".to_owned(),
        version: "1.0".to_owned(),
        feature: "core".to_owned(),
        requested: true,
        without_build_script,
        file: PlatformFiles::any(LockedFile {
            path: format!("pkg/{name}"),
            size: content.len() as u64,
            digest: sha256(content).parse().unwrap(),
        }),
    });
    lock::write(&recipe.lock_path(), &lock).unwrap();
    project.deps(0, &["lock", "layers/core.toml", "--check"]);
    let index = project.mirror.url();
    project.ohoci.write(
        "config/uv/uv.toml",
        format!("index-url = \"{index}simple/\"\n"),
    );
    let mut files: BTreeMap<String, Vec<u8>> =
        archive.files(&project.key, SignatureSettings::at(SIGNED));
    let page = format!(
        "<a href=\"../../files/{name}#sha256={}\">{name}</a>",
        sha256(content).trim_start_matches("sha256:")
    );
    files.insert("simple/pkg/".to_owned(), page.into_bytes());
    files.insert(format!("files/{name}"), content.to_vec());
    project.mirror.put(files);
    project
}

/// The files of the one layer of `oci:out:deps`.
fn files(project: &Project) -> BTreeMap<String, String> {
    let layout = project.ohoci.work().join("out");
    let json = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    };
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = json(layout.join("index.json"));
    let manifest = json(blob(&index["manifests"][0]["digest"]));
    let layer = fs_err::File::open(blob(&manifest["layers"][0]["digest"])).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        let text = match entry.link_name().unwrap() {
            Some(target) => format!("-> {}", target.display()),
            None => String::from_utf8_lossy(&text).into_owned(),
        };
        found.insert(path, text);
    }
    found
}

#[test]
fn wheels_become_an_environment_below_the_prefix() {
    let project = project(&wheel());
    project.mirror.take_requests();
    let build = ["build", "layers/core.toml", "-o", "oci:out:deps"];
    project.deps(0, &build);
    let files = files(&project);
    let environment = "openhands/poetry/oh";
    assert_eq!(
        files[&format!("{environment}/pyvenv.cfg")],
        "home = /openhands/micromamba/bin\ninclude-system-site-packages = false\nversion = 3.13.5\n"
    );
    assert_eq!(
        files[&format!("{environment}/bin/python")],
        "-> /openhands/micromamba/bin/python3.13"
    );
    let program = &files[&format!("{environment}/bin/hello")];
    assert!(
        program.starts_with("#!/openhands/poetry/oh/bin/python -E\n"),
        "{program}"
    );
    assert!(files.contains_key(&format!(
        "{environment}/lib/python3.13/site-packages/pkg/__init__.py"
    )));
    assert!(files["openhands/share/ohoci/core.json"].contains("python:pkg"));
    // What is cached is asked for nowhere.
    project.mirror.take_requests();
    project.deps(0, &[&build[..], &["--offline"]].concat());
    assert!(project.mirror.take_requests().is_empty());
}

#[test]
fn a_project_of_poetrys_is_installed_without_being_built() {
    let sdist = sdist(
        "pkg-1.0",
        &[
            (
                "PKG-INFO",
                "Metadata-Version: 2.4\nName: pkg\nVersion: 1.0\nLicense-Expression: ISC\n",
            ),
            (
                "pyproject.toml",
                "[build-system]\nbuild-backend = \"poetry.core.masonry.api\"\n[tool.poetry]\n\
                 packages = [{ include = \"pkg\", from = \"lib\" },\n\
                 { include = \"pyproject.toml\", to = \"pkg\" }]\n\
                 exclude = [\"lib/pkg/tests\"]\nbuild = \"make.py\"\n\
                 [tool.poetry.scripts]\nhello = \"pkg:main\"\n",
            ),
            ("lib/pkg/__init__.py", "def main(): print('hello')\n"),
            ("lib/pkg/tests/test.py", ""),
            ("make.py", "raise SystemExit('a build ran')"),
        ],
    );
    let project = project_of("pkg-1.0.tar.gz", &sdist, true);
    project.deps(0, &["build", "layers/core.toml", "-o", "oci:out:deps"]);
    let files = files(&project);
    let packages = "openhands/poetry/oh/lib/python3.13/site-packages/";
    let below = |path: &&String| path.starts_with(packages) && !path.ends_with('/');
    let names: Vec<&str> = files
        .keys()
        .filter(below)
        .map(|path| path.trim_start_matches(packages))
        .collect();
    assert!(names.contains(&"pkg/__init__.py") && names.contains(&"pkg/pyproject.toml"));
    assert!(
        !names
            .iter()
            .any(|name| name.contains("tests") || name.contains("make.py"))
    );
    assert!(files["openhands/poetry/oh/bin/hello"].contains("from pkg import main"));
    // The lock alone does not let a build script pass that the recipe does not.
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    fs_err::write(&recipe, text.replace("skip-build-script = [\"pkg\"]\n", "")).unwrap();
    let (_, said) = project.deps(
        1,
        &["build", "layers/core.toml", "--locked", "-o", "oci:o:1"],
    );
    assert!(said.contains("lock"), "{said}");
}

#[test]
fn an_audit_knows_python_packages_by_their_records() {
    let project = project(&wheel());
    project.deps(0, &["build", "layers/core.toml", "-o", "oci:out:deps"]);
    let audit = ["audit", "oci:out:deps", "--licences", "--sizes"];
    let (text, _) = project.deps(0, &audit);
    for expected in [
        "licences: named by 1, to be read for 0, not said by 0 packages",
        "python:pkg  ISC",
        "works on any base",
        "by package:",
        "by folder:",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let (json, _) = project.deps(0, &[&audit[..], &["--format", "json"]].concat());
    let reports: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(reports[0]["licences"]["python:pkg"]["named"][0], "ISC");
    let packages = reports[0]["sizes"]["by_package"]["parts"][0]["parts"]
        .as_array()
        .unwrap();
    let package = packages
        .iter()
        .find(|part| part["name"] == "python:pkg")
        .unwrap();
    // All that the wheel has, what was made of it, and the list of it all.
    assert_eq!(package["files"], 8);
    assert_eq!(package["parts"][0]["name"], "poetry");
}

#[test]
fn a_wheel_that_is_not_what_was_locked_is_not_used() {
    let project = project(&wheel());
    let other = zip(&[("pkg/__init__.py", b"other".to_vec())]);
    project
        .mirror
        .put(BTreeMap::from([(format!("files/{WHEEL}"), other)]));
    let (_, stderr) = project.deps(1, &["fetch", "layers/core.toml"]);
    assert!(stderr.contains("pkg 1.0 for linux/amd64"), "{stderr}");
    project.mirror.remove("simple/pkg/");
    let (_, stderr) = project.deps(1, &["fetch", "layers/core.toml"]);
    assert!(stderr.contains("does not know the package"), "{stderr}");
    assert!(stderr.contains("(line "), "{stderr}");
}
