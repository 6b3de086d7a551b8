//! Colours on stderr: those of clap's messages, under the same conditions.

use std::io;

/// A colour of a word that says what kind of line follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    /// Errors; bold, as clap's.
    Red,
    /// Warnings; bold.
    Yellow,
    /// Hints; as clap's tips.
    Green,
}

/// Whether words are painted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colours.
    pub(crate) const PLAIN: Self = Self(false);

    /// Colours whoever reads.
    #[cfg(test)]
    pub(crate) const ALWAYS: Self = Self(true);

    /// Colours where stderr is a terminal that has them, unless told otherwise: `NO_COLOR`,
    /// `CLICOLOR`, `CLICOLOR_FORCE` and `TERM=dumb` count as they do for clap.
    pub(crate) fn on_stderr() -> Self {
        Self(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never)
    }

    /// Whether anything is painted.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// One of our own words, painted or not.
    pub(crate) fn word(self, word: &str, colour: Colour) -> String {
        let code = match colour {
            _ if !self.0 => return word.to_owned(),
            Colour::Red => "1;31",
            Colour::Yellow => "1;33",
            Colour::Green => "32",
        };
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    }
}
