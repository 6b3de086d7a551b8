//! Progress on long work, for a person at a terminal only.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use ohoci_compose::{Event, Observer};

/// Shows one bar over the bytes that move. Silent where nobody watches.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on stderr, or nothing at all when stderr is no terminal.
    pub(crate) fn start() -> Arc<Self> {
        let bar = if output::is_watched() {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {msg} {bytes}/{total_bytes} {binary_bytes_per_sec} {elapsed}",
            ) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        Arc::new(Self { bar })
    }

    /// Takes the bar away while something else is written to stderr.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        match event {
            Event::Step(text) => self.bar.set_message(text.clone()),
            Event::Expect(bytes) => self.bar.inc_length(*bytes),
            Event::Moved(bytes) => self.bar.inc(*bytes),
        }
    }
}
