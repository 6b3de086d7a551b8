//! A page that shows what takes the room, without anything from elsewhere.

use maud::{Markup, html};

use super::sizes::Size;
use super::squarify::{Rectangle, squarify};
use ohoci_report::page::Page;
use ohoci_report::size::bytes;

/// The units that rectangles are laid out in; the page scales them to its width.
const WIDTH: f64 = 1600.0;
const HEIGHT: f64 = 900.0;
/// Room for the name of what has parts.
const HEADING: f64 = 20.0;
/// Room around parts.
const GAP: f64 = 2.0;
/// What is smaller than this on a side has no parts that one could see, and no name below it.
const SMALLEST_GROUP: f64 = 34.0;
const SMALLEST_NAME: f64 = 26.0;
/// How many of the largest parts the table lists, and how many the legend.
const LISTED: usize = 40;
const IN_LEGEND: usize = 12;

/// A page with one treemap for each of `views` (its title and sizes), to be switched between, and
/// a table of the largest parts of each. Needs no script and nothing else beside it.
#[must_use]
pub fn treemap(title: &str, views: &[(&str, Size)]) -> String {
    let views: Vec<(&str, Size)> = views
        .iter()
        .map(|(name, size)| (*name, without_chains(size)))
        .collect();
    let shown = (0..views.len()).map(|index| {
        format!(
            "#v{index}:checked~nav label[for=v{index}]{{background:var(--ink);color:var(--paper)}}\
             #v{index}:checked~#s{index}{{display:block}}"
        )
    });
    let page = Page {
        title,
        style: &shown.fold(STYLE.to_owned(), |style, rule| style + &rule),
        body: html! {
            @for index in 0..views.len() {
                input type="radio" name="view" id={ "v" (index) } checked[index == 0];
            }
            nav {
                @for (index, (name, _)) in views.iter().enumerate() {
                    label for={ "v" (index) } { (name) }
                }
            }
            @for (index, (_, size)) in views.iter().enumerate() {
                section id={ "s" (index) } {
                    (legend(size))
                    (map(size))
                    (largest(size))
                }
            }
        },
    };
    page.to_html()
}

fn map(size: &Size) -> Markup {
    let whole = Rectangle {
        x: 0.0,
        y: 0.0,
        width: WIDTH,
        height: HEIGHT,
    };
    let weights: Vec<u64> = size.parts.iter().map(|part| part.bytes).collect();
    html! {
        div.map {
            @for (hue, (part, at)) in size.parts.iter().zip(squarify(&weights, whole)).enumerate() {
                (rectangle(part, &part.name, size.bytes, &Frame {
                    at,
                    within: whole,
                    hue: color(hue),
                    depth: 0,
                }))
            }
        }
    }
}

/// The same without levels that hold a single group: of one layer, its folders are on top, and
/// of several, each layer's folders are right below it.
fn without_chains(size: &Size) -> Size {
    let mut inner = size;
    while let [only] = inner.parts.as_slice()
        && !only.parts.is_empty()
    {
        inner = only;
    }
    Size {
        parts: inner.parts.iter().map(without_chains).collect(),
        ..size.clone()
    }
}

/// Hues that differ as much as can be from their neighbours (steps of the golden angle).
fn color(index: usize) -> f64 {
    (212.0 + index as f64 * 137.508) % 360.0
}

struct Frame {
    at: Rectangle,
    within: Rectangle,
    hue: f64,
    depth: usize,
}

fn rectangle(size: &Size, path: &str, total: u64, place: &Frame) -> Markup {
    let Frame {
        at,
        within,
        hue,
        depth,
    } = *place;
    if at.width < 1.5 || at.height < 1.5 {
        return Markup::default();
    }
    let percent = |part: f64, whole: f64| {
        if whole > 0.0 {
            part * 100.0 / whole
        } else {
            0.0
        }
    };
    let is_group =
        !size.parts.is_empty() && at.width > SMALLEST_GROUP && at.height > SMALLEST_GROUP;
    let is_named = at.width > SMALLEST_NAME && at.height > SMALLEST_NAME / 2.0;
    let files = if size.files == 1 { "file" } else { "files" };
    let style = format!(
        "left:{:.3}%;top:{:.3}%;width:{:.3}%;height:{:.3}%;--h:{hue:.0};--d:{depth}",
        percent(at.x - within.x, within.width),
        percent(at.y - within.y, within.height),
        percent(at.width, within.width),
        percent(at.height, within.height),
    );
    let said = format!(
        "{path}\n{} · {:.1} % · {} {files}",
        bytes(size.bytes),
        percent(size.bytes as f64, total as f64),
        size.files,
    );
    html! {
        div.(if is_group { "g" } else { "l" }) style=(style) title=(said) {
            @if is_named {
                b { (size.name) }
                @if at.width > 90.0 { i { (bytes(size.bytes)) } }
            }
            @if is_group { div.p { (parts(size, path, total, place)) } }
        }
    }
}

/// The parts of a group, below its name.
fn parts(size: &Size, path: &str, total: u64, place: &Frame) -> Markup {
    let within = Rectangle {
        x: 0.0,
        y: 0.0,
        width: (place.at.width - 2.0 * GAP).max(0.0),
        height: (place.at.height - HEADING - GAP).max(0.0),
    };
    let weights: Vec<u64> = size.parts.iter().map(|part| part.bytes).collect();
    html! {
        @for (part, at) in size.parts.iter().zip(squarify(&weights, within)) {
            (rectangle(part, &format!("{path}/{}", part.name), total, &Frame {
                at,
                within,
                hue: place.hue,
                depth: place.depth + 1,
            }))
        }
    }
}

