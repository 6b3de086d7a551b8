//! One self-contained HTML page about a batch: what is shared, how long it took, what failed.

use maud::{Markup, html};

use super::record::{Record, RecordStatus};
use super::summary::{SharedLayer, Summary, seconds, shared_layers};
use ohoci_image::Role;
use ohoci_report::page::{Page, Tile, Tone, tiles};
use ohoci_report::size::{self, bytes};
use ohoci_report::{Cell, table};

/// How many shared layers have a row of their own; the others are added up.
const ROWS: usize = 40;

/// How many columns the histogram has.
const BUCKETS: usize = 40;

const STYLE: &str = "\
.whole{background:var(--line);border-radius:.3rem;margin-bottom:1rem}\
.whole div{height:1.2rem;border-radius:.3rem;background:var(--good);min-width:2px}\
.map{padding:1rem}.row{display:grid;grid-template-columns:9rem 1fr 11rem;gap:.75rem;align-items:center;\
font-size:.85rem;padding:.1rem 0}.row code{color:var(--soft)}\
.bar{height:.9rem;border-radius:.2rem;min-width:2px}.base{background:var(--base)}\
.deps{background:var(--deps)}.local{background:var(--local)}.rest{background:var(--soft)}\
.row span{text-align:right;font-variant-numeric:tabular-nums}.key i{display:inline-block;\
width:.8rem;height:.8rem;border-radius:.2rem;margin:0 .3rem 0 1rem;vertical-align:-.1rem}\
svg{display:block;width:100%;padding:.5rem 0}svg rect{fill:var(--base)}\
svg text{fill:var(--soft);font-size:11px}svg .last{text-anchor:end}\
@media(max-width:40rem){.row{grid-template-columns:1fr 1fr}.row>div{grid-row:2;grid-column:1/3}}";

/// The page.
#[must_use]
pub fn html(records: &[Record], summary: &Summary) -> String {
    let (in_place, all) = (
        summary.built + summary.skipped,
        summary.total + summary.left,
    );
    let not_started: Vec<Vec<Cell>> = summary
        .not_started
        .iter()
        .map(|(base, why)| vec![Cell::Name(base.clone()), Cell::Text(why.clone())])
        .collect();
    let page = Page {
        title: &format!("{in_place} of {} in place", plural(all, "image")),
        style: STYLE,
        body: html! {
            (numbers(summary))
            (failed(summary))
            (table("Not started", &["base", "why"], &not_started))
            (map(&shared_layers(records), summary))
            (times(records))
            (images(summary))
        },
    };
    page.to_html()
}

fn numbers(summary: &Summary) -> Markup {
    let counted =
        |name: &str, count: usize, tone: Tone| Tile::new(name, count).toned(tone.of_count(count));
    tiles([
        counted("pushed", summary.built, Tone::Good),
        counted("already there", summary.skipped, Tone::Good),
        counted("failed", summary.failed, Tone::Bad),
        counted("not started", summary.left, Tone::Bad),
        counted("tried again", summary.retried, Tone::Warn),
        Tile::new("requests", summary.cost.total_requests()),
        Tile::new("sent", bytes(summary.cost.bytes_up)),
        Tile::new("received", bytes(summary.cost.bytes_down)),
        Tile::new("for all", time(seconds(summary.cost.elapsed_ms))),
        Tile::new("median per image", time(summary.median_seconds)),
    ])
}

