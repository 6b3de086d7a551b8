use super::*;
use proptest::prelude::*;
use serde_json::json;

fn patch(json: Value) -> ConfigPatch {
    serde_json::from_value(json).unwrap()
}

fn applied(patch_json: Value, config: Value) -> Value {
    let Value::Object(mut config) = config else {
        panic!("{config}")
    };
    patch(patch_json).apply(&mut config).unwrap();
    Value::Object(config)
}

fn refused(patch_json: Value, config: Value) -> PatchError {
    let Value::Object(mut config) = config else {
        panic!("{config}")
    };
    let before = config.clone();
    let error = patch(patch_json).apply(&mut config).unwrap_err();
    assert_eq!(config, before, "after an error the config is as it was");
    error
}

#[test]
fn the_json_form_is_canonical() {
    assert_eq!(
        serde_json::to_string(&ConfigPatch::default()).unwrap(),
        "{}"
    );
    let text = concat!(
        r#"{"env":{"Z":"1","A":"2"},"unset_env":["B"],"entrypoint":[],"keep_cmd":true,"#,
        r#""cmd":["x"],"user":"u","working_dir":"/w","labels":{"a":null,"b":"c"},"#,
        r#""exposed_ports":["53/udp","80"],"volumes":["/v"],"stop_signal":"SIGINT"}"#
    );
    let patch: ConfigPatch = serde_json::from_str(text).unwrap();
    assert_eq!(patch.env[0].0, "Z", "the order of variables is kept");
    assert_eq!(serde_json::to_string(&patch).unwrap(), text);
    for bad in [
        r#"{"envs":{}}"#,
        r#"{"env":{"A":"1","A":"2"}}"#,
        r#"{"env":["A=1"]}"#,
        r#"{"env":{"A":null}}"#,
        r#"{"user":7}"#,
    ] {
        assert!(serde_json::from_str::<ConfigPatch>(bad).is_err(), "{bad}");
    }
    let from_toml: ConfigPatch =
        toml::from_str("user = \"u\"\n[env]\nZ = \"1\"\nA = \"${Z}\"\n[labels]\nk = \"v\"")
            .unwrap();
    assert_eq!(from_toml.env.len(), 2);
}

#[test]
fn every_field_lands_where_image_spec_says() {
    let all = json!({
        "env": {"A": "1"}, "entrypoint": ["/e"], "cmd": ["c"], "user": "u:g",
        "working_dir": "/w", "labels": {"l": "v"}, "exposed_ports": ["80", "53/udp"],
        "volumes": ["/v"], "stop_signal": "SIGRTMIN+3",
    });
    let want = json!({"config": {
        "WorkingDir": "/w", "Volumes": {"/v": {}}, "Env": ["A=1"], "Entrypoint": ["/e"],
        "Cmd": ["c"], "User": "u:g", "StopSignal": "SIGRTMIN+3",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}}, "Labels": {"l": "v"},
    }});
    for config in [
        json!({}),
        json!({"config": null}),
        json!({"config": {"Env": null, "Labels": null, "Volumes": null, "ExposedPorts": null}}),
    ] {
        assert_eq!(applied(all.clone(), config), want);
    }
}

#[test]
fn the_environment_is_patched_in_place() {
    let config = json!({"config": {"Env": ["B=2", "A=1", "bare", "B=3"], "x": 1}});
    assert_eq!(
        applied(
            json!({"env": {"B": "new", "C": ""}, "unset_env": ["bare"]}),
            config
        ),
        json!({"config": {"Env": ["B=new", "A=1", "C="], "x": 1}})
    );
}

#[test]
fn values_see_the_environment_before_the_patch() {
    let config = json!({"config": {"Env": ["A=old", "GONE=there"]}});
    assert_eq!(
        applied(
            json!({
                "unset_env": ["GONE"],
                "env": {"A": "new", "B": "${A}", "C": "${GONE}", "PATH": "/x:${PATH}", "D": "$A"},
            }),
            config
        )["config"]["Env"],
        json!([
            "A=new",
            "B=old",
            "C=there",
            format!("PATH=/x:{}", env::DEFAULT_PATH),
            "D=$A"
        ])
    );
    assert_eq!(
        applied(
            json!({"env": {"PATH": "C:\\x;${Path}"}}),
            json!({"os": "windows", "config": {"Env": ["Path=C:\\"]}})
        )["config"]["Env"],
        json!(["PATH=C:\\x;C:\\"])
    );
}

