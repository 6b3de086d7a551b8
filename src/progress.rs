//! Progress on long work: a bar for a person at a terminal, events for a program that wants them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde_json::json;

use super::output;
use ohoci_compose::{Event, Observer};

/// While nothing is known of how many bytes will move.
const WAITING: &str = "{spinner} {msg} {elapsed}";

/// Once it is; the bar takes what is left of the line.
const MOVING: &str = "{spinner} {msg} {wide_bar} {percent}% {decimal_bytes}/{decimal_total_bytes} \
     {decimal_bytes_per_sec} eta {eta}";

/// How long bytes are added up before an event tells of them.
const PAUSE: Duration = Duration::from_millis(200);

/// Shows one bar over the bytes that move, or tells of them. Silent when stderr is no terminal and no
/// program wants to know.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    untold: Mutex<Untold>,
}

/// Bytes that moved since the last event.
#[derive(Debug)]
struct Untold {
    bytes: u64,
    since: Instant,
}

impl Progress {
    /// A bar on stderr, or nothing at all when stderr is no terminal.
    pub(crate) fn start() -> Arc<Self> {
        let progress = Self::hidden();
        progress.show();
        progress
    }

    /// A bar for work that may come later.
    pub(crate) fn hidden() -> Arc<Self> {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let untold = Mutex::new(Untold {
            bytes: 0,
            since: Instant::now(),
        });
        Arc::new(Self { bar, untold })
    }

    /// Shows the bar on stderr, where that is a terminal.
    pub(crate) fn show(&self) {
        if output::is_watched() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            dress(&self.bar, WAITING);
            self.bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    /// Takes the bar away while something else is written to stderr.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
        self.tell_moved(0, true);
    }

    fn tell_moved(&self, bytes: u64, is_last: bool) {
        let mut untold = self.untold.lock();
        untold.bytes = untold.bytes.saturating_add(bytes);
        if untold.bytes > 0 && (is_last || untold.since.elapsed() >= PAUSE) {
            output::event(&json!({ "event": "moved", "bytes": untold.bytes }));
            (untold.bytes, untold.since) = (0, Instant::now());
        }
    }
}

fn dress(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        if output::tells_events() {
            match event {
                Event::Step(text) => output::event(&json!({ "event": "step", "text": text })),
                Event::Expect(bytes) => {
                    output::event(&json!({ "event": "expect", "bytes": bytes }));
                }
                Event::Moved(bytes) => self.tell_moved(*bytes, false),
            }
        }
        match event {
            Event::Step(text) => self.bar.set_message(text.clone()),
            Event::Expect(bytes) => {
                if self.bar.length() == Some(0) && *bytes > 0 {
                    dress(&self.bar, MOVING);
                    // Rate and rest are those of the bytes, not of what was read before.
                    self.bar.reset_eta();
                }
                self.bar.inc_length(*bytes);
            }
            Event::Moved(bytes) => self.bar.inc(*bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        for template in [WAITING, MOVING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
