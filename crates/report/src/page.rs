//! A page of its own, and the tiles on top of it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What every page looks like, in the light and in the dark.
const STYLE: &str = include_str!("style.css");

/// A page that needs nothing else.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// Its title and first heading.
    pub title: &'a str,
    /// Style of its own, after that of every page. It is written as it stands.
    pub style: &'a str,
    /// What stands below the heading.
    pub body: Markup,
}

impl Page<'_> {
    /// The page as HTML.
    #[must_use]
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(self.style)) }
                }
                body {
                    main {
                        h1 { (self.title) }
                        (self.body)
                    }
                }
            }
        };
        page.into_string() + "\n"
    }
}

/// Whether something is as hoped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// It is neither good nor bad.
    #[default]
    Plain,
    /// As hoped.
    Good,
    /// In need of a look.
    Warn,
    /// Failed.
    Bad,
}

impl Tone {
    /// The class that paints it.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// The tone where there is something to count, and none where there is nothing.
    #[must_use]
    pub fn of_count(self, count: usize) -> Self {
        match count {
            0 => Self::Plain,
            _ => self,
        }
    }
}

/// What stands in a tile: a count, or a number in words.
#[derive(Clone, Debug)]
pub struct Number(String);

impl From<String> for Number {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Number {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<usize> for Number {
    fn from(count: usize) -> Self {
        Self(count.to_string())
    }
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self(count.to_string())
    }
}

/// A number and what it counts.
#[derive(Clone, Debug)]
pub struct Tile {
    name: String,
    value: String,
    tone: Tone,
}

impl Tile {
    /// A tile without a tone.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Number>) -> Self {
        Self {
            name: name.into(),
            value: value.into().0,
            tone: Tone::Plain,
        }
    }

    /// The same in a tone.
    #[must_use]
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// Tiles beside each other.
pub fn tiles(tiles: impl IntoIterator<Item = Tile>) -> Markup {
    html! {
        div.tiles {
            @for tile in tiles {
                div.tile.(tile.tone.class()) {
                    b { (tile.value) }
                    span { (tile.name) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_believes_no_word_and_needs_nothing() {
        let evil = "</title><script>alert('x')</script>\"&";
        let page = Page {
            title: evil,
            style: "",
            body: tiles([Tile::new(evil, evil).toned(Tone::Bad)]),
        };
        let text = page.to_html();
        assert!(!text.contains("<script"), "{text}");
        for outside in ["http", "src=", "href=", "url(", "@import"] {
            assert!(!text.contains(outside), "{outside}");
        }
        assert!(text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("class=\"tile bad\""), "{text}");
    }
}
