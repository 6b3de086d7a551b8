//! JSON that all readers take for the same: no key twice, and none that only its case tells apart.
//!
//! Go's `encoding/json`, with which podman, containerd and Docker read images, finds a struct's
//! field under a key of any case, by Unicode's simple folding, and of several such keys it takes
//! the last. A reader that goes by exact keys sees another document in the same bytes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The key under which `serde_json` hands out numbers as they were written.
const NUMBER: &str = "$serde_json::private::Number";

/// What stands at a place of a document.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Something whose fields are not known here. Readers may have a struct for it, so its keys
    /// must differ by more than their case.
    Any,
    /// An object that readers have a struct for, with the fields that mean something to them.
    Struct(&'static [(&'static str, Self)]),
    /// An object with free keys, such as labels: they may differ by case alone.
    Free(&'static Self),
    /// An array of such things.
    List(&'static Self),
}

/// Why bytes are no JSON that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or nested too deeply.
    #[error("it is not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// A key that stands twice in one object.
    #[error("it has the key {key:?} twice {}", place(.path))]
    Twice {
        /// The object, from the root of the document.
        path: String,
        /// The key.
        key: String,
    },
    /// Two keys of one object that only their case tells apart.
    #[error(
        "it has both {first:?} and {second:?} {}: container engines take them for the same key, and the last one counts",
        place(.path)
    )]
    SameButCase {
        /// The object, from the root of the document.
        path: String,
        /// The key that came first.
        first: String,
        /// The other one.
        second: String,
    },
    /// A key that means something only where case does not matter.
    #[error(
        "it has {found:?} {} where {known:?} is meant: container engines read it, whatever its case",
        place(.path)
    )]
    OddCase {
        /// The object, from the root of the document.
        path: String,
        /// The key.
        found: String,
        /// The key as the specification has it.
        known: &'static str,
    },
    /// A key that `serde_json` keeps for itself.
    #[error("it has a key {key:?} {}, which cannot be read", place(.path))]
    Reserved {
        /// The object, from the root of the document.
        path: String,
        /// The key.
        key: &'static str,
    },
}

fn place(path: &str) -> String {
    if path.is_empty() {
        "at its top level".to_owned()
    } else {
        format!("in `{}`", path.escape_debug())
    }
}

/// Parses one JSON document. Key order and numbers stay as they are.
///
/// # Errors
/// See [`JsonError`].
pub fn parse(bytes: &[u8], shape: &'static Shape) -> Result<Value, JsonError> {
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let here = Context {
        fault: &fault,
        path: &Path::Root,
        shape,
    };
    let parsed = here
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| fault.take().unwrap_or(JsonError::Syntax(error)))
}

/// A key as Go compares it (`encoding/json`, `foldName`): ſ is s, and the Kelvin sign is k.
fn folded(key: &str) -> String {
    key.chars()
        .map(|c| {
            if c.is_ascii() {
                return c.to_ascii_lowercase();
            }
            let one = |mut several: Box<dyn Iterator<Item = char>>| {
                several.next().filter(|_| several.next().is_none())
            };
            let upper = one(Box::new(c.to_uppercase())).unwrap_or(c);
            one(Box::new(upper.to_lowercase())).unwrap_or(upper)
        })
        .collect()
}

/// Where in the document the parser stands; put into words only where something is wrong.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Item(above, at) => write!(f, "{above}[{at}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Context<'a> {
    fault: &'a RefCell<Option<JsonError>>,
    path: &'a Path<'a>,
    shape: &'static Shape,
}

