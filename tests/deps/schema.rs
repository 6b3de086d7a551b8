//! `layers/recipe.schema.json`, which editors read, against what really is a recipe.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use ohoci_deps::recipe::{Feature, Profile, Recipe};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A feature with every table and every field.
const FEATURE: &str = r#"
name = "whole"
description = "everything that a feature can have"
requires = ["below"]
platforms = ["linux/amd64", "linux/arm64/v8"]

[debian]
suite = "trixie"
extra-suites = ["trixie-security"]
components = ["main", "non-free-firmware"]
keyring = "key.gpg"
packages = ["bash", "libstdc++6"]
drop = ["usr/share/doc/**"]
[debian.exclude]
perl = "for programs that nobody calls"
[debian.choose]
"awk" = "mawk"
"debconf | debconf-2.0" = "debconf"

[python]
version = "3.13"
requirements = ["pip"]
allow-sdist = ["func-timeout"]
skip-build-script = ["func-timeout"]
drop = ["tool/data/**"]
keep = ["tool/data/used/**"]
target = "poetry/oh"
[python.exclude]
poetry = "for whoever develops it"
[python.set]
server = "1.58.2"

[npm]
lockfile = "package-lock.json"
target = "code/node"
drop = ["node_modules/**/*.map"]
as-is = ["node_modules/tool/bin/tool"]

[conda]
specs = ["python=3.12", "poetry >=2"]
channels = ["conda-forge"]
target = "micromamba/envs/openhands"
drop = ["share/man"]
skip-scripts = ["tool"]

[bytecode]
python = "poetry/oh/bin/python"
imports = ["tool"]
shown = ["code/**"]

[[image]]
ref = "registry.example/tools:1"
path = "/opt/tool"
to = "tool"

[[archive]]
url = "https://files.example/tool-1.tar.gz"
digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
strip = 1
to = "tool"

[[archive]]
path = "../tool-1.zip"
digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
to = "tool"

[[directory]]
path = "../etc"
to = "etc"

[[link]]
at = "tools/bin/awk"
to = "tools/bin/mawk"
replace = false

[[wrapper]]
name = "oh-git"
from = "../wrappers/oh-git"

[patch]
unset_env = ["OLD"]
entrypoint = ["/openhands/bin/oh-bash"]
keep_cmd = true
cmd = ["-l"]
user = "1000:1000"
working_dir = "/work"
exposed_ports = ["8080", "53/udp"]
volumes = ["/data"]
stop_signal = "SIGRTMIN+3"
unset = { ports = ["80"], volumes = ["/old"], settings = ["Healthcheck"] }
[patch.env]
PATH = "/openhands/bin:${PATH}"
[patch.labels]
"org.example.label" = "value"
"#;

/// A system of its own.
const SYSTEM: &str = r#"
name = "whole"
platforms = ["linux/amd64"]

[rootfs]
users = ["nonroot"]

[debian]
suite = "trixie"
packages = ["bash"]
"#;

/// A profile with every field.
const PROFILE: &str = r#"
profile = "whole"
description = "everything that a profile can have"
prefix = "/opt/openhands"
platforms = ["linux/amd64"]
features = ["below"]

[patch.env]
A = "1"
"#;

fn layers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("layers")
}

fn schema() -> Value {
    serde_json::from_slice(&fs_err::read(layers().join("recipe.schema.json")).unwrap()).unwrap()
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn value(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// As TOML. Numbers of JSON keep their digits as text, which serde would write as a table.
fn written(value: &Value) -> toml::Value {
    match value {
        Value::Null => panic!("TOML has no null"),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => number.as_i64().unwrap().into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(written).collect::<Vec<_>>().into(),
        Value::Object(object) => toml::Value::Table(
            object
                .iter()
                .map(|(key, value)| (key.clone(), written(value)))
                .collect(),
        ),
    }
}

/// Recipes are read with what they require, so there is a directory with all of it.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let below = "name = \"below\"\nplatforms = [\"linux/amd64\", \"linux/arm64/v8\"]\n";
        fs_err::write(directory.path().join("below.toml"), below).unwrap();
        fs_err::write(directory.path().join("package.json"), "{}").unwrap();
        Self { directory }
    }

    fn load(&self, text: &str) -> Result<Recipe, String> {
        let path = self.directory.path().join("whole.toml");
        fs_err::write(&path, text).unwrap();
        Recipe::load(&path).map_err(|error| error.to_string())
    }
}

