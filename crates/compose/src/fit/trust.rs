//! Certificates that a base trusts and the prefix does not: a company's own authority, most likely.

use std::collections::BTreeSet;

use super::detail::Detail;
use super::listing::Listing;

/// Where programs below the prefix find theirs.
pub(crate) const BUNDLE: &str = "/openhands/etc/ssl/certs/ca-certificates.crt";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What the base's bundle says, where it has one with certificates in it.
pub(crate) fn of_base(base: &Listing) -> Option<&str> {
    let places = Detail::Certificates.places().iter();
    let mut texts = places.filter_map(|place| Some(base.text(place)?.text.as_str()));
    texts.find(|text| text.contains(BEGIN))
}

/// The prefix's bundle with those of the base's certificates that it lacks; `None` when there are none.
pub(crate) fn merged(prefix: &str, base: &str) -> Option<String> {
    let mut known: BTreeSet<String> = certificates(prefix).map(content).collect();
    let mut text = prefix.to_owned();
    for certificate in certificates(base) {
        if !known.insert(content(certificate)) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(certificate);
        text.push('\n');
    }
    (text.len() > prefix.len()).then_some(text)
}

/// The certificates of a bundle in PEM (RFC 7468), with their boundaries.
fn certificates(bundle: &str) -> impl Iterator<Item = &str> {
    bundle.match_indices(BEGIN).filter_map(|(start, _)| {
        let rest = bundle.get(start..)?;
        let end = rest.find(END)?;
        rest.get(..end + END.len())
    })
}

/// A certificate in one line, as whoever wrote it may have broken the lines elsewhere.
fn content(certificate: &str) -> String {
    certificate.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn only_what_the_prefix_lacks_is_added() {
        let ours = pem("AAAA\nBBBB");
        let base = format!(
            "# mine\n{}text\n{}{BEGIN}\nbroken",
            pem("AAAABBBB"),
            pem("CCCC")
        );
        assert_eq!(
            merged(&ours, &base).unwrap(),
            format!("{ours}{}", pem("CCCC"))
        );
        assert_eq!(merged(&ours, &pem("AAAABBBB")), None);
        assert_eq!(merged(&ours, "no certificate"), None);
        assert_eq!(merged("", &pem("A")).unwrap(), pem("A"));
    }
}
