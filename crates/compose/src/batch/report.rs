//! One self-contained HTML page about a batch: what is shared, how long it took, what failed.

use std::fmt::Write as _;

use super::record::{Record, RecordStatus};
use super::summary::{SharedLayer, Summary, seconds, shared_layers};
use ohoci_image::Role;

/// How many shared layers have a row of their own; the others are added up.
const ROWS: usize = 40;

const STYLE: &str = "\
:root{--ink:#1d2430;--soft:#5b6675;--line:#e3e7ec;--paper:#fff;--back:#f5f7f9;--base:#4c78a8;\
--deps:#e4793a;--local:#54a24b;--bad:#c0392b;--good:#2e8b57}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b4;--line:#2c3440;\
--paper:#171c23;--back:#10141a}}\
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);\
font:15px/1.5 system-ui,sans-serif}main{max-width:72rem;margin:0 auto;padding:2rem 1rem}\
h1{font-size:1.5rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
p{color:var(--soft);margin:.25rem 0 1rem}.tiles{display:grid;gap:.75rem;\
grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}.whole{background:var(--line);\
border-radius:.3rem;margin-bottom:1rem}.whole div{height:1.4rem;border-radius:.3rem;\
background:var(--good);min-width:2px}\
.tile{background:var(--paper);border:1px solid var(--line);border-radius:.5rem;padding:.6rem 1rem}\
.tile b{display:block;font-size:1.4rem;font-variant-numeric:tabular-nums}\
.tile span{color:var(--soft);font-size:.85rem}.good b{color:var(--good)}.bad b{color:var(--bad)}\
.map{background:var(--paper);border:1px solid var(--line);border-radius:.5rem;padding:1rem}\
.row{display:grid;grid-template-columns:11rem 1fr 12rem;gap:.75rem;align-items:center;\
font-size:.85rem;padding:.1rem 0}.row code{color:var(--soft)}\
.bar{height:.9rem;border-radius:.2rem;min-width:2px}.base{background:var(--base)}\
.deps{background:var(--deps)}.local{background:var(--local)}.rest{background:var(--soft)}\
.row span{text-align:right;font-variant-numeric:tabular-nums}.key i{display:inline-block;\
width:.8rem;height:.8rem;border-radius:.2rem;margin:0 .3rem 0 1rem;vertical-align:-.1rem}\
table{border-collapse:separate;border-spacing:0;border-radius:.5rem;width:100%;background:var(--paper);border:1px solid var(--line)}\
td,th{text-align:left;padding:.35rem .8rem;border-top:1px solid var(--line);vertical-align:top;\
overflow-wrap:anywhere}th{border-top:0;color:var(--soft);font-weight:normal;font-size:.85rem}\
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}svg{width:100%;background:var(--paper);\
border:1px solid var(--line);border-radius:.5rem}svg rect{fill:var(--base)}\
svg text{fill:var(--soft);font-size:11px}";

/// The page.
#[must_use]
pub fn html(records: &[Record], summary: &Summary) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>ohoci batch</title>\
         <style>{STYLE}</style></head><body><main>\n<h1>{} of {} images are in place</h1>\n",
        summary.built + summary.skipped,
        summary.total + summary.left
    );
    tiles(&mut page, summary);
    failed(&mut page, summary);
    let not_started = summary
        .not_started
        .iter()
        .map(|(base, why)| vec![Cell::Name(base.clone()), Cell::Text(why.clone())]);
    table(
        &mut page,
        "Not started",
        &["base", "why"],
        not_started.collect(),
    );
    map(&mut page, &shared_layers(records), summary);
    times(&mut page, records);
    images(&mut page, summary);
    page.push_str("</main></body></html>\n");
    page
}