fn legend(size: &Size) -> Markup {
    let more = size.parts.len().saturating_sub(IN_LEGEND);
    html! {
        p.sum { strong { (bytes(size.bytes)) } " in " (size.files) " files" }
        ul.legend {
            @for (index, part) in size.parts.iter().enumerate().take(IN_LEGEND) {
                li style=(hue(color(index))) { (part.name) " " span { (bytes(part.bytes)) } }
            }
            @if more > 0 { li.more { "and " (more) " more" } }
        }
    }
}

fn hue(degrees: f64) -> String {
    format!("--h:{degrees:.0}")
}

/// The largest parts one and two levels down: packages, or folders.
fn largest(size: &Size) -> Markup {
    let mut rows: Vec<(f64, &str, &Size)> = size
        .parts
        .iter()
        .enumerate()
        .flat_map(|(index, part)| {
            let parts = part.parts.iter();
            parts.map(move |inner| (color(index), part.name.as_str(), inner))
        })
        .collect();
    rows.sort_by(|one, other| {
        (other.2.bytes.cmp(&one.2.bytes))
            .then_with(|| (one.1, &one.2.name).cmp(&(other.1, &other.2.name)))
    });
    let most = rows.first().map_or(1, |row| row.2.bytes).max(1);
    html! {
        h2 { "The largest" }
        div.card.columns {
            table {
                thead {
                    tr { th { "what" } th { "in" } th.number { "size" } th.number { "files" } th {} }
                }
                tbody {
                    @for (degrees, within, part) in rows.into_iter().take(LISTED) {
                        tr style=(hue(degrees)) {
                            td { (part.name) }
                            td { (within) }
                            td.number { (bytes(part.bytes)) }
                            td.number { (part.files) }
                            td.bar {
                                s style={
                                    "width:" (format!("{:.1}", part.bytes as f64 * 100.0 / most as f64)) "%"
                                } {}
                            }
                        }
                    }
                }
            }
        }
    }
}

const STYLE: &str = "
:root{--sat:58%;--lightness:84%;--step:-4%}
@media(prefers-color-scheme:dark){:root{--sat:34%;--lightness:24%;--step:5%}}
main{max-width:1600px}
input[type=radio]{position:absolute;opacity:0;pointer-events:none}
nav{display:inline-flex;border:1px solid var(--line);border-radius:.5rem;overflow:hidden;margin-bottom:.4rem}
nav label{padding:.3rem .9rem;cursor:pointer;color:var(--soft);background:var(--paper)}
section{display:none}
.sum{margin:.5rem 0}.sum strong{color:var(--ink);font-size:1.1rem}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin:0 0 .75rem;padding:0}
.legend li::before{content:'';display:inline-block;width:.7rem;height:.7rem;border-radius:.2rem;margin-right:.4rem;background:hsl(var(--h) var(--sat) 55%)}
.legend .more::before{display:none}.legend .more,.legend span{color:var(--soft)}
.map{position:relative;width:100%;aspect-ratio:16/9;border-radius:.5rem;overflow:hidden;background:var(--line)}
.g,.l{position:absolute;box-sizing:border-box;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;border:1px solid var(--back);border-radius:4px;padding:0 5px;font-size:11.5px;line-height:18px;background:hsl(var(--h) var(--sat) calc(var(--lightness) + var(--d)*var(--step)))}
.p{position:absolute;inset:19px 1px 1px 1px}
.g>b{font-weight:600}.l>b{font-weight:450}
.g>i,.l>i{font-style:normal;opacity:.62;margin-left:6px;font-size:10.5px}
.l:hover{outline:2px solid var(--ink);outline-offset:-2px}
.bar{width:35%;vertical-align:middle}.bar s{display:block;height:9px;border-radius:5px;background:hsl(var(--h) var(--sat) 55%)}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn size(name: &str, bytes: u64, parts: Vec<Size>) -> Size {
        Size {
            name: name.to_owned(),
            bytes,
            files: 1,
            parts,
        }
    }

    #[test]
    fn the_page_needs_nothing_and_believes_no_name() {
        let evil = "<script>alert('x')</script>\"";
        let sizes = size(
            "all",
            100,
            vec![
                size(
                    "core",
                    60,
                    vec![size(evil, 50, Vec::new()), size("b", 10, Vec::new())],
                ),
                size("browser", 40, Vec::new()),
            ],
        );
        let page = treemap(evil, &[("By folder", sizes.clone()), (evil, sizes)]);
        assert!(!page.contains("<script"));
        assert!(!page.contains("http"), "nothing from elsewhere");
        assert!(page.contains("&lt;script&gt;"));
        assert_eq!(page.matches("<section").count(), 2);
        assert_eq!(page.matches("class=\"g\"").count(), 2);
        let chain = size(
            "all",
            9,
            vec![size(
                "core",
                9,
                vec![size(
                    "oh",
                    9,
                    vec![size("bin", 5, Vec::new()), size("lib", 4, Vec::new())],
                )],
            )],
        );
        let flat = treemap("t", &[("By folder", chain)]);
        assert!(flat.contains("<b>bin</b>") && !flat.contains("<b>core</b>"));
        let opened = page.matches("<div").count();
        assert_eq!(opened, page.matches("</div>").count());
    }
}
