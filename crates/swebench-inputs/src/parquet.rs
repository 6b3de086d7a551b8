//! Rows of a dataset in Parquet, as which Hugging Face keeps them, as JSON values.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::Field;
use serde_json::{Map, Value};

/// The rows, in order. Columns of kinds that instances do not have, such as numbers and dates, are
/// left out.
///
/// # Errors
/// When the file is damaged, or compressed by something else than Snappy.
pub(super) fn rows(file: Vec<u8>) -> Result<Vec<Value>, ParquetError> {
    let reader = SerializedFileReader::new(Bytes::from(file))?;
    reader
        .get_row_iter(None)?
        .map(|row| {
            let row = row?;
            let members = row
                .get_column_iter()
                .filter_map(|(name, field)| Some((name.clone(), value(field)?)))
                .collect::<Map<_, _>>();
            Ok(Value::Object(members))
        })
        .collect()
}

fn value(field: &Field) -> Option<Value> {
    Some(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(*truth),
        Field::Str(text) => Value::String(text.clone()),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().filter_map(value).collect())
        }
        Field::Group(row) => Value::Object(
            row.get_column_iter()
                .filter_map(|(name, field)| Some((name.clone(), value(field)?)))
                .collect(),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        fs_err::read(root.join("../../fixtures/swebench").join(name)).unwrap()
    }

    #[test]
    fn text_lists_and_nothing_are_read() {
        let found = rows(fixture("rows.parquet")).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["patch"], "p é\n");
        assert_eq!(found[0]["FAIL_TO_PASS"], "[\"a\"]");
        assert_eq!(found[0]["eval_script"], Value::Null);
        assert_eq!(found[0]["tags"], json!(["x", "y"]));
        assert_eq!(found[1]["tags"], json!([]));
        assert_eq!(found[1]["eval_script"], "true");
        let lists = rows(fixture("lists.parquet")).unwrap();
        assert_eq!(lists[0]["FAIL_TO_PASS"], json!(["a", "b"]));
    }

    #[test]
    fn what_is_no_parquet_is_refused() {
        assert!(rows(b"{}".to_vec()).is_err());
        let mut cut = fixture("rows.parquet");
        cut.truncate(cut.len() / 2);
        assert!(rows(cut).is_err());
        let mut broken = fixture("rows.parquet");
        for byte in broken.iter_mut().skip(4).take(400) {
            *byte ^= 0x55;
        }
        let _ = rows(broken);
    }
}
