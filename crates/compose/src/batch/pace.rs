//! How many images are under way at once: more until the registry says no, then fewer.

use std::time::Duration;

/// Slow start, then additive increase and multiplicative decrease (the rules of TCP's congestion
/// control, RFC 5681), over images.
///
/// Slow start doubles what is under way with each round of images. Without it the first few hundred
/// images would wait for round trips rather than for the registry.
///
/// Two things count as "no": an answer that says "too many requests", and images that take several
/// times as long as the quickest did, which means that more at once only wait longer.
#[derive(Clone, Debug)]
pub struct Pace {
    limit: f64,
    most: usize,
    quickest: Option<Duration>,
    typical: Option<Duration>,
    throttled_seen: u64,
    /// Whether nothing has said "no" yet.
    is_starting: bool,
    reason: &'static str,
}

/// How much longer than the quickest an image may take before more at once is no gain.
const SLOW: u32 = 8;

impl Pace {
    /// Starts with four at once, or with `most` when that is less.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            limit: to_f64(most.min(4)),
            most,
            quickest: None,
            typical: None,
            throttled_seen: 0,
            is_starting: true,
            reason: "starting",
        }
    }

    /// How many images may be under way now.
    #[must_use]
    pub fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 1 and `most`"
        )]
        let whole = self.limit as usize;
        whole.clamp(1, self.most)
    }

    /// Why it is what it is, in words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Takes notice of an image that came through, and of how many answers so far said "too many
    /// requests".
    pub fn done(&mut self, took: Duration, throttled: u64) {
        if throttled > self.throttled_seen {
            self.throttled_seen = throttled;
            self.is_starting = false;
            self.limit = (self.limit / 2.0).max(1.0);
            self.reason = "the registry said: too many requests";
            return;
        }
        self.quickest = Some(self.quickest.map_or(took, |quickest| quickest.min(took)));
        self.typical = Some(
            self.typical
                .map_or(took, |typical| (typical * 7 + took) / 8),
        );
        let slow = match (self.typical, self.quickest) {
            (Some(typical), Some(quickest)) => {
                typical > (quickest * SLOW).max(Duration::from_millis(50))
            }
            _ => false,
        };
        if slow {
            self.is_starting = false;
            self.limit = (self.limit - 1.0 / self.limit)
                .max(4.0)
                .min(to_f64(self.most));
            self.reason = "more at once only wait longer";
        } else if self.limit() < self.most {
            let more = if self.is_starting {
                1.0
            } else {
                1.0 / self.limit
            };
            self.limit = (self.limit + more).min(to_f64(self.most));
            self.reason = "growing";
        } else {
            self.reason = "as many as --jobs allows";
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are never 2^52 images at once"
)]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(40);

    #[test]
    fn it_grows_to_the_limit_and_no_further() {
        let mut pace = Pace::new(16);
        assert_eq!(pace.limit(), 4);
        for _ in 0..400 {
            pace.done(QUICK, 0);
        }
        assert_eq!(pace.limit(), 16);
        assert_eq!(Pace::new(2).limit(), 2);
        assert_eq!(Pace::new(0).limit(), 1);
    }

    #[test]
    fn it_doubles_with_each_round_until_the_first_no() {
        let mut pace = Pace::new(64);
        for round in [4, 8, 16] {
            assert_eq!(pace.limit(), round);
            for _ in 0..round {
                pace.done(QUICK, 0);
            }
        }
        pace.done(QUICK, 1);
        assert_eq!(pace.limit(), 16);
        for _ in 0..16 {
            pace.done(QUICK, 1);
        }
        assert_eq!(pace.limit(), 16);
        pace.done(QUICK, 1);
        assert_eq!(pace.limit(), 17);
    }

    #[test]
    fn one_refusal_halves_it_once() {
        let mut pace = Pace::new(16);
        for _ in 0..400 {
            pace.done(QUICK, 0);
        }
        pace.done(QUICK, 3);
        assert_eq!(pace.limit(), 8);
        pace.done(QUICK, 3);
        assert_eq!(pace.limit(), 8);
        for refusals in 4..40 {
            pace.done(QUICK, refusals);
        }
        assert_eq!(pace.limit(), 1);
    }

    #[test]
    fn slowness_shrinks_it_but_not_to_a_halt() {
        let mut pace = Pace::new(64);
        for _ in 0..2000 {
            pace.done(QUICK, 0);
        }
        for _ in 0..5000 {
            pace.done(QUICK * 40, 0);
        }
        assert_eq!(pace.limit(), 4);
    }
}
