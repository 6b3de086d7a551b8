//! Projects of Poetry's, and what is said about those that mean harm.

use bytes::Bytes;

use super::super::Source;
use super::*;
use ohoci_layer::Content;

fn sources(paths: &[&str]) -> Sources {
    let source = || Source {
        content: Content::Memory(Bytes::new()),
        executable: false,
    };
    paths
        .iter()
        .map(|path| ((*path).to_owned(), source()))
        .collect()
}

fn find_in(project: &str, paths: &[&str], leave_script: bool) -> Result<Built, String> {
    let package = PackageName::parse("My.Pkg").unwrap();
    let project = toml::from_str(project).unwrap();
    find(
        &sources(paths),
        &project,
        &package,
        "my_pkg-1.data",
        leave_script,
    )
}

/// `where=from` of every file, where they differ.
fn placed(project: &str, paths: &[&str]) -> Vec<String> {
    let built = find_in(project, paths, false).unwrap();
    let shown = |(at, from): (&String, &String)| match at == from {
        true => at.clone(),
        false => format!("{at}={from}"),
    };
    built.files.iter().map(shown).collect()
}

fn refused(project: &str, paths: &[&str]) -> String {
    find_in(project, paths, false).unwrap_err()
}

#[test]
fn the_package_that_is_called_like_the_project_is_the_default() {
    let empty = "[tool.poetry]\n";
    assert_eq!(
        placed(
            empty,
            &[
                "my_pkg/__init__.py",
                "my_pkg/sub/data.json",
                "my_pkg/__pycache__/x.cpython-313.pyc",
                "my_pkg2/__init__.py",
                "tests/test.py",
            ]
        ),
        ["my_pkg/__init__.py", "my_pkg/sub/data.json"]
    );
    assert_eq!(
        placed("", &["src/my_pkg.py", "setup.py"]),
        ["my_pkg.py=src/my_pkg.py"]
    );
    assert!(refused(empty, &["my_pkg.py", "my_pkg/a.py"]).contains("both my_pkg/ and my_pkg.py"));
    assert!(refused(empty, &["other.py"]).contains("there is no package my_pkg"));
}

#[test]
fn packages_come_from_and_go_to_where_the_project_says() {
    let project = r#"
        [tool.poetry]
        packages = [
            { include = "pkg/**/*" },
            { include = "lib", from = "./src" },
            { include = "other/**/*.py", from = "src", format = "wheel" },
            { include = "project.toml", to = "pkg" },
            { include = "only_source", format = ["sdist"] },
        ]
    "#;
    let built = find_in(
        project,
        &[
            "pkg/a.py",
            "pkg/deep/er/b.txt",
            "src/lib/c.py",
            "src/other/d.py",
            "src/other/d.md",
            "src/pkg/not.py",
            "project.toml",
            "only_source/e.py",
        ],
        false,
    )
    .unwrap();
    let files: Vec<&str> = built.files.keys().map(String::as_str).collect();
    assert_eq!(
        files,
        [
            "lib/c.py",
            "other/d.py",
            "pkg/a.py",
            "pkg/deep/er/b.txt",
            "pkg/project.toml"
        ]
    );
    assert_eq!(built.top_level, ["lib", "other", "pkg"]);
    let missing = "[tool.poetry]\npackages = [{ include = 'gone' }]\n";
    assert!(refused(missing, &["my_pkg.py"]).contains("the package gone is not there"));
}

#[test]
fn excludes_take_away_what_no_include_brings_back() {
    let project = r#"
        [tool.poetry]
        exclude = ["my_pkg/tests", "**/*.txt"]
        include = [
            { path = "my_pkg/keep.txt", format = ["sdist", "wheel"] },
            { path = "NEWS.md", format = "sdist" },
            "CHANGES.md",
        ]
    "#;
    let paths = [
        "my_pkg/a.py",
        "my_pkg/tests/b.py",
        "my_pkg/keep.txt",
        "my_pkg/drop.txt",
        "NEWS.md",
        "CHANGES.md",
    ];
    assert_eq!(placed(project, &paths), ["my_pkg/a.py", "my_pkg/keep.txt"]);
    for (requires, for_wheels) in [
        ("poetry-core>=1.0.0", false),
        ("poetry-core", false),
        ("poetry-core>=1,<2", true),
        ("poetry-core~=1.9", true),
        ("poetry-core==1.0.8", true),
        ("poetry-core==2.1.0", false),
        ("poetry-core>=2.0,<3.0", false),
    ] {
        let project = format!("[build-system]\nrequires = [{requires:?}]\n{project}");
        let placed = placed(&project, &paths);
        assert_eq!(
            placed.contains(&"CHANGES.md".to_owned()),
            for_wheels,
            "{requires}"
        );
    }
}

