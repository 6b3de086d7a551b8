//! Why no image is planned or built, in words.

use super::base;
use crate::failure::Failure;
use ohoci_swebench_images::ImagesError;
use ohoci_swebench_images::base_source::BaseSource;

/// The words for what went wrong with images on this base.
pub(in crate::swebench) fn failure(source: Option<&BaseSource>, error: ImagesError) -> Failure {
    let failed = |what: &str, why: String| Failure::new(what, why);
    match error {
        ImagesError::NoGit => failed("cannot build images", error.to_string()),
        ImagesError::NoProgram(_) => failed("cannot build images", error.to_string()).hinted(
            "on Debian and Ubuntu, the packages bubblewrap, util-linux and mount have what it takes",
        ),
        ImagesError::NoBase => Failure::usage(error.to_string())
            .hinted("--base-image REF, or --base-recipe FILE such as layers/swebench-base.toml"),
        ImagesError::Base(error) => base::failure(source, error),
        ImagesError::Channels(error) => {
            let failure = failed("cannot use conda's channels", error.to_string());
            match error.hint() {
                Some(hint) => failure.hinted(hint),
                None => failure,
            }
        }
        ImagesError::CondaLock { .. } => failed("cannot use conda's packages", error.to_string()),
        ImagesError::HandOver { what, why } => failed(what, why.to_string()),
        ImagesError::Slurm { .. } => failed("Slurm did not take the shards", error.to_string())
            .hinted("--write-only writes the scripts, for a machine that has sbatch"),
        ImagesError::Cache(error) => failed("cannot use the cache", error.to_string()),
        ImagesError::Store(error) => error.into(),
    }
}
