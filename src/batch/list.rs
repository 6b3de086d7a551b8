//! Reading lists of images, and the templates that say where each goes.

use super::arguments::Arguments;
use crate::failure::Failure;
use ohoci_compose::batch::Template;
use ohoci_image::reference::ReferenceError;

/// The templates of `--push`.
pub(super) fn parsed_templates(arguments: &Arguments) -> Result<Vec<Template>, Failure> {
    arguments
        .compose
        .push
        .iter()
        .map(|text| {
            Template::parse(text).map_err(|error| Failure::usage(format!("--push: {error}")))
        })
        .collect()
}

/// What is wrong with a line that should be a reference. A line of what can be none is not quoted:
/// another file than was meant may have been named, and it may hold secrets.
pub(super) fn unreadable(line: &str, error: &ReferenceError) -> String {
    let plausible = |c: char| c.is_ascii_alphanumeric() || "._-/:@+[]".contains(c);
    if line.chars().all(plausible) {
        error.to_string()
    } else {
        "it is no reference to an image".to_owned()
    }
}

/// Lines with something on them, counted from 1, without comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
