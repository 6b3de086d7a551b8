//! Progress of a batch: one bar for a person, one journal line per image.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::{output, size};
use ohoci_compose::batch::{Journal, Record, RecordStatus, Watcher};
use ohoci_image::timestamp::Timestamp;
use ohoci_registry::Client;
use ohoci_store::Error;

/// Shows the bar where somebody watches, and writes the journal.
pub(super) struct Watch<'a> {
    bar: ProgressBar,
    journal: &'a Journal,
    client: &'a Client,
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    built: usize,
    skipped: usize,
    failed: usize,
    trouble: Option<Error>,
}

impl<'a> Watch<'a> {
    pub(super) fn start(images: usize, journal: &'a Journal, client: &'a Client) -> Self {
        let bar = if output::is_watched() {
            let bar = ProgressBar::new(images as u64);
            if let Ok(style) =
                ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} eta {eta}  {msg}")
            {
                bar.set_style(style);
            }
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            journal,
            client,
            started: Instant::now(),
            counts: Mutex::default(),
        }
    }

    /// Removes the bar; fails when the journal could not be written.
    pub(super) fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let counts = self
            .counts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match counts.trouble {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

impl Watcher for Watch<'_> {
    fn ended(&self, record: &Record) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match record.status {
            RecordStatus::Built => counts.built += 1,
            RecordStatus::SkippedRemoteExists => counts.skipped += 1,
            RecordStatus::Failed => {
                counts.failed += 1;
                let error = record.error.as_deref().unwrap_or("unknown");
                self.bar
                    .suspend(|| output::note(&format!("failed: {}: {error}", record.base_image)));
            }
        }
        if let Err(error) = self.journal.append(record) {
            counts.trouble.get_or_insert(error);
        }
        self.bar.inc(1);
    }

    fn pace(&self, under_way: usize, limit: usize, reason: &str) {
        if self.bar.is_hidden() {
            return;
        }
        let statistics = self.client.statistics();
        #[expect(clippy::cast_precision_loss, reason = "a rate with one decimal")]
        let rate = statistics.total() as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.bar.set_message(format!(
            "{} pushed, {} there, {} failed; {under_way} of {limit} at once ({reason}); \
             {rate:.1} requests/s, {} up",
            counts.built,
            counts.skipped,
            counts.failed,
            size::bytes(statistics.bytes_up)
        ));
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
