//! Files of manifests: streams of YAML documents, as JSON trees.
//!
//! Comments, anchors and the way in which scalars are written are lost; order is kept.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::TScalarStyle;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlEmitter};

/// Most values that a file may have, those that aliases stand for included.
const MAX_VALUES: usize = 1 << 20;

/// How deep values may lie in values.
const MAX_DEPTH: usize = 100;

/// Why text is no stream of manifests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

impl ManifestError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A list or mapping that is being read.
enum Open {
    List(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

#[derive(Default)]
struct Reader {
    /// What is open, each with the anchor that it gets.
    open: Vec<(Open, usize)>,
    anchors: HashMap<usize, (Value, usize)>,
    documents: Vec<Value>,
    values: usize,
}

/// Reads the documents of a stream. Empty ones are left out.
///
/// # Errors
/// When it is no YAML, is too large or too deep, or a key is no string.
pub fn parse(text: &str) -> Result<Vec<Value>, ManifestError> {
    let mut parser = Parser::new_from_str(text);
    let mut reader = Reader::default();
    loop {
        let (event, _) = parser
            .next_token()
            .map_err(|error| ManifestError::new(error.to_string()))?;
        match event {
            Event::StreamEnd => return Ok(reader.documents),
            Event::DocumentStart => reader.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_ref())?;
                reader.put(value, 1, anchor)?;
            }
            Event::SequenceStart(anchor, _) => reader.begin(Open::List(Vec::new()), anchor)?,
            Event::MappingStart(anchor, _) => {
                reader.begin(Open::Mapping(Map::new(), None), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => reader.end()?,
            Event::Alias(anchor) => {
                let known = reader.anchors.get(&anchor).cloned();
                let (value, count) =
                    known.ok_or_else(|| ManifestError::new("an alias has no anchor"))?;
                reader.put(value, count, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
        }
    }
}

impl Reader {
    fn begin(&mut self, open: Open, anchor: usize) -> Result<(), ManifestError> {
        if self.open.len() >= MAX_DEPTH {
            let why = format!("values lie more than {MAX_DEPTH} deep");
            return Err(ManifestError::new(why));
        }
        self.open.push((open, anchor));
        Ok(())
    }

    fn end(&mut self) -> Result<(), ManifestError> {
        let (value, anchor) = match self.open.pop() {
            Some((Open::List(list), anchor)) => (Value::Array(list), anchor),
            Some((Open::Mapping(map, None), anchor)) => (Value::Object(map), anchor),
            Some((Open::Mapping(..), _)) | None => {
                return Err(ManifestError::new("a key has no value"));
            }
        };
        let count = match anchor {
            0 => 1,
            _ => count(&value),
        };
        self.put(value, count, anchor)
    }

    fn put(&mut self, value: Value, count: usize, anchor: usize) -> Result<(), ManifestError> {
        self.values = self.values.saturating_add(count);
        if self.values > MAX_VALUES {
            let why = format!("it has more than {MAX_VALUES} values");
            return Err(ManifestError::new(why));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), count));
        }
        match self.open.last_mut() {
            None if value.is_null() => {}
            None => self.documents.push(value),
            Some((Open::List(list), _)) => list.push(value),
            Some((Open::Mapping(map, key), _)) => match key.take() {
                Some(key) => {
                    if map.contains_key(&key) {
                        return Err(ManifestError::new(format!("the key {key:?} stands twice")));
                    }
                    map.insert(key, value);
                }
                None => match value {
                    Value::String(text) => *key = Some(text),
                    // As every reader of Kubernetes' takes them.
                    Value::Bool(_) | Value::Number(_) => *key = Some(value.to_string()),
                    other => return Err(ManifestError::new(format!("{other} is no key"))),
                },
            },
        }
        Ok(())
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(count).fold(1, usize::saturating_add),
        Value::Object(map) => map.values().map(count).fold(1, usize::saturating_add),
        _ => 1,
    }
}

/// A scalar's value: of those without quotes and tags, what the core schema says.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Result<Value, ManifestError> {
    let is_core = |tag: &Tag| tag.handle == "tag:yaml.org,2002:";
    match tag {
        Some(tag) if is_core(tag) && tag.suffix == "str" => return Ok(Value::String(text)),
        None if style != TScalarStyle::Plain => return Ok(Value::String(text)),
        _ => {}
    }
    Ok(match Yaml::from_str(&text) {
        Yaml::Integer(number) => Value::Number(number.into()),
        Yaml::Real(real) => match serde_json::from_str::<Number>(&real) {
            Ok(number) => Value::Number(number),
            Err(_) => return Err(ManifestError::new(format!("{real} is no number of JSON"))),
        },
        Yaml::Boolean(truth) => Value::Bool(truth),
        Yaml::Null => Value::Null,
        _ => Value::String(text),
    })
}

