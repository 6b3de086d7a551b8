use super::*;
use crate::python::wheel::tests::{read_wheel, wheel as wheel_of};

fn layout() -> Layout {
    Layout::new(path("poetry/oh"), 13, "/p/poetry/oh/bin/python3")
}

fn environment() -> Environment {
    Environment::new(layout(), "/p/micromamba/bin", "3.13.5")
}

fn distribution(files: &[(&str, &[u8])]) -> Distribution {
    read_wheel(&wheel_of(files)).unwrap()
}

fn text(tree: &Tree, at: &str) -> String {
    let entry = tree.get(&path(at)).unwrap_or_else(|| panic!("no {at}"));
    let Kind::File(content) = &entry.kind else {
        panic!("{at} is a {}", entry.kind.noun());
    };
    String::from_utf8(distribution::read_small(content).unwrap()).unwrap()
}

const SITE: &str = "poetry/oh/lib/python3.13/site-packages";

#[test]
fn an_environment_is_complete_without_running_anything() {
    let tree = environment().finish().unwrap();
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(
        paths,
        [
            "/poetry",
            "/poetry/oh",
            "/poetry/oh/bin",
            "/poetry/oh/bin/python",
            "/poetry/oh/bin/python3",
            "/poetry/oh/bin/python3.13",
            "/poetry/oh/lib64",
            "/poetry/oh/pyvenv.cfg",
        ]
    );
    assert!(text(&tree, "poetry/oh/pyvenv.cfg").starts_with("home = /p/micromamba/bin\n"));
    let python = &tree.get(&path("poetry/oh/bin/python")).unwrap().kind;
    assert_eq!(python.noun(), "symlink");
}

#[test]
fn files_go_where_their_scheme_says() {
    let mut environment = environment();
    let installed = environment
        .add(
            &distribution(&[
                ("pkg/__init__.py", b""),
                ("pkg/__pycache__/__init__.cpython-313.pyc", b"bytecode"),
                ("pkg/old.py", b""),
                ("pkg/old.pyc", b"bytecode"),
                ("pkg/only.pyc", b"the module itself"),
                ("pkg-1.0.data/purelib/pure.py", b""),
                ("pkg-1.0.data/platlib/plat.py", b""),
                ("pkg-1.0.data/scripts/tool", b"#!python -u\nimport pkg\n"),
                ("pkg-1.0.data/scripts/shell", b"#!/bin/sh\n"),
                ("pkg-1.0.data/scripts/main-script.py", b"#!/build/python\n"),
                ("pkg-1.0.data/headers/sub/x.h", b""),
                ("pkg-1.0.data/data/share/man/man1/x.1", b""),
                (
                    "pkg-1.0.dist-info/entry_points.txt",
                    b"[console_scripts]\nmain = pkg:main\n",
                ),
                ("pkg-1.0.dist-info/INSTALLER", b"theirs"),
                ("pkg-1.0.dist-info/direct_url.json", b"{}"),
            ]),
            true,
        )
        .unwrap();
    assert_eq!(installed.bytecode, 2);
    let tree = environment.finish().unwrap();
    let files: Vec<String> = tree
        .iter()
        .filter(|(_, entry)| matches!(entry.kind, Kind::File(_)))
        .map(|(path, _)| path.to_string().replace(&format!("/{SITE}"), ""))
        .collect();
    insta::assert_snapshot!(files.join("\n"), @r"
    /poetry/oh/bin/main
    /poetry/oh/bin/shell
    /poetry/oh/bin/tool
    /poetry/oh/include/site/python3.13/pkg/sub/x.h
    /pkg-1.0.dist-info/INSTALLER
    /pkg-1.0.dist-info/METADATA
    /pkg-1.0.dist-info/RECORD
    /pkg-1.0.dist-info/REQUESTED
    /pkg-1.0.dist-info/WHEEL
    /pkg-1.0.dist-info/entry_points.txt
    /pkg/__init__.py
    /pkg/old.py
    /pkg/only.pyc
    /plat.py
    /pure.py
    /poetry/oh/pyvenv.cfg
    /poetry/oh/share/man/man1/x.1
    ");
    assert_eq!(
        text(&tree, "poetry/oh/bin/tool"),
        "#!/p/poetry/oh/bin/python3\nimport pkg\n"
    );
    for program in ["main", "shell", "tool"] {
        let entry = tree
            .get(&path(&format!("poetry/oh/bin/{program}")))
            .unwrap();
        assert_eq!(entry.mode, 0o755, "{program}");
    }
    assert_eq!(
        text(&tree, &format!("{SITE}/pkg-1.0.dist-info/INSTALLER")),
        "ohoci\n"
    );
}

#[test]
fn files_are_left_out_but_for_those_to_keep_and_what_a_package_says_of_itself() {
    let patterns = |texts: &[&str]| -> Vec<crate::place::Glob> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let drop = patterns(&[
        "pkg/data/**",
        "**/*.h",
        "**/LICENSE",
        "pkg-1.0.dist-info/**",
    ]);
    let mut environment =
        environment().without(&drop, &patterns(&["pkg/data/*.json", "pkg/data/used/**"]));
    environment
        .add(
            &distribution(&[
                ("pkg/__init__.py", b""),
                (
                    "pkg/LICENSE",
                    b"may be dropped: no licence that the package names",
                ),
                ("pkg/data/list.json", b""),
                ("pkg/data/other/1.json", b"{}"),
                ("pkg/data/used/1.json", b"{}"),
                ("pkg/include/x.h", b""),
                ("pkg-1.0.data/data/share/x.h", b"not below site-packages"),
                ("pkg-1.0.dist-info/licenses/LICENSE", b"free"),
            ]),
            false,
        )
        .unwrap();
    let tree = environment.finish().unwrap();
    let files: Vec<String> = tree
        .iter()
        .filter(|(_, entry)| matches!(entry.kind, Kind::File(_)))
        .map(|(path, _)| path.to_string().replace(&format!("/{SITE}"), ""))
        .collect();
    insta::assert_snapshot!(files.join("\n"), @r"
    /pkg-1.0.dist-info/INSTALLER
    /pkg-1.0.dist-info/METADATA
    /pkg-1.0.dist-info/RECORD
    /pkg-1.0.dist-info/WHEEL
    /pkg-1.0.dist-info/licenses/LICENSE
    /pkg/__init__.py
    /pkg/data/list.json
    /pkg/data/used/1.json
    /poetry/oh/pyvenv.cfg
    /poetry/oh/share/x.h
    ");
    let record = text(&tree, &format!("{SITE}/pkg-1.0.dist-info/RECORD"));
    assert!(record.contains("pkg/data/used/1.json") && !record.contains("other"));
    let directories = tree.iter().filter(|(_, entry)| entry.is_directory());
    assert!(
        !directories
            .into_iter()
            .any(|(path, _)| path.name() == b"other")
    );
}

#[test]
fn the_record_says_what_is_there() {
    let mut environment = environment();
    environment
        .add(
            &distribution(&[
                ("pkg.py", b"x"),
                (
                    "pkg-1.0.dist-info/entry_points.txt",
                    b"[console_scripts]\nmain = pkg:main\n",
                ),
            ]),
            false,
        )
        .unwrap();
    let tree = environment.finish().unwrap();
    let text = text(&tree, &format!("{SITE}/pkg-1.0.dist-info/RECORD"));
    let recorded = crate::python::record::parse(&text).unwrap();
    assert!(text.lines().is_sorted());
    let paths: Vec<&str> = recorded.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "../../../bin/main",
            "pkg-1.0.dist-info/INSTALLER",
            "pkg-1.0.dist-info/METADATA",
            "pkg-1.0.dist-info/RECORD",
            "pkg-1.0.dist-info/WHEEL",
            "pkg-1.0.dist-info/entry_points.txt",
            "pkg.py",
        ]
    );
    let sizes: u64 = recorded.values().filter_map(|line| line.size).sum();
    let files = tree.iter().filter(|(path, _)| {
        !path.as_bytes().ends_with(b"RECORD") && !path.as_bytes().ends_with(b"pyvenv.cfg")
    });
    let found: u64 = files
        .map(|(_, entry)| match &entry.kind {
            Kind::File(content) => content.size(),
            _ => 0,
        })
        .sum();
    assert_eq!(sizes, found);
}

