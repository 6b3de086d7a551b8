//! Whether a composed image keeps what OpenHands' launchers take for granted.

use serde_json::{Map, Value};

use super::{Point, State};
use crate::fit::Listing;

/// Where Python of the agent server is called by launchers.
const PYTHON: &str = "/agent-server/.venv/bin/python";
/// Where launchers of V0 call the action execution server.
const MICROMAMBA: &str = "/openhands/micromamba/bin/micromamba";
/// Where the server is called by launchers that know no Python.
const SERVER: &str = "/usr/local/bin/openhands-agent-server";
/// Variables that programs of a base believe, and that are often set for those below a prefix.
const LEAKS: [&str; 6] = [
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONHOME",
    "PYTHONPATH",
    "GCONV_PATH",
    "LOCPATH",
];

/// The points of a composed image; `config` is its `config` object.
pub(super) fn points(listing: &Listing, config: &Map<String, Value>) -> Vec<Point> {
    let env: Vec<(&str, &str)> = config
        .get("Env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str()?.split_once('='))
        .collect();
    let mut points = vec![path(&env), environment(&env)];
    if listing.has(MICROMAMBA) {
        points.extend(version_0(listing, config));
    }
    if listing.has("/openhands/bin/oh-agent-server") {
        points.extend(version_1(listing, config, &env));
    }
    points
}

/// What launchers of V0 take for granted: they start the server as root, by its whole command, in
/// `/openhands/code`. It adds users and types bash into terminals.
fn version_0(listing: &Listing, config: &Map<String, Value>) -> Vec<Point> {
    let lacking = |name, what: &str| Point {
        name,
        state: State::Lacking,
        what: what.to_owned(),
    };
    let mut points = vec![
        there(listing, "server", MICROMAMBA),
        there(
            listing,
            "server",
            "/openhands/poetry/openhands-ai/bin/python",
        ),
    ];
    points.push(match listing.has("/openhands/code") {
        true => point("code", true, "/openhands/code"),
        false => lacking(
            "code",
            "no /openhands/code, where launchers start the server; --contract v0 adds it",
        ),
    });
    points.push(match listing.has("/workspace") {
        true => point("workspace", true, "/workspace"),
        false => lacking(
            "workspace",
            "no /workspace; the server makes it when it starts",
        ),
    });
    let user = config.get("User").and_then(Value::as_str).unwrap_or("");
    let name = user.split(':').next().unwrap_or(user);
    points.push(match name {
        "" | "0" | "root" => point("user", true, "root"),
        _ => point(
            "user",
            false,
            format!(
                "the server starts as {user}, and has to be root: it adds the user it works as"
            ),
        ),
    });
    points.push(match listing.has("/bin/sh") {
        true => point("commands", true, "/bin/sh"),
        false => point(
            "commands",
            false,
            "no /bin/sh, by which the server runs commands; --fit sh adds it",
        ),
    });
    let vscode = listing.leads_to_something("/openhands/.openvscode-server/bin/openvscode-server");
    points.push(point(
        "plugins",
        true,
        match vscode {
            true => "agent_skills, jupyter, vscode",
            false => {
                "agent_skills, jupyter; vscode does not start, because there is no server for it"
            }
        },
    ));
    points
}

/// What launchers of V1 take for granted.
fn version_1(listing: &Listing, config: &Map<String, Value>, env: &[(&str, &str)]) -> Vec<Point> {
    let mut points = Vec::new();
    if !listing.has("/agent-server") {
        points.push(Point {
            name: "contract",
            state: State::Lacking,
            what: format!("no {PYTHON}: launchers of OpenHands call it; --contract v1 adds it"),
        });
        return points;
    }
    points.push(there(listing, "server", PYTHON));
    points.push(there(listing, "server", SERVER));
    points.push(there(listing, "workspace", "/workspace/project"));
    points.push(entrypoint(config));
    points.push(port(config));
    points.push(home(listing, env));
    points.push(build(env));
    points
}

fn point(name: &'static str, good: bool, what: impl Into<String>) -> Point {
    Point {
        name,
        state: if good { State::Fine } else { State::Wrong },
        what: what.into(),
    }
}

/// Wrappers in front, tools behind: a base's own programs always win.
fn path(env: &[(&str, &str)]) -> Point {
    let value = env.iter().find(|(name, _)| *name == "PATH");
    let value = value.map_or("", |(_, value)| value);
    let place = |wanted: &str| value.split(':').position(|name| name == wanted);
    let tools = place("/openhands/tools/bin");
    let shadows = matches!((tools, place("/usr/bin")), (Some(tools), Some(base)) if tools < base);
    let (state, what) = if shadows {
        let what = format!("the tools hide the base's programs: {value}");
        (State::Wrong, what)
    } else if place("/openhands/bin") != Some(0) || tools.is_none() {
        let what = format!("wrappers or tools are not found by name: {value:?}");
        (State::Lacking, what)
    } else {
        (State::Fine, value.to_owned())
    };
    Point {
        name: "PATH",
        state,
        what,
    }
}

fn environment(env: &[(&str, &str)]) -> Point {
    let set: Vec<&str> = env
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| LEAKS.contains(name))
        .collect();
    match set.is_empty() {
        true => point(
            "environment",
            true,
            "nothing that programs of the base stumble over",
        ),
        // The base may have set it for its own programs; those below the prefix pass it over.
        false => Point {
            name: "environment",
            state: State::Fine,
            what: format!("{} is set, for the base's programs alone", set.join(", ")),
        },
    }
}

fn there(listing: &Listing, name: &'static str, place: &str) -> Point {
    match listing.leads_to_something(place) {
        true => point(name, true, place),
        false => point(name, false, format!("{place} leads nowhere")),
    }
}

