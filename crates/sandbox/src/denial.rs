//! Why a machine gives an ordinary user no namespaces.

/// What may help.
pub const HINT: &str = "have the setting changed (see sysctl.d(5)), or run as root; in a container, that container has to be started with the right to make user namespaces";

/// A setting, the value that forbids user namespaces, and what to call it.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "this machine allows no user namespaces (user.max_user_namespaces is 0)",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "only root may make user namespaces here (kernel.unprivileged_userns_clone is 0)",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids user namespaces to ordinary programs here (kernel.apparmor_restrict_unprivileged_userns is 1)",
    ),
];

/// The setting of this machine that is in the way and the command that changes it, if one is.
#[must_use]
pub fn among_settings() -> Option<(&'static str, &'static str)> {
    let reason = reason()?;
    let mend = if reason.contains("AppArmor") {
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else if reason.contains("unprivileged_userns_clone") {
        "sysctl -w kernel.unprivileged_userns_clone=1"
    } else {
        "sysctl -w user.max_user_namespaces=15000"
    };
    Some((reason, mend))
}

/// The setting of this machine that is in the way, if one is.
pub(super) fn reason() -> Option<&'static str> {
    among(&|path| fs_err::read_to_string(path).ok())
}

fn among(read: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    SETTINGS
        .iter()
        .find(|(path, forbidding, _)| read(path).is_some_and(|value| value.trim() == *forbidding))
        .map(|(_, _, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_is_named() {
        assert_eq!(among(&|_| None), None);
        let generous = |path: &str| Some(if path.contains("apparmor") { "0" } else { "1" }.into());
        assert_eq!(among(&generous), None);
        let strict = |path: &str| path.contains("userns_clone").then(|| "0\n".to_owned());
        assert!(
            among(&strict)
                .unwrap()
                .contains("unprivileged_userns_clone")
        );
        let apparmor = |path: &str| path.contains("apparmor").then(|| "1\n".to_owned());
        assert!(among(&apparmor).unwrap().contains("AppArmor"));
    }
}
