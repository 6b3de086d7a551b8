//! Any text as a clear-signed release: what is not signed does not count.

use ohoci_deps::debian::clearsign;
use ohoci_deps::debian::release::Release;

pub(crate) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let is_plain = Release::parse(&text).is_ok();
    let Ok(signed) = clearsign::split(&text) else {
        return is_plain;
    };
    assert!(text.contains(signed.signature));
    let _ = signed.signed_bytes();
    if let Ok(release) = Release::parse(&signed.text) {
        let _ = release.check("trixie", 1_767_225_600, true);
    }
    true
}
