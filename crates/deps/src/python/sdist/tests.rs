use super::*;
use ohoci_layer::Entry;
use ohoci_layer::tar_write::TarWriter;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (path, content) in files {
        let path = LayerPath::parse(path.as_bytes()).unwrap();
        let entry = Entry::new(Kind::File(content.len() as u64), 0o644);
        writer
            .append(&path, &entry, &mut content.as_bytes())
            .unwrap();
    }
    writer.finish().unwrap()
}

/// Reads a source distribution of `pkg-name` 1.0 with these files below its directory.
fn read(files: &[(&str, &str)]) -> Result<Distribution, PythonError> {
    let mut all = vec![(
        "PKG-INFO",
        "Metadata-Version: 1.1\nName: pkg-name\nVersion: 1.0\n",
    )];
    all.extend_from_slice(files);
    let named: Vec<(String, &str)> = all
        .into_iter()
        .map(|(path, content)| (format!("pkg_name-1.0/{path}"), content))
        .collect();
    let named: Vec<(&str, &str)> = named
        .iter()
        .map(|(path, content)| (path.as_str(), *content))
        .collect();
    read_archive("pkg_name-1.0.tar.gz", &archive(&named))
}

fn read_archive(name: &str, bytes: &[u8]) -> Result<Distribution, PythonError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sdist");
    fs_err::write(&path, bytes).unwrap();
    let spool = Spool::create(directory.path()).unwrap();
    let file = fs_err::File::open(path).unwrap();
    read_file(name, file, BuildScript::Refused, &spool)
}

const EGG: [(&str, &str); 2] = [
    ("src/pkg_name.egg-info/top_level.txt", "pkg\nmod\n"),
    ("src/pkg_name.egg-info/requires.txt", "dep>=1\n[x]\nother\n"),
];

#[test]
fn what_setuptools_wrote_down_decides() {
    let read = read(&[
        EGG[0],
        EGG[1],
        (
            "src/pkg_name.egg-info/entry_points.txt",
            "[console_scripts]\nx = pkg:main\n",
        ),
        ("src/pkg/__init__.py", ""),
        ("src/pkg/data/table.json", "{}"),
        ("src/mod.py", ""),
        ("src/module.py", "not mod"),
        (
            "setup.py",
            "from setuptools import setup\nsetup(packages=['pkg'])\n",
        ),
        ("tests/test_pkg.py", ""),
        ("LICENSE", "text"),
    ])
    .unwrap();
    let paths: Vec<String> = read.files().map(|(path, _)| path.to_string()).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    /mod.py
    /pkg/__init__.py
    /pkg/data/table.json
    /pkg_name-1.0.dist-info/METADATA
    /pkg_name-1.0.dist-info/WHEEL
    /pkg_name-1.0.dist-info/entry_points.txt
    /pkg_name-1.0.dist-info/licenses/LICENSE
    /pkg_name-1.0.dist-info/top_level.txt
    ");
    assert_eq!(read.requires(), ["dep>=1", "other; extra == \"x\""]);
    assert!(read.programs.contains_key("x"));
    assert_eq!(read.licences().files.len(), 1);
}

#[test]
fn projects_that_say_it_themselves_need_no_notes() {
    let project = "[build-system]\nbuild-backend = 'flit_core.buildapi'\n\
                   [project]\nname = 'pkg-name'\n[project.scripts]\nx = 'pkg_name:main'\n";
    let files = [
        ("pyproject.toml", project),
        ("src/pkg_name/__init__.py", ""),
        ("tests/__init__.py", ""),
    ];
    let read_one = read(&files).unwrap();
    assert_eq!(
        read_one.files().last().unwrap().0.to_string(),
        "/pkg_name/__init__.py"
    );
    assert!(read_one.programs.contains_key("x"));

    let twice = read(&[files[0], files[1], ("pkg_name.py", "")]).unwrap_err();
    assert!(twice.to_string().contains("2 packages"), "{twice}");
    let later = project.replace("[project]", "[project]\ndynamic = ['scripts']");
    let later = read(&[("pyproject.toml", &later), files[1]]).unwrap_err();
    assert!(
        later.to_string().contains("leaves scripts to a build"),
        "{later}"
    );
    let unknown = project.replace("flit_core.buildapi", "own.backend");
    let unknown = read(&[("pyproject.toml", &unknown), files[1]]).unwrap_err();
    assert!(unknown.to_string().contains("own.backend"), "{unknown}");
}

