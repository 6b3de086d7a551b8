//! Lines of pytest's short summary, where mouse buttons are named as the dataset names them.

use super::pytest::summary;
use super::status::StatusMap;

pub(super) fn parse(log: &str) -> StatusMap {
    let lines = log.split('\n').map(|line| {
        line.replace("MouseButton.LEFT", "1")
            .replace("MouseButton.RIGHT", "3")
    });
    summary(lines, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::Status;

    #[test]
    fn mouse_buttons_are_numbers() {
        let found = super::parse("PASSED t.py::pick[MouseButton.LEFT-MouseButton.RIGHT]\n");
        assert_eq!(found.get("t.py::pick[1-3]"), Some(&Status::Passed));
    }
}
