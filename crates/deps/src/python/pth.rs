//! `.pth` files: paths that Python takes up when it starts (module `site`).

use super::layout::Layout;
use ohoci_layer::LayerPath;

/// The directories that a `.pth` file adds to the path, read as `site.addpackage` does: lines that begin with
/// `import` are code.
pub(super) fn paths(text: &str) -> Vec<&str> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let is_code = |line: &str| line.starts_with("import ") || line.starts_with("import\t");
    lines
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !is_code(line))
        .collect()
}

/// Whether a line names a directory of the environment.
pub(super) fn stays_inside(line: &str, layout: &Layout) -> bool {
    if line.starts_with('/') {
        return false;
    }
    let site = layout.site_packages();
    let mut depth = site.names().count();
    for name in line.split('/') {
        match name {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// Whether Python reads the file at `path`, which is relative to the environment, as `.pth`.
pub(super) fn is_read(path: &LayerPath, layout: &Layout) -> bool {
    path.parent() == Some(layout.site_packages()) && path.name().ends_with(b".pth")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_paths_are_told_apart() {
        let text = "\u{feff}# comment\nimport os; x\nimport\ty\nimportant\n\nsub/dir  \n";
        assert_eq!(paths(text), ["important", "sub/dir"]);
    }

    #[test]
    fn paths_that_leave_the_environment_are_known() {
        let layout = Layout::new(LayerPath::root(), 13, "/p/python3");
        for inside in ["a", "a/../b", "../../../share", "."] {
            assert!(stays_inside(inside, &layout), "{inside}");
        }
        for outside in ["/usr/lib", "../../../..", "a/../../../../../x"] {
            assert!(!stays_inside(outside, &layout), "{outside}");
        }
    }
}
