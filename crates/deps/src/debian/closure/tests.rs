//! Closures over small archives.

use super::*;
use proptest::prelude::*;

/// An archive from lines `name version | Field: value | Field: value`.
fn archive(lines: &str) -> String {
    lines
        .trim()
        .lines()
        .map(|line| {
            let mut parts = line.trim().split(" ; ");
            let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
            let fields: String = parts.map(|field| format!("{field}\n")).collect();
            format!("Package: {name}\nVersion: {version}\nArchitecture: all\n{fields}\n")
        })
        .collect()
}

fn index(text: &str) -> Index<'_> {
    let mut index = Index::new();
    index.add(text, "s", "amd64").unwrap();
    index
}

fn request<'a>(packages: &[&'a str]) -> Request<'a> {
    Request {
        packages: packages.iter().copied().collect(),
        ..Request::default()
    }
}

fn names(text: &str, request: &Request<'_>) -> Vec<String> {
    let index = index(text);
    let closure = resolve(&index, request, &BTreeMap::new()).unwrap();
    closure.packages.keys().map(ToString::to_string).collect()
}

fn problems(text: &str, request: &Request<'_>) -> Vec<String> {
    let index = index(text);
    let problems = resolve(&index, request, &BTreeMap::new()).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn dependencies_are_followed_and_recommendations_are_not() {
    let text = archive(
        "git 2 ; Depends: libc6 (>= 2), perl ; Recommends: less
         perl 5 ; Pre-Depends: dpkg ; Depends: libc6, perl
         dpkg 1 ; Depends: perl
         libc6 2.41
         less 6",
    );
    let index = index(&text);
    let closure = resolve(&index, &request(&["git"]), &BTreeMap::new()).unwrap();
    let edges: Vec<String> = closure
        .packages
        .values()
        .map(|selected| {
            let needs: Vec<&str> = selected.needs.iter().copied().collect();
            format!("{}: {}", selected.package.name, needs.join(" "))
        })
        .collect();
    assert_eq!(
        edges,
        [
            "dpkg: perl",
            "git: libc6 perl",
            "libc6: ",
            "perl: dpkg libc6"
        ]
    );
}

#[test]
fn alternatives_are_settled_by_what_is_there_and_never_by_their_order() {
    let text = archive(
        "aa 1 ; Depends: one | two
         bb 1 ; Depends: two
         one 1
         two 1",
    );
    assert_eq!(names(&text, &request(&["aa", "bb"])), ["aa", "bb", "two"]);
    assert_eq!(
        problems(&text, &request(&["aa"])),
        ["aa depends on one | two, which one or two could satisfy"]
    );
    let mut chosen = request(&["aa"]);
    chosen.choose.insert("one | two", "one");
    assert_eq!(names(&text, &chosen), ["aa", "one"]);
    chosen.choose.insert("one | two", "three");
    assert_eq!(
        problems(&text, &chosen),
        [
            "aa depends on one | two, which one or two could satisfy; the recipe chooses three for \
          \"one | two\", which cannot"
        ]
    );
}

#[test]
fn virtual_packages_are_chosen_unless_only_one_serves() {
    let text = archive(
        "aa 1 ; Depends: awk
         bb 1 ; Depends: perlapi-5.40
         mawk 1 ; Provides: awk
         gawk 1 ; Provides: awk
         perl 5 ; Provides: perlapi-5.40",
    );
    assert_eq!(names(&text, &request(&["bb"])), ["bb", "perl"]);
    assert_eq!(
        problems(&text, &request(&["aa"])),
        ["aa depends on awk, which gawk or mawk could satisfy"]
    );
    let mut chosen = request(&["aa"]);
    chosen.choose.insert("awk", "mawk");
    assert_eq!(names(&text, &chosen), ["aa", "mawk"]);
    assert_eq!(
        problems(&text, &request(&["awk"])),
        ["awk is a virtual package; gawk and mawk serve as it"]
    );
}

#[test]
fn a_real_package_goes_before_those_that_serve_as_it() {
    let text = archive(
        "aa 1 ; Depends: editor
         editor 1
         vim 1 ; Provides: editor",
    );
    assert_eq!(names(&text, &request(&["aa"])), ["aa", "editor"]);
    assert_eq!(names(&text, &request(&["aa", "vim"])), ["aa", "vim"]);
}

#[test]
fn versions_are_checked() {
    let text = archive(
        "aa 1 ; Depends: libx (>= 2)
         bb 1 ; Depends: libx (>= 3) | liby
         libx 2.1
         liby 1",
    );
    assert_eq!(names(&text, &request(&["aa"])), ["aa", "libx"]);
    assert_eq!(names(&text, &request(&["bb"])), ["bb", "liby"]);
    let text = text.replace("2.1", "1.9");
    assert_eq!(
        problems(&text, &request(&["aa"])),
        ["aa depends on libx (>= 2), but the archive has libx 1.9"]
    );
    let text = text.replace("libx (>= 2)", "libz");
    assert_eq!(
        problems(&text, &request(&["aa"])),
        ["aa depends on libz, but the archive has nothing of that name"]
    );
}

#[test]
fn what_is_excluded_counts_as_there_with_all_that_it_serves_as() {
    let text = archive(
        "git 1 ; Depends: perl (>= 99), debconf | debconf-2.0, libc6
         perl 5 ; Depends: huge
         debconf 1 ; Provides: debconf-2.0
         cdebconf 1 ; Provides: debconf-2.0
         huge 1
         libc6 2",
    );
    let mut request = request(&["git"]);
    request.exclude = BTreeSet::from(["perl", "debconf", "unheard-of"]);
    let index = index(&text);
    let closure = resolve(&index, &request, &BTreeMap::new()).unwrap();
    assert_eq!(
        closure.packages.keys().copied().collect::<Vec<_>>(),
        ["git", "libc6"]
    );
    assert_eq!(closure.packages["git"].needs, BTreeSet::from(["libc6"]));
    assert_eq!(closure.used_exclusions, BTreeSet::from(["debconf", "perl"]));
}

#[test]
fn packages_of_layers_below_are_there_already() {
    let text = archive(
        "aa 1 ; Depends: libc6, one | two
         libc6 2
         one 1
         two 1",
    );
    let index = index(&text);
    let below = ["libc6", "two"]
        .into_iter()
        .map(|name| (name, index.get(name).unwrap().clone()))
        .collect();
    let closure = resolve(&index, &request(&["aa", "two"]), &below).unwrap();
    assert_eq!(closure.packages.keys().copied().collect::<Vec<_>>(), ["aa"]);
    assert_eq!(
        closure.packages["aa"].needs,
        BTreeSet::from(["libc6", "two"])
    );
}

#[test]
fn what_cannot_be_together_is_refused() {
    let text = archive(
        "aa 1 ; Conflicts: bb
         bb 1
         cc 1 ; Breaks: aa (<< 1)
         dd 1 ; Breaks: aa (<< 2)
         m1 1 ; Provides: mta ; Conflicts: mta
         m2 1 ; Provides: mta ; Conflicts: mta",
    );
    assert_eq!(names(&text, &request(&["aa", "cc", "m1"])).len(), 3);
    assert_eq!(
        problems(&text, &request(&["aa", "bb", "dd"])),
        [
            "aa cannot be there together with bb 1: Conflicts: bb",
            "dd cannot be there together with aa 1: Breaks: aa (<< 2)",
        ]
    );
    assert_eq!(problems(&text, &request(&["m1", "m2"])).len(), 2);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_what_may_help() {
    let text = archive(
        "aa 1 ; Depends: one | two, nothing
         one 1
         two 1
         tmux 3",
    );
    let index = index(&text);
    let problems = resolve(&index, &request(&["aa", "tmuxx"]), &BTreeMap::new()).unwrap_err();
    let hints: Vec<_> = problems.iter().filter_map(Problem::hint).collect();
    assert_eq!(
        hints,
        [
            "did you mean \"tmux\"?",
            "if it can be done without, exclude \"nothing\" and say why",
            "decide it below [debian.choose], such as \"one | two\" = \"one\"",
        ]
    );
}

proptest! {
    /// Twenty packages that depend on each other in any way: what comes out is closed, holds what
    /// was asked for, and is the same however the archive is ordered.
    #[test]
    fn closures_are_closed_and_do_not_depend_on_the_order(
        edges in prop::collection::vec((0..20usize, 0..20usize), 0..60),
        wanted in prop::collection::btree_set(0..20usize, 1..4),
        seed in any::<u64>(),
    ) {
        let names: Vec<String> = (0..20).map(|n| format!("p{n:02}")).collect();
        let mut stanzas: Vec<String> = (0..20)
            .map(|n| {
                let needs: Vec<&str> = edges
                    .iter()
                    .filter(|(from, _)| *from == n)
                    .map(|(_, to)| names[*to].as_str())
                    .collect();
                format!(
                    "Package: {}\nVersion: 1\nArchitecture: all\nDepends: {}\n\n",
                    names[n],
                    needs.join(", ")
                )
            })
            .collect();
        let wanted: Vec<&str> = wanted.iter().map(|n| names[*n].as_str()).collect();
        let text = stanzas.concat();
        let one = self::names(&text, &request(&wanted));
        for name in &wanted {
            prop_assert!(one.iter().any(|found| found == name));
        }
        for (from, to) in &edges {
            prop_assert!(!one.contains(&names[*from]) || one.contains(&names[*to]));
        }
        fastrand::Rng::with_seed(seed).shuffle(&mut stanzas);
        prop_assert_eq!(one, self::names(&stanzas.concat(), &request(&wanted)));
    }
}
