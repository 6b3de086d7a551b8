//! Tags of runtime images, as OpenHands up to 0.62 makes them.
//!
//! Source: `openhands/runtime/utils/runtime_build.py` of OpenHands, November 2025. The runtime is
//! looked for under its source tag; failing that, what is to be built starts from the image under
//! the lock tag or the versioned tag.

use super::error::TagError;
use super::hash::md5;
use super::legal::legal;

/// Where OpenHands keeps runtime images, unless `OH_RUNTIME_RUNTIME_IMAGE_REPO` says otherwise.
pub const REPOSITORY: &str = "ghcr.io/openhands/runtime";

/// How much of a base's name stays in a versioned tag.
const VERSIONED_LENGTH: usize = 96;

/// Everything that V0 tags depend on, but the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The version of OpenHands: `0.62.0`.
    pub version: String,
    /// The content of `pyproject.toml`.
    pub pyproject: Vec<u8>,
    /// The content of `poetry.lock`.
    pub poetry_lock: Vec<u8>,
    /// The hash of the package `openhands`; see [`dirhash`](super::dirhash).
    pub source: u128,
    /// Whether the browser is part of the runtime; it is unless told otherwise.
    pub browser: bool,
    /// The repository of runtime images, by which a base that is one already is recognized.
    pub repository: String,
    /// Whether the tag that only names the base is wanted too, as the project's CI sets it.
    pub image_tag: bool,
}

impl Inputs {
    /// Source tag, lock tag, versioned tag, and the image tag where it is wanted.
    ///
    /// # Errors
    /// When the base is empty.
    pub fn tags(&self, base: &str) -> Result<Vec<String>, TagError> {
        if base.is_empty() {
            return Err(TagError::NoBase);
        }
        let version = &self.version;
        let lock = lock_hash(base, self.browser, &self.pyproject, &self.poetry_lock);
        let source = truncate_hash(self.source);
        let mut tags = vec![
            legal(&format!("oh_v{version}_{lock}_{source}")),
            legal(&format!("oh_v{version}_{lock}")),
            legal(&format!("oh_v{version}_{}", versioned(base))),
        ];
        if self.image_tag {
            tags.push(image_tag(base, version, &self.repository));
        }
        Ok(tags)
    }
}

/// A hash in base 36, least significant digit first, sixteen digits at most; nothing for zero.
#[must_use]
pub(crate) fn truncate_hash(hash: u128) -> String {
    let mut value = hash;
    let mut text = String::with_capacity(16);
    while value > 0 && text.len() < 16 {
        let digit = u32::try_from(value % 36).ok();
        text.extend(digit.and_then(|digit| char::from_digit(digit, 36)));
        value /= 36;
    }
    text
}

/// What stands for the base as typed, the browser and the locked dependencies in a lock tag.
///
/// Upstream's staleness hole is part of it: what a moving base tag points to has no effect.
#[must_use]
pub(crate) fn lock_hash(base: &str, browser: bool, pyproject: &[u8], poetry_lock: &[u8]) -> String {
    let browser: &[u8] = if browser { b"" } else { b"False" };
    truncate_hash(md5([base.as_bytes(), browser, pyproject, poetry_lock]))
}

/// What stands for the base in a versioned tag; it may be illegal as upstream's is.
#[must_use]
pub fn versioned(base: &str) -> String {
    let name = base.replace('/', "_s_").replace(':', "_t_").to_lowercase();
    last(&name, VERSIONED_LENGTH).1.to_owned()
}