fn tiles(page: &mut String, summary: &Summary) {
    page.push_str("<div class=\"tiles\">");
    let good = |count: usize| if count > 0 { "good" } else { "" };
    let bad = |count: usize| if count > 0 { "bad" } else { "" };
    let whole = seconds(summary.cost.elapsed_ms);
    for (class, value, name) in [
        (good(summary.built), summary.built.to_string(), "pushed"),
        ("", summary.skipped.to_string(), "already there"),
        (bad(summary.failed), summary.failed.to_string(), "failed"),
        (bad(summary.left), summary.left.to_string(), "not started"),
        ("", summary.retried.to_string(), "tried again"),
        ("", summary.cost.total_requests().to_string(), "requests"),
        ("", bytes(summary.cost.bytes_up), "sent"),
        ("", bytes(summary.cost.bytes_down), "received"),
        ("", format!("{whole:.2} s"), "for all"),
        (
            "",
            format!("{:.2} s", summary.median_seconds),
            "median per image",
        ),
    ] {
        let _ = write!(
            page,
            "<div class=\"tile {class}\"><b>{value}</b><span>{name}</span></div>"
        );
    }
    page.push_str("</div>\n");
}

fn map(page: &mut String, layers: &[SharedLayer], summary: &Summary) {
    if layers.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<h2>What the images share</h2>\n<p>If every image had its own copy of its layers they \
         would take {}. Stored once each they take {}, this part of it:</p>\n\
         <div class=\"whole\"><div style=\"width:{:.2}%\"></div></div>\n\
         <p>Below, a bar is as long as a layer's bytes times the images that have it.\
         <span class=\"key\">",
        bytes(summary.layer_bytes),
        bytes(summary.unique_layer_bytes),
        share(summary.unique_layer_bytes, summary.layer_bytes.max(1))
    );
    for role in [Role::Base, Role::Deps, Role::Local] {
        if layers.iter().any(|layer| layer.origin == role) {
            let class = class(role);
            let _ = write!(page, "<i class=\"{class}\"></i>{class}");
        }
    }
    page.push_str("</span></p>\n<div class=\"map\">");
    let weight = |layer: &SharedLayer| layer.size.saturating_mul(layer.images as u64);
    let total = |layers: &[&SharedLayer]| {
        let weights = layers.iter().map(|layer| weight(layer));
        weights.fold(0, u64::saturating_add)
    };
    let (shared, single): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.images > 1);
    let (shown, rest) = shared.split_at(shared.len().min(ROWS));
    let sums = [
        (rest.len(), total(rest), "more that are shared"),
        (single.len(), total(&single), "of one image each"),
    ];
    let most = shown
        .first()
        .map(|layer| weight(layer))
        .into_iter()
        .chain(sums.iter().map(|(_, weight, _)| *weight))
        .max()
        .unwrap_or_default()
        .max(1);
    for layer in shown {
        row(
            page,
            &format!(
                "<code title=\"{}\">{}</code>",
                layer.digest,
                layer.digest.short()
            ),
            class(layer.origin),
            share(weight(layer), most),
            &format!("{} × {}", bytes(layer.size), plural(layer.images, "image")),
        );
    }
    for (count, weight, what) in sums {
        if count > 0 {
            let name = format!("{count} {what}");
            row(page, &name, "rest", share(weight, most), &bytes(weight));
        }
    }
    page.push_str("</div>\n");
}

fn class(role: Role) -> &'static str {
    match role {
        Role::Base => "base",
        Role::Deps => "deps",
        Role::Local => "local",
    }
}

fn row(page: &mut String, name: &str, class: &str, percent: f64, text: &str) {
    let _ = write!(
        page,
        "<div class=\"row\">{name}<div><div class=\"bar {class}\" style=\"width:{percent:.2}%\">\
         </div></div><span>{text}</span></div>"
    );
}

