//! What changed between two image configs, as data for `--dry-run`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::env::{self, NameCase};

/// One changed place of a config.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Where: `config.Env.PATH`, `config.Labels["a.b"]`, `created`.
    pub path: String,
    /// The value before; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The changes from one config to another, in the order of the newer one's keys; removed keys
/// follow.
///
/// `rootfs` and `history` are left out: what happens to layers is told by the layers.
#[must_use]
pub fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Change> {
    let os = after.get("os").and_then(Value::as_str).unwrap_or_default();
    let mut found = Found {
        case: NameCase::of_os(os),
        list: Vec::new(),
    };
    let without_layers = |object: &Map<String, Value>| {
        object
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "rootfs" | "history"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Map<_, _>>()
    };
    found.object("", &without_layers(before), &without_layers(after));
    found.list
}

struct Found {
    case: NameCase,
    list: Vec<Change>,
}

impl Found {
    fn object(&mut self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        for (key, new) in after {
            self.value(&join(path, key), before.get(key), Some(new));
        }
        for (key, old) in before {
            if !after.contains_key(key) {
                self.value(&join(path, key), Some(old), None);
            }
        }
    }

    fn value(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        if before == after {
            return;
        }
        let at = self.list.len();
        let empty = Map::new();
        match (before, after) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                self.object(path, before, after);
            }
            (None | Some(Value::Null), Some(Value::Object(after))) => {
                self.object(path, &empty, after);
            }
            _ if path == "config.Env" => {
                if let (Some(before), Some(after)) = (strings(before), strings(after)) {
                    self.environment(path, &before, &after);
                }
            }
            _ => {}
        }
        // Nothing inside to name, such as an empty object that appeared or reordered entries.
        if self.list.len() == at {
            self.list.push(Change {
                path: path.to_owned(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }

    fn environment(&mut self, path: &str, before: &[String], after: &[String]) {
        let mut seen: Vec<&str> = Vec::new();
        for entry in after.iter().chain(before) {
            let name = env::name_of(entry);
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let old = env::get(before, name, self.case);
            let new = env::get(after, name, self.case);
            if old != new {
                self.list.push(Change {
                    path: join(path, name),
                    before: old.map(Value::from),
                    after: new.map(Value::from),
                });
            }
        }
    }
}

fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    }
}

/// The path of `key` below `path`; keys that are no plain words are quoted.
fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", Value::from(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn between(before: &Value, after: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        changes(before.as_object().unwrap(), after.as_object().unwrap())
            .into_iter()
            .map(|change| (change.path, change.before, change.after))
            .collect()
    }

    #[test]
    fn equal_configs_have_no_changes() {
        let config = json!({"config": {"Env": ["A=1"], "Labels": {}}, "os": "linux"});
        assert_eq!(between(&config, &config), vec![]);
    }

    #[test]
    fn places_are_named() {
        let before = json!({
            "config": {"Env": ["A=1", "B=2", "C"], "Cmd": ["sh"], "Labels": {"a.b": "x"}},
            "rootfs": {"diff_ids": []},
        });
        let after = json!({
            "config": {"Env": ["A=9", "C", "D=4"], "Labels": {"a.b": "y", "c": "z"},
                       "ExposedPorts": {"80/tcp": {}}},
            "rootfs": {"diff_ids": ["x"]},
            "created": "2020-01-01T00:00:00Z",
        });
        assert_eq!(
            between(&before, &after),
            vec![
                ("config.Env.A".into(), Some("1".into()), Some("9".into())),
                ("config.Env.D".into(), None, Some("4".into())),
                ("config.Env.B".into(), Some("2".into()), None),
                (
                    "config.Labels[\"a.b\"]".into(),
                    Some("x".into()),
                    Some("y".into())
                ),
                ("config.Labels.c".into(), None, Some("z".into())),
                (
                    "config.ExposedPorts[\"80/tcp\"]".into(),
                    None,
                    Some(json!({}))
                ),
                ("config.Cmd".into(), Some(json!(["sh"])), None),
                ("created".into(), None, Some("2020-01-01T00:00:00Z".into())),
            ]
        );
    }

    #[test]
    fn a_change_without_a_name_is_still_told() {
        assert_eq!(
            between(&json!({"config": null}), &json!({"config": {}})),
            vec![("config".into(), Some(Value::Null), Some(json!({})))]
        );
        assert_eq!(
            between(
                &json!({"config": {"Env": ["A=1", "B=1"]}}),
                &json!({"config": {"Env": ["B=1", "A=1"]}})
            )
            .len(),
            1
        );
        assert_eq!(
            between(
                &json!({"config": {"Env": [7]}}),
                &json!({"config": {"Env": ["A=1"]}})
            )
            .len(),
            1
        );
    }
}