/// The document with one thing wrong or left out, once for each place in it, and what was done.
fn changed(whole: &Value) -> Vec<(String, Value)> {
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    places(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    places(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    places(whole, "", &mut all);
    let mut changed = Vec::new();
    for at in &all {
        if whole.pointer(at).unwrap().is_object() {
            let mut with = whole.clone();
            with.pointer_mut(at).unwrap()["unknown key"] = json!(1);
            changed.push((format!("{at} with an unknown key"), with));
        }
        let Some((parent, key)) = at.rsplit_once('/') else {
            continue;
        };
        for other in [
            json!(-1),
            json!(true),
            json!("a=/ b"),
            json!(""),
            json!([]),
            json!([1]),
            json!({}),
            json!({"a": 1}),
        ] {
            let mut with = whole.clone();
            *with.pointer_mut(at).unwrap() = other.clone();
            changed.push((format!("{at} set to {other}"), with));
        }
        if let Some(object) = whole.pointer(parent).unwrap().as_object() {
            let key = key.replace("~1", "/").replace("~0", "~");
            assert!(object.contains_key(&key));
            let mut without = whole.clone();
            let slot = without.pointer_mut(parent).unwrap();
            slot.as_object_mut().unwrap().shift_remove(&key);
            changed.push((format!("{at} left out"), without));
        }
    }
    changed
}

#[test]
fn our_own_recipes_fit_the_schema_and_name_it() {
    let validator = validator();
    let mut seen = 0;
    for entry in fs_err::read_dir(layers()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("#:schema ./recipe.schema.json\n"),
            "{path:?}"
        );
        let errors: Vec<String> = validator
            .iter_errors(&value(&text))
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{path:?}: {errors:?}");
    }
    assert!(seen > 5);
}

#[test]
fn what_a_person_gets_wrong_is_marked_in_the_editor() {
    let validator = validator();
    let own = fs_err::read_to_string(layers().join("core.toml")).unwrap();
    for (right, wrong) in [
        ("extra-suites", "extra_suites"),
        ("packages = [", "package = ["),
        ("[[link]]", "[[links]]"),
        ("[debian.exclude]", "[debian.excludes]"),
        ("name = \"core\"", "name = \"Core\""),
        ("name = \"core\"", "name = \"core\"\nprofile = \"core\""),
        ("suite = \"trixie\"", "suite = [\"trixie\"]"),
        ("\"bash\",", "\"bash:amd64\","),
    ] {
        let text = own.replacen(right, wrong, 1);
        assert_ne!(text, own);
        assert!(!validator.is_valid(&value(&text)), "{wrong}");
    }
}

#[test]
fn the_schema_accepts_what_ohoci_accepts_and_refuses_what_it_refuses() {
    // What only the values of two fields together, or a file, can show.
    let beyond = [
        "/name set to",
        "/profile set to",
        "/requires set to",
        "/requires/0 set to",
        "/features set to",
        "/features/0 set to",
        "/platforms",
        "/npm/lockfile set to",
        "/python/allow-sdist",
        "/python/skip-build-script",
        "/archive/0/url set to",
        "/conda/specs/",
    ];
    let validator = validator();
    let desk = Desk::new();
    let mut compared = 0;
    for whole in [FEATURE, SYSTEM, PROFILE] {
        desk.load(whole).unwrap();
        let whole = value(whole);
        assert!(validator.is_valid(&whole));
        for (what, document) in changed(&whole) {
            let loaded = desk.load(&toml::to_string(&written(&document)).unwrap());
            let valid = validator.is_valid(&document);
            // Serde takes a list for a table, and none of a patch's fields has to be there.
            let lists = ["/patch", "/patch/unset", "/rootfs"].map(|at| format!("{at} set to []"));
            if lists.contains(&what) {
                continue;
            }
            let refused_by_content = loaded.is_err() && valid;
            if refused_by_content && beyond.iter().any(|known| what.starts_with(known)) {
                continue;
            }
            assert_eq!(valid, loaded.is_ok(), "{what}: {:?}", loaded.err());
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

/// The fields that a table takes, by what is said about one that it does not take.
fn fields<T: DeserializeOwned>(text: &str) -> BTreeSet<String> {
    let Err(error) = toml::from_str::<T>(text) else {
        panic!("{text} was taken");
    };
    let message = error.message();
    let (_, expected) = message.split_once("expected").unwrap();
    let found: BTreeSet<String> = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(!found.is_empty(), "{message}");
    found
}

#[test]
fn the_schema_has_every_field_and_no_other() {
    let schema = schema();
    let in_schema = |table: &str| -> BTreeSet<String> {
        let properties = &schema["$defs"][table]["properties"];
        for (name, property) in properties.as_object().unwrap() {
            let described = property.get("description").or_else(|| {
                let target = property["$ref"].as_str()?.strip_prefix('#')?;
                schema.pointer(target)?.get("description")
            });
            assert!(described.is_some(), "{table}.{name} has no description");
        }
        properties.as_object().unwrap().keys().cloned().collect()
    };
    let lines = FEATURE.lines().chain(SYSTEM.lines());
    let texts: BTreeSet<String> = lines.map(str::to_owned).collect();
    assert_eq!(in_schema("profile"), fields::<Profile>("zzz = 1"));
    assert_eq!(in_schema("feature"), fields::<Feature>("zzz = 1"));
    for field in in_schema("feature") {
        let (heading, of_list) = (format!("[{field}]"), format!("[[{field}]]"));
        let heading = match (texts.contains(&heading), texts.contains(&of_list)) {
            (true, _) => heading,
            (false, true) => of_list,
            (false, false) => continue,
        };
        let found = fields::<Feature>(&format!("name = \"a\"\n{heading}\nzzz = 1\n"));
        assert_eq!(in_schema(&field), found, "{heading}");
        // So that the other tests try all of them.
        let whole = value(if field == "rootfs" { SYSTEM } else { FEATURE });
        let tables = match &whole[&field] {
            Value::Array(list) => list.iter().collect(),
            table => vec![table],
        };
        let used = tables
            .iter()
            .flat_map(|table| table.as_object().unwrap().keys().cloned())
            .collect::<BTreeSet<String>>();
        assert_eq!(used, found, "{heading} of the feature with everything");
    }
}
