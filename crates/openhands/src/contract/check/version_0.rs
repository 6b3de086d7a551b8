//! What launchers of OpenHands V0 take for granted of an image.

use super::Image;
use ohoci_compose::check::{Point, State, User};
use ohoci_compose::files::Who;

/// Where launchers of V0 call the action execution server.
pub(super) const MICROMAMBA: &str = "/openhands/micromamba/bin/micromamba";
/// Where Python of the action execution server is.
const PYTHON_0: &str = "/openhands/poetry/openhands-ai/bin/python";

impl Image<'_> {
    /// What launchers of V0 take for granted: they start the server as root, by its whole command,
    /// in `/openhands/code`. It adds users and types bash into terminals.
    pub(super) fn version_0(&self) -> Vec<Point> {
        let root = Who::default();
        let there = |path: &str| match self.program(path, &root) {
            Ok(chain) => Point::new("server", State::Fine, chain),
            Err(why) => Point::new("server", State::Wrong, why)
                .mended("compose --deps with a server of V0, and --contract v0"),
        };
        let mut points = vec![there(MICROMAMBA), there(PYTHON_0)];
        points.push(match self.files.has("/openhands/code") {
            true => Point::new("code", State::Fine, "/openhands/code"),
            false => {
                let what = "no /openhands/code, where launchers start the server";
                Point::new("code", State::Lacking, what).mended("compose --contract v0")
            }
        });
        points.push(match self.files.has("/workspace") {
            true => Point::new("workspace", State::Fine, "/workspace"),
            false => {
                let what = "no /workspace; the server makes it when it starts";
                Point::new("workspace", State::Lacking, what).mended("compose --contract v0")
            }
        });
        let user = User::find(self.files, &self.start.user);
        points.push(match user.who.uid {
            0 => Point::new("user of the server", State::Fine, "root"),
            _ => {
                let what = format!(
                    "the server starts as {}, and has to be root: it adds the user it works as",
                    self.start.user
                );
                Point::new("user of the server", State::Wrong, what).mended("compose --user 0:0")
            }
        });
        points.push(match self.files.has("/bin/sh") {
            true => Point::new("commands", State::Fine, "/bin/sh"),
            false => {
                let what = "no /bin/sh, by which the server runs commands";
                Point::new("commands", State::Wrong, what).mended("compose --fit sh")
            }
        });
        points.extend(self.locale());
        let vscode = "/openhands/.openvscode-server/bin/openvscode-server";
        let plugins = match self.files.has(vscode) {
            true => "agent_skills, jupyter, vscode",
            false => {
                "agent_skills, jupyter; vscode does not start, because there is no server for it"
            }
        };
        points.push(Point::new("plugins", State::Fine, plugins));
        points
    }
}
