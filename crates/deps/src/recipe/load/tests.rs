//! Recipes that can be used, and what is said about those that cannot.

use super::*;

struct Layers(tempfile::TempDir);

impl Layers {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(directory.path().join(format!("{name}.toml")), text).unwrap();
        }
        Self(directory)
    }

    fn load(&self, name: &str) -> Result<Recipe, ConfigError> {
        Recipe::load(&self.0.path().join(format!("{name}.toml")))
    }

    fn complaint(&self, name: &str) -> (String, Option<String>) {
        let error = self.load(name).unwrap_err();
        let text = error.to_string();
        let at = format!("{}/", self.0.path().display());
        (text.replace(&at, ""), error.hint().map(str::to_owned))
    }
}

const CORE: &str = r#"
name = "core"
platforms = ["linux/arm64", "linux/amd64"]

[debian]
suite = "trixie"
packages = ["bash", "git"]
exclude = { perl = "only for helpers" }
drop = ["usr/share/man"]

[debian.choose]
"debconf|debconf-2.0" = "debconf"

[patch]
env = { PATH = "${PATH}:/x" }
"#;

fn names(recipe: &Recipe) -> Vec<&str> {
    recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().as_str())
        .collect()
}

#[test]
fn a_system_of_its_own_is_made_of_packages_and_is_no_layer() {
    let system = "name = \"sys\"\nplatforms = [\"linux/amd64\"]\n[rootfs]\n\
                  users = [\"one\"]\n[debian]\nsuite = \"s\"\npackages = [\"bash\"]\n";
    let layers = Layers::new(&[("sys", system)]);
    let recipe = layers.load("sys").unwrap();
    assert_eq!(recipe.rootfs().unwrap().users.len(), 1);
    for (right, wrong, words) in [
        ("users = [\"one\"]", "users = [\"One\"]", "sys.toml:4:9: "),
        ("users =", "user =", "sys.toml:4:1: "),
        (
            "[debian]",
            "[[link]]\nat = \"a\"\nto = \"b\"\n[debian]",
            "[rootfs] and [[link]]",
        ),
        (
            "[debian]",
            "[python]\nversion = \"3.13\"\nrequirements = []\ntarget = \"x\"\n[debian]",
            "[rootfs] and [python]",
        ),
        (
            "[debian]\nsuite = \"s\"\npackages = [\"bash\"]\n",
            "",
            "sys.toml:3:1: ",
        ),
    ] {
        let text = system.replacen(right, wrong, 1);
        assert_ne!(text, system);
        let error = Layers::new(&[("sys", &text)])
            .load("sys")
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    let profile = "profile = \"all\"\nfeatures = [\"sys\"]\n";
    let above = "name = \"above\"\nrequires = [\"sys\"]\n";
    let layers = Layers::new(&[("sys", system), ("all", profile), ("above", above)]);
    for name in ["all", "above"] {
        let error = layers.load(name).unwrap_err().to_string();
        assert!(error.contains("no layer of another image"), "{error}");
    }
}

#[test]
fn a_profile_brings_what_its_features_require_in_front_of_them() {
    let layers = Layers::new(&[
        ("core", CORE),
        ("python", "name = \"python\"\nrequires = [\"core\"]"),
        (
            "server",
            "name = \"server\"\nrequires = [\"python\", \"core\"]",
        ),
        (
            "all",
            "profile = \"all\"\nprefix = \"/opt/oh\"\nfeatures = [\"server\", \"core\"]",
        ),
    ]);
    let recipe = layers.load("all").unwrap();
    assert_eq!(names(&recipe), ["core", "python", "server"]);
    assert_eq!(recipe.prefix.to_string(), "/opt/oh");
    let platforms: Vec<String> = recipe.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(recipe.lock_path(), layers.0.path().join("all.lock"));
    let debian = recipe.features[0].debian().unwrap();
    assert_eq!(debian.components[0].as_str(), "main");
    assert_eq!(debian.choose.len(), 1);

    let recipe = layers.load("python").unwrap();
    assert_eq!(names(&recipe), ["core", "python"]);
    assert_eq!(recipe.prefix.to_string(), "/openhands");
}

#[test]
fn typos_are_shown_where_they_stand_with_what_was_meant() {
    for (text, at, words, hint) in [
        (
            "name = \"f\"\npackges = 1\n",
            "2:1",
            "unknown field `packges`",
            None,
        ),
        (
            "name = \"f\"\nplatform = []\n",
            "2:1",
            "unknown field `platform`",
            Some("did you mean \"platforms\"?"),
        ),
        (
            "name = \"f\"\n[debian]\nsuite = \"s\"\npackage = []\n",
            "4:1",
            "unknown field `package`",
            Some("did you mean \"packages\"?"),
        ),
        (
            "name = \"f\"\n[debian]\nsuite = \"s\"\npackages = [\"ok\", \"Bad\"]\n",
            "4:12",
            "\"Bad\" is no name of a Debian package",
            None,
        ),
        (
            "name = \"f\"\n[debian]\nsuite = \"s\"\npackages = []\nexclude = { perl = \" \" }\n",
            "5:20",
            "is no reason",
            None,
        ),
        (
            "name = \"f\"\n[debian]\nsuite = \"s\"\npackages = [\"ab\"]\nexclude = { ab = \"x\" }\n",
            "4:13",
            "asked for and excluded",
            None,
        ),
        (
            "name = \"f\"\nrequires = [\"cor\"]\n",
            "2:13",
            "there is no feature cor",
            Some("did you mean \"core\"?"),
        ),
        (
            "name = \"f\"\n[python]\nversion = \"3.13\"\nrequirements = []\ntarget = \"t\"\n\
             allow-sdist = [\"A.b\"]\nskip-build-script = [\"a-b\", \"c\"]\n",
            "7:29",
            "c is not in allow-sdist",
            None,
        ),
        (
            "name = \"f\"\n[python]\nversion = \"3.13\"\nrequirements = [\"One[x]>=1\"]\n\
             target = \"t\"\nexclude = { one = \"why\" }\n",
            "6:13",
            "one is asked for and excluded",
            None,
        ),
        (
            "name = \"f\"\n[python]\nversion = \"3.13\"\nrequirements = []\ntarget = \"t\"\n\
             exclude = { \"x; y\" = \"why\" }\n",
            "6:13",
            "is no name of a Python package",
            None,
        ),
        ("name = \"g\"\n", "1:8", "the file is called \"f\"", None),
        (
            "name = \"f\"\nplatforms = [\"linux\"]\n",
            "2:13",
            "invalid platform",
            None,
        ),
    ] {
        let layers = Layers::new(&[("core", CORE), ("f", text)]);
        let (message, hinted) = layers.complaint("f");
        assert!(message.starts_with(&format!("f.toml:{at}: ")), "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(hinted.as_deref(), hint, "{message}");
    }
}

#[test]
fn features_that_require_each_other_are_refused() {
    let layers = Layers::new(&[
        ("a", "name = \"a\"\nrequires = [\"b\"]"),
        ("b", "name = \"b\"\nrequires = [\"a\"]"),
    ]);
    let (message, _) = layers.complaint("a");
    assert_eq!(message, "b.toml:2:13: a requires itself, through a and b");
}

#[test]
fn an_image_takes_from_one_archive() {
    let other = CORE
        .replace("trixie", "bookworm")
        .replace("\"core\"", "\"other\"");
    let layers = Layers::new(&[
        ("core", CORE),
        ("other", &other),
        ("p", "profile = \"p\"\nfeatures = [\"core\", \"other\"]"),
    ]);
    let (message, _) = layers.complaint("p");
    assert!(message.starts_with("other.toml:5:1: suites"), "{message}");
}

#[test]
fn platforms_must_be_those_of_all_features() {
    let one = "name = \"one\"\nplatforms = [\"linux/amd64\"]";
    let profile = |platforms: &str| {
        format!("profile = \"p\"\nplatforms = [{platforms}]\nfeatures = [\"core\", \"one\"]")
    };
    let layers = Layers::new(&[("core", CORE), ("one", one), ("p", &profile(""))]);
    assert_eq!(layers.load("p").unwrap().platforms.len(), 1);
    let layers = Layers::new(&[
        ("core", CORE),
        ("one", one),
        ("p", &profile("\"linux/arm64\"")),
    ]);
    let (message, _) = layers.complaint("p");
    assert!(
        message.contains("feature one cannot be built for it"),
        "{message}"
    );
    let layers = Layers::new(&[("x", "name = \"x\"")]);
    assert!(layers.complaint("x").0.contains("no platforms"));
}

#[test]
fn files_that_are_no_recipes_are_named() {
    let layers = Layers::new(&[
        ("x", "a = 1"),
        ("y", "profile = \"y\"\nfeatures = []\nprefix = \"/\"\n"),
    ]);
    assert!(
        layers
            .complaint("x")
            .0
            .starts_with("x.toml: it has neither")
    );
    assert!(layers.complaint("y").0.starts_with("y.toml:3:10: "));
    assert!(layers.complaint("z").0.starts_with("z.toml: "));
}

#[test]
fn values_that_are_set_have_a_lock_of_their_own() {
    let layers = Layers::new(&[(
        "server",
        "name = \"server\"\nplatforms = [\"linux/amd64\"]\n[python]\nversion = \"3.13\"\n\
         requirements = [\"a==${server}\"]\ntarget = \"x\"\n[python.set]\nserver = \"1.58.2\"\n",
    )]);
    let path = layers.0.path().join("server.toml");
    let of = |name: &str, value: &str| {
        Recipe::load_with(&path, [(name.to_owned(), value.to_owned())].into())
    };
    let plain = Recipe::load(&path).unwrap();
    let other = of("server", "1.34.0").unwrap();
    let requirements = |recipe: &Recipe| recipe.features[0].python.clone().unwrap().requirements;
    assert_eq!(requirements(&plain), ["a==1.58.2"]);
    assert_eq!(requirements(&other), ["a==1.34.0"]);
    assert!(plain.lock_path().ends_with("server.lock"));
    assert!(other.lock_path().ends_with("server.server-1.34.0.lock"));
    let unknown = of("sever", "1").unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("nothing in it is called sever"),
        "{unknown}"
    );
    assert!(of("server", "1; x").is_err());
}