#[test]
fn what_would_overwrite_something_is_refused() {
    for (files, why) in [
        (
            [("pkg-1.0.data/data/bin/python", b"x".as_slice())],
            "the environment itself",
        ),
        (
            [("pkg-1.0.data/data/pyvenv.cfg", b"home = /evil")],
            "the environment itself",
        ),
        ([("pkg-1.0.data/evil/x", b"")], "unknown scheme"),
        ([("pkg-1.0.data/scripts", b"")], "no scheme"),
    ] {
        let error = environment().add(&distribution(&files), false).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let twice = distribution(&[("a.py", b"1"), ("pkg-1.0.data/purelib/a.py", b"2")]);
    let error = environment().add(&twice, false).unwrap_err().to_string();
    assert!(
        error.contains("goes to /lib/python3.13/site-packages/a.py as well"),
        "{error}"
    );
    let mut environment = environment();
    environment.add(&distribution(&[]), false).unwrap();
    let error = environment.add(&distribution(&[]), false).unwrap_err();
    assert!(error.to_string().contains("there already"), "{error}");
}

#[test]
fn two_packages_may_share_a_file_but_not_a_name() {
    let other = |files: &[(&str, &[u8])]| {
        let mut other = distribution(files);
        other.name = PackageName::parse("other").unwrap();
        other.dist_info = "other-1.0.dist-info".to_owned();
        other.file = "other-1.0-py3-none-any.whl".to_owned();
        other
            .files
            .retain(|path, _| !path.as_bytes().starts_with(b"pkg-1.0"));
        other
    };
    let mut environment = environment();
    let ours = [("ns/__init__.py", b"same".as_slice())];
    environment.add(&distribution(&ours), false).unwrap();
    environment.add(&other(&ours), false).unwrap();
    let mut third = other(&[("ns/__init__.py", b"else")]);
    third.name = PackageName::parse("third").unwrap();
    let error = environment.add(&third, false).unwrap_err().to_string();
    assert!(error.contains("other-1.0-py3-none-any.whl: "), "{error}");
    assert!(error.contains("pkg-1.0-py3-none-any.whl brings"), "{error}");
}

#[test]
fn paths_outside_the_environment_are_refused() {
    let with_code = distribution(&[
        (
            "x.pth",
            b"import os; os.x
sub
",
        ),
        ("sub/y.pth", b"import z"),
    ]);
    environment().add(&with_code, false).unwrap();
    let outside = distribution(&[("x.pth", b"/usr/lib/python3/dist-packages\n")]);
    let error = environment().add(&outside, false).unwrap_err().to_string();
    assert!(error.contains("which is outside"), "{error}");
}
