//! Whether an image has what OpenHands' launchers take for granted.

mod version_0;

use serde_json::{Map, Value};

use super::Contract;
use ohoci_compose::check::start::foreign_locale;
use ohoci_compose::check::{Looked, LookedDeps, Point, Programs, Start, State, User};
use ohoci_compose::files::{Files, Who};

/// Where Python of the agent server is called by launchers.
const PYTHON: &str = "/agent-server/.venv/bin/python";
/// Where the server is called by launchers that know no Python.
const SERVER: &str = "/usr/local/bin/openhands-agent-server";
/// As whom launchers start the agent server.
const USER: u32 = 10001;
/// Variables that programs of a base believe, and that are often set for those below a prefix.
const LEAKS: [&str; 6] = [
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONHOME",
    "PYTHONPATH",
    "GCONV_PATH",
    "LOCPATH",
];

impl Contract {
    /// The points of an image that it ought to keep. Where deps images are to be put on it, what
    /// they bring counts instead of what the image has.
    #[must_use]
    pub fn points(self, looked: &Looked) -> Vec<Point> {
        if !looked.deps.is_empty() && !looked.is_composed {
            return looked
                .deps
                .iter()
                .map(|deps| self.of_deps_files(looked, deps))
                .collect();
        }
        let image = Image::of(looked);
        match self {
            Self::V0 => image.version_0(),
            Self::V1 => image.version_1(),
        }
    }

    /// Whether a deps image brings the server, and it starts on the image.
    fn of_deps_files(self, looked: &Looked, deps: &LookedDeps) -> Point {
        let name = "server";
        let mut files = looked.files.clone();
        files.add(&deps.files);
        let image = Image {
            files: &files,
            ..Image::of(looked)
        };
        for path in self.server() {
            if let Err(why) = image.program(path, &Who::default()) {
                let what = format!("{} does not bring it: {why}", deps.reference);
                let recipe = match self {
                    Self::V0 => "openhands-v0",
                    Self::V1 => "agent-server",
                };
                return Point::new(name, State::Wrong, what)
                    .mended(format!("a deps image of `ohoci deps build {recipe}`"));
            }
        }
        Point::new(name, State::Fine, format!("{} brings it", deps.reference))
    }
}

/// The points of an image that ohoci composed, for whichever contract its server belongs to.
#[must_use]
pub fn points_of_composed(looked: &Looked) -> Vec<Point> {
    let image = Image::of(looked);
    let mut points = vec![image.path(), image.environment()];
    if looked.files.has(version_0::MICROMAMBA) {
        points.extend(image.version_0());
    }
    if looked.files.has("/openhands/bin/oh-agent-server") {
        if looked.files.has("/agent-server") {
            points.extend(image.version_1());
        } else {
            let what = format!("no {PYTHON}: launchers of OpenHands call it");
            let point = Point::new("contract", State::Lacking, what);
            points.push(point.mended("compose --contract v1"));
        }
    }
    points
}

/// What is looked at.
struct Image<'a> {
    files: &'a Files,
    config: &'a Map<String, Value>,
    start: Start,
    architecture: &'a str,
    is_composed: bool,
}

impl<'a> Image<'a> {
    fn of(looked: &'a Looked) -> Self {
        Self {
            files: &looked.files,
            config: &looked.config,
            start: Start::of(&looked.config),
            architecture: &looked.platform.architecture,
            is_composed: looked.is_composed,
        }
    }

    /// How a program starts, when `who` starts it.
    fn program(&self, name: &str, who: &Who) -> Result<String, String> {
        let programs = Programs {
            files: self.files,
            path: self.start.path(),
            directory: &self.start.directory,
            library_path: self.start.variable("LD_LIBRARY_PATH").unwrap_or_default(),
            who,
            architecture: self.architecture,
        };
        programs.program(&programs.find(name)?, 0)
    }

