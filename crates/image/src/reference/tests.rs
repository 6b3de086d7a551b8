use super::*;
use proptest::prelude::*;

const VECTORS: &str = include_str!("../../../../fixtures/oci/references.tsv");

#[test]
fn the_vectors_of_distribution_hold() {
    let mut count = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (_origin, text, host, repository) = (next(), next(), next(), next());
        let (tag, digest) = (next(), next());
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let parsed = text.parse::<RegistryReference>();
        if host == "!" {
            assert!(parsed.is_err(), "{text:?} was taken: {parsed:?}");
        } else {
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.host(), host, "{text}");
            assert_eq!(parsed.repository(), repository, "{text}");
            assert_eq!(parsed.tag().map(str::to_owned), some(tag), "{text}");
            assert_eq!(
                parsed.digest().map(ToString::to_string),
                some(digest),
                "{text}"
            );
        }
        count += 1;
    }
    assert!(count > 140, "the file is cut short: {count}");
}

#[test]
fn transports() {
    let path = PathBuf::from;
    let some = |text: &str| Some(text.to_owned());
    for (text, want) in [
        ("scratch", Reference::Scratch),
        (
            "oci:dir",
            Reference::Layout {
                path: path("dir"),
                tag: None,
            },
        ),
        (
            "oci:/a/b:registry.example/x:1",
            Reference::Layout {
                path: path("/a/b"),
                tag: some("registry.example/x:1"),
            },
        ),
        (
            "oci-archive:a.tar:v1",
            Reference::OciArchive {
                path: path("a.tar"),
                tag: some("v1"),
            },
        ),
        (
            "docker-archive:a.tar:debian:12",
            Reference::DockerArchive {
                path: path("a.tar"),
                name: some("debian:12"),
            },
        ),
    ] {
        let parsed: Reference = text.parse().unwrap();
        assert_eq!(parsed, want);
        assert_eq!(parsed.to_string(), text);
    }
    for text in ["docker://debian", "debian", "docker.io/library/debian"] {
        let parsed: Reference = text.parse().unwrap();
        assert_eq!(
            parsed.registry().unwrap().name(),
            "docker.io/library/debian"
        );
        assert_eq!(parsed.to_string(), "docker.io/library/debian:latest");
    }
    for bad in [
        "",
        "oci:",
        "oci::tag",
        "oci:dir:",
        "docker-archive:",
        "docker://",
        "docker://https://registry.example/a",
        "dir:/tmp/x",
        "docker-daemon:debian:12",
        "containers-storage:debian",
    ] {
        assert!(bad.parse::<Reference>().is_err(), "{bad}");
    }
}

