//! What evaluations have in common, whichever the instance.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::assets::Assets;
use super::grader::Grader;
use super::image::ImageNames;
use super::instance_log::Clock;
use super::output::Follow;
use super::roots::{ImageRoot, Roots};
use ohoci_sandbox::{Bubblewrap, CopyOnWrite, Limiter, Limits, Network};

/// What is needed to evaluate, whichever the instance.
#[derive(Clone)]
pub struct Evaluator {
    /// Runs sandboxes.
    pub bubblewrap: Bubblewrap,
    /// How a root file system is made that can be written.
    pub way: CopyOnWrite,
    /// What a run may use.
    pub limiter: Arc<Limiter>,
    /// The images.
    pub roots: Arc<Roots>,
    /// How they are called.
    pub names: ImageNames,
    /// Where runs keep what they write, as long as they last.
    pub scratch: PathBuf,
    /// Which of the limits were asked for; the others follow from the machine, and change no verdict.
    pub asked_limits: Limits,
    /// How long the tests may take, if that is limited.
    pub timeout: Option<Duration>,
    /// What they can reach.
    pub network: Network,
    /// Variables of their environment, over the image's.
    pub environment: Vec<(String, String)>,
    /// Files that patches cannot bring.
    pub assets: Assets,
    /// Who grades.
    pub grader: Grader,
    /// Tells the time for logs.
    pub clock: Clock,
    /// Who watches.
    pub follow: Option<Follow>,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator")
            .field("names", &self.names)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Evaluator {
    /// What is set over an image's environment.
    pub(super) fn variables(&self, root: &ImageRoot) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let is_set = |name: &str| {
            let of_image = root.process.environment.iter();
            of_image
                .filter_map(|entry| entry.split_once('='))
                .any(|(known, _)| known == name)
        };
        // Scripts install the repository once more. Without a network pip would wait between vain
        // attempts, ten seconds for each instance.
        if self.network != Network::Host && !is_set("PIP_RETRIES") {
            variables.push(("PIP_RETRIES".to_owned(), "0".to_owned()));
        }
        variables.extend_from_slice(&self.environment);
        variables
    }
}