    fn words(&self, key: &str) -> Vec<&str> {
        let list = self.config.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// What launchers of V1 take for granted.
    fn version_1(&self) -> Vec<Point> {
        let who = Who {
            uid: USER,
            gids: vec![USER],
        };
        let mut points = self.servers(&who);
        points.push(self.workspace(&who));
        points.push(self.home(&who));
        points.push(self.entrypoint());
        points.push(self.port());
        points.push(self.build());
        points.extend(self.locale());
        points.extend(self.terminal(&who));
        points
    }

    /// Both places that launchers call it at; one is enough for some of them.
    fn servers(&self, who: &Who) -> Vec<Point> {
        let mend = "compose --deps with the agent server, and --contract v1";
        let found = [PYTHON, SERVER].map(|path| (path, self.program(path, who)));
        let neither = found.iter().all(|(_, found)| found.is_err());
        // Upstream's images have one or the other; what ohoci composes has both.
        let state = match neither || self.is_composed {
            true => State::Wrong,
            false => State::Lacking,
        };
        let of = |(_, found): (&str, Result<String, String>)| match found {
            Ok(chain) => Point::new("server", State::Fine, chain),
            Err(why) => Point::new("server", state, why).mended(mend),
        };
        found.map(of).into()
    }

    /// Whether `who` may write into a directory.
    fn is_writable(&self, directory: &str, who: &Who) -> Result<(), String> {
        let real = self
            .files
            .follow(directory)
            .map_err(|lost| lost.to_string())?;
        if !self.files.is_directory(directory) {
            return Err(format!("{directory} is no directory"));
        }
        if let Some(closed) = self.files.closed(&real, who) {
            return Err(format!("user {} may not enter {closed}", who.uid));
        }
        match self.files.at(&real) {
            Some(file) if !who.may(file, 2) => Err(format!(
                "user {} may not write into {directory}, which is {}:{} with mode {:o}",
                who.uid, file.uid, file.gid, file.mode
            )),
            None => Err(format!("user {} may not write into {directory}", who.uid)),
            Some(_) => Ok(()),
        }
    }

    /// Where launchers let the server work.
    fn workspace(&self, who: &Who) -> Point {
        let name = "workspace";
        match self.is_writable("/workspace/project", who) {
            Ok(()) => Point::new(name, State::Fine, "/workspace/project"),
            Err(why) => Point::new(name, State::Wrong, why).mended("compose --contract v1"),
        }
    }

    fn home(&self, who: &Who) -> Point {
        let name = "home";
        let of_user = || User::find(self.files, &USER.to_string()).home;
        let set = self.start.variable("HOME").map(str::to_owned);
        let is_set = set.is_some();
        let home = set.or_else(of_user);
        let mend = "compose --contract v1";
        match home {
            None => {
                let what = "HOME is not set, and /etc/passwd has no user 10001: it is /";
                Point::new(name, State::Lacking, what).mended(mend)
            }
            Some(home) => match self.is_writable(&home, who) {
                Ok(()) => Point::new(name, State::Fine, home),
                Err(why) => {
                    let from = if is_set { "HOME" } else { "/etc/passwd" };
                    let what = format!("the home by {from} is {home}: {why}");
                    Point::new(name, State::Wrong, what).mended(mend)
                }
            },
        }
    }

    /// Launchers append the server's arguments to it.
    fn entrypoint(&self) -> Point {
        let name = "entrypoint";
        let (entrypoint, command) = (self.words("Entrypoint"), self.words("Cmd"));
        let server = entrypoint.iter().any(|word| {
            *word == "openhands.agent_server"
                || *word == SERVER
                || word.ends_with("/oh-agent-server")
        });
        let wrong = match (server, command.is_empty()) {
            (true, true) => return Point::new(name, State::Fine, entrypoint.join(" ")),
            (false, _) => format!("{entrypoint:?} does not start the agent server"),
            (true, false) => {
                format!("the command {command:?} would be given to the agent server")
            }
        };
        Point::new(name, State::Wrong, wrong).mended("compose --contract v1")
    }

    fn port(&self) -> Point {
        let ports = self.config.get("ExposedPorts").and_then(Value::as_object);
        match ports.is_some_and(|ports| ports.contains_key("8000/tcp")) {
            true => Point::new("port", State::Fine, "8000/tcp"),
            false => {
                let what =
                    "8000/tcp is not exposed; launchers that publish all exposed ports miss it";
                Point::new("port", State::Lacking, what).mended("compose --expose 8000/tcp")
            }
        }
    }

    fn build(&self) -> Point {
        let value = |name| self.start.variable(name);
        match (
            value("OPENHANDS_BUILD_GIT_SHA"),
            value("OPENHANDS_BUILD_GIT_REF"),
        ) {
            (Some(commit), Some(reference)) => {
                Point::new("build", State::Fine, format!("{reference} {commit}"))
            }
            _ => {
                let what =
                    "OPENHANDS_BUILD_GIT_SHA and _REF, which /server_info reports, are not set";
                Point::new("build", State::Lacking, what).mended("compose --contract v1")
            }
        }
    }

    /// A terminal of the server, which is tmux, fails in any other character set.
    fn locale(&self) -> Option<Point> {
        let (name, value) = foreign_locale(&self.start)?;
        let what = format!("{name}={value} is not UTF-8: the server's terminal fails");
        let point = Point::new("terminal", State::Wrong, what);
        Some(point.mended("compose --contract, or --env LC_ALL=C.UTF-8"))
    }

    /// What terminals start.
    fn terminal(&self, who: &Who) -> Vec<Point> {
        let words = [
            (
                "tmux",
                "terminals are plain processes without it, which upstream calls less stable",
            ),
            ("bash", "the terminal starts it"),
            ("git", "the agent's changes are read by it"),
        ];
        let of = |(name, without): (&'static str, &str)| match self.program(name, who) {
            Ok(chain) => Point::new(name, State::Fine, chain),
            Err(why) => Point::new(name, State::Lacking, format!("{why}; {without}"))
                .mended("compose --deps with the tools (the feature `core`)"),
        };
        // The shell of any image is looked at already.
        words.into_iter().map(of).collect()
    }

    /// Wrappers in front, tools behind: a base's own programs always win.
    fn path(&self) -> Point {
        let name = "tools";
        let value = self.start.variable("PATH").unwrap_or_default();
        let place = |wanted: &str| value.split(':').position(|name| name == wanted);
        let tools = place("/openhands/tools/bin");
        let shadows =
            matches!((tools, place("/usr/bin")), (Some(tools), Some(base)) if tools < base);
        let missing: Vec<&str> = ["/openhands/bin", "/openhands/tools/bin"]
            .into_iter()
            .filter(|directory| place(directory).is_some() && !self.files.is_directory(directory))
            .collect();
        if shadows {
            let what = format!("the tools hide the base's programs in PATH: {value}");
            Point::new(name, State::Wrong, what)
        } else if !missing.is_empty() {
            let what = format!("PATH names {}, which is not there", missing.join(" and "));
            Point::new(name, State::Wrong, what)
        } else if place("/openhands/bin") != Some(0) || tools.is_none() {
            let what = format!("wrappers or tools are not found by name: PATH is {value:?}");
            Point::new(name, State::Lacking, what)
        } else {
            Point::new(name, State::Fine, "behind the base's programs in PATH")
        }
    }

    fn environment(&self) -> Point {
        let names = self.start.env.iter().map(|(name, _)| name.as_str());
        let set: Vec<&str> = names.filter(|name| LEAKS.contains(name)).collect();
        let what = match set.is_empty() {
            true => "nothing that programs of the base stumble over".to_owned(),
            // The base may have set it for its own programs; those below the prefix pass it over.
            false => format!("{} is set, for the base's programs alone", set.join(", ")),
        };
        Point::new("environment", State::Fine, what)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use ohoci_compose::check::BaseCheck;
    use ohoci_compose::files::head::Head;
    use ohoci_compose::files::machine_code::Libraries;
    use ohoci_compose::files::{File, What};
    use ohoci_image::Platform;

    /// An image with programs (`*`), links (`->`) and directories that all may write into (`/`).
    fn looked(paths: &[(&str, &str)], config: &Value) -> Looked {
        let mut files = Files::default();
        for (path, what) in paths {
            let (what, mode) = match what.strip_prefix("->") {
                Some(target) => (What::Link(target.to_owned()), 0o777),
                None if *what == "/" => (What::Directory, 0o777),
                None => {
                    let elf = Head::Elf {
                        machine: 62,
                        loader: String::new(),
                        libraries: Libraries::default(),
                    };
                    (What::Program(elf), 0o755)
                }
            };
            let (uid, gid) = (0, 0);
            files.put(
                path,
                File {
                    what,
                    mode,
                    uid,
                    gid,
                },
            );
        }
        Looked {
            check: BaseCheck {
                platform: "linux/amd64".to_owned(),
                points: Vec::new(),
            },
            platform: Platform::new("linux", "amd64"),
            files,
            config: config.as_object().unwrap().clone(),
            is_composed: true,
            deps: Vec::new(),
        }
    }

    const GOOD: [(&str, &str); 9] = [
        ("openhands/bin/oh-agent-server", "*"),
        ("openhands/poetry/oh/bin/python", "*"),
        ("agent-server/.venv", "->/openhands/poetry/oh"),
        (
            "usr/local/bin/openhands-agent-server",
            "->/openhands/bin/oh-agent-server",
        ),
        ("workspace/project", "/"),
        ("home/openhands", "/"),
        ("openhands/tools/bin/tmux", "*"),
        ("openhands/tools/bin/git", "*"),
        ("openhands/tools/bin/bash", "*"),
    ];

    fn good() -> Value {
        json!({
            "Env": ["PATH=/openhands/bin:/usr/bin:/bin:/openhands/tools/bin", "HOME=/home/openhands",
                    "OPENHANDS_BUILD_GIT_SHA=a", "OPENHANDS_BUILD_GIT_REF=b"],
            "Entrypoint": ["/agent-server/.venv/bin/python", "-m", "openhands.agent_server"],
            "ExposedPorts": {"8000/tcp": {}},
        })
    }

    fn states(points: &[Point]) -> Vec<(&'static str, State)> {
        let states = points.iter().map(|point| (point.name, point.state));
        states.collect()
    }

    #[test]
    fn an_image_that_keeps_the_contract_is_fine() {
        let found = states(&points_of_composed(&looked(&GOOD, &good())));
        assert_eq!(found.len(), 12);
        assert!(
            found.iter().all(|(_, state)| *state == State::Fine),
            "{found:?}"
        );
    }

    #[test]
    fn any_image_is_told_what_it_lacks_and_what_mends_it() {
        let mut image = looked(&[("bin/sh", "*")], &json!({ "Env": ["LC_ALL=POSIX"] }));
        image.is_composed = false;
        let points = Contract::V1.points(&image);
        let wrong = |name: &str| {
            let found = points.iter().find(|point| point.name == name).unwrap();
            assert!(found.mend.is_some(), "{found:?}");
            found.state
        };
        for name in ["server", "workspace", "entrypoint", "terminal"] {
            assert_eq!(wrong(name), State::Wrong, "{name}");
        }
        for name in ["port", "tmux", "home"] {
            assert_eq!(wrong(name), State::Lacking, "{name}");
        }
        // Upstream's images have one of both servers.
        let mut image = looked(&[&GOOD[1..3], &GOOD[4..]].concat(), &good());
        image.is_composed = false;
        let points = Contract::V1.points(&image);
        assert!(points.iter().all(|point| point.state != State::Wrong));
    }

    #[test]
    fn deps_have_to_bring_the_server() {
        let mut image = looked(&[("bin/sh", "*")], &json!({}));
        image.is_composed = false;
        let with = |paths: &[(&str, &str)]| {
            let mut image = image.clone();
            image.deps.push(LookedDeps {
                reference: "registry.example/deps:1".to_owned(),
                document: Map::new(),
                files: looked(paths, &json!({})).files,
            });
            states(&Contract::V1.points(&image))
        };
        assert_eq!(with(&GOOD[..2]), [("server", State::Fine)]);
        assert_eq!(with(&GOOD[1..2]), [("server", State::Wrong)]);
    }

    #[test]
    fn launchers_of_version_0_need_root_and_a_shell() {
        let good = [
            ("openhands/micromamba/bin/micromamba", "*"),
            ("openhands/poetry/openhands-ai/bin/python", "*"),
            ("openhands/code/openhands", "*"),
            ("workspace", "/"),
            ("bin/sh", "*"),
        ];
        let states = |config: Value, left_out: &str| {
            let paths: Vec<_> = good
                .into_iter()
                .filter(|(path, _)| !path.starts_with(left_out))
                .collect();
            states(&Contract::V0.points(&looked(&paths, &config)))
        };
        let config = |user: &str| json!({"User": user});
        for user in ["", "0:0", "0"] {
            let found = states(config(user), "-");
            assert_eq!(found.len(), 7);
            assert!(found.iter().all(|(_, state)| *state == State::Fine));
        }
        for (user, left_out, name, state) in [
            ("1000", "-", "user of the server", State::Wrong),
            ("", "bin/sh", "commands", State::Wrong),
            ("", "openhands/poetry", "server", State::Wrong),
            ("", "openhands/code", "code", State::Lacking),
            ("", "workspace", "workspace", State::Lacking),
        ] {
            let found = states(config(user), left_out);
            assert!(
                found.contains(&(name, state)),
                "{user} {left_out}: {found:?}"
            );
        }
    }

    #[test]
    fn what_breaks_it_is_named() {
        for (key, value, name, state) in [
            (
                "Env",
                json!(["PATH=/openhands/tools/bin:/usr/bin"]),
                "tools",
                State::Wrong,
            ),
            ("Env", json!([]), "tools", State::Lacking),
            ("Env", json!(["HOME=/root"]), "home", State::Wrong),
            ("Env", json!(["LC_ALL=C"]), "terminal", State::Wrong),
            ("Env", json!([]), "build", State::Lacking),
            ("Entrypoint", json!(["/bin/sh"]), "entrypoint", State::Wrong),
            ("Cmd", json!(["bash"]), "entrypoint", State::Wrong),
            ("ExposedPorts", json!(null), "port", State::Lacking),
        ] {
            let mut config = good();
            config[key] = value;
            let found = states(&points_of_composed(&looked(&GOOD, &config)));
            assert!(found.contains(&(name, state)), "{key} {name}");
        }
    }

    #[test]
    fn a_workspace_that_the_servers_user_cannot_write_is_wrong() {
        let mut image = looked(&GOOD, &good());
        let closed = File {
            what: What::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        image.files.put("workspace/project", closed);
        let found = points_of_composed(&image);
        let point = found
            .iter()
            .find(|point| point.name == "workspace")
            .unwrap();
        assert_eq!(point.state, State::Wrong);
        assert!(
            point.what.contains("user 10001 may not write"),
            "{}",
            point.what
        );
    }
}
