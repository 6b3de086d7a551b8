//! A page that shows what takes the room, without anything from elsewhere.

use std::fmt::Write;

use super::html::{escaped, readable};
use super::sizes::Size;
use super::squarify::{Rectangle, squarify};

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
    let mut page = String::new();
    let heading = escaped(title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{heading}</title>\n<style>{STYLE}"
    );
    for index in 0..views.len() {
        let _ = write!(
            page,
            "#v{index}:checked~nav label[for=v{index}]{{background:var(--text);color:var(--page)}}\
             #v{index}:checked~#s{index}{{display:block}}"
        );
    }
    let _ = writeln!(page, "</style>\n<body>\n<h1>{heading}</h1>");
    for index in 0..views.len() {
        let checked = if index == 0 { " checked" } else { "" };
        let _ = writeln!(
            page,
            "<input type=\"radio\" name=\"view\" id=\"v{index}\"{checked}>"
        );
    }
    page.push_str("<nav>");
    for (index, (name, _)) in views.iter().enumerate() {
        let _ = write!(page, "<label for=\"v{index}\">{}</label>", escaped(name));
    }
    page.push_str("</nav>\n");
    for (index, (_, size)) in views.iter().enumerate() {
        let _ = writeln!(page, "<section id=\"s{index}\">");
        legend(&mut page, size);
        page.push_str("<div class=\"map\">\n");
        let whole = Rectangle {
            x: 0.0,
            y: 0.0,
            width: WIDTH,
            height: HEIGHT,
        };
        let weights: Vec<u64> = size.parts.iter().map(|part| part.bytes).collect();
        for (hue, (part, at)) in size.parts.iter().zip(squarify(&weights, whole)).enumerate() {
            let place = Place {
                at,
                within: whole,
                hue: color(hue),
                depth: 0,
            };
            rectangle(&mut page, part, &part.name, size.bytes, &place);
        }
        page.push_str("</div>\n");
        table(&mut page, size);
        page.push_str("</section>\n");
    }
    page.push_str("</body>\n</html>\n");
    page
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

struct Place {
    at: Rectangle,
    within: Rectangle,
    hue: f64,
    depth: usize,
}

fn rectangle(page: &mut String, size: &Size, path: &str, total: u64, place: &Place) {
    let Place {
        at,
        within,
        hue,
        depth,
    } = *place;
    if at.width < 1.5 || at.height < 1.5 {
        return;
    }
    let percent = |part: f64, whole: f64| {
        if whole > 0.0 {
            part * 100.0 / whole
        } else {
            0.0
        }
    };
    let share = percent(size.bytes as f64, total as f64);
    let group = !size.parts.is_empty() && at.width > SMALLEST_GROUP && at.height > SMALLEST_GROUP;
    let name = escaped(&size.name);
    let files = if size.files == 1 { "file" } else { "files" };
    let _ = write!(
        page,
        "<div class=\"{}\" style=\"left:{:.3}%;top:{:.3}%;width:{:.3}%;height:{:.3}%;\
         --h:{hue:.0};--d:{depth}\" title=\"{}&#10;{} · {share:.1} % · {} {files}\">",
        if group { "g" } else { "l" },
        percent(at.x - within.x, within.width),
        percent(at.y - within.y, within.height),
        percent(at.width, within.width),
        percent(at.height, within.height),
        escaped(path),
        readable(size.bytes),
        size.files,
    );
    if at.width > SMALLEST_NAME && at.height > SMALLEST_NAME / 2.0 {
        let _ = write!(page, "<b>{name}</b>");
        if at.width > 90.0 {
            let _ = write!(page, "<i>{}</i>", readable(size.bytes));
        }
    }
    if group {
        let inner = Rectangle {
            x: 0.0,
            y: 0.0,
            width: (at.width - 2.0 * GAP).max(0.0),
            height: (at.height - HEADING - GAP).max(0.0),
        };
        page.push_str("<div class=\"p\">");
        let weights: Vec<u64> = size.parts.iter().map(|part| part.bytes).collect();
        for (part, at) in size.parts.iter().zip(squarify(&weights, inner)) {
            let place = Place {
                at,
                within: inner,
                hue,
                depth: depth + 1,
            };
            rectangle(page, part, &format!("{path}/{}", part.name), total, &place);
        }
        page.push_str("</div>");
    }
    page.push_str("</div>\n");
}

