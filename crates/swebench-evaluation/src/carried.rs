//! Parts of a run that a registry carries between machines: what a shard has left, and what all of
//! them start from, each as an artifact of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use ohoci_compose::artifact::{self, Job};
use ohoci_compose::flatten;
use ohoci_compose::resolver::Resolver;
use ohoci_image::untagged::Untagged;
use ohoci_image::{Digest, Reference};
use ohoci_layer::pack::pack_directory;
use ohoci_layer::{Kind, LayerPath, LayerSource, PackOptions, PackedLayer};
use ohoci_store::{Error, ErrorKind};
use ohoci_swebench_images::engine::Shard;
use ohoci_unpack::{Owners, unpack};

/// The type of what a shard has left: folders of instances, as in the run's.
pub(crate) const RESULTS: &str = "application/vnd.ohoci.swebench.results.v1";

/// The type of what shards start from: the dataset, the predictions and what goes with them.
pub(crate) const INPUTS: &str = "application/vnd.ohoci.swebench.inputs.v1";

/// How long tags may be, less what stands behind a run's name.
const LONGEST: usize = 80;

/// Which part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What shards start from.
    Inputs,
    /// What one has left.
    Results(Shard),
}

/// Where parts of runs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depot(Untagged);

impl From<Untagged> for Depot {
    fn from(place: Untagged) -> Self {
        Self(place)
    }
}

impl Depot {
    /// Where a part of a run is.
    ///
    /// # Errors
    /// When no reference can say it.
    pub fn reference(&self, run_id: &str, part: Part) -> Result<Reference, Error> {
        self.0.tagged(&part.tag(run_id)).map_err(|error| {
            let what = format!("cannot name a part of the run {run_id}");
            Error::new(ErrorKind::Unsupported, what, error.to_string())
        })
    }
}

impl Part {
    /// The tag of a run's part. Names of runs may have what tags may not (distribution-spec, "Pulling
    /// manifests"): such a name is told from others by its digest.
    #[must_use]
    pub fn tag(self, run_id: &str) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let begins = run_id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let mut name = run_id.to_owned();
        if !begins || run_id.len() > LONGEST || !run_id.chars().all(fits) {
            let digest = hex::encode(Sha256::digest(run_id));
            let kept: String = run_id
                .chars()
                .filter(|c| fits(*c))
                .take(LONGEST / 2)
                .collect();
            name = format!("run-{kept}-{}", digest.get(..16).unwrap_or_default());
        }
        match self {
            Self::Inputs => format!("{name}.inputs"),
            Self::Results(shard) => format!("{name}.shard-{}-of-{}", shard.index, shard.of),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Inputs => INPUTS,
            Self::Results(_) => RESULTS,
        }
    }
}

/// Puts what lies in a directory at these paths, relative to it, into a registry. The same files are
/// the same artifact: names are sorted, dates and owners are none.
///
/// # Errors
/// When they cannot be read or pushed.
pub async fn push(
    depot: &Depot,
    (run_id, part): (&str, Part),
    directory: &Path,
    paths: &[PathBuf],
    resolver: &Resolver,
    work_dir: &Path,
) -> Result<(Reference, Digest), Error> {
    let to = depot.reference(run_id, part)?;
    let layer = pack(directory, paths, work_dir).map_err(|why| {
        let what = format!("cannot pack {} for {to}", directory.display());
        Error::new(ErrorKind::Unsupported, what, why)
    })?;
    let mut annotations = BTreeMap::from([("ohoci.swebench.run".to_owned(), run_id.to_owned())]);
    if let Part::Results(shard) = part {
        let text = format!("{}/{}", shard.index, shard.of);
        annotations.insert("ohoci.swebench.shard".to_owned(), text);
    }
    let job = Job {
        to: &to,
        kind: part.kind(),
        layer: &layer,
        annotations,
    };
    let digest = artifact::push(&job, resolver).await?;
    Ok((to, digest))
}

/// Packs what is at these paths, and what is below.
fn pack(directory: &Path, paths: &[PathBuf], work_dir: &Path) -> Result<PackedLayer, String> {
    let wanted = |path: &LayerPath, _: bool| {
        let text = path.to_string();
        let path = Path::new(text.trim_start_matches('/'));
        let related = |wanted: &PathBuf| wanted.starts_with(path) || path.starts_with(wanted);
        paths.iter().any(related).into()
    };
    let source = LayerSource::everywhere(directory.to_owned());
    pack_directory(&source, &PackOptions::default(), work_dir, &wanted)
        .map_err(|error| error.to_string())
}

/// Writes a part of a run into an empty directory; `false` where there is none.
///
/// # Errors
/// When it cannot be read, is something else, or cannot be written.
pub async fn pull(
    depot: &Depot,
    (run_id, part): (&str, Part),
    into: &Path,
    resolver: &Resolver,
    work_dir: &Path,
) -> Result<bool, Error> {
    let from = depot.reference(run_id, part)?;
    let Some(files) = artifact::pull(&from, part.kind(), resolver, work_dir).await? else {
        return Ok(false);
    };
    let fail = |why: String| Error::new(ErrorKind::Corrupt, format!("cannot unpack {from}"), why);
    let tree =
        flatten::tree(&files, &LayerPath::root(), (work_dir, resolver.limits)).map_err(fail)?;
    // What is told of a run is read from these files: none may lead elsewhere.
    for (path, entry) in &tree {
        if !matches!(entry.kind, Kind::Directory | Kind::File(_)) {
            return Err(fail(format!("{path} is neither a file nor a directory")));
        }
    }
    unpack(tree, into, Owners::Own, &|| true).map_err(|error| fail(error.to_string()))?;
    for file in files {
        let _ = fs_err::remove_file(file);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ohoci_image::RegistryReference;

    use super::*;

    #[test]
    fn every_part_of_every_run_has_a_tag_of_its_own() {
        let part = Part::Results(Shard { index: 3, of: 32 });
        assert_eq!(part.tag("my-run_1"), "my-run_1.shard-3-of-32");
        assert_eq!(Part::Inputs.tag("my-run_1"), "my-run_1.inputs");
        let odd = [
            part.tag("a b"),
            part.tag("a:b"),
            part.tag("-ab"),
            part.tag(&"x".repeat(200)),
            part.tag("ab"),
        ];
        for (number, tag) in odd.iter().enumerate() {
            assert!(tag.len() <= 128, "{tag}");
            assert!(
                RegistryReference::new("h.example", "r", Some(tag), None).is_ok(),
                "{tag}"
            );
            assert!(!odd[..number].contains(tag), "{tag}");
        }
    }

    #[test]
    fn each_part_of_a_run_is_an_image_of_its_own() {
        let place: Reference = "registry.example/runs".parse().unwrap();
        let depot = Depot::from(Untagged::try_from(place).unwrap());
        let reference = depot.reference("r", Part::Inputs).unwrap();
        assert_eq!(reference.to_string(), "registry.example/runs:r.inputs");
    }
}
