//! Redirects in many combinations of registry and target: who is sent where, and who sees
//! credentials.

use super::*;

/// Registries, and how far their addresses reach.
const REGISTRIES: [(&str, AddressScope); 6] = [
    ("93.184.216.34", AddressScope::Public),
    ("203.0.113.7:5000", AddressScope::Public),
    ("10.0.0.1:5000", AddressScope::Private),
    ("192.168.7.7", AddressScope::Private),
    ("127.0.0.1:5000", AddressScope::Loopback),
    ("localhost:5000", AddressScope::Loopback),
];

/// Hosts in every spelling that URLs permit, and how far they reach.
const TARGETS: [(&str, AddressScope); 46] = [
    ("93.184.216.35", AddressScope::Public),
    ("[2606:2800:220:1::1]", AddressScope::Public),
    ("[::ffff:8.8.8.8]", AddressScope::Public),
    ("134744072", AddressScope::Public),
    ("10.0.0.2", AddressScope::Private),
    ("10.255.255.254", AddressScope::Private),
    ("172.16.0.1", AddressScope::Private),
    ("172.31.255.254", AddressScope::Private),
    ("192.168.0.1", AddressScope::Private),
    ("100.64.0.1", AddressScope::Private),
    ("198.18.0.1", AddressScope::Private),
    ("0x0a000002", AddressScope::Private),
    ("167772162", AddressScope::Private),
    ("012.0.0.2", AddressScope::Private),
    ("10.2", AddressScope::Private),
    ("[fc00::1]", AddressScope::Private),
    ("[fd12:3456::1]", AddressScope::Private),
    ("[::ffff:10.0.0.2]", AddressScope::Private),
    ("[::10.0.0.2]", AddressScope::Private),
    ("[64:ff9b::10.0.0.2]", AddressScope::Private),
    ("[2002:a00:2::]", AddressScope::Private),
    ("127.0.0.2", AddressScope::Loopback),
    ("127.1.2", AddressScope::Loopback),
    ("0.0.0.0", AddressScope::Loopback),
    ("2130706434", AddressScope::Loopback),
    ("0x7f.0.0.2", AddressScope::Loopback),
    ("0177.0.0.2", AddressScope::Loopback),
    ("[::1]", AddressScope::Loopback),
    ("[::]", AddressScope::Loopback),
    ("[::ffff:127.0.0.2]", AddressScope::Loopback),
    ("[64:ff9b::127.0.0.2]", AddressScope::Loopback),
    ("a.localhost", AddressScope::Loopback),
    ("A.LocalHost.", AddressScope::Loopback),
    ("169.254.169.254", AddressScope::LinkLocal),
    ("169.254.0.1", AddressScope::LinkLocal),
    ("100.100.100.200", AddressScope::LinkLocal),
    ("2852039166", AddressScope::LinkLocal),
    ("0xa9fea9fe", AddressScope::LinkLocal),
    ("[fe80::1]", AddressScope::LinkLocal),
    ("[febf::1]", AddressScope::LinkLocal),
    ("[fd00:ec2::254]", AddressScope::LinkLocal),
    ("[::ffff:169.254.169.254]", AddressScope::LinkLocal),
    ("[64:ff9b::169.254.169.254]", AddressScope::LinkLocal),
    ("[2002:a9fe:a9fe::]", AddressScope::LinkLocal),
    ("224.0.0.1", AddressScope::LinkLocal),
    ("255.255.255.255", AddressScope::LinkLocal),
];

/// Who may send a client where, in the order of [`AddressScope`].
fn permitted(from: AddressScope, to: AddressScope) -> bool {
    let own_network = from == AddressScope::Private && to == AddressScope::Private;
    let own_machine = from == AddressScope::Loopback && to != AddressScope::LinkLocal;
    to == AddressScope::Public || own_network || own_machine
}

#[tokio::test]
async fn no_spelling_of_an_address_leads_further_in() {
    let transport = Transport::new(crate::Settings::default());
    let mut asked = 0;
    for (registry, from) in REGISTRIES {
        let host = transport.host(registry).unwrap();
        for (target, to) in TARGETS {
            for location in [
                format!("http://{target}/blob"),
                format!("http://{target}:8080/blob"),
                format!("http://user:word@{target}/blob?signature=x"),
                format!("http://{target}:2375/../v2/"),
            ] {
                let mut url: Url = location.parse().unwrap();
                let allowed = transport
                    .client_for(&host, &mut url, Lane::Small)
                    .await
                    .is_ok();
                assert_eq!(allowed, permitted(from, to), "{registry} to {location}");
                assert!(!host.owns(&url), "{registry} and {location} are one");
                let named = !url.username().is_empty() || url.password().is_some();
                assert!(!named, "{location} brings credentials along");
                asked += 1;
            }
        }
    }
    assert!(asked >= 360, "{asked}");
}

#[test]
fn credentials_are_for_the_very_same_scheme_host_and_port() {
    let transport = Transport::new(crate::Settings::default());
    for (registry, own) in [
        ("registry.example", "https://registry.example"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
    ] {
        let host = transport.host(registry).unwrap();
        // Some of these are no URLs, and so have no host.
        let owns = |url: &str| url.parse().is_ok_and(|url| host.owns(&url));
        assert!(owns(&format!("{own}/v2/a/blobs/x")), "{registry}");
        let (scheme, authority) = own.split_once("://").unwrap();
        let name = authority.split(':').next().unwrap();
        let other = if scheme == "https" { "http" } else { "https" };
        for foreign in [
            format!("{other}://{authority}/"),
            format!("{scheme}://{name}:5001/"),
            format!("{scheme}://{authority}.example/"),
            format!("{scheme}://x.{authority}/"),
            format!("{scheme}://{authority}@evil.example/"),
            format!("{scheme}://evil.example/{authority}"),
            format!("{scheme}://evil.example#{authority}"),
            format!("{scheme}://evil.example?{authority}"),
            format!("{scheme}://evil.example\\@{authority}/"),
        ] {
            assert!(!owns(&foreign), "{registry} and {foreign}");
        }
    }
}

#[test]
fn nobody_leaves_tls_and_http() {
    for target in TARGETS.map(|(target, _)| target) {
        let secure: Url = "https://registry.example/v2/".parse().unwrap();
        assert!(
            resolve(&secure, &format!("http://{target}/")).is_err(),
            "{target}"
        );
        assert!(
            resolve(&secure, &format!("https://{target}/")).is_ok(),
            "{target}"
        );
        for scheme in ["ftp", "file", "gopher", "ws", "data", "javascript", "unix"] {
            assert!(
                resolve(&secure, &format!("{scheme}://{target}/")).is_err(),
                "{scheme} {target}"
            );
        }
    }
}
