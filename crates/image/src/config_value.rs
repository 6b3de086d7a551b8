//! What values in an image's config may be: users, ports, signals.

/// The largest number of a user or group that runtimes take (moby `pkg/user`, runc
/// `libcontainer/user`).
const LARGEST_ID: u64 = (1 << 31) - 1;

/// Why a user, `USER[:GROUP]`, cannot be looked up.
pub(super) fn user_fault(user: &str) -> Option<&'static str> {
    if user.is_empty() {
        return None;
    }
    let parts: Vec<&str> = user.split(':').collect();
    let too_large = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && part.parse::<u64>().map_or(true, |id| id > LARGEST_ID)
    };
    if parts.len() > 2 {
        Some("has more than a user and a group")
    } else if user.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some("has a space or a control character in it")
    } else if parts.iter().any(|part| part.starts_with('-')) {
        Some("begins with a minus")
    } else if parts.iter().any(|part| part.starts_with('+')) {
        Some("begins with a plus")
    } else if parts.iter().any(|part| too_large(part)) {
        Some("is a number above 2147483647")
    } else {
        None
    }
}

/// The key in `ExposedPorts`, where it is a port: Docker writes the protocol that is meant by leaving it out.
pub(super) fn port_key(text: &str) -> Option<String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = port
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| port.parse::<u16>().ok())
        .flatten()
        .filter(|number| *number != 0);
    match number {
        Some(number) if matches!(protocol, "tcp" | "udp" | "sctp") => {
            Some(format!("{number}/{protocol}"))
        }
        _ => None,
    }
}

/// A number, or letters, digits, `+` and `-` as in `SIGRTMIN+3`.
pub(super) fn is_signal(text: &str) -> bool {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<u8>().is_ok_and(|number| number > 0);
    }
    text.len() <= 20
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-'))
}