/// The tag that names only the base: the base's own, when it is a runtime image already.
///
/// Upstream splits at every colon and fails with more than one: a registry's port, or a tag and a
/// digest. Here the last colon behind the last slash separates the tag, and what is illegal in
/// the result is replaced as [`legal`] says.
#[must_use]
pub fn image_tag(base: &str, version: &str, repository: &str) -> String {
    let slash = base.rfind('/').map_or(0, |at| at + 1);
    let (path, last_component) = base.split_at_checked(slash).unwrap_or((base, ""));
    let (name, tag) = last_component
        .rsplit_once(':')
        .unwrap_or((last_component, "latest"));
    if base.contains(repository) {
        return legal(tag);
    }
    let mut name = format!("{path}{name}");
    if name.chars().count() > 32 {
        let (front, end) = last(&name, 24);
        let hash = format!("{:032x}", md5([front.as_bytes()]));
        name = format!("{}_{end}", hash.get(..8).unwrap_or(&hash));
    }
    let full = format!("oh_v{version}_image_{}_tag_{tag}", name.replace('/', "_s_"));
    if full.chars().count() > 128 {
        let hash = md5([full.as_bytes()]);
        return legal(&format!("oh_v{version}_image_{hash:032x}"));
    }
    legal(&full)
}

/// A text split before its last `count` characters.
fn last(text: &str, count: usize) -> (&str, &str) {
    let at = match count.checked_sub(1) {
        None => text.len(),
        Some(back) => text.char_indices().rev().nth(back).map_or(0, |(at, _)| at),
    };
    text.split_at_checked(at).unwrap_or(("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a vector is asserted by a unit test of upstream (`test_runtime_build.py`) or was
    /// computed by running upstream's code.
    #[derive(Debug)]
    enum Upstream {
        Test,
        Code,
    }

    #[test]
    fn hashes_are_truncated_as_upstream_does() {
        for (upstream, hash, expected) in [
            (
                Upstream::Test,
                "b08f254d76b1c6a7ad924708c0032251",
                "pma2wc71uq3c9a85",
            ),
            (
                Upstream::Test,
                "102aecc0cea025253c0278f54ebef078",
                "4titk6gquia3taj5",
            ),
            (
                Upstream::Code,
                "1f69bd20d68d9e3874d5bf7f7459709b",
                "bozkz3djf2bkxrcq",
            ),
            (
                Upstream::Code,
                "ccde78b976c41bbf6752e1708cdd095f",
                "3zbnxfx4dy8r048g",
            ),
            (Upstream::Code, "00000000000000000000000000000000", ""),
        ] {
            let hash = u128::from_str_radix(hash, 16).unwrap();
            assert_eq!(truncate_hash(hash), expected, "{upstream:?}");
        }
    }

    #[test]
    fn lock_hashes_are_upstreams() {
        let node = "nikolaik/python-nodejs:python3.12-nodejs22";
        // The inputs of the first two are upstream's own.
        for (base, browser, pyproject, lock, expected) in [
            (
                "some_base_image",
                true,
                "mock-data",
                "mock-data",
                "y30qicsghn63hkb8",
            ),
            (
                "some_base_image",
                false,
                "mock-data",
                "mock-data",
                "3irxziledg1zx8pn",
            ),
            (node, true, "pyproject\n", "lock\n", "khxm1cbm196o99y7"),
        ] {
            assert_eq!(
                lock_hash(base, browser, pyproject.as_bytes(), lock.as_bytes()),
                expected
            );
        }
        for (browser, expected) in [
            (&b""[..], "af21c653c80189d17e9bd5b7a796450e"),
            (b"False", "c71727acab5bdaa6bfe9ba749ea9647b"),
        ] {
            let hash = md5([&b"some_base_image"[..], browser, b"mock-data", b"mock-data"]);
            assert_eq!(format!("{hash:032x}"), expected);
        }
    }

    #[test]
    fn versioned_names_are_upstreams() {
        let zeros = "0".repeat(64);
        for (base, expected) in [
            (
                "nikolaik/python-nodejs:python3.12-nodejs22",
                "nikolaik_s_python-nodejs_t_python3.12-nodejs22",
            ),
            (
                "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest",
                "docker.io_s_swebench_s_sweb.eval.x86_64.django_1776_django-11333_t_latest",
            ),
            ("localhost:5000/a/b:t", "localhost_t_5000_s_a_s_b_t_t"),
            (
                "ghcr.io/very-long-organization-name/very-long-repository-name-that-exceeds-max-length-and-more-and-more:V1.2.3",
                "organization-name_s_very-long-repository-name-that-exceeds-max-length-and-more-and-more_t_v1.2.3",
            ),
            (
                &format!("a/b@sha256:{zeros}"),
                &format!("a_s_b@sha256_t_{zeros}"),
            ),
        ] {
            assert_eq!(versioned(base), expected);
        }
    }

    #[test]
    fn image_tags_are_upstreams() {
        for (upstream, base, expected) in [
            (
                Upstream::Test,
                "debian:11",
                "oh_v0.62.0_image_debian_tag_11",
            ),
            (
                Upstream::Test,
                "ubuntu",
                "oh_v0.62.0_image_ubuntu_tag_latest",
            ),
            (
                Upstream::Test,
                "nikolaik/python-nodejs:python3.12-nodejs22",
                "oh_v0.62.0_image_nikolaik_s_python-nodejs_tag_python3.12-nodejs22",
            ),
            (
                Upstream::Code,
                "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest",
                "oh_v0.62.0_image_b9b34bc8_django_1776_django-11333_tag_latest",
            ),
            (
                Upstream::Code,
                "ghcr.io/openhands/runtime:oh_v0.61.0_abc",
                "oh_v0.61.0_abc",
            ),
            (Upstream::Code, "ghcr.io/openhands/runtime", "latest"),
        ] {
            assert_eq!(
                image_tag(base, "0.62.0", REPOSITORY),
                expected,
                "{upstream:?}"
            );
        }
    }

    fn inputs() -> Inputs {
        Inputs {
            version: "0.62.0".to_owned(),
            pyproject: b"mock-data".to_vec(),
            poetry_lock: b"mock-data".to_vec(),
            source: 0x1f69_bd20_d68d_9e38_74d5_bf7f_7459_709b,
            browser: true,
            repository: REPOSITORY.to_owned(),
            image_tag: true,
        }
    }

    /// The order of `_build_sandbox_image`, which upstream's tests assert.
    #[test]
    fn tags_come_in_upstreams_order() {
        assert_eq!(
            inputs().tags("some_base_image").unwrap(),
            [
                "oh_v0.62.0_y30qicsghn63hkb8_bozkz3djf2bkxrcq",
                "oh_v0.62.0_y30qicsghn63hkb8",
                "oh_v0.62.0_some_base_image",
                "oh_v0.62.0_image_some_base_image_tag_latest",
            ]
        );
        assert!(inputs().tags("").is_err());
    }

    /// `ValueError: too many values to unpack` and tags that no registry takes, upstream.
    #[test]
    fn what_upstream_fails_on_gets_a_legal_tag() {
        let zeros = "0".repeat(64);
        for (base, expected) in [
            (
                "localhost:5000/a/b:t".to_owned(),
                "oh_v0.62.0_image_localhost-5000_s_a_s_b_tag_t-8e20ff7c125c".to_owned(),
            ),
            (
                format!("a/b@sha256:{zeros}"),
                format!("oh_v0.62.0_image_a_s_b-sha256_tag_{zeros}-c0c1cbdb9e81"),
            ),
            (
                format!("a/b:t@sha256:{zeros}"),
                format!("oh_v0.62.0_image_a_s_b-t-sha256_tag_{zeros}-b2089880313c"),
            ),
        ] {
            assert_eq!(image_tag(&base, "0.62.0", REPOSITORY), expected);
        }
        let pinned = inputs().tags(&format!("a/b@sha256:{zeros}")).unwrap();
        assert_eq!(
            pinned.get(2),
            Some(&format!("oh_v0.62.0_a_s_b-sha256_t_{zeros}-dd308c3c4115"))
        );
    }
}
