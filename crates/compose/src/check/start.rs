//! What happens when a container of an image is started: whether its program is found and can be
//! run, by whom, and where.

mod libraries;
mod program;
mod user;

use serde_json::{Map, Value};

use super::{Point, State};
use crate::files::{Files, Lost};
use ohoci_image::Platform;
use ohoci_image::env::DEFAULT_PATH;
use ohoci_image::runtime_check::misgivings;

pub use program::Programs;
pub use user::User;

/// What a config says about a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The entrypoint and the command, in one.
    pub words: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The user and group, as they are written.
    pub user: String,
    /// The working directory, from the root.
    pub directory: String,
}

impl Start {
    /// Of a `config` object of an image config.
    #[must_use]
    pub fn of(config: &Map<String, Value>) -> Self {
        let list = |key: &str| -> Vec<String> {
            let list = config.get(key).and_then(Value::as_array);
            let words = list.into_iter().flatten().filter_map(Value::as_str);
            words.map(str::to_owned).collect()
        };
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let pairs = list("Env").into_iter().filter_map(|item| {
            let (name, value) = item.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self {
            words: [list("Entrypoint"), list("Cmd")].concat(),
            env: pairs.collect(),
            user: text("User").to_owned(),
            directory: match text("WorkingDir") {
                "" => "/".to_owned(),
                directory => format!("/{}", directory.trim_start_matches('/')),
            },
        }
    }

    /// The value of a variable; the last one counts.
    #[must_use]
    pub fn variable(&self, wanted: &str) -> Option<&str> {
        let mut found = self.env.iter().rev();
        let found = found.find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// Where programs are looked for by name.
    #[must_use]
    pub fn path(&self) -> &str {
        self.variable("PATH").unwrap_or(DEFAULT_PATH)
    }
}

/// The points of any image; `document` is its whole config.
pub(super) fn points(
    files: &Files,
    document: &Map<String, Value>,
    config: &Map<String, Value>,
    platform: &Platform,
) -> Vec<Point> {
    let start = Start::of(config);
    let user = User::find(files, &start.user);
    let mut points: Vec<Point> = misgivings(document)
        .into_iter()
        .map(|what| {
            Point::new(
                "config",
                State::Wrong,
                format!("{what}: runtimes refuse it"),
            )
        })
        .collect();
    points.push(user.point(&start.user));
    points.push(directory(files, &start));
    points.push(path(files, &start));
    points.push(locale(&start));
    points.extend(certificates(files, &start));
    points.push(command(files, &start, &user, platform));
    points
}

/// The program that starts, with all that starts it.
fn command(files: &Files, start: &Start, user: &User, platform: &Platform) -> Point {
    let name = "command";
    if start.words.is_empty() {
        let what = "none: whoever runs the image names a program";
        return Point::new(name, State::Fine, what);
    }
    let programs = Programs {
        files,
        path: start.path(),
        directory: &start.directory,
        library_path: start.variable("LD_LIBRARY_PATH").unwrap_or_default(),
        who: &user.who,
        architecture: &platform.architecture,
    };
    match programs.start(&start.words) {
        Ok(chain) => Point::new(name, State::Fine, chain.join(", by ")),
        Err(why) => Point::new(name, State::Wrong, why)
            .mended("--entrypoint or --cmd of compose names another"),
    }
}

fn directory(files: &Files, start: &Start) -> Point {
    let name = "directory";
    let wanted = &start.directory;
    match files.follow(wanted) {
        Ok(_) if files.is_directory(wanted) => Point::new(name, State::Fine, wanted),
        Ok(_) => {
            let what = format!("the working directory {wanted} is no directory");
            Point::new(name, State::Wrong, what).mended("--workdir of compose names another")
        }
        Err(Lost::Missing(_)) => Point::new(
            name,
            State::Fine,
            format!("{wanted}, which is not there: runtimes make it, for root"),
        ),
        Err(lost) => {
            let what = format!("the working directory {wanted} leads nowhere: {lost}");
            Point::new(name, State::Wrong, what).mended("--workdir of compose names another")
        }
    }
}

/// Where programs are looked for by name.
fn path(files: &Files, start: &Start) -> Point {
    let name = "PATH";
    let value = start.path();
    let directories: Vec<&str> = value.split(':').filter(|name| !name.is_empty()).collect();
    let there = directories.iter().any(|name| files.is_directory(name));
    let is_set = start.variable("PATH").is_some();
    let set_it = "compose --env PATH=… sets another; --deps puts its own in front";
    if directories.iter().any(|name| name.contains('$')) {
        let what = format!("{value:?} is taken as it is written: nothing replaces the variable");
        Point::new(
            name,
            if there { State::Lacking } else { State::Wrong },
            what,
        )
        .mended(set_it)
    } else if there {
        Point::new(name, State::Fine, value)
    } else if is_set {
        let what = format!("none of its directories is there: {value:?}");
        Point::new(name, State::Wrong, what).mended(set_it)
    } else {
        let what = "not set, and none of the directories that runtimes search is there: no program is found by its name";
        Point::new(name, State::Lacking, what)
    }
}

/// The variable that decides the character set, and its value, when that is not UTF-8.
#[must_use]
pub fn foreign_locale(start: &Start) -> Option<(&'static str, &str)> {
    // The first that is set and not empty counts: `setlocale` of POSIX.
    let (name, value) = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| Some((name, start.variable(name).filter(|text| !text.is_empty())?)))?;
    let set = value.split('@').next().unwrap_or(value);
    let set = set.split_once('.').map_or("", |(_, set)| set);
    let is_utf_8 = ["utf-8", "utf8"].contains(&set.to_ascii_lowercase().as_str());
    (!is_utf_8).then_some((name, value))
}

fn locale(start: &Start) -> Point {
    match foreign_locale(start) {
        Some((name, value)) => Point::new(
            "locale",
            State::Lacking,
            format!(
                "{name}={value} is not UTF-8: terminals lose all other characters, and tmux fails"
            ),
        )
        .mended("compose --contract, or --env LC_ALL=C.UTF-8"),
        None => {
            let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
            let set: Vec<String> = set
                .filter_map(|name| Some(format!("{name}={}", start.variable(name)?)))
                .collect();
            let what = match set.is_empty() {
                true => "not set: programs choose".to_owned(),
                false => set.join(" "),
            };
            Point::new("locale", State::Fine, what)
        }
    }
}

/// Variables that name a bundle of certificates which is not there: every connection fails then.
fn certificates(files: &Files, start: &Start) -> Vec<Point> {
    let names = [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
    ];
    let missing = names.into_iter().filter_map(|name| {
        let value = start.variable(name).filter(|value| !value.is_empty())?;
        let lost = files.follow(value).err()?;
        let what = format!("{name} is {value}, which leads nowhere: {lost}");
        Some(Point::new("certificates", State::Wrong, what))
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::files::tests::files;

    fn state(files: &Files, config: &Value, name: &str) -> (State, String) {
        let document = json!({ "config": config });
        let document = document.as_object().unwrap();
        let platform = Platform::new("linux", "amd64");
        let points = points(files, document, config.as_object().unwrap(), &platform);
        let point = points.iter().find(|point| point.name == name).unwrap();
        (point.state, point.what.clone())
    }

    #[test]
    fn a_locale_that_is_not_utf_8_is_found() {
        let start = |env: &[&str]| Start::of(json!({ "Env": env }).as_object().unwrap());
        for (env, found) in [
            (&["LC_ALL=C"][..], Some(("LC_ALL", "C"))),
            (&["LANG=C.UTF-8", "LC_ALL=POSIX"], Some(("LC_ALL", "POSIX"))),
            (
                &["LANG=en_US.ISO-8859-1"],
                Some(("LANG", "en_US.ISO-8859-1")),
            ),
            (&["LANG=C", "LC_ALL=C.UTF-8"], None),
            (&["LANG=de_DE.utf8@euro"], None),
            (&["LC_ALL=", "LANG=C.utf8"], None),
            (&[], None),
        ] {
            assert_eq!(foreign_locale(&start(env)), found, "{env:?}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_wrong() {
        let found = files(&[("usr/bin", "/")]);
        let of = |path: &str| state(&found, &json!({ "Env": [format!("PATH={path}")] }), "PATH").0;
        assert_eq!(of("/opt/bin:/usr/bin"), State::Fine);
        assert_eq!(of("/opt/bin"), State::Wrong);
        assert_eq!(of("/usr/bin:$PATH"), State::Lacking);
        let unset = state(&Files::default(), &json!({}), "PATH").0;
        assert_eq!(unset, State::Lacking);
    }

    #[test]
    fn a_working_directory_that_is_none_is_wrong() {
        let found = files(&[("file", "x"), ("link", "->nowhere"), ("app", "/")]);
        for (directory, expected) in [
            ("/file", State::Wrong),
            ("/link", State::Wrong),
            ("/app", State::Fine),
            ("/new", State::Fine),
        ] {
            let config = json!({ "WorkingDir": directory });
            assert_eq!(
                state(&found, &config, "directory").0,
                expected,
                "{directory}"
            );
        }
    }

    #[test]
    fn a_bundle_that_is_not_there_is_wrong() {
        let config = json!({ "Env": ["SSL_CERT_FILE=/nowhere.pem"] });
        let (found, what) = state(&Files::default(), &config, "certificates");
        assert_eq!(found, State::Wrong);
        assert!(what.contains("SSL_CERT_FILE is /nowhere.pem"), "{what}");
    }

    #[test]
    fn what_runtimes_refuse_is_wrong() {
        let config = json!({ "User": "a b" });
        assert_eq!(state(&Files::default(), &config, "config").0, State::Wrong);
    }
}
