//! Tables.

use maud::{Markup, html};

use super::page::Tone;

/// What stands in a column.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A reference or a path, in letters of one width.
    Name(String),
    /// What is shown of a digest, and all of it where the pointer rests.
    Short(String, String),
    /// Words.
    Text(String),
    /// A state.
    Word(String, Tone),
    /// A number, to the right.
    Number(String),
}

impl Cell {
    fn class(&self) -> Option<&'static str> {
        matches!(self, Self::Number(_)).then_some("number")
    }
}

/// A heading and a table below it; nothing where there are no rows. The head of a column of numbers
/// stands over them.
pub fn table(title: &str, columns: &[&str], rows: &[Vec<Cell>]) -> Markup {
    let Some(first) = rows.first() else {
        return Markup::default();
    };
    html! {
        h2 { (title) }
        div.card.columns {
            table {
                thead {
                    tr {
                        @for (name, cell) in columns.iter().zip(first) {
                            th class=[cell.class()] { (name) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for cell in row {
                                td class=[cell.class()] { (content(cell)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn content(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Name(text) => code { (text) },
            Cell::Short(text, whole) => code title=(whole) { (text) },
            Cell::Text(text) | Cell::Number(text) => (text),
            Cell::Word(text, tone) => span.word.(tone.class()) { (text) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_numbers_has_its_head_over_them() {
        let rows = [vec![
            Cell::Name("<a>".to_owned()),
            Cell::Number("1".to_owned()),
        ]];
        let text = table("Failed", &["base", "tries"], &rows).into_string();
        assert!(text.contains("<td><code>&lt;a&gt;</code></td>"), "{text}");
        assert!(text.contains("<th class=\"number\">tries</th>"), "{text}");
        assert_eq!(table("Failed", &["base"], &[]).into_string(), "");
    }
}
