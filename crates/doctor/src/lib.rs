//! Looks at what this machine can do for ohoci: sandboxes, where packages come from, registries and
//! credentials, room on the disk. Nothing is changed, and only registries that are named are asked.

mod disk;
mod packages;
mod registries;
mod sandbox;

use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use ohoci_config::{Config, Environment};
use ohoci_node::LayerStore;
use ohoci_registry::{Client, CredentialSource};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Fine,
    /// Not there; what needs it does not work, or works less well.
    Lacking,
    /// Something to know, neither good nor bad.
    Known,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to: `sandbox`, `packages`, `registries` or `disk`.
    pub area: &'static str,
    /// What it is called.
    pub name: String,
    /// How it is.
    pub state: State,
    /// In words.
    pub what: String,
    /// The command, or the setting, that mends it; where something is lacking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn new(area: &'static str, name: &str, state: State, what: impl Into<String>) -> Self {
        Self {
            area,
            name: name.to_owned(),
            state,
            what: what.into(),
            mend: None,
        }
    }

    fn mended_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The process's environment.
    pub environment: &'a Environment,
    /// The directories in which programs are looked for.
    pub path: Option<&'a OsString>,
    /// What the configuration files say.
    pub config: &'a Config,
    /// Asks registries.
    pub client: &'a Client,
    /// Knows credentials.
    pub credentials: &'a dyn CredentialSource,
    /// The registries that are asked, by their hosts.
    pub registries: &'a [String],
    /// Where the cache is, if there is one.
    pub cache_dir: Option<&'a Path>,
    /// The store of unpacked layers.
    pub store: &'a LayerStore,
    /// Where files can be made to try things out.
    pub work_dir: &'a Path,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("registries", &self.registries)
            .field("cache_dir", &self.cache_dir)
            .finish_non_exhaustive()
    }
}

/// Looks at all of it, in the order in which it is shown.
pub async fn examine(machine: &Machine<'_>) -> Vec<Finding> {
    let mut findings = sandbox::examine(machine).await;
    findings.extend(packages::examine(machine));
    findings.extend(registries::examine(machine).await);
    findings.extend(disk::examine(machine));
    findings
}
