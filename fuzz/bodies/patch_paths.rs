//! Any text as a patch: whatever stands around it, a patch to git's own files is refused.

use ohoci_swebench::patch_paths::{RefusedWhy, refused_path};

/// What git refuses and patch would do.
const OF_GIT: &str = "diff --git a/.git/config b/.git/config\n--- a/.git/config\n+++ b/.git/config\n\
    @@ -1 +1,2 @@\n [core]\n+\tfsmonitor = x\n";

pub(crate) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let refused = refused_path(&text);
    for around in [format!("{OF_GIT}{text}"), format!("{text}\n{OF_GIT}")] {
        let refused = refused_path(&around);
        assert!(refused.is_some(), "{around}");
    }
    let first = refused_path(&format!("{OF_GIT}{text}")).map(|refused| refused.why);
    assert_eq!(first, Some(RefusedWhy::OfGit));
    refused.is_none()
}