#[test]
fn a_host_that_is_called_like_a_transport_stays_a_host() {
    for host in [
        "oci:5000",
        "oci-archive:5000",
        "docker-archive:80",
        "dir:80",
    ] {
        let text = format!("docker://{host}/a:latest");
        let parsed: Reference = text.parse().unwrap();
        assert_eq!(parsed.registry().unwrap().host(), host);
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn the_digest_selects_before_the_tag_and_latest_is_the_default() {
    let digest = Digest::of(b"");
    let parse = |text: &str| text.parse::<RegistryReference>().unwrap();
    let both = parse(&format!("registry.example/a:1@{digest}"));
    assert_eq!(both.pointer(), Pointer::Digest(digest.clone()));
    assert_eq!(
        both.at(&digest).to_string(),
        format!("registry.example/a@{digest}")
    );
    assert_eq!(
        parse("registry.example/a").pointer(),
        Pointer::Tag("latest".to_owned())
    );
    assert_eq!(
        parse("registry.example/a:1").pointer(),
        Pointer::Tag("1".to_owned())
    );
}

#[test]
fn parts_are_checked_as_the_text_is() {
    let new = RegistryReference::new;
    assert!(new("registry.example", "a/b", Some("1"), None).is_ok());
    for (host, repository, tag) in [
        ("", "a", None),
        ("registry.example/x", "a", None),
        ("user@registry.example", "a", None),
        ("registry.example", "", None),
        ("registry.example", "A", None),
        ("registry.example", "a:b", None),
        ("registry.example", "../a", None),
        ("registry.example", "a", Some("")),
        ("registry.example", "a", Some("x/y")),
    ] {
        assert!(
            new(host, repository, tag, None).is_err(),
            "{host} {repository}"
        );
    }
}

#[test]
fn errors_say_what_to_do() {
    for (text, part) in [
        ("https://registry.example/a", "leave out https://"),
        ("registry.example/Upper", "lower case"),
        ("registry.example/a:", "empty"),
        ("dir:/x", "no dir: transport"),
    ] {
        let error = text.parse::<Reference>().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let long = "x".repeat(100_000).parse::<Reference>().unwrap_err();
    assert!(long.to_string().len() < 1000);
}

fn names() -> impl Strategy<Value = String> {
    let component = "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}";
    prop::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"))
}

fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("localhost".to_owned()),
        "[a-z0-9]{1,5}(-[a-z0-9]{1,3})?\\.[a-z]{2,5}",
        "[A-Za-z0-9]{1,5}:[1-9][0-9]{0,3}",
        Just("[2001:db8::1]:5000".to_owned()),
    ]
}

fn suffixes() -> impl Strategy<Value = (Option<String>, Option<Digest>)> {
    (
        prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
        prop::option::of(any::<u64>().prop_map(|seed| Digest::of(&seed.to_le_bytes()))),
    )
}

fn text(name: &str, (tag, digest): &(Option<String>, Option<Digest>)) -> String {
    let mut text = name.to_owned();
    if let Some(tag) = tag {
        text.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = digest {
        text.push_str(&format!("@{digest}"));
    }
    text
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,60}") {
        let _ = text.parse::<Reference>();
    }

    #[test]
    fn text_of_the_grammars_characters_is_read_without_panic(text in "[aA0._:@/\\[\\]-]{0,30}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap().to_string(), reference.to_string());
        }
    }

    #[test]
    fn what_is_printed_is_parsed(host in hosts(), name in names(), suffix in suffixes()) {
        let (tag, digest) = suffix;
        let reference = RegistryReference::new(&host, &name, tag.as_deref(), digest).unwrap();
        let again: Reference = Reference::Registry(reference.clone()).to_string().parse().unwrap();
        let again = again.registry().unwrap();
        prop_assert_eq!(again.to_string(), reference.to_string());
        prop_assert_eq!(again.pointer(), reference.pointer());
        if reference.tag().is_some() || reference.digest().is_some() {
            prop_assert_eq!(again, &reference);
        }
    }

    /// An implementation that is not ours reads the same.
    #[test]
    fn oci_spec_agrees(
        host in prop::option::of(hosts()), name in names(), suffix in suffixes(),
    ) {
        // oci-spec reads no IPv6 addresses.
        let host = host.filter(|host| !host.starts_with('['));
        // A first component with a dot is meant as a host; as one it may be illegal.
        prop_assume!(host.is_some() || !name.split('/').next().unwrap().contains('.') || !name.contains('/'));
        let text = text(&host.map_or(name.clone(), |host| format!("{host}/{name}")), &suffix);
        let ours: RegistryReference = text.parse().unwrap();
        let theirs: oci_spec::distribution::Reference = text.parse().unwrap();
        prop_assert_eq!(theirs.registry(), ours.host());
        prop_assert_eq!(theirs.repository(), ours.repository());
        prop_assert_eq!(theirs.digest().map(str::to_owned), ours.digest().map(ToString::to_string));
        if ours.digest().is_none() {
            prop_assert_eq!(theirs.tag().map(str::to_owned), Some(ours.pointer().to_string()));
        } else {
            prop_assert_eq!(theirs.tag(), ours.tag());
        }
    }
}
