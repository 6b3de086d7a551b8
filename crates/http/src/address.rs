//! Which addresses a registry may send a client to.
//!
//! A `Location`, a redirect or a token realm is foreign input. Without a check it could make a
//! client on an inner network, or in a cloud machine, talk to services that only it can reach
//! (go-containerregistry has refused such since #2258).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// How far an address reaches, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressScope {
    /// The whole internet.
    Public,
    /// A private network.
    Private,
    /// This machine.
    Loopback,
    /// Only the link, where clouds serve their metadata and with it credentials.
    LinkLocal,
}

impl AddressScope {
    /// The reach of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(v6),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, ..] = address.octets();
        if address.is_loopback() || address.is_unspecified() {
            Self::Loopback
        } else if address.is_link_local() || address.is_multicast() || address.is_broadcast() {
            Self::LinkLocal
        } else if address.is_private()
            || a == 0
            // Carrier-grade NAT (RFC 6598), where one cloud keeps its metadata as well.
            || (a == 100 && (64..128).contains(&b))
            // Benchmarking (RFC 2544).
            || (a == 198 && (b == 18 || b == 19))
        {
            if address == Ipv4Addr::new(100, 100, 100, 200) {
                Self::LinkLocal
            } else {
                Self::Private
            }
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [first, ..] = address.segments();
        if address.is_loopback() || address.is_unspecified() {
            Self::Loopback
        } else if first & 0xffc0 == 0xfe80
            || address.is_multicast()
            // The metadata address of one large cloud.
            || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        {
            Self::LinkLocal
        } else if first & 0xfe00 == 0xfc00 {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// The reach of a URL's host as far as it can be told without asking a name server.
    #[must_use]
    pub fn of_literal(url: &Url) -> Option<Self> {
        match url.host()? {
            Host::Ipv4(address) => Some(Self::of(address.into())),
            Host::Ipv6(address) => Some(Self::of(address.into())),
            Host::Domain(name) => is_localhost(name).then_some(Self::Loopback),
        }
    }

    /// Whether a registry with this reach may send its clients to `target` on another host.
    #[must_use]
    pub fn may_send_to(self, target: Self) -> bool {
        match target {
            Self::Public => true,
            Self::Private => matches!(self, Self::Private | Self::Loopback),
            Self::Loopback => self == Self::Loopback,
            Self::LinkLocal => false,
        }
    }
}

/// Whether a name always means this machine (RFC 6761, 6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64 or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Resolves names, but only to addresses that a registry of some reach may send its clients to.
///
/// Checking here, and not before the request, leaves no moment in which a name could change its
/// address.
#[derive(Debug)]
pub(crate) struct GuardedResolver {
    from: AddressScope,
    /// Names that the person chose: the proxies'.
    trusted: Arc<[String]>,
}

impl GuardedResolver {
    /// A resolver for what a registry of reach `from` asks for.
    pub(crate) fn new(from: AddressScope, trusted: Arc<[String]>) -> Self {
        Self { from, trusted }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (from, trusted) = (self.from, Arc::clone(&self.trusted));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let free = trusted
                .iter()
                .any(|t| t.eq_ignore_ascii_case(name.as_str()));
            let addresses: Vec<SocketAddr> = found
                .filter(|address| free || from.may_send_to(AddressScope::of(address.ip())))
                .collect();
            if addresses.is_empty() {
                return Err(Box::new(RefusedAddress) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name has no address that the registry may send its clients to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private address")]
pub(crate) struct RefusedAddress;

#[cfg(test)]
mod tests {
    use super::*;

    fn address_scope(text: &str) -> AddressScope {
        AddressScope::of(text.parse().unwrap())
    }

    #[test]
    fn classes_of_addresses() {
        for (text, class) in [
            ("93.184.216.34", AddressScope::Public),
            ("2606:2800:220:1::1", AddressScope::Public),
            ("10.1.2.3", AddressScope::Private),
            ("172.16.0.1", AddressScope::Private),
            ("192.168.1.1", AddressScope::Private),
            ("100.64.0.1", AddressScope::Private),
            ("fd12::1", AddressScope::Private),
            ("::ffff:10.0.0.1", AddressScope::Private),
            ("64:ff9b::a00:1", AddressScope::Private),
            ("2002:a00:1::", AddressScope::Private),
            ("127.0.0.1", AddressScope::Loopback),
            ("127.9.9.9", AddressScope::Loopback),
            ("0.0.0.0", AddressScope::Loopback),
            ("::1", AddressScope::Loopback),
            ("::", AddressScope::Loopback),
            ("::ffff:127.0.0.1", AddressScope::Loopback),
            ("169.254.169.254", AddressScope::LinkLocal),
            ("100.100.100.200", AddressScope::LinkLocal),
            ("fe80::1", AddressScope::LinkLocal),
            ("fd00:ec2::254", AddressScope::LinkLocal),
            ("::ffff:169.254.169.254", AddressScope::LinkLocal),
            ("224.0.0.1", AddressScope::LinkLocal),
        ] {
            assert_eq!(address_scope(text), class, "{text}");
        }
    }

    #[test]
    fn odd_spellings_of_an_address_are_seen_through() {
        for url in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://[::ffff:7f00:1]/",
            "http://LOCALHOST./",
            "http://x.localhost/",
        ] {
            assert_eq!(
                AddressScope::of_literal(&url.parse().unwrap()),
                Some(AddressScope::Loopback),
                "{url}"
            );
        }
        assert_eq!(
            AddressScope::of_literal(&"http://a.example/".parse().unwrap()),
            None
        );
    }

    #[tokio::test]
    async fn a_name_for_a_private_address_is_no_way_around() {
        let resolve = async |from, trusted: &[&str]| {
            let trusted = trusted.iter().map(|&t| t.to_owned()).collect();
            let resolver = GuardedResolver::new(from, trusted);
            let found = resolver.resolve("localhost".parse().unwrap()).await;
            found.map(Iterator::count).is_ok_and(|count| count > 0)
        };
        assert!(!resolve(AddressScope::Public, &[]).await);
        assert!(!resolve(AddressScope::Private, &[]).await);
        assert!(resolve(AddressScope::Loopback, &[]).await);
        assert!(resolve(AddressScope::Public, &["LOCALHOST"]).await);
    }

    #[test]
    fn nobody_is_sent_further_in() {
        use AddressScope::{LinkLocal, Loopback, Private, Public};
        for (from, to, fine) in [
            (Public, Public, true),
            (Public, Private, false),
            (Public, Loopback, false),
            (Private, Private, true),
            (Private, Loopback, false),
            (Loopback, Loopback, true),
            (Loopback, Private, true),
            (Loopback, LinkLocal, false),
            (LinkLocal, LinkLocal, false),
        ] {
            assert_eq!(from.may_send_to(to), fine, "{from:?} {to:?}");
        }
    }
}