impl Context<'_> {
    /// Notes what is wrong; the parser's own error is only what ends the parsing.
    fn refuse<E: serde::de::Error>(&self, why: impl FnOnce(String) -> JsonError) -> E {
        *self.fault.borrow_mut() = Some(why(self.path.to_string()));
        E::custom("refused")
    }

    /// What stands under a key here.
    fn below<E: serde::de::Error>(&self, key: &str) -> Result<&'static Shape, E> {
        match self.shape {
            Shape::Free(each) => Ok(each),
            Shape::Struct(fields) => {
                if let Some((_, shape)) = fields.iter().find(|(name, _)| *name == key) {
                    return Ok(shape);
                }
                let low = folded(key);
                match fields
                    .iter()
                    .find(|(name, _)| low.eq_ignore_ascii_case(name))
                {
                    None => Ok(&Shape::Any),
                    Some((known, _)) => Err(self.refuse(|path| JsonError::OddCase {
                        path,
                        found: key.to_owned(),
                        known,
                    })),
                }
            }
            Shape::Any | Shape::List(_) => Ok(&Shape::Any),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Context<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Context<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    // Whole numbers come so; others as the text that they were written as.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let shape = match self.shape {
            Shape::List(each) => each,
            _ => &Shape::Any,
        };
        let mut items = Vec::new();
        loop {
            let path = Path::Item(self.path, items.len());
            let item = Context {
                path: &path,
                shape,
                ..self
            };
            match list.next_element_seed(item)? {
                Some(value) => items.push(value),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == NUMBER {
                return match map.next_value_seed(AsWritten)? {
                    Some(number) if object.is_empty() => Ok(Value::Number(number)),
                    _ => Err(self.refuse(|path| JsonError::Reserved { path, key: NUMBER })),
                };
            }
            if object.contains_key(&key) {
                return Err(self.refuse(|path| JsonError::Twice { path, key }));
            }
            if !matches!(self.shape, Shape::Free(_)) {
                let low = folded(&key);
                if seen.contains(&low) {
                    let first = object.keys().find(|known| folded(known) == low);
                    let first = first.cloned().unwrap_or_default();
                    return Err(self.refuse(|path| JsonError::SameButCase {
                        path,
                        first,
                        second: key,
                    }));
                }
                seen.insert(low);
            }
            let shape = self.below(&key)?;
            let path = Path::Key(self.path, &key);
            let value = map.next_value_seed(Context {
                path: &path,
                shape,
                ..self
            })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// A number as it was written. `serde_json` hands out an owned string for it, and never one for
/// what the document has under the same key, of which this is `None`.
struct AsWritten;

impl<'de> DeserializeSeed<'de> for AsWritten {
    type Value = Option<Number>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AsWritten {
    type Value = Option<Number>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
        text.parse().map(Some).map_err(E::custom)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("an array under a key that cannot be read"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(
            "an object under a key that cannot be read",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Shape = Shape::Free(&Shape::Any);
    const SHAPE: Shape = Shape::Struct(&[
        ("User", Shape::Any),
        ("Labels", FREE),
        (
            "list",
            Shape::List(&Shape::Struct(&[("skipKeys", Shape::Any)])),
        ),
    ]);

    fn complaint(text: &str) -> String {
        parse(text.as_bytes(), &SHAPE).unwrap_err().to_string()
    }

    #[test]
    fn keys_that_only_their_case_tells_apart_are_refused_at_any_depth() {
        for (text, words) in [
            (
                r#"{"User":"65534","user":"0"}"#,
                r#"both "User" and "user" at its top level"#,
            ),
            (r#"{"x":1,"X":2}"#, r#"both "x" and "X" at its top level"#),
            (
                r#"{"x":{"y":[0,{"ab":1,"aB":2}]}}"#,
                r#"both "ab" and "aB" in `x.y[1]`"#,
            ),
            (
                r#"{"list":[{"skipKeys":1,"sKIPkeys":1}]}"#,
                r#""sKIPkeys" in `list[0]`"#,
            ),
            // U+017F and U+212A, as they are and escaped.
            (
                r#"{"list":[{"\u017fkipKey\u017f":1}]}"#,
                r#"where "skipKeys""#,
            ),
            (
                "{\"list\":[{\"s\u{212a}ipKeys\":1}]}",
                r#"where "skipKeys""#,
            ),
            (r#"{"x":{"\u00e9":1,"É":2}}"#, r#"both "é" and "É""#),
            (r#"{"uſer":"0"}"#, r#"where "User""#),
        ] {
            let complaint = complaint(text);
            assert!(complaint.contains(words), "{text}: {complaint}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_everywhere() {
        for text in [
            r#"{"User":"a","User":"b"}"#,
            r#"{"Labels":{"a":"1","a":"2"}}"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
        ] {
            assert!(complaint(text).contains("twice"), "{text}");
        }
    }

    #[test]
    fn free_keys_may_differ_by_their_case() {
        let text = r#"{"Labels":{"a":"1","A":"2","ſ":"3","s":"4"},"other":{"user":1}}"#;
        let value = parse(text.as_bytes(), &SHAPE).unwrap();
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn numbers_stay_as_they_are_and_nothing_else_is_one() {
        let text = r#"{"a":123456789012345678901234567890,"b":[1.50,-0,1E5],"c":0}"#;
        let value = parse(text.as_bytes(), &SHAPE).unwrap();
        let same: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, same);
        assert_eq!(value.to_string(), same.to_string());
        for hidden in [
            r#"{"size":{"$serde_json::private::Number":"5"}}"#,
            r#"{"size":{"\u0024serde_json::private::Number":"5"}}"#,
            r#"{"size":{"a":1,"$serde_json::private::Number":"5"}}"#,
            r#"{"size":{"$serde_json::private::Number":5}}"#,
            r#"{"size":{"$serde_json::private::Number":{}}}"#,
            r#"{"size":{"$serde_json::private::Number":[]}}"#,
        ] {
            assert!(parse(hidden.as_bytes(), &SHAPE).is_err(), "{hidden}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "{} {}", "nul", "{\"a\":}", "\"\u{1}\""] {
            assert!(
                matches!(parse(text.as_bytes(), &SHAPE), Err(JsonError::Syntax(_))),
                "{text}"
            );
        }
        assert!(parse("[".repeat(100_000).as_bytes(), &SHAPE).is_err());
        assert!(parse(b"{\"a\":\"\xff\"}", &SHAPE).is_err());
    }

    #[test]
    fn words_of_the_document_give_no_orders() {
        let complaint = complaint("{\"\\u001b[2J\":{\"a\":1,\"A\":2}}");
        assert!(!complaint.contains('\u{1b}'), "{complaint}");
    }
}