#[test]
fn what_must_be_built_is_refused_with_the_reason() {
    let package = ("src/pkg/__init__.py", "");
    let module = ("src/mod.py", "");
    for (file, why) in [
        (("src/pkg/fast.c", ""), "src/pkg/fast.c is not Python"),
        (("src/pkg/fast.pyx", ""), "fast.pyx is not Python"),
        (("src/pkg/fast.cpython-313.so", ""), "is not Python"),
        (("rust/Cargo.toml", ""), "has to be built"),
        (
            ("setup.py", "setup(ext_modules=[])"),
            "mentions ext_modules",
        ),
        (
            ("setup.py", "setup(\n  scripts = ['x'])"),
            "mentions scripts",
        ),
        (
            ("setup.cfg", "[options.data_files]\n"),
            "[options.data_files]",
        ),
        (
            ("pyproject.toml", "[build-system]\nbackend-path = ['.']\n"),
            "backend-path",
        ),
    ] {
        let error = read(&[EGG[0], package, module, file]).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().is_some());
    }
    let missing = read(&[EGG[0], package]).unwrap_err();
    assert!(
        missing.to_string().contains("mod is not where"),
        "{missing}"
    );
    let nothing = read(&[package]).unwrap_err();
    assert!(
        nothing.to_string().contains("not written in it"),
        "{nothing}"
    );
}

#[test]
fn what_poetry_leaves_in_the_archive_need_not_be_python() {
    let project = "[build-system]\nbuild-backend = 'poetry.core.masonry.api'\n[tool.poetry]\n\
                   [tool.poetry.dependencies]\npython = '^3.12'\ndep = '^1.2'\n";
    let files = [
        ("pyproject.toml", project),
        ("pkg_name/__init__.py", ""),
        ("tests/fixture/fast.c", ""),
        ("setup.py", "setup(ext_modules=[])"),
    ];
    let read_one = read(&files).unwrap();
    assert_eq!(read_one.requires(), ["dep>=1.2,<2.0"]);
    let inside = [files[0], files[1], ("pkg_name/fast.so", "")];
    let error = read(&inside).unwrap_err().to_string();
    assert!(error.contains("pkg_name/fast.so is not Python"), "{error}");
    let scripted = project.replace("[tool.poetry]\n", "[tool.poetry]\nbuild = 'b.py'\n");
    let error = read(&[("pyproject.toml", &scripted), files[1]]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a script that only a build runs")
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("add it to skip-build-script")
    );
}

#[test]
fn archives_that_mean_harm_are_refused() {
    let other = [("PKG-INFO", "Name: other\nVersion: 1.0\n")];
    let error = read(&other).unwrap_err().to_string();
    assert!(error.starts_with("pkg_name-1.0.tar.gz: "), "{error}");
    let spread = archive(&[("pkg_name-1.0/PKG-INFO", ""), ("elsewhere/x.py", "")]);
    let error = read_archive("pkg_name-1.0.tar.gz", &spread).unwrap_err();
    assert!(error.to_string().contains("one directory"), "{error}");
    let mut writer = TarWriter::new(Vec::new());
    let path = LayerPath::parse(b"pkg_name-1.0/x.py").unwrap();
    let link: Entry<u64> = Entry::new(Kind::Symlink(b"/etc/passwd".to_vec()), 0o777);
    writer.append(&path, &link, &mut std::io::empty()).unwrap();
    let error = read_archive("pkg_name-1.0.tar.gz", &writer.finish().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("a symlink is not expected"),
        "{error}"
    );
    assert!(read_archive("pkg_name-1.0.zip", b"").is_err());
}
