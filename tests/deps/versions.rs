//! Versions are ordered as dpkg orders them.

use std::process::Command;

use ohoci_deps::debian::version::Version;
use proptest::prelude::*;

fn dpkg(left: &str, operator: &str, right: &str) -> bool {
    Command::new("dpkg")
        .args(["--compare-versions", left, operator, right])
        .status()
        .expect("this test needs `dpkg` from the package of that name")
        .success()
}

fn parts() -> impl Strategy<Value = String> {
    // Short, of few characters: versions that differ in one place only.
    "([0-2]:)?[0-9]{1,2}[0-1a+.~-]{0,5}(-[0-1a+.~]{1,3})?"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn order_is_that_of_dpkg(left in parts(), right in parts()) {
        let (Ok(a), Ok(b)) = (Version::parse(&left), Version::parse(&right)) else {
            return Ok(());
        };
        let order = a.cmp(&b);
        prop_assert_eq!(order.is_lt(), dpkg(&left, "lt", &right), "{} {}", left, right);
        prop_assert_eq!(order.is_gt(), dpkg(&left, "gt", &right), "{} {}", left, right);
    }
}

#[test]
fn what_dpkg_takes_for_a_version_is_one() {
    let valid = |text: &str| {
        Command::new("dpkg")
            .args(["--validate-version", text])
            .stderr(std::process::Stdio::null())
            .status()
            .expect("this test needs `dpkg` from the package of that name")
            .success()
    };
    for text in [
        "1",
        "1.0-1",
        "1:1.0",
        "0:0-0",
        "1~rc1",
        "1-1-1",
        "2147483647:1",
        "2147483648:1",
        "a",
        "1-",
        ":1",
        "1:",
        "1_1",
        "1 1",
        "1:1:1",
        "1-1:1",
        "",
    ] {
        assert_eq!(Version::parse(text).is_ok(), valid(text), "{text:?}");
    }
}