/// Writes documents as a stream.
///
/// # Errors
/// When a number is none that YAML has.
pub fn write(documents: &[Value]) -> Result<String, ManifestError> {
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push('\n');
        }
        let mut emitter = YamlEmitter::new(&mut text);
        emitter.multiline_strings(true);
        emitter
            .dump(&yaml(document))
            .map_err(|error| ManifestError::new(error.to_string()))?;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

fn yaml(value: &Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(truth) => Yaml::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Yaml::Integer(number),
            None => Yaml::Real(number.to_string()),
        },
        Value::String(text) => string(text),
        Value::Array(list) => Yaml::Array(list.iter().map(yaml).collect()),
        Value::Object(map) => {
            let mut hash = Hash::new();
            for (key, value) in map {
                hash.insert(string(key), yaml(value));
            }
            Yaml::Hash(hash)
        }
    }
}

/// A string, in quotes where YAML 1.1 would read a number: Kubernetes' reader takes `1_0` for 10. The
/// emitter quotes what is a number to YAML 1.2, and writes reals as they are, which lets quotes in.
fn string(text: &str) -> Yaml {
    let is_of_numbers = |character: char| {
        character.is_ascii_hexdigit()
            || matches!(character, '_' | ':' | '.' | '+' | '-' | 'x' | 'o')
    };
    let begins_as_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
    if begins_as_number && text.contains(['_', ':']) && text.chars().all(is_of_numbers) {
        Yaml::Real(format!("\"{text}\""))
    } else {
        Yaml::String(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_read_as_kubernetes_reads_them() {
        let text = "# a comment\na: 1\nb: \"1\"\nc: yes\nd: true\ne: null\nf: 1.5\n\
            g: &x [1, 2]\nh: *x\ni: |\n  two\n  lines\n---\n---\nkind: Pod\n...\n";
        let read = parse(text).unwrap();
        let first = json!({
            "a": 1, "b": "1", "c": "yes", "d": true, "e": null, "f": 1.5,
            "g": [1, 2], "h": [1, 2], "i": "two\nlines\n",
        });
        assert_eq!(read, [first, json!({ "kind": "Pod" })]);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..20 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        let deep = "[".repeat(200);
        for (text, why) in [
            (bomb.as_str(), "values"),
            (deep.as_str(), "deep"),
            ("a: 1\na: 2\n", "twice"),
            ("? [a]\n: 1\n", "no key"),
            ("a: [\n", ""),
            ("a: *b\n", ""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(texts in proptest::collection::vec(".{0,20}", 0..6)) {
            let list: Vec<Value> = texts.iter().cloned().map(Value::String).collect();
            let document = json!({ "kind": "Pod", "list": list, "n": 5, "t": false, "o": {}, "l": [] });
            let text = write(std::slice::from_ref(&document)).unwrap();
            proptest::prop_assert_eq!(parse(&text).unwrap(), [document]);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-:\\[\\]{}&*a\n\"'|>#? ]{0,60}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn strings_that_others_would_read_as_something_else_are_quoted() {
        let words = [
            "yes", "no", "on", "off", "true", "null", "~", "1", "1e3", "0x1f", "y", "012", "1_0",
            "-0x1_f", "1:30",
        ];
        let text = write(&[json!({ "words": words })]).unwrap();
        for word in words {
            let quoted = [format!("- \"{word}\"\n"), format!("- '{word}'\n")];
            assert!(
                quoted.iter().any(|line| text.contains(line)),
                "{word}: {text}"
            );
        }
    }
}