fn words(config: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = config.get(key).and_then(Value::as_array);
    let words = list.into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

/// Launchers append the server's arguments to it.
fn entrypoint(config: &Map<String, Value>) -> Point {
    let entrypoint = words(config, "Entrypoint");
    let command = words(config, "Cmd");
    let server = entrypoint.iter().any(|word| {
        word == "openhands.agent_server" || word == SERVER || word.ends_with("/oh-agent-server")
    });
    match (server, command.is_empty()) {
        (false, _) => point(
            "entrypoint",
            false,
            format!("{entrypoint:?} does not start the agent server"),
        ),
        (true, false) => point(
            "entrypoint",
            false,
            format!("the command {command:?} would be given to the agent server"),
        ),
        (true, true) => point("entrypoint", true, entrypoint.join(" ")),
    }
}

fn port(config: &Map<String, Value>) -> Point {
    let ports = config.get("ExposedPorts").and_then(Value::as_object);
    let exposed = ports.is_some_and(|ports| ports.contains_key("8000/tcp"));
    match exposed {
        true => point("port", true, "8000/tcp"),
        false => Point {
            name: "port",
            state: State::Lacking,
            what: "8000/tcp is not exposed; launchers that publish all exposed ports miss it"
                .to_owned(),
        },
    }
}

fn home(listing: &Listing, env: &[(&str, &str)]) -> Point {
    let home = env.iter().find(|(name, _)| *name == "HOME");
    match home {
        Some((_, home)) => point(
            "home",
            listing.has(home),
            match listing.has(home) {
                true => (*home).to_owned(),
                false => format!("HOME is {home}, which is not there"),
            },
        ),
        None => Point {
            name: "home",
            state: State::Lacking,
            what: "HOME is not set: it is what /etc/passwd says, or /".to_owned(),
        },
    }
}

fn build(env: &[(&str, &str)]) -> Point {
    let value = |wanted: &str| {
        let found = env.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| *value)
    };
    match (
        value("OPENHANDS_BUILD_GIT_SHA"),
        value("OPENHANDS_BUILD_GIT_REF"),
    ) {
        (Some(commit), Some(reference)) => point("build", true, format!("{reference} {commit}")),
        _ => Point {
            name: "build",
            state: State::Lacking,
            what: "OPENHANDS_BUILD_GIT_SHA and _REF, which /server_info reports, are not set"
                .to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn states(config: &Value) -> Vec<(&'static str, State)> {
        let mut listing = Listing::default();
        for (path, target) in [
            ("openhands/bin/oh-agent-server", None),
            ("openhands/poetry/oh/bin/python", None),
            ("agent-server/.venv", Some("/openhands/poetry/oh")),
            (
                "usr/local/bin/openhands-agent-server",
                Some("/openhands/bin/oh-agent-server"),
            ),
            ("workspace/project", None),
            ("home/openhands", None),
        ] {
            listing.put(path, target);
        }
        let points = points(&listing, config.as_object().unwrap());
        points
            .iter()
            .map(|point| (point.name, point.state))
            .collect()
    }

    fn good() -> Value {
        json!({
            "Env": ["PATH=/openhands/bin:/usr/bin:/bin:/openhands/tools/bin", "HOME=/home/openhands",
                    "OPENHANDS_BUILD_GIT_SHA=a", "OPENHANDS_BUILD_GIT_REF=b"],
            "Entrypoint": ["/agent-server/.venv/bin/python", "-m", "openhands.agent_server"],
            "ExposedPorts": {"8000/tcp": {}},
        })
    }

    #[test]
    fn an_image_that_keeps_the_contract_is_fine() {
        let found = states(&good());
        assert_eq!(found.len(), 9);
        assert!(
            found.iter().all(|(_, state)| *state == State::Fine),
            "{found:?}"
        );
    }

    #[test]
    fn launchers_of_version_0_need_root_and_a_shell() {
        let good = [
            "openhands/micromamba/bin/micromamba",
            "openhands/poetry/openhands-ai/bin/python",
            "openhands/code/openhands",
            "workspace/x",
            "bin/sh",
        ];
        let states = |config: Value, left_out: &str| -> Vec<(&'static str, State)> {
            let mut listing = Listing::default();
            for path in good.iter().filter(|path| !path.starts_with(left_out)) {
                listing.put(path, None);
            }
            let points = points(&listing, config.as_object().unwrap());
            let of_it = points.iter().skip(2);
            of_it.map(|point| (point.name, point.state)).collect()
        };
        let config = |user: &str| json!({"User": user});
        for user in ["", "0:0", "root", "0"] {
            let found = states(config(user), "-");
            assert_eq!(found.len(), 7);
            assert!(found.iter().all(|(_, state)| *state == State::Fine));
        }
        for (user, left_out, name, state) in [
            ("1000", "-", "user", State::Wrong),
            ("openhands:root", "-", "user", State::Wrong),
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
                "PATH",
                State::Wrong,
            ),
            ("Env", json!([]), "PATH", State::Lacking),
            ("Env", json!(["HOME=/root"]), "home", State::Wrong),
            ("Env", json!([]), "build", State::Lacking),
            ("Entrypoint", json!(["/bin/sh"]), "entrypoint", State::Wrong),
            ("Cmd", json!(["bash"]), "entrypoint", State::Wrong),
            ("ExposedPorts", json!(null), "port", State::Lacking),
        ] {
            let mut config = good();
            config[key] = value;
            assert!(states(&config).contains(&(name, state)), "{key} {name}");
        }
    }
}
