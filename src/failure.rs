//! The one error type of commands: what failed, why, and what may help.

use std::fmt;

use super::colour::{Colour, Paint};
use super::exit_code;
use super::printable;
use ohoci_image::reference::ReferenceError;

/// A failed command, ready to be shown to a person.
#[derive(Debug)]
pub struct Failure {
    exit_code: u8,
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// Something failed at run time.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            exit_code: exit_code::FAILED,
            what: what.into(),
            why: Some(why.into()),
            hint: None,
        }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self {
            exit_code: exit_code::USAGE,
            what: what.into(),
            why: None,
            hint: None,
        }
    }

    /// Adds what may help.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what may help as well.
    pub(crate) fn also_hinted(mut self, hint: &str) -> Self {
        self.hint = Some(match self.hint.take() {
            Some(first) => format!("{first}\n{hint}"),
            None => hint.to_owned(),
        });
        self
    }

    /// The same failure with another exit code.
    pub(crate) fn exiting(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl Failure {
    /// What is shown: what failed, why, what may help; painted as clap paints its own.
    pub(crate) fn shown(&self, paint: Paint) -> String {
        let mut text = format!(
            "{} {}",
            paint.word("error:", Colour::Red),
            quoted(&self.what)
        );
        if let Some(why) = &self.why {
            text.push_str(&format!("\n  {}", quoted(why)));
        }
        if let Some(hint) = &self.hint {
            let word = paint.word("hint:", Colour::Green);
            text.push_str(&format!("\n{word} {}", quoted(hint)));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(Paint::PLAIN))
    }
}

/// Words that may be foreign: further lines are indented, so that none passes for one of ours.
fn quoted(words: &str) -> String {
    printable::lines(words).replace('\n', "\n  ")
}

impl From<ohoci_store::Error> for Failure {
    fn from(error: ohoci_store::Error) -> Self {
        Self {
            exit_code: exit_code::FAILED,
            what: error.what().to_owned(),
            why: Some(error.why().to_owned()),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl From<ReferenceError> for Failure {
    fn from(error: ReferenceError) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_give_no_orders_and_forge_no_hints() {
        let failure = Failure::new("cannot read \u{1b}[2Jx", "it says\nhint: do this\r\u{9b}A")
            .hinted("ask\u{202e}");
        assert_eq!(
            failure.to_string(),
            "error: cannot read \u{fffd}[2Jx\n  it says\n  hint: do this\u{fffd}\u{fffd}A\nhint: ask\u{fffd}"
        );
    }

    #[test]
    fn only_our_own_words_are_painted() {
        let failure = Failure::new("a", "b").hinted("\u{1b}[31mc");
        assert_eq!(
            failure.shown(Paint::ALWAYS),
            "\u{1b}[1;31merror:\u{1b}[0m a\n  b\n\u{1b}[32mhint:\u{1b}[0m \u{fffd}[31mc"
        );
    }
}
