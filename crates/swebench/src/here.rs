//! Text in scripts of a shell.

/// A word of a here-document that no line of the text is.
fn delimiter(text: &str) -> String {
    let mut word = "EOF_114329324912".to_owned();
    while text.lines().any(|line| line == word) {
        word.push('_');
    }
    word
}

/// Puts text into a command's standard input, whatever it holds.
pub(super) fn here(command: &str, text: &str) -> String {
    let end = delimiter(text);
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{command} <<'{end}'\n{text}{line_end}{end}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_here_document_ends_at_no_line_of_its_text() {
        let script = here("cat", "a\nEOF_114329324912\nb");
        assert!(script.ends_with("\nb\nEOF_114329324912_\n"), "{script}");
    }
}
