//! What may help where an instance is not resolved, by its log and by what stopped it. It changes no
//! verdict.

use super::outcome::Status;
use ohoci_sandbox::Network;
use ohoci_swebench::log_parser::markers;

/// The longest line of a log that is quoted, in characters.
const QUOTED: usize = 160;

/// What programs say that reach for a network in vain.
const NETWORK: [&str; 12] = [
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname provided",
    "NameResolutionError",
    "Failed to establish a new connection",
    "Network is unreachable",
    "No address associated with hostname",
    "Could not resolve host",
    "getaddrinfo ENOTFOUND",
    "getaddrinfo EAI_AGAIN",
    "no such host",
    "failed to lookup address information",
];

/// What they say where not even a way out is known.
const NO_ROUTE: &str = "Network is unreachable";

/// What the requests library says of the server that its own tests ask.
const HTTPBIN: &str = "host='httpbin.org'";

/// What programs say that lack a module.
const MODULE: [&str; 3] = [
    "ModuleNotFoundError: No module named",
    "Error: Cannot find module",
    "ImportError: cannot import name",
];

/// What may help.
pub(crate) fn advice(status: Status, log: &str, network: Network) -> Option<String> {
    match status {
        Status::Timeout => Some(
            "--timeout gives its tests more time, fewer --max-workers more of this machine"
                .to_owned(),
        ),
        Status::Oom => Some(
            "--memory gives it more memory, fewer --max-workers more of this machine".to_owned(),
        ),
        Status::Infra | Status::Unresolved | Status::Ungradable => of_log(log, network),
        Status::Resolved
        | Status::EmptyPatch
        | Status::PatchFailed
        | Status::BuildFailed
        | Status::Disk => None,
    }
}

fn of_log(log: &str, network: Network) -> Option<String> {
    // What is traced of the script, such as its patch, is not what its tests say.
    let found = |signs: &[&str]| {
        let lines = log.lines().filter(|line| !line.starts_with(['+', '-']));
        let mut lines = lines.filter(|line| signs.iter().any(|sign| line.contains(sign)));
        lines.next().map(quoted)
    };
    if network == Network::None
        && let Some(line) = found(&[HTTPBIN])
    {
        return Some(format!(
            "something asked httpbin.org: --httpbin has an image answer in its place, for the tests of psf/requests; the log says: {line}"
        ));
    }
    if let Some(line) = found(&NETWORK) {
        let lacks_route = line.contains(NO_ROUTE);
        return Some(match network {
            Network::None if lacks_route => format!(
                "something looked for a way out: --network dead-end has one that leads nowhere, --network this machine's; the log says: {line}"
            ),
            Network::None | Network::DeadEnd => format!(
                "something reached for a network, which --network gives; the log says: {line}"
            ),
            Network::Host => {
                format!("something was not reached over the network; the log says: {line}")
            }
        });
    }
    found(&MODULE).map(|line| {
        format!("a module is missing from the image, or from the patch; the log says: {line}")
    })
}

fn quoted(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(QUOTED) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
    }
}

/// The signal that ended a program with this exit code, as shells tell it.
pub(crate) fn signal_of(code: u8) -> Option<u8> {
    code.checked_sub(128)
        .filter(|signal| (1..=64).contains(signal))
}

/// The signal that ended the test command, by the exit code that the script wrote into the log.
pub(crate) fn signal_of_tests(log: &str) -> Option<u8> {
    let (_, rest) = log.rsplit_once(markers::EXIT_CODE)?;
    let code = rest.strip_prefix(':')?.split_whitespace().next()?;
    signal_of(code.parse().ok()?)
}

/// A signal's name where it is one that ends programs.
pub(crate) fn signal_name(signal: u8) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_says_is_quoted_with_what_may_help() {
        let log = "+ git apply -v - # Name or service not known\nE  socket.gaierror: [Errno -2] Name or service not known\n";
        let said = advice(Status::Unresolved, log, Network::None).unwrap();
        assert_eq!(
            said,
            "something reached for a network, which --network gives; the log says: E  socket.gaierror: [Errno -2] Name or service not known"
        );
        let said = advice(Status::Unresolved, log, Network::Host).unwrap();
        assert!(!said.contains("--network"), "{said}");
        let log = "E  ConnectionError: HTTPConnectionPool(host='httpbin.org', port=80): Max retries exceeded";
        let said = advice(Status::Unresolved, log, Network::None).unwrap();
        assert!(said.contains("--httpbin"), "{said}");
        assert_eq!(advice(Status::Unresolved, log, Network::Host), None);
        let log = "E   ModuleNotFoundError: No module named 'x'";
        let said = advice(Status::Infra, log, Network::None).unwrap();
        assert!(said.ends_with("No module named 'x'"), "{said}");
        assert_eq!(advice(Status::Unresolved, "1 failed", Network::None), None);
        assert_eq!(advice(Status::Resolved, log, Network::None), None);
        assert!(
            advice(Status::Timeout, "", Network::None)
                .unwrap()
                .contains("--timeout")
        );
        let long = format!("no such host {}", "é".repeat(300));
        assert!(
            advice(Status::Infra, &long, Network::None)
                .unwrap()
                .ends_with('…')
        );
    }

    #[test]
    fn signals_are_told_from_exit_codes() {
        assert_eq!(signal_of(137), Some(9));
        assert_eq!(signal_of(1), None);
        assert_eq!(signal_of(255), None);
        assert_eq!(signal_name(11), "SIGSEGV");
        assert_eq!(signal_of_tests("x\n>>>>> Test Exit Code: 139\ny"), Some(11));
        assert_eq!(signal_of_tests(">>>>> Test Exit Code: 1"), None);
        assert_eq!(signal_of_tests(""), None);
    }
}
