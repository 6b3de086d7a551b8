//! Progress of a batch: one bar for a person, one journal line per image.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::output;
use ohoci_compose::batch::{Journal, Record, RecordStatus, Watcher};
use ohoci_image::timestamp::Timestamp;
use ohoci_registry::Client;
use ohoci_report::size;
use ohoci_store::Error;

/// The bar, how it goes and what moves; why no more run at once, as far as there is room for it.
const TEMPLATE: &str = "{bar:10} {pos}/{len} eta {eta}{outcomes}{pace}{bytes_up} {wide_msg}";

/// How often the line is drawn anew, whether or not an image ended.
const TICK: Duration = Duration::from_millis(250);

/// Shows the bar on a terminal, and writes the journal.
pub(super) struct Watch<'a> {
    bar: ProgressBar,
    journal: Option<&'a Journal>,
    shown: Arc<Mutex<Shown>>,
    journal_error: Mutex<Option<Error>>,
}

/// What the line says of the images.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    failed: usize,
    skipped: usize,
    under_way: usize,
    limit: usize,
}

impl Shown {
    /// What is out of the ordinary among the images that ended.
    fn outcomes(self) -> String {
        let mut text = String::new();
        for (count, word) in [(self.skipped, "there"), (self.failed, "failed")] {
            if count > 0 {
                text.push_str(&format!(", {count} {word}"));
            }
        }
        text
    }

    /// How many are under way, and how many may be.
    fn pace(self) -> String {
        format!(", {}/{} at once", self.under_way, self.limit)
    }
}

impl<'a> Watch<'a> {
    pub(super) fn start(images: usize, journal: Option<&'a Journal>, client: &Client) -> Self {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let bar = if output::is_watched() {
            let bar = ProgressBar::new(images as u64);
            if let Some(style) = style(&shown, client) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            journal,
            shown,
            journal_error: Mutex::default(),
        }
    }

    /// Removes the bar; fails when the journal could not be written.
    pub(super) fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        match self.journal_error.lock().take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// The bar's style, whose words are read anew each time that it is drawn: bytes move long before an
/// image ends.
fn style(shown: &Arc<Mutex<Shown>>, client: &Client) -> Option<ProgressStyle> {
    let (outcomes, pace) = (Arc::clone(shown), Arc::clone(shown));
    let client = client.clone();
    let style = ProgressStyle::with_template(TEMPLATE).ok()?;
    Some(
        style
            .with_key("outcomes", move |_: &ProgressState, w: &mut dyn Write| {
                let _ = w.write_str(&outcomes.lock().outcomes());
            })
            .with_key("pace", move |_: &ProgressState, w: &mut dyn Write| {
                let _ = w.write_str(&pace.lock().pace());
            })
            .with_key("bytes_up", move |_: &ProgressState, w: &mut dyn Write| {
                let _ = write!(w, ", {} up", size::bytes(client.statistics().bytes_up));
            }),
    )
}

impl Watcher for Watch<'_> {
    fn ended(&self, record: &Record) {
        match record.status {
            RecordStatus::Built => {}
            RecordStatus::SkippedRemoteExists => self.shown.lock().skipped += 1,
            RecordStatus::Failed => {
                self.shown.lock().failed += 1;
                let error = record.error.as_deref().unwrap_or("unknown");
                self.bar.suspend(|| {
                    output::partial_failure(&format!("failed: {}: {error}", record.base_image));
                });
            }
        }
        if let Some(warning) = &record.warning {
            self.bar.suspend(|| output::warning(warning));
        }
        if let Some(Err(error)) = self.journal.map(|journal| journal.append(record)) {
            self.journal_error.lock().get_or_insert(error);
        }
        if output::tells_events() {
            output::event(&serde_json::json!({ "event": "image", "record": record }));
        }
        self.bar.inc(1);
    }

    fn pace(&self, under_way: usize, limit: usize, reason: &str) {
        let mut shown = self.shown.lock();
        (shown.under_way, shown.limit) = (under_way, limit);
        self.bar.set_message(format!("({reason})"));
    }

    fn now(&self) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "records say when; nothing with a digest depends on it"
        )]
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Timestamp::from_epoch(i64::try_from(now).unwrap_or_default()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_a_terminal_of_eighty_columns() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let shown = Shown {
            failed: 12,
            skipped: 345,
            under_way: 32,
            limit: 32,
        };
        let words = format!(
            " 1234/2294 eta 59m{}{}, 999.9 MB up",
            shown.outcomes(),
            shown.pace()
        );
        assert!(10 + words.len() <= 80, "{words}");
    }
}