#[test]
fn programs_are_those_of_either_table() {
    let project = r#"
        [tool.poetry.scripts]
        one = "my_pkg:one"
        two = { reference = "my_pkg:two", type = "console" }
        three = { reference = "bin/three.sh", type = "file" }
        [tool.poetry.plugins."some.group"]
        plug = "my_pkg:plug"
    "#;
    let paths = ["my_pkg.py", "bin/three.sh"];
    let built = find_in(project, &paths, false).unwrap();
    assert_eq!(
        built.entry_points.as_deref(),
        Some(
            "[console_scripts]\none = my_pkg:one\ntwo = my_pkg:two\n\n\
             [some.group]\nplug = my_pkg:plug\n\n"
        )
    );
    assert_eq!(
        &built.files["my_pkg-1.data/scripts/three.sh"],
        "bin/three.sh"
    );
    let both = format!("[project]\nname = 'x'\nscripts = {{ std = 'my_pkg:std' }}\n{project}");
    let built = find_in(&both, &paths, false).unwrap();
    let points = built.entry_points.unwrap();
    assert!(points.starts_with("[console_scripts]\nstd = my_pkg:std\n\n[some.group]"));
}

#[test]
fn a_build_script_is_left_out_only_where_that_is_asked_for() {
    for build in ["build = 'b.py'", "build = { script = 'b.py' }"] {
        let project = format!("[tool.poetry]\n{build}\n");
        let paths = ["my_pkg.py", "b.py"];
        assert_eq!(refused(&project, &paths), SCRIPT);
        let built = find_in(&project, &paths, true).unwrap();
        assert_eq!(built.files.len(), 1);
    }
}

#[test]
fn what_leads_out_of_the_archive_or_is_not_what_it_should_be_is_refused() {
    for (poetry, why) in [
        ("packages = [{ include = '../x' }]", "leads out"),
        ("packages = [{ include = '/etc/*' }]", "leads out"),
        (
            "packages = [{ include = 'my_pkg.py', to = '../../etc' }]",
            "leads out",
        ),
        (
            "packages = [{ include = '*.py', from = 'a/../..' }]",
            "leads out",
        ),
        (
            "include = [{ path = 'a\\\\..\\\\b', format = 'wheel' }]",
            "leads out",
        ),
        (
            "scripts = { x = { reference = '/bin/sh', type = 'file' } }",
            "leads out",
        ),
        ("scripts = { x = { callable = 'a:b' } }", "is not one"),
        ("scripts = { x = 1 }", "is not one"),
        ("scripts = 1", "is no table"),
        ("scripts = { x = \"a:b\\nc\" }", "two lines"),
        ("packages = ['my_pkg']", "is no table"),
        ("packages = 'my_pkg'", "is no list"),
        ("packages = [{ from = 'src' }]", "no include"),
        ("packages = [{ include = 'a**b' }]", "a**b"),
        (
            "packages = [{ include = '*', format = 'egg' }]",
            "neither sdist nor wheel",
        ),
        ("packages = []", "no packages"),
        ("package-mode = false", "no package"),
        (
            "packages = [{ include = 'my_pkg.py' }, { include = 'my_pkg.py', from = 'src' }]",
            "both go to my_pkg.py",
        ),
    ] {
        let project = format!("[tool.poetry]\n{poetry}\n");
        let error = refused(&project, &["my_pkg.py", "src/my_pkg.py"]);
        assert!(error.contains(why), "{poetry}: {error}");
    }
    let many = "'x',".repeat(MAX_PATTERNS + 1);
    let project = format!("[tool.poetry]\nexclude = [{many}]\n");
    assert!(refused(&project, &["my_pkg.py"]).contains("too many"));
    assert!(refused("tool = 1", &["my_pkg.py"]).contains("tool is no table"));
}