#[test]
fn an_entrypoint_resets_the_command_unless_told_otherwise() {
    let base = json!({"config": {"Entrypoint": ["old"], "Cmd": ["c"], "User": "u"}});
    for (patch, want) in [
        (
            json!({"entrypoint": ["new"]}),
            json!({"Entrypoint": ["new"], "User": "u"}),
        ),
        (json!({"entrypoint": []}), json!({"User": "u"})),
        (
            json!({"entrypoint": [], "keep_cmd": true}),
            json!({"Cmd": ["c"], "User": "u"}),
        ),
        (
            json!({"entrypoint": ["new"], "cmd": ["d"]}),
            json!({"Entrypoint": ["new"], "Cmd": ["d"], "User": "u"}),
        ),
        (
            json!({"cmd": []}),
            json!({"Entrypoint": ["old"], "User": "u"}),
        ),
        (
            json!({"cmd": ["d"]}),
            json!({"Entrypoint": ["old"], "Cmd": ["d"], "User": "u"}),
        ),
        (json!({"keep_cmd": true}), base["config"].clone()),
    ] {
        let got = applied(patch.clone(), base.clone());
        // The text, since key order counts.
        assert_eq!(got["config"].to_string(), want.to_string(), "{patch}");
    }
}

#[test]
fn labels_are_set_and_removed() {
    assert_eq!(
        applied(
            json!({"labels": {"a": "new", "b": null, "absent": null, "d": ""}}),
            json!({"config": {"Labels": {"b": "x", "a": "y", "c": "z"}}})
        )
        .to_string(),
        r#"{"config":{"Labels":{"a":"new","c":"z","d":""}}}"#
    );
}

#[test]
fn edits_without_effect_leave_the_config_untouched() {
    for edit in [
        json!({}),
        json!({"keep_cmd": true}),
        json!({"unset_env": ["absent"]}),
        json!({"labels": {"absent": null}}),
        json!({"entrypoint": [], "cmd": []}),
    ] {
        for config in [
            json!({"os": "linux"}),
            json!({"config": null}),
            json!({"config": {"Labels": null, "Env": null, "Entrypoint": null, "Cmd": null}}),
        ] {
            assert_eq!(
                applied(edit.clone(), config.clone()).to_string(),
                config.to_string(),
                "{edit}"
            );
        }
    }
}

#[test]
fn wrong_types_in_a_foreign_config_are_named() {
    for (edit, config, path) in [
        (json!({"user": "u"}), json!({"config": []}), "config"),
        (
            json!({"env": {"A": "1"}}),
            json!({"config": {"Env": {}}}),
            "config.Env",
        ),
        (
            json!({"unset_env": ["A"]}),
            json!({"config": {"Env": ["A=1", 7]}}),
            "config.Env[1]",
        ),
        (
            json!({"labels": {"a": "b"}}),
            json!({"config": {"Labels": "x"}}),
            "config.Labels",
        ),
        (
            json!({"exposed_ports": ["1"]}),
            json!({"config": {"ExposedPorts": []}}),
            "config.ExposedPorts",
        ),
        (
            json!({"volumes": ["/v"]}),
            json!({"config": {"Volumes": 1}}),
            "config.Volumes",
        ),
    ] {
        let error = refused(edit, config);
        assert!(
            matches!(&error, PatchError::WrongType { path: named, .. } if named == path),
            "{error}"
        );
    }
}

#[test]
fn values_that_no_image_should_have_are_refused() {
    for bad in [
        json!({"env": {"": "x"}}),
        json!({"env": {"A=B": "x"}}),
        json!({"env": {"A": "\0"}}),
        json!({"env": {"A": "${"}}),
        json!({"unset_env": [""]}),
        json!({"entrypoint": ["a\0"]}),
        json!({"cmd": ["a\0"]}),
        json!({"user": "\0"}),
        json!({"working_dir": "relative"}),
        json!({"working_dir": ""}),
        json!({"working_dir": "/\0"}),
        json!({"volumes": ["relative"]}),
        json!({"labels": {"": "x"}}),
        json!({"stop_signal": "sigterm"}),
        json!({"stop_signal": "0"}),
        json!({"stop_signal": ""}),
        json!({"stop_signal": "999"}),
    ] {
        refused(bad, json!({"os": "linux"}));
    }
    for port in [
        "",
        "0",
        "65536",
        "-1",
        "+1",
        "80/",
        "80/http",
        "/tcp",
        "80-90/tcp",
        "80/tcp/udp",
    ] {
        assert!(
            matches!(
                refused(json!({"exposed_ports": [port]}), json!({})),
                PatchError::Port(_)
            ),
            "{port}"
        );
    }
}

