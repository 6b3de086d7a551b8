//! Runs all checks over the layers of an image.

use std::io;

use serde::{Deserialize, Serialize};

use super::audited::{Layer, Options};
use super::duplicates::{self, Repeated};
use super::finding::{Finding, Severity};
use super::locations;
use super::programs;
use crate::files::Files;
use ohoci_layer::Kind;

/// What an audit found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// The worst first, then by rule and file.
    pub findings: Vec<Finding>,
    /// One for each layer, in their order.
    pub layers: Vec<LayerSummary>,
    /// What could be saved by links.
    pub repeated: Repeated,
}

/// A layer in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Its name.
    pub name: String,
    /// How many entries it has.
    pub entries: usize,
    /// How many bytes are in its files.
    pub bytes: u64,
    /// How many of its files are programs and libraries for its machine.
    pub elf_files: usize,
    /// The newest version of glibc that they ask for (`2.38`). The layers' own, not the base's.
    pub glibc: Option<String>,
    /// The oldest Linux that they say they run on (`3.2.0`).
    pub kernel: Option<String>,
}

impl Audit {
    /// Whether a build may go on.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// How many findings of a severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// Looks over the layers of an image, the lowest first; a base's are not among them.
///
/// # Errors
/// When a file's content cannot be read.
pub fn audit(layers: &[Layer<'_>], options: &Options) -> io::Result<Audit> {
    let files = Files::of(layers.iter().map(|layer| layer.tree));
    let mut findings = Vec::new();
    locations::check(layers, options, &files, &mut findings);
    let repeated = duplicates::check(layers, &mut findings)?;
    let floors = programs::check(layers, options, &files, &mut findings)?;
    findings.sort();
    let layers = layers
        .iter()
        .zip(floors)
        .map(|(layer, floor)| LayerSummary {
            name: layer.name.to_owned(),
            entries: layer.tree.len(),
            bytes: layer
                .tree
                .iter()
                .map(|(_, entry)| match &entry.kind {
                    Kind::File(content) => content.size(),
                    _ => 0,
                })
                .sum(),
            elf_files: floor.elf_files,
            glibc: floor.glibc.map(|version| dotted(&version)),
            kernel: floor.kernel.map(|version| dotted(&version)),
        })
        .collect();
    Ok(Audit {
        findings,
        layers,
        repeated,
    })
}

fn dotted(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(".")
}
