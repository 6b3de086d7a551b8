//! Any text as what asks for a package of conda, which is then looked for among some.

use ohoci_conda::match_spec::MatchSpec;
use ohoci_conda::record::Record;
use ohoci_conda::shelf::Shelf;
use ohoci_conda::solve::{ChannelPriority, solve};
use ohoci_conda::virtual_package::Target;

pub(crate) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let Ok(spec) = MatchSpec::parse(&text) else {
        return false;
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = spec.name();
    assert!(!name.is_empty() && name.bytes().all(is_legal), "{name:?}");
    assert_eq!(name, name.to_ascii_lowercase());
    assert!(spec.to_string().starts_with(name), "{spec}");
    for (version, build) in [("1.2.3", "py36h12_0"), ("2020.1rc1", "0")] {
        let version = version.parse();
        let record = Record {
            build: build.to_owned(),
            ..Record::default()
        };
        if let Ok(version) = version {
            let _ = spec.takes(&record, &version, "main");
        }
    }
    // Nothing has it, and the conflict can be put into words.
    let target = Target::oldest("linux-64");
    let found = solve(
        &[text.into_owned()],
        &Shelf::new(1),
        &target,
        ChannelPriority::Flexible,
    );
    match found {
        Ok(packages) => assert!(packages.is_empty(), "{packages:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    true
}