#[test]
fn a_variable_is_set_once() {
    let pair = |value: &str| ("A".to_owned(), value.to_owned());
    let twice = ConfigPatch {
        env: vec![pair("1"), pair("2")],
        ..ConfigPatch::default()
    };
    assert_eq!(twice.check(), Err(PatchError::EnvTwice("A".to_owned())));
    let mut once = ConfigPatch::default();
    for value in ["1", "2"] {
        once.set_env("A".to_owned(), value.to_owned());
    }
    assert_eq!(once.env, [pair("2")]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[A-Z=a-z]{0,4}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "config",
        "Env",
        "Labels",
        "Cmd",
        "Entrypoint",
        "ExposedPorts",
        "Volumes",
        "os",
        "other",
    ]);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn any_patch() -> impl Strategy<Value = ConfigPatch> {
    (
        prop::collection::vec(("[A-C=]{0,2}", "[a-z${}:+-]{0,6}"), 0..3),
        prop::collection::vec("[A-C]{0,2}", 0..2),
        prop::option::of(prop::collection::vec("[a-c]{0,2}", 0..2)),
        prop::option::of(prop::collection::vec("[a-c]{0,2}", 0..2)),
        prop::collection::btree_map("[a-c]{0,2}", prop::option::of("[a-c]{0,2}"), 0..3),
        prop::collection::btree_set("[0-9]{1,3}(/tcp)?", 0..2),
        prop::collection::btree_set("/?[a-c]", 0..2),
        any::<bool>(),
    )
        .prop_map(
            |(env, unset_env, entrypoint, cmd, labels, exposed_ports, volumes, keep_cmd)| {
                ConfigPatch {
                    env,
                    unset_env,
                    entrypoint,
                    keep_cmd,
                    cmd,
                    user: None,
                    working_dir: None,
                    labels,
                    exposed_ports,
                    volumes,
                    stop_signal: None,
                    unset: Unset {
                        settings: keep_cmd
                            .then_some([Setting::User, Setting::Healthcheck, Setting::Volumes])
                            .into_iter()
                            .flatten()
                            .collect(),
                        ..Unset::default()
                    },
                }
            },
        )
}

proptest! {
    #[test]
    fn applying_to_anything_never_panics(patch in any_patch(), config in any_json()) {
        if let Value::Object(mut config) = config {
            let before = config.clone();
            match patch.apply(&mut config) {
                Ok(changes) => prop_assert_eq!(changes.is_empty(), config == before),
                Err(_) => prop_assert_eq!(config, before),
            }
        }
    }

    #[test]
    fn unknown_fields_survive_in_their_order(patch in any_patch()) {
        let inner = json!({"z": {"k": [1.0, 1e3]}, "Env": ["A=1"], "a": null, "Cmd": ["x"], "m": {}});
        let whole = json!({"y": "kept", "config": inner, "b": [[]]});
        let Value::Object(mut config) = whole.clone() else { unreachable!() };
        if patch.apply(&mut config).is_ok() {
            prop_assert_eq!(config.keys().collect::<Vec<_>>(), ["y", "config", "b"]);
            prop_assert_eq!(&config["y"], &whole["y"]);
            prop_assert_eq!(&config["b"], &whole["b"]);
            let unknown: Vec<(&str, &Value)> = config["config"].as_object().unwrap().iter()
                .map(|(key, value)| (key.as_str(), value))
                .filter(|(key, _)| ["z", "a", "m"].contains(key))
                .collect();
            let inner = &whole["config"];
            prop_assert_eq!(unknown, [("z", &inner["z"]), ("a", &inner["a"]), ("m", &inner["m"])]);
        }
    }

    #[test]
    fn a_patch_survives_json(patch in any_patch()) {
        let mut patch = patch;
        let mut seen = BTreeSet::new();
        patch.env.retain(|(name, _)| seen.insert(name.clone()));
        let text = serde_json::to_string(&patch).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConfigPatch>(&text).unwrap(), patch);
    }
}
