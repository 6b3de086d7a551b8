//! Programs for arm64 on a machine that is none: qemu runs them and whatever they start.
//!
//! Which interpreter the kernel starts for a foreign program is set in each user namespace (binfmt_misc, since Linux 6.7).
//! So it is set in one of its own, by any user, and neither the machine's settings nor its other programs see it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, output};

/// What images for it say.
pub(super) const PLATFORM: &str = "linux/arm64";

/// How many times as long programs may take.
pub(super) const SLOWER: u32 = 10;

/// The processor that qemu is: one with all there is, whose signatures of pointers, which Debian's programs have in most of
/// their functions, are not of the kind that takes most of the time (three quarters, while Python imports).
pub(super) const PROCESSOR: &str = "max,pauth-impdef=on";

/// The start of a program for arm64: its format, 64 bits, the order of bytes, the kind (a program, with its lowest bit
/// masked, or a library that is started as one) and the machine.
const MAGIC: [u8; 20] = [
    0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xb7, 0,
];

/// Which of its bits count. The system that a program is for does not: some name Linux, and some none.
const MASK: [u8; 20] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xfe, 0xff, 0xff, 0xff,
];

/// Registers its first argument, and becomes what the others say.
const START: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && \
                     printf %s \"$0\" >/proc/sys/fs/binfmt_misc/register && exec \"$@\"";

/// How programs for arm64 are started.
#[derive(Debug)]
pub(super) struct Emulator {
    registration: String,
}

impl Emulator {
    /// Fails where programs cannot be started by it.
    pub(super) fn arm64() -> Result<Self> {
        if std::env::consts::ARCH == "aarch64" {
            bail!("this machine runs programs for arm64 itself: name the image with --deps");
        }
        // A static one, since the loader that another needs is not in images.
        let qemu = find("qemu-aarch64-static")
            .context("qemu-aarch64-static is not installed (Debian package qemu-user-static)")?;
        let this = Self {
            registration: registration(&qemu)?,
        };
        output(this.command().arg("true")).context(
            "programs for arm64 cannot be run: it takes namespaces of users, and binfmt_misc of Linux 6.7 or newer",
        )?;
        Ok(this)
    }

    /// Starts what its next arguments name. A namespace that this makes for itself has the same interpreters.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", START]);
        command.arg(&self.registration);
        command
    }
}

/// The line that tells the kernel. It opens qemu now, since the root of an image does not have it (`F`); opens programs for
/// it (`O`), and leaves them the name that they were called by (`P`).
fn registration(qemu: &Path) -> Result<String> {
    let qemu = qemu.to_str().filter(|path| !path.contains(':'));
    let qemu = qemu.context("qemu is where binfmt_misc cannot name it")?;
    let escaped =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let (magic, mask) = (escaped(&MAGIC), escaped(&MASK));
    Ok(format!(":qemu-aarch64:M::{magic}:{mask}:{qemu}:OPF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's package qemu-user-static registers it (`/usr/lib/binfmt.d/qemu-aarch64.conf`).
    #[test]
    fn the_kernel_is_told_as_debian_tells_it() {
        let told = registration(Path::new("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")).unwrap();
        assert_eq!(
            told,
            r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF"
        );
        assert!(registration(Path::new("/a:b/qemu")).is_err());
    }
}