fn map(layers: &[SharedLayer], summary: &Summary) -> Markup {
    if layers.is_empty() {
        return Markup::default();
    }
    let (shared, single): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.images > 1);
    let (shown, rest) = shared.split_at(shared.len().min(ROWS));
    let sums = [
        (rest.len(), total(rest), "more that are shared"),
        (single.len(), total(&single), "of one image each"),
    ];
    let longest = shown.iter().map(|layer| weight(layer));
    let longest = longest.chain(sums.iter().map(|(_, weight, _)| *weight));
    let most = longest.max().unwrap_or_default().max(1);
    let unique = share(summary.unique_layer_bytes, summary.layer_bytes.max(1));
    let roles = [Role::Base, Role::Deps, Role::Local];
    let roles = roles
        .into_iter()
        .filter(|role| layers.iter().any(|layer| layer.origin == *role));
    html! {
        h2 { "What the images share" }
        p {
            "If every image had its own copy of its layers they would take "
            (bytes(summary.layer_bytes)) ". Stored once each they take "
            (bytes(summary.unique_layer_bytes)) ", this part of it:"
        }
        div.whole { div style=(width(unique)) {} }
        p {
            "Below, a bar is as long as a layer's bytes times the images that have it."
            span.key {
                @for role in roles { i class=(class(role)) {} (class(role)) }
            }
        }
        div.card.map {
            @for layer in shown {
                (row(
                    &html! { code title=(layer.digest) { (layer.digest.short()) } },
                    class(layer.origin),
                    share(weight(layer), most),
                    &format!("{} × {}", bytes(layer.size), plural(layer.images, "image")),
                ))
            }
            @for (count, weight, what) in sums {
                @if count > 0 {
                    (row(
                        &html! { div { (count) " " (what) } },
                        "rest",
                        share(weight, most),
                        &bytes(weight),
                    ))
                }
            }
        }
    }
}

fn weight(layer: &SharedLayer) -> u64 {
    layer.size.saturating_mul(layer.images as u64)
}

fn total(layers: &[&SharedLayer]) -> u64 {
    let weights = layers.iter().map(|layer| weight(layer));
    weights.fold(0, u64::saturating_add)
}

fn class(role: Role) -> &'static str {
    match role {
        Role::Base => "base",
        Role::Deps => "deps",
        Role::Local => "local",
    }
}

fn row(name: &Markup, class: &str, percent: f64, text: &str) -> Markup {
    html! {
        div.row {
            (name)
            div { div.bar.(class) style=(width(percent)) {} }
            span { (text) }
        }
    }
}

fn width(percent: f64) -> String {
    format!("width:{percent:.2}%")
}

/// A histogram of how long images took.
fn times(records: &[Record]) -> Markup {
    let times: Vec<f64> = records.iter().map(|r| r.duration_seconds).collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    if times.len() < 2 || longest <= 0.0 {
        return Markup::default();
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
    html! {
        h2 { "How long images took" }
        div.card {
            svg viewBox="0 0 840 150" role="img" {
                @for (at, count) in counts.iter().enumerate() {
                    @let height = count * 110 / most;
                    rect x=(20 + at * 20) y=(125 - height) width="18" height=(height) {
                        title { (plural(*count, "image")) }
                    }
                }
                text x="20" y="143" { "0 s" }
                text.last x="820" y="143" { (time(longest)) }
            }
        }
    }
}

fn failed(summary: &Summary) -> Markup {
    let rows = summary.results.iter().filter_map(|image| {
        let why = image.error.clone()?;
        Some(vec![
            Cell::Name(image.base.clone()),
            Cell::Text(why),
            Cell::Text(image.hint.clone().unwrap_or_default()),
            Cell::Number(image.attempts.to_string()),
        ])
    });
    let rows: Vec<_> = rows.collect();
    table("Failed", &["base", "why", "what may help", "tries"], &rows)
}

/// Every image that is in place: what it is called, and by which digest it is found again.
fn images(summary: &Summary) -> Markup {
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
            Cell::Word(state.to_owned(), Tone::Good),
            Cell::Number(bytes(image.layer_bytes)),
            Cell::Number(image.attempts.to_string()),
            Cell::Number(time(image.seconds)),
        ])
    });
    let rows: Vec<_> = rows.collect();
    table(
        "Images",
        &[
            "base", "result", "digest", "state", "layers", "tries", "time",
        ],
        &rows,
    )
}

fn time(seconds: f64) -> String {
    size::duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "a width in percent")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
