//! What is refused, however it is written, and what is not.

use super::*;

fn why(patch: &str) -> Option<RefusedWhy> {
    refused_path(patch).map(|refused| refused.why)
}

/// A patch of one file as git writes it.
fn patch_of(old: &str, new: &str) -> String {
    format!("diff --git {old} {new}\n--- {old}\n+++ {new}\n@@ -1 +1 @@\n-a\n+b\n")
}

const FINE: &str = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n";

#[test]
fn what_is_gits_own_is_refused_under_each_of_its_names() {
    for name in [
        ".git/config",
        ".git",
        ".GIT/hooks/x",
        "sub/.git/config",
        "a/b/.Git",
        "git~1/config",
        "GIT~1",
        ".git./config",
        ".git.../config",
        ".git::$INDEX_ALLOCATION/config",
        ".git /config",
        ".g\u{200c}it/config",
        "\u{feff}.git/config",
        "sub\\.git\\config",
        "sub//.git/config",
        "./.git/config",
    ] {
        let patch = patch_of(&format!("a/{name}"), &format!("b/{name}"));
        assert_eq!(why(&patch), Some(RefusedWhy::OfGit), "{name}");
        assert_eq!(why(&format!("{FINE}{patch}")), Some(RefusedWhy::OfGit));
    }
    for name in [
        ".gitignore",
        ".gitattributes",
        ".github/x",
        "git/x",
        ".gitx/y",
        "x.git/y",
        "a.git",
        "gi~1",
        "..x/y",
        "x../y",
        ".../y",
    ] {
        let patch = patch_of(&format!("a/{name}"), &format!("b/{name}"));
        assert_eq!(why(&patch), None, "{name}");
    }
}

#[test]
fn a_name_is_found_in_every_line_that_names_a_file() {
    let of_git = Some(RefusedWhy::OfGit);
    for line in [
        "--- a/.git/config",
        "--- a/.git/config\t2026-01-01 00:00:00.000000000 +0000",
        "--- a/.git/config 2026-01-01 00:00:00",
        "---\ta/.git/config",
        "+++ b/.git/config",
        "+++ \"b/\\056git/config\"",
        "+++ \"b/.g\\151t/config\"\t2026-01-01",
        "*** a/.git/config",
        "Index: .git/config",
        "Index:.git/config",
        "diff --git a/x b/.git/config",
        "diff --git a/x y b/.git/con fig",
        "diff --git \"a/x\" \"b/\\056git/config\"",
        "diff --git a/x \"b/\\056git/config\"",
        "diff --git \"a/\\056git/config\" b/x",
        "rename to .git/config",
        "rename from .git/config",
        "copy to .git/hooks/post-checkout",
        "copy to \".git/hooks/post-checkout\"",
        "  --- a/.git/config",
        "\t+++ b/.git/config",
        "X+++ b/.git/config",
    ] {
        for end in ["\n", "\r\n", ""] {
            assert_eq!(why(&format!("{line}{end}")), of_git, "{line}");
        }
        let after = format!("{FINE}{line}\n@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(why(&after), of_git, "{line}");
    }
}

#[test]
fn absolute_paths_and_those_that_lead_upwards_are_refused() {
    for (name, expected) in [
        ("/etc/x", RefusedWhy::Absolute),
        ("//etc/x", RefusedWhy::Absolute),
        ("a//etc/x", RefusedWhy::Absolute),
        ("../x", RefusedWhy::Upwards),
        ("a/../x", RefusedWhy::Upwards),
        ("a/b/../../../x", RefusedWhy::Upwards),
        ("a/x/..", RefusedWhy::Upwards),
    ] {
        let patch = format!("--- {name}\n+++ {name}\n@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(why(&patch), Some(expected), "{name}");
    }
    let added = "--- /dev/null\t1970-01-01\n+++ b/x\n@@ -0,0 +1 @@\n+b\n";
    assert_eq!(why(added), None);
    assert_eq!(why(&added.replace("\t1970-01-01", "")), None);
    assert_eq!(
        why(&added.replace("dev/null", "dev/nullx")),
        Some(RefusedWhy::Absolute)
    );
}

#[test]
fn nothing_is_changed_behind_a_symlink_that_the_patch_makes() {
    let link = "diff --git a/way b/way\nnew file mode 120000\nindex 0000000..1\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n";
    let behind = patch_of("a/way/x", "b/way/x");
    let beside = patch_of("a/ways/x", "b/ways/x");
    let expected = RefusedPath {
        path: "way/x".to_owned(),
        why: RefusedWhy::BehindSymlink,
    };
    assert_eq!(refused_path(link), None);
    assert_eq!(refused_path(&format!("{link}{beside}")), None);
    assert_eq!(
        refused_path(&format!("{link}{behind}")),
        Some(expected.clone())
    );
    // In either order, and where a link is changed.
    assert_eq!(
        refused_path(&format!("{behind}{link}")),
        Some(expected.clone())
    );
    let changed =
        "diff --git a/way b/way\nindex 1..2 120000\n--- a/way\n+++ b/way\n@@ -1 +1 @@\n-a\n+b\n";
    assert_eq!(refused_path(&format!("{changed}{behind}")), Some(expected));
    let renamed = "diff --git a/x b/way/x\nsimilarity index 100%\nrename from x\nrename to way/x\n";
    assert_eq!(
        why(&format!("{link}{renamed}")),
        Some(RefusedWhy::BehindSymlink)
    );
    // A link that goes makes room.
    let gone = link.replace("new file", "deleted file");
    assert_eq!(refused_path(&format!("{gone}{behind}")), None);
}

#[test]
fn what_a_file_holds_is_no_name() {
    let body = "diff --git a/x.sql b/x.sql\n--- a/x.sql\n+++ b/x.sql\n@@ -1,4 +1,4 @@\n--- see ../.git/config\n+-- see /etc\n ++ a/.git/x\n\n-++ ../x\n+++ ../x\n";
    assert_eq!(why(body), None);
    assert_eq!(why(&body.replace('\n', "\r\n")), None);
    assert_eq!(
        why(&format!(
            "A message, and\nsome words\n---\n x.sql | 4 ++--\n\n{body}-- \n2.47.3\n"
        )),
        None
    );
    // Where its end is not where its heading says, any line may be a name.
    let longer = body.replace("-1,4 +1,4", "-1,9 +1,9");
    assert_eq!(why(&longer), Some(RefusedWhy::OfGit));
    let other = format!("{body}*** a/x\n");
    assert_eq!(why(&other), Some(RefusedWhy::OfGit));
    let indented = format!("{body} @@ -1 +1 @@\n");
    assert_eq!(why(&indented), Some(RefusedWhy::OfGit));
    let script = format!("{body}1,2d\n");
    assert_eq!(why(&script), Some(RefusedWhy::OfGit));
}
