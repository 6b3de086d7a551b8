//! What a batch does for one image.

use std::sync::Arc;

use crate::job::Job;
use crate::recompose::{BaseChoice, DepsChoice, Rebase, dropped_warning, rebase_job};
use crate::resolver::Resolver;
use ohoci_image::Reference;
use ohoci_store::Error;

/// What is done for one image.
#[derive(Clone, Debug)]
pub enum Work {
    /// It is composed.
    Compose(Arc<Job>),
    /// It is made anew from its own record, which is read when its turn comes.
    Rebase(Arc<Rebasing>),
}

/// A composed image that is made anew.
#[derive(Clone, Debug)]
pub struct Rebasing {
    /// The image, and what is to be different.
    pub rebase: Rebase,
    /// Where the result goes.
    pub push: Vec<Reference>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
}

impl Work {
    /// What is read, as far as that is known now.
    #[must_use]
    pub fn reads(&self) -> Vec<&Reference> {
        match self {
            Self::Compose(job) => std::iter::once(&job.base).chain(&job.deps).collect(),
            Self::Rebase(work) => {
                let mut reads = vec![&work.rebase.reference];
                if let BaseChoice::Other(base) = &work.rebase.base {
                    reads.push(base);
                }
                if let DepsChoice::Other(deps) = &work.rebase.deps {
                    reads.extend(deps);
                }
                reads
            }
        }
    }

    /// Where the result goes.
    #[must_use]
    pub fn push(&self) -> &[Reference] {
        match self {
            Self::Compose(job) => &job.push,
            Self::Rebase(work) => &work.push,
        }
    }

    /// The job, once its turn has come, and what is to be said of what it drops.
    ///
    /// # Errors
    /// As [`rebase_job`].
    pub async fn job(&self, resolver: &Resolver) -> Result<(Arc<Job>, Option<String>), Error> {
        match self {
            Self::Compose(job) => Ok((Arc::clone(job), None)),
            Self::Rebase(work) => {
                let (job, dropped) = rebase_job(&work.rebase, resolver).await?;
                let warning = dropped_warning(&work.rebase.reference, &dropped);
                let job = Job {
                    push: work.push.clone(),
                    no_upload: work.no_upload,
                    ..job
                };
                Ok((Arc::new(job), warning))
            }
        }
    }
}
