//! Exit codes. They are part of the interface: scripts rely on them.

/// Everything asked for was done.
pub const DONE: u8 = 0;
/// Something failed; stderr says what, why and, where possible, what may help.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// Some of a batch was done and some failed.
pub const PARTLY: u8 = 3;
/// Something was verified and found wanting.
pub const WANTING: u8 = 4;
/// `run`: the program's time was over, as timeout(1) reports it.
pub const TIMED_OUT: u8 = 124;
/// `run`: ohoci failed, before the program ran or while it did; so does Docker.
pub const SANDBOX_FAILED: u8 = 125;
/// `run`: the program cannot be executed, as shells report it.
pub const NOT_EXECUTABLE: u8 = 126;
/// `run`: there is no such program, as shells report it.
pub const NOT_FOUND: u8 = 127;
/// `run`: the program wrote or took more than it may: 128 + SIGKILL, as shells report what is killed.
pub const KILLED: u8 = 137;
/// `run`: the terminal was gone: 128 + SIGHUP, as shells report it.
pub const HUNG_UP: u8 = 129;
/// Interrupted by Ctrl-C: 128 + SIGINT, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// The exit codes of a command and what they mean there, for its man page.
#[must_use]
pub fn of(command: &str) -> Vec<(&'static str, &'static str)> {
    let mut codes = vec![("0", "Everything asked for was done.")];
    if command == "run" {
        codes = vec![
            (
                "0 to 255",
                "What the program ended with; 128 and the number of the signal that ended it.",
            ),
            ("2", "The command line is wrong; nothing was tried."),
            ("124", "The program's time was over."),
            (
                "125",
                "ohoci failed, before the program ran or while it did.",
            ),
            ("126", "The program cannot be executed."),
            ("127", "There is no such program."),
            (
                "137",
                "The program was killed, as for writing more than it may.",
            ),
        ];
    } else {
        codes.extend([
            ("1", "Something failed; standard error says what and why."),
            ("2", "The command line is wrong; nothing was tried."),
        ]);
        codes.extend(match command {
            "batch" => Some(("3", "Some images failed or were left; others are in place.")),
            "swebench images" | "swebench run-evaluation" | "swebench report" => {
                Some(("3", "Some of it was done and some failed."))
            }
            _ => None,
        });
        codes.extend(match command {
            "check" => Some(("4", "The base will not do.")),
            "k8s" => Some(("4", "Something in the manifests cannot work.")),
            "doctor" => Some(("4", "Something is lacking.")),
            "outdated" => Some(("4", "Something has moved since.")),
            "verify" => Some(("4", "The image is not what its recorded inputs give.")),
            "deps audit" => Some(("4", "Something was found that does not hold on every base.")),
            "deps lock" => Some(("4", "The lock is not what the recipe asks for.")),
            "swebench audit-leak" => Some(("4", "The image knows more than it may.")),
            "swebench run-evaluation" | "swebench report" => {
                Some(("4", "Some instances are not resolved."))
            }
            _ => None,
        });
    }
    codes.push(("130", "Interrupted by Ctrl-C or SIGTERM."));
    codes
}
