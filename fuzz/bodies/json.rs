//! Any bytes as JSON of every kind of document: what is accepted is what `serde_json` reads, with no key
//! twice.

use ohoci_image::json::{self, JsonError};
use ohoci_image::shape;
use serde_json::Value;

pub(crate) fn run(data: &[u8]) -> bool {
    let whole = serde_json::from_slice::<Value>(data);
    let shapes = [
        &shape::MANIFEST,
        &shape::CONFIG,
        &shape::LAYOUT,
        &shape::DOCKER_ARCHIVE,
        &shape::RECORD,
    ];
    let mut accepted = false;
    for shape in shapes {
        match json::parse(data, shape) {
            Ok(value) => {
                assert_eq!(Some(&value), whole.as_ref().ok());
                let again = json::parse(value.to_string().as_bytes(), shape);
                assert_eq!(again.expect("what was read is read again"), value);
                accepted = true;
            }
            Err(JsonError::Syntax(_)) => assert!(whole.is_err()),
            Err(other) => assert!(!other.to_string().contains('\u{1b}')),
        }
    }
    accepted
}