/// A histogram of how long images took.
fn times(page: &mut String, records: &[Record]) {
    const BUCKETS: usize = 40;
    let times: Vec<f64> = records.iter().map(|r| r.duration_seconds).collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    if times.len() < 2 || longest <= 0.0 {
        return;
    }
    let mut counts = [0usize; BUCKETS];
    for time in &times {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it lies between 0 and the number of buckets"
        )]
        let bucket = (time / longest * BUCKETS as f64) as usize;
        if let Some(count) = counts.get_mut(bucket.min(BUCKETS - 1)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    page.push_str("<h2>How long images took</h2>\n<svg viewBox=\"0 0 840 150\">");
    for (at, count) in counts.iter().enumerate() {
        let height = count * 110 / most;
        let _ = write!(
            page,
            "<rect x=\"{}\" y=\"{}\" width=\"18\" height=\"{height}\"><title>{}</title></rect>",
            20 + at * 20,
            125 - height,
            plural(*count, "image")
        );
    }
    let _ = writeln!(
        page,
        "<text x=\"20\" y=\"143\">0 s</text><text x=\"780\" y=\"143\">{longest:.2} s</text></svg>"
    );
}

/// What stands in a column.
enum Cell {
    /// A reference or digest, in letters of one width.
    Name(String),
    /// What is shown of a digest, and all of it where the pointer rests.
    Short(String, String),
    /// Words.
    Text(String),
    /// A number, to the right.
    Number(String),
}

fn failed(page: &mut String, summary: &Summary) {
    let rows = summary.results.iter().filter_map(|image| {
        let why = image.error.clone()?;
        Some(vec![
            Cell::Name(image.base.clone()),
            Cell::Text(why),
            Cell::Text(image.hint.clone().unwrap_or_default()),
            Cell::Number(image.attempts.to_string()),
        ])
    });
    table(
        page,
        "Failed",
        &["base", "why", "what may help", "tries"],
        rows.collect(),
    );
}

/// Every image that is in place: what it is called, and by which digest it is found again.
fn images(page: &mut String, summary: &Summary) {
    let rows = summary.results.iter().filter_map(|image| {
        let state = match image.status {
            RecordStatus::Built => "pushed",
            RecordStatus::SkippedRemoteExists => "already there",
            RecordStatus::Failed => return None,
        };
        let digest = match &image.digest {
            Some(digest) => Cell::Short(digest.short().to_owned(), digest.to_string()),
            None => Cell::Text(String::new()),
        };
        Some(vec![
            Cell::Name(image.base.clone()),
            Cell::Name(image.references.join(" ")),
            digest,
            Cell::Text(state.to_owned()),
            Cell::Number(bytes(image.layer_bytes)),
            Cell::Number(image.attempts.to_string()),
            Cell::Number(format!("{:.2} s", image.seconds)),
        ])
    });
    table(
        page,
        "Images",
        &[
            "base", "result", "digest", "state", "layers", "tries", "time",
        ],
        rows.collect(),
    );
}

fn table(page: &mut String, title: &str, columns: &[&str], rows: Vec<Vec<Cell>>) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2>\n<table><thead><tr>");
    // A column's head stands over its numbers.
    let first = rows.first().map(Vec::as_slice).unwrap_or_default();
    for (name, cell) in columns.iter().zip(first) {
        let class = match cell {
            Cell::Number(_) => " class=\"number\"",
            _ => "",
        };
        let _ = write!(page, "<th{class}>{name}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = match cell {
                Cell::Name(text) => write!(page, "<td><code>{}</code></td>", escape(&text)),
                Cell::Short(text, whole) => write!(
                    page,
                    "<td><code title=\"{}\">{}</code></td>",
                    escape(&whole),
                    escape(&text)
                ),
                Cell::Text(text) => write!(page, "<td>{}</td>", escape(&text)),
                Cell::Number(text) => {
                    write!(page, "<td class=\"number\">{}</td>", escape(&text))
                }
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

#[expect(clippy::cast_precision_loss, reason = "a width in percent")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" {
                format!("{value:.0} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_only_words() {
        assert_eq!(escape("<script>\"&"), "&lt;script&gt;&quot;&amp;");
        assert_eq!(bytes(57_100_000), "57.1 MB");
        assert_eq!(bytes(12), "12 B");
    }
}
