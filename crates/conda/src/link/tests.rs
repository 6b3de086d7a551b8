use std::io::Read as _;

use super::*;
use crate::record::Noarch;
use bytes::Bytes;

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text.as_bytes()).unwrap()
}

fn linkable(name: &str, extra: &str, files: &[(&str, &str)], paths: &str) -> Linkable {
    let mut tree = Tree::new();
    let index = format!(
        r#"{{"name": "{name}", "version": "3.9.1", "build": "0", "build_number": 0{extra}}}"#
    );
    let paths = format!(r#"{{"paths": [{paths}], "paths_version": 1}}"#);
    let documents = [
        ("info/index.json", index.as_str()),
        ("info/paths.json", &paths),
    ];
    for (at, content) in documents.iter().chain(files) {
        let kind = match content.strip_prefix("-> ") {
            Some(target) => Kind::Symlink(target.into()),
            None => Kind::File(Content::Memory(Bytes::copy_from_slice(content.as_bytes()))),
        };
        tree.insert(path(at), Entry::new(kind, 0o6775), Rules::Strict)
            .unwrap();
    }
    let package = Package::read(tree).unwrap();
    let record = package.index.clone();
    Linkable {
        located: Located {
            file_name: format!("{}.conda", record.stem()),
            record,
            channel: "main".to_owned(),
        },
        package,
    }
}

fn content(linked: &Linked, at: &str) -> String {
    let Some(Kind::File(content)) = linked.tree.get(&path(at)).map(|entry| &entry.kind) else {
        panic!("{at} is no file");
    };
    let mut text = String::new();
    content.open().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn python() -> Linkable {
    linkable(
        "python",
        "",
        &[
            ("bin/python3.9", "\x7fELF/build_env\0"),
            ("bin/python", "-> python3.9"),
        ],
        r#"{"_path": "bin/python3.9", "path_type": "hardlink", "prefix_placeholder": "/build_env", "file_mode": "binary"},
           {"_path": "bin/python", "path_type": "softlink"}"#,
    )
}

fn noarch() -> Linkable {
    linkable(
        "tool",
        r#", "noarch": "python", "depends": ["python"]"#,
        &[
            ("site-packages/tool.py", "x = '/build_env/share'\n"),
            ("python-scripts/tool-old", "#!/build_env/bin/python\n"),
            (
                "info/link.json",
                r#"{"noarch": {"type": "python", "entry_points": ["tool = tool:main"]}}"#,
            ),
            ("not-named", ""),
        ],
        r#"{"_path": "site-packages/tool.py", "path_type": "hardlink", "prefix_placeholder": "/build_env", "file_mode": "text", "sha256": "ab"},
           {"_path": "python-scripts/tool-old", "path_type": "hardlink", "prefix_placeholder": "/build_env", "file_mode": "text"},
           {"_path": "etc/empty", "path_type": "directory"}"#,
    )
}

#[test]
fn files_are_where_they_belong_with_the_prefix_in_them() {
    let linked = link(&[noarch(), python()], "/p").unwrap();
    assert_eq!(
        content(&linked, "lib/python3.9/site-packages/tool.py"),
        "x = '/p/share'\n"
    );
    assert_eq!(content(&linked, "bin/tool-old"), "#!/p/bin/python\n");
    assert!(content(&linked, "bin/tool").starts_with("#!/p/bin/python3.9\n"));
    assert_eq!(
        content(&linked, "bin/python3.9").len(),
        "\x7fELF/build_env\0".len()
    );
    assert!(linked.tree.get(&path("etc/empty")).unwrap().is_directory());
    assert!(linked.tree.get(&path("not-named")).is_none());
    assert!(linked.tree.get(&path("info")).is_none());
    assert_eq!(linked.tree.get(&path("bin/python3.9")).unwrap().mode, 0o755);
    let record = content(&linked, "conda-meta/tool-3.9.1-0.json");
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["url"], "conda:main//tool-3.9.1-0.conda");
    let first = &record["paths_data"]["paths"][0];
    assert_eq!(
        (first["_path"].as_str(), first["path_type"].as_str()),
        (Some("bin/tool"), Some("unix_python_entry_point"))
    );
    assert_eq!(content(&linked, "conda-meta/history"), "");
}

#[test]
fn scripts_and_menus_are_named_and_files_of_two_packages_are_told() {
    let with = |name: &str, extra: &str| {
        let script = format!("bin/.{name}-post-link.sh");
        let paths = format!(
            r#"{{"_path": "{script}"}}, {{"_path": "Menu/{name}.json"}}, {{"_path": "share/same"}}"#
        );
        let menu = format!("Menu/{name}.json");
        let files = [
            (script.as_str(), "exit 1"),
            (menu.as_str(), "{}"),
            ("share/same", name),
        ];
        linkable(name, extra, &files, &paths)
    };
    let linked = link(&[with("a", r#", "depends": ["b"]"#), with("b", "")], "/p").unwrap();
    let scripts: Vec<_> = linked
        .scripts
        .iter()
        .map(|script| script.path.to_string())
        .collect();
    assert_eq!(scripts, ["/bin/.b-post-link.sh", "/bin/.a-post-link.sh"]);
    assert_eq!(linked.menus.len(), 2);
    assert_eq!(content(&linked, "share/same"), "a");
    let (winner, loser, file) = &linked.overwritten[0];
    assert_eq!(
        (winner.as_str(), loser.as_str(), file.to_string()),
        ("a", "b", "/share/same".to_owned())
    );
}

#[test]
fn what_cannot_be_linked_says_why() {
    let no_python = link(&[noarch()], "/p").unwrap_err().to_string();
    assert_eq!(
        no_python,
        "tool=3.9.1=0: it needs Python, which is not among the packages"
    );
    let long = link(&[python()], "/a/longer/prefix")
        .unwrap_err()
        .to_string();
    assert!(
        long.contains("/bin/python3.9") && long.contains("does not fit"),
        "{long}"
    );
    let mut other = python();
    other.located.record.build = "1".to_owned();
    let error = link(&[other], "/p").unwrap_err().to_string();
    assert_eq!(error, "python=3.9.1=1: its archive holds python=3.9.1=0");
    let directory = linkable("b", "", &[("x/y", "")], r#"{"_path": "x/y"}"#);
    let file = linkable("c", "", &[("x", "")], r#"{"_path": "x"}"#);
    let error = link(&[directory, file], "/p").unwrap_err().to_string();
    assert!(
        error.contains("/x is a directory in one package"),
        "{error}"
    );
}

#[test]
fn packages_that_name_what_is_not_theirs_are_refused() {
    for paths in [
        r#"{"_path": "../../etc/passwd"}"#,
        r#"{"_path": "/etc/passwd"}"#,
        r#"{"_path": "missing"}"#,
        r#"{"_path": "a"}, {"_path": "./a"}"#,
    ] {
        let mut tree = Tree::new();
        let index = r#"{"name": "a", "version": "1", "build": "0"}"#.to_owned();
        let paths = format!(r#"{{"paths": [{paths}]}}"#);
        for (at, text) in [
            ("info/index.json", index),
            ("info/paths.json", paths),
            ("a", String::new()),
        ] {
            let kind = Kind::File(Content::Memory(text.into()));
            tree.insert(path(at), Entry::new(kind, 0o644), Rules::Strict)
                .unwrap();
        }
        assert!(Package::read(tree).is_err());
    }
}

#[test]
fn what_is_noted_of_a_package_gives_the_same_again_with_contents_from_elsewhere() {
    let all = [noarch(), python()];
    let python = Python::among(all.iter().map(|linkable| &linkable.located.record)).unwrap();
    let packages = all.iter().map(|Linkable { located, package }| {
        let placed = place(&located.record, package, "/p", python.as_ref()).unwrap();
        let note = placed.note().unwrap();
        let entries: std::collections::BTreeMap<_, _> = placed.entries().iter().cloned().collect();
        let content = |path: &LayerPath, size: u64| {
            let Kind::File(content) = &entries[path].kind else {
                panic!("{path} is no file");
            };
            assert_eq!(content.size(), size);
            content.clone()
        };
        assert!(Placed::of_note(&note[1..], &content).is_err());
        (located.clone(), Placed::of_note(&note, &content).unwrap())
    });
    let again = join(packages.collect()).unwrap();
    let linked = link(&all, "/p").unwrap();
    assert!(
        linked
            .tree
            .iter()
            .map(|(path, _)| path)
            .eq(again.tree.iter().map(|(path, _)| path))
    );
    for (path, entry) in &linked.tree {
        let other = again.tree.get(path).unwrap();
        assert_eq!(
            (entry.mode, entry.mtime),
            (other.mode, other.mtime),
            "{path}"
        );
        match (&entry.kind, &other.kind) {
            (Kind::File(_), Kind::File(_)) => {
                let at = std::str::from_utf8(path.as_bytes()).unwrap();
                assert_eq!(content(&linked, at), content(&again, at));
            }
            (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        }
    }
}

#[test]
fn a_package_with_two_files_for_one_place_says_so() {
    let package = linkable(
        "tool",
        r#", "noarch": "python", "depends": ["python"]"#,
        &[
            ("site-packages/tool.py", "one"),
            ("lib/python3.9/site-packages/tool.py", "two"),
        ],
        r#"{"_path": "site-packages/tool.py"}, {"_path": "lib/python3.9/site-packages/tool.py"}"#,
    );
    let linked = link(&[package, python()], "/p").unwrap();
    let at = "lib/python3.9/site-packages/tool.py";
    assert_eq!(content(&linked, at), "two");
    let told = ("tool".to_owned(), "tool".to_owned(), path(at));
    assert_eq!(linked.overwritten, [told]);
}

#[test]
fn pythons_decide_about_what_is_the_same_for_every_platform_and_may_be_modules() {
    let record = |noarch, subdir: &str| Record {
        noarch,
        subdir: subdir.to_owned(),
        ..Record::default()
    };
    for (noarch, subdir, decides) in [
        (Some(Noarch::Python), "noarch", true),
        (Some(Noarch::Generic), "noarch", false),
        (None, "noarch", true),
        (None, "linux-64", false),
    ] {
        let found = Python::decides_for(&record(noarch, subdir));
        assert_eq!(found, decides, "{noarch:?} {subdir}");
    }
    let key = |version: &str, site: Option<&str>| {
        let python = Record {
            name: "python".to_owned(),
            version: version.to_owned(),
            python_site_packages_path: site.map(str::to_owned),
            ..Record::default()
        };
        Python::among([&record(None, ""), &python])
            .unwrap()
            .unwrap()
            .key()
    };
    assert_eq!(key("3.9.1", None), key("3.9.20", None));
    assert_ne!(key("3.9.1", None), key("3.10.1", None));
    assert_ne!(
        key("3.13.0", None),
        key("3.13.0", Some("lib/python3.13t/site-packages"))
    );
    assert_eq!(Python::among([&record(None, "")]).unwrap(), None);
}
