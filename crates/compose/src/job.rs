//! What a compose run is asked to do, as data.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use ohoci_config::IfExists;

use super::fit::Fit;
use super::local::LocalLayer;
use super::read::Choice;
use ohoci_image::compose::USUAL_LAYERS;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::label::Position;
use ohoci_image::media_type::Family;
use ohoci_image::{Digest, Reference};

/// Digests at which base and deps are read, whatever their references name now. The result names
/// them as the references do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Of the base.
    pub base: Option<Digest>,
    /// Of the deps images, in order; where there is none, the reference is followed.
    pub deps: Vec<Option<Digest>>,
}

/// Where earlier images are looked for, as `openhands/runtime/utils/runtime_build.py` of OpenHands
/// 0.62 does: under the source tag, the lock tag, the versioned tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReuseOrder {
    /// The same code on the same base with the same locked dependencies: nothing is left to do.
    pub source: Reference,
    /// Other code, everything else the same: base and deps are those of that image.
    pub lock: Reference,
    /// Other locked dependencies: the base is that of that image.
    pub versioned: Reference,
}

/// Everything that a compose run is asked to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The base image.
    pub base: Reference,
    /// Images whose layers and patches are added, in order.
    pub deps: Vec<Reference>,
    /// Where references are not followed.
    pub pins: Pins,
    /// Take only this path out of the deps images, flattened into one layer.
    pub deps_path: Option<String>,
    /// Layers from this machine's files, in order, above the deps.
    pub layers: Vec<LocalLayer>,
    /// Where the result goes.
    pub push: Vec<Reference>,
    /// Which platforms.
    pub choice: Choice,
    /// The user's config changes.
    pub patch: ConfigPatch,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where added layers go.
    pub position: Position,
    /// What to do when a target reference exists.
    pub if_exists: IfExists,
    /// What a base is given where it lacks it.
    pub fit: Fit,
    /// Earlier images that leave less to do. The tags that exist then stay as they are.
    pub reuse: Option<ReuseOrder>,
    /// Refuse images of more layers than this.
    pub max_layers: usize,
    /// Compose although nothing is added: the base under another name, with another digest.
    pub may_add_nothing: bool,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Do nothing but read.
    pub dry_run: bool,
    /// `created` of the result, RFC 3339.
    pub created: Option<String>,
    /// The result's family; `None` chooses the one that fits base, layers and targets.
    pub family: Option<Family>,
    /// Where flattened layers are written.
    pub work_dir: PathBuf,
}

impl Job {
    /// A base and nothing else: no layer, no change and no target, every choice as the command line
    /// has it where no flag is given. What is made on the way is written into `work_dir`.
    #[must_use]
    pub fn on(base: Reference, work_dir: PathBuf) -> Self {
        Self {
            base,
            deps: Vec::new(),
            pins: Pins::default(),
            deps_path: None,
            layers: Vec::new(),
            push: Vec::new(),
            choice: Choice::Default,
            patch: ConfigPatch::default(),
            annotations: BTreeMap::new(),
            position: Position::default(),
            if_exists: IfExists::default(),
            fit: Fit::default(),
            reuse: None,
            max_layers: USUAL_LAYERS,
            may_add_nothing: false,
            no_upload: false,
            dry_run: false,
            created: None,
            family: None,
            work_dir,
        }
    }

    /// Whether the result would be the base again, but for its history.
    #[must_use]
    pub(crate) fn adds_nothing(&self) -> bool {
        self.base != Reference::Scratch
            && self.deps.is_empty()
            && self.layers.is_empty()
            && self.patch.is_empty()
            && self.annotations.is_empty()
            && self.fit == Fit::None
    }
}
