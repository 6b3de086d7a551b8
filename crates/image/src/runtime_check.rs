//! What container runtimes refuse of an image's config: a pull works, a start does not.

use serde_json::{Map, Value};

use super::config_value::{is_signal, port_key, user_fault};

/// What runtimes will refuse, a sentence each; `config` is an image config for Linux.
#[must_use]
pub fn misgivings(config: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let inner = match config.get("config") {
        None | Some(Value::Null) => return found,
        Some(Value::Object(inner)) => inner,
        Some(_) => return vec!["`config` of the image config is no object".to_owned()],
    };
    let text = |key: &str| inner.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(why) = user_fault(text("User")) {
        found.push(format!("User {:?} {why}", text("User")));
    }
    let directory = text("WorkingDir");
    if !directory.is_empty() && !directory.starts_with('/') {
        found.push(format!("WorkingDir {directory:?} is no absolute path"));
    }
    let signal = text("StopSignal");
    if !signal.is_empty() && !is_signal(signal) {
        found.push(format!("StopSignal {signal:?} is no signal"));
    }
    for entry in list(inner, "Env") {
        let name = entry.split_once('=').map(|(name, _)| name);
        if name.is_none_or(str::is_empty) || entry.contains('\0') {
            found.push(format!("Env entry {entry:?} is not NAME=VALUE"));
        }
    }
    for port in keys(inner, "ExposedPorts") {
        if port_key(port).is_none() {
            found.push(format!("ExposedPorts {port:?} is no port"));
        }
    }
    for volume in keys(inner, "Volumes") {
        if !volume.starts_with('/') {
            found.push(format!("Volumes {volume:?} is no absolute path"));
        }
    }
    for key in ["Entrypoint", "Cmd"] {
        let fits = match inner.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(words)) => words.iter().all(Value::is_string),
            Some(_) => false,
        };
        if !fits {
            found.push(format!("{key} is no list of strings"));
        }
    }
    found
}

fn list<'a>(inner: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a str> {
    let list = inner.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn keys<'a>(inner: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a str> {
    let object = inner.get(key).and_then(Value::as_object);
    object
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(inner: &Value) -> Vec<String> {
        misgivings(json!({"config": inner}).as_object().unwrap())
    }

    #[test]
    fn what_runtimes_take_is_not_complained_of() {
        let sound = json!({
            "User": "node:1000", "WorkingDir": "/app", "Env": ["A=", "B=x=y"],
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8080": {}}, "Volumes": {"/data": {}},
            "StopSignal": "SIGTERM", "Entrypoint": ["a"], "Cmd": null,
        });
        assert_eq!(faults(&sound), [""; 0]);
        assert_eq!(misgivings(&Map::new()), [""; 0]);
        for user in ["", "0", "1000:1000", "65534", "2147483647", "name", ":10"] {
            assert_eq!(user_fault(user), None, "{user}");
        }
    }

    #[test]
    fn what_they_refuse_is_named() {
        for (inner, says) in [
            (json!({"User": "a:b:c"}), "more than"),
            (json!({"User": "a b"}), "space"),
            (json!({"User": "-1"}), "minus"),
            (json!({"User": "2147483648"}), "above"),
            (json!({"User": "0:99999999999999999999"}), "above"),
            (json!({"WorkingDir": "app"}), "absolute"),
            (json!({"Env": ["NOTHING"]}), "NAME=VALUE"),
            (json!({"Env": ["=x"]}), "NAME=VALUE"),
            (json!({"ExposedPorts": {"web": {}}}), "port"),
            (json!({"ExposedPorts": {"70000/tcp": {}}}), "port"),
            (json!({"Volumes": {"data": {}}}), "absolute"),
            (json!({"StopSignal": "no signal"}), "signal"),
            (json!({"Entrypoint": "sh"}), "list"),
            (json!({"Cmd": [1]}), "list"),
        ] {
            let found = faults(&inner);
            assert!(
                found.len() == 1 && found[0].contains(says),
                "{inner}: {found:?}"
            );
        }
        assert_eq!(
            misgivings(json!({"config": []}).as_object().unwrap()).len(),
            1
        );
    }
}
