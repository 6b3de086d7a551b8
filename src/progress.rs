//! Progress on long work, for a person at a terminal only.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use ohoci_compose::{Event, Observer};

/// While nothing is known of how many bytes will move.
const WAITING: &str = "{spinner} {msg} {elapsed}";

/// Once it is; the bar takes what is left of the line.
const MOVING: &str = "{spinner} {msg} {wide_bar} {percent}% {decimal_bytes}/{decimal_total_bytes} \
     {decimal_bytes_per_sec} eta {eta}";

/// Shows one bar over the bytes that move. Silent when stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on stderr, or nothing at all when stderr is no terminal.
    pub(crate) fn start() -> Arc<Self> {
        let bar = if output::is_watched() {
            let bar = ProgressBar::new(0);
            dress(&bar, WAITING);
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

fn dress(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
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
