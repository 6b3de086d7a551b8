//! Failures of one target among several.

use ohoci_store::Error;

/// A failure in one of several targets, with the targets where the result is by now.
pub(super) fn partly(error: Error, pushed: &[String]) -> Error {
    if pushed.is_empty() {
        return error;
    }
    let why = format!(
        "{}; it was pushed to {} and stays there",
        error.why(),
        pushed.join(" and ")
    );
    let failure = Error::new(error.kind(), error.what().to_owned(), why);
    match error.hint().map(str::to_owned) {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
    .caused_by(error)
}