fn legend(page: &mut String, size: &Size) {
    let _ = write!(
        page,
        "<p class=\"sum\"><strong>{}</strong> in {} files</p>\n<ul class=\"legend\">",
        readable(size.bytes),
        size.files
    );
    for (index, part) in size.parts.iter().enumerate().take(IN_LEGEND) {
        let _ = write!(
            page,
            "<li style=\"--h:{:.0}\">{} <span>{}</span></li>",
            color(index),
            escaped(&part.name),
            readable(part.bytes)
        );
    }
    let more = size.parts.len().saturating_sub(IN_LEGEND);
    if more > 0 {
        let _ = write!(page, "<li class=\"more\">and {more} more</li>");
    }
    page.push_str("</ul>\n");
}

/// The largest parts one and two levels down: packages, or folders.
fn table(page: &mut String, size: &Size) {
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
    page.push_str("<table><tr><th>What<th>In<th class=\"n\">Size<th class=\"n\">Files<th></tr>\n");
    let largest = rows.first().map_or(1, |row| row.2.bytes).max(1);
    for (hue, within, part) in rows.into_iter().take(LISTED) {
        let _ = writeln!(
            page,
            "<tr style=\"--h:{hue:.0}\"><td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"bar\"><s style=\"width:{:.1}%\"></s></tr>",
            escaped(&part.name),
            escaped(within),
            readable(part.bytes),
            part.files,
            part.bytes as f64 * 100.0 / largest as f64
        );
    }
    page.push_str("</table>\n");
}

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fbfbfa;--text:#1c1e21;--soft:#686d76;--line:#e3e4e6;--sat:58%;--base:84%;--step:-4%}
@media(prefers-color-scheme:dark){:root{--page:#15171a;--text:#e8e9eb;--soft:#9aa0a8;--line:#2b2e33;--sat:34%;--base:24%;--step:5%}}
body{margin:0 auto;max-width:1600px;padding:24px;background:var(--page);color:var(--text);font:14px/1.45 system-ui,sans-serif}
h1{font-size:20px;font-weight:650;margin:0 0 14px}
input[type=radio]{position:absolute;opacity:0;pointer-events:none}
nav{display:inline-flex;border:1px solid var(--line);border-radius:8px;overflow:hidden;margin-bottom:6px}
nav label{padding:5px 14px;cursor:pointer;color:var(--soft)}
section{display:none}
.sum{margin:8px 0;color:var(--soft)}.sum strong{color:var(--text);font-size:16px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 12px;padding:0}
.legend li::before{content:'';display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;background:hsl(var(--h) var(--sat) 55%)}
.legend .more::before{display:none}.legend .more,.legend span{color:var(--soft)}
.map{position:relative;width:100%;aspect-ratio:16/9;border-radius:8px;overflow:hidden;background:var(--line)}
.g,.l{position:absolute;box-sizing:border-box;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;border:1px solid var(--page);border-radius:4px;padding:0 5px;font-size:11.5px;line-height:18px;background:hsl(var(--h) var(--sat) calc(var(--base) + var(--d)*var(--step)))}
.p{position:absolute;inset:19px 1px 1px 1px}
.g>b{font-weight:600}.l>b{font-weight:450}
.g>i,.l>i{font-style:normal;opacity:.62;margin-left:6px;font-size:10.5px}
.l:hover{outline:2px solid var(--text);outline-offset:-2px}
table{border-collapse:collapse;margin-top:20px;width:100%}
th{text-align:left;font-weight:500;color:var(--soft);font-size:12px}
td,th{padding:4px 10px 4px 0;border-bottom:1px solid var(--line)}
th.n,.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{width:35%}.bar s{display:block;height:9px;border-radius:5px;background:hsl(var(--h) var(--sat) 55%)}
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
