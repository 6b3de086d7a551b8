use super::*;
use crate::repodata::Repodata;

/// A package: name, version, build with its number behind the last `_`, what it needs.
type Package<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

fn shelf(channels: &[&[Package<'_>]]) -> Shelf {
    let mut shelf = Shelf::new(channels.len());
    for (at, packages) in channels.iter().enumerate() {
        let mut names: Vec<&str> = packages.iter().map(|package| package.0).collect();
        names.sort_unstable();
        names.dedup();
        let records = packages.iter().map(|(name, version, build, depends)| {
            let number: u64 = build.rsplit('_').next().unwrap().parse().unwrap();
            let (constrains, depends): (Vec<&str>, Vec<&str>) =
                depends.iter().partition(|text| text.starts_with("? "));
            let constrains: Vec<&str> = constrains.iter().map(|text| &text[2..]).collect();
            let features = if build.contains("avoid") { "avoid" } else { "" };
            let record = serde_json::json!({"name": name, "version": version, "build": build,
                "build_number": number, "depends": depends, "constrains": constrains, "track_features": features});
            (format!("{name}-{version}-{build}.conda"), record)
        });
        let records: serde_json::Map<_, _> = records.collect();
        let json = serde_json::json!({ "packages.conda": records }).to_string();
        let list = Repodata::read(json.into_bytes(), &format!("c{at}"), "linux-64").unwrap();
        for name in names {
            shelf.add(at, name, list.packages(name, &|_| true));
        }
    }
    shelf
}

fn solved(
    wanted: &[&str],
    channels: &[&[Package<'_>]],
    priority: ChannelPriority,
) -> Result<Vec<String>, SolveError> {
    let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
    let target = Target::oldest("linux-64");
    let found = solve(&wanted, &shelf(channels), &target, priority)?;
    Ok(found
        .iter()
        .map(|located| located.record.to_string())
        .collect())
}

fn chosen(wanted: &[&str], packages: &[Package<'_>]) -> Vec<String> {
    solved(wanted, &[packages], ChannelPriority::default()).unwrap()
}

const PYTHONS: &[Package<'_>] = &[
    ("python", "3.6.13", "h_0", &["zlib >=1.2.11,<1.3.0a0"]),
    (
        "python",
        "3.6.13",
        "h_1",
        &["zlib >=1.2.11,<1.3.0a0", "pip"],
    ),
    ("python", "3.10.1", "h_0", &["zlib >=1.2.11"]),
    ("zlib", "1.2.11", "h_0", &[]),
    ("zlib", "1.2.13", "h_0", &["__glibc >=2.17"]),
    ("zlib", "1.3.1", "h_0", &["__glibc >=2.28"]),
    ("pip", "21.2", "py_0", &["python >=3.5"]),
    (
        "numpy",
        "1.19.2",
        "py36_0",
        &["python >=3.6,<3.7.0a0", "blas * mkl_0"],
    ),
    ("numpy", "1.19.2", "py310_0", &["python >=3.10,<3.11.0a0"]),
    ("blas", "1.0", "mkl_0", &[]),
    ("blas", "1.0", "openblas_1", &[]),
];

#[test]
fn the_highest_versions_that_go_together_are_chosen_with_all_that_they_need() {
    assert_eq!(
        chosen(&["python=3.6", "numpy"], PYTHONS),
        [
            "blas=1.0=mkl_0",
            "numpy=1.19.2=py36_0",
            "pip=21.2=py_0",
            "python=3.6.13=h_1",
            "zlib=1.2.13=h_0"
        ]
    );
    assert_eq!(
        chosen(&["numpy"], PYTHONS),
        [
            "numpy=1.19.2=py310_0",
            "python=3.10.1=h_0",
            "zlib=1.2.13=h_0"
        ]
    );
    assert_eq!(
        chosen(&["python=3.6.13=h_0", "zlib<1.2.12"], PYTHONS)[1],
        "zlib=1.2.11=h_0"
    );
}

#[test]
fn what_the_machine_lacks_is_not_chosen() {
    let wanted = ["zlib".to_owned()];
    let newer = Target {
        glibc: "2.36".to_owned(),
        ..Target::oldest("linux-64")
    };
    let found = solve(
        &wanted,
        &shelf(&[PYTHONS]),
        &newer,
        ChannelPriority::default(),
    )
    .unwrap();
    assert_eq!(found[0].record.version, "1.3.1");
    let error = solved(&["zlib=1.3"], &[PYTHONS], ChannelPriority::default()).unwrap_err();
    assert!(error.to_string().contains("__glibc >=2.28"), "{error}");
}

#[test]
fn avoided_packages_older_builds_and_constraints_lose() {
    let packages: &[Package<'_>] = &[
        ("a", "2", "avoid_5", &[]),
        ("a", "1", "x_0", &[]),
        ("a", "1", "x_1", &[]),
        ("b", "1", "x_0", &["? a <1"]),
        ("b", "0.9", "x_0", &[]),
    ];
    assert_eq!(chosen(&["a"], packages), ["a=1=x_1"]);
    assert_eq!(chosen(&["a", "b"], packages), ["a=1=x_1", "b=0.9=x_0"]);
    assert_eq!(chosen(&["b"], packages), ["b=1=x_0"]);
}

#[test]
fn of_builds_that_differ_in_nothing_else_the_one_with_newer_dependencies_is_chosen() {
    let packages: &[Package<'_>] = &[
        ("a", "1", "old_0", &["z <2", "y"]),
        ("a", "1", "new_0", &["z", "z >=2", "x"]),
        ("z", "1", "x_0", &[]),
        ("z", "2", "x_0", &[]),
        ("x", "1", "x_0", &[]),
        ("y", "1", "x_0", &[]),
    ];
    assert_eq!(
        chosen(&["a"], packages),
        ["a=1=new_0", "x=1=x_0", "z=2=x_0"]
    );
}

#[test]
fn channels_go_before_others_as_far_as_they_are_to() {
    let one: &[Package<'_>] = &[("a", "1", "x_0", &[]), ("b", "1", "x_0", &["a >=2"])];
    let two: &[Package<'_>] = &[("a", "2", "x_0", &[])];
    let of = |wanted: &[&str], priority| solved(wanted, &[one, two], priority);
    assert_eq!(of(&["a"], ChannelPriority::Strict).unwrap(), ["a=1=x_0"]);
    assert_eq!(of(&["a"], ChannelPriority::Flexible).unwrap(), ["a=1=x_0"]);
    assert_eq!(of(&["a"], ChannelPriority::Disabled).unwrap(), ["a=2=x_0"]);
    assert_eq!(
        of(&["b"], ChannelPriority::Flexible).unwrap(),
        ["a=2=x_0", "b=1=x_0"]
    );
    assert_eq!(
        of(&["c1::a"], ChannelPriority::Flexible).unwrap(),
        ["a=2=x_0"]
    );
    let error = of(&["b"], ChannelPriority::Strict).unwrap_err().to_string();
    assert!(
        error.contains("a channel before c1 has packages of that name"),
        "{error}"
    );
    for (text, expected) in [
        ("strict", Some(ChannelPriority::Strict)),
        ("True", Some(ChannelPriority::Flexible)),
        ("disabled", Some(ChannelPriority::Disabled)),
        ("else", None),
    ] {
        assert_eq!(ChannelPriority::parse(text), expected);
    }
}

#[test]
fn a_conflict_says_what_contradicts_what() {
    let error = solved(
        &["python=3.10", "numpy[build='py36*']"],
        &[PYTHONS],
        ChannelPriority::default(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("python >=3.6,<3.7.0a0"), "{error}");
    let error = solved(&["nothing >1"], &[PYTHONS], ChannelPriority::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("No candidates were found for nothing >1"),
        "{error}"
    );
    let error = solved(&["a b c d"], &[PYTHONS], ChannelPriority::default()).unwrap_err();
    assert!(matches!(error, SolveError::Unreadable(_)));
}

#[test]
fn packages_with_dependencies_or_versions_that_cannot_be_read_are_passed_over() {
    let packages: &[Package<'_>] = &[
        ("a", "3", "x_0", &["b[when=c]"]),
        ("a", "2+.+", "x_0", &[]),
        ("a", "1", "x_0", &[]),
    ];
    assert_eq!(chosen(&["a"], packages), ["a=1=x_0"]);
}

#[test]
fn equal_questions_have_equal_answers() {
    let mut packages: Vec<(String, String, String, Vec<String>)> = Vec::new();
    for name in 0..40_usize {
        for version in 0..6_usize {
            for build in ["x", "y"] {
                let needs =
                    (1..4).map(|step| format!("n{} >={}", name + step, (version + step) % 4));
                let needs = needs.filter(|_| name < 36).collect();
                packages.push((
                    format!("n{name}"),
                    format!("{version}.0"),
                    format!("{build}_0"),
                    needs,
                ));
            }
        }
    }
    let needs: Vec<Vec<&str>> = packages
        .iter()
        .map(|package| package.3.iter().map(String::as_str).collect())
        .collect();
    let all: Vec<Package<'_>> = packages
        .iter()
        .zip(&needs)
        .map(|((name, version, build, _), needs)| (&**name, &**version, &**build, &**needs))
        .collect();
    let first = chosen(&["n0", "n5 <4", "n9 *"], &all);
    for _ in 0..5 {
        assert_eq!(chosen(&["n0", "n5 <4", "n9 *"], &all), first);
    }
}
