//! Python's `repr`, which upstream hashes for the names of environments.

use std::fmt::Write as _;

use serde_json::Value;

use super::pattern::Pattern;

/// What `str.isprintable` refuses: Unicode's "other" and "separator", but the space.
static UNPRINTABLE: Pattern = Pattern::new(r"[\p{C}\p{Z}--\x20]");

/// `repr` of a string.
pub(super) fn string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    let mut buffer = [0; 4];
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if UNPRINTABLE.is_match(c.encode_utf8(&mut buffer)) => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// `repr` of a list of strings.
pub(super) fn list(texts: &[String]) -> String {
    let members: Vec<String> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", members.join(", "))
}

/// `repr` of what `json.loads` makes of a value.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(members) => {
            let members: Vec<String> = members.iter().map(self::value).collect();
            format!("[{}]", members.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, member)| format!("{}: {}", string(key), self::value(member)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Written by Python 3.11.
    #[test]
    fn strings_are_quoted_and_escaped_as_python_does() {
        for (text, expected) in [
            ("a b", "'a b'"),
            ("it's", "\"it's\""),
            ("it's \"so\"", "'it\\'s \"so\"'"),
            ("\"", "'\"'"),
            ("a\\b\n\r\t\0\u{7f}", "'a\\\\b\\n\\r\\t\\x00\\x7f'"),
            ("\u{e9}\u{a0}\u{ad}", "'\u{e9}\\xa0\\xad'"),
            ("\u{2028}\u{fb01}\u{e000}", "'\\u2028\u{fb01}\\ue000'"),
            ("\u{1f600}\u{e0001}", "'\u{1f600}\\U000e0001'"),
        ] {
            assert_eq!(string(text), expected);
        }
    }

    #[test]
    fn nested_values_are_written_as_python_does() {
        let specs = json!({"node_version": "18", "run_args": {"cap_add": ["SYS_ADMIN"]}, "x": [null, true, 3]});
        assert_eq!(
            value(&specs),
            "{'node_version': '18', 'run_args': {'cap_add': ['SYS_ADMIN']}, 'x': [None, True, 3]}"
        );
    }
}
