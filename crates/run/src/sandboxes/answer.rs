//! The lines that are answered: what was done, or why it was not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::failure::RunFailure;

/// The answer that something was done.
pub(super) fn done(id: &Value, fields: Value) -> Value {
    let mut answer = Map::new();
    answer.insert("id".to_owned(), id.clone());
    answer.insert("ok".to_owned(), Value::Bool(true));
    if let Value::Object(fields) = fields {
        answer.extend(fields);
    }
    Value::Object(answer)
}

/// The answer that something was not done.
pub(super) fn failed(id: &Value, failure: &RunFailure) -> Value {
    let mut error = json!({
        "kind": if failure.is_mistake() { "mistake" } else { "failure" },
        "what": failure.what(),
    });
    if let Value::Object(error) = &mut error {
        for (name, text) in [("why", failure.why()), ("hint", failure.hint())] {
            if let Some(text) = text {
                error.insert(name.to_owned(), text.into());
            }
        }
    }
    json!({"id": id, "ok": false, "error": error})
}

/// Bytes under a name, or as base64 under the name with `_base64` behind it where they are no text.
pub(super) fn put_bytes(fields: &mut Map<String, Value>, name: &str, bytes: Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => fields.insert(name.to_owned(), text.into()),
        Err(error) => fields.insert(
            format!("{name}_base64"),
            STANDARD.encode(error.into_bytes()).into(),
        ),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_encoded() {
        let mut fields = Map::new();
        put_bytes(&mut fields, "stdout", b"text".to_vec());
        put_bytes(&mut fields, "stderr", vec![0, 255]);
        assert_eq!(
            Value::Object(fields),
            json!({"stdout": "text", "stderr_base64": "AP8="})
        );
    }
}
