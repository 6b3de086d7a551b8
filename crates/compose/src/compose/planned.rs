//! Fourth phase: the way of each blob to each target is decided. `--dry-run` ends here.

use super::composed::Composed;
use super::needs;
use crate::one_download;
use crate::plan::{self, Move};
use ohoci_store::Error;

/// A run of which is known how everything gets everywhere. Nothing has moved.
pub(super) struct Planned<'a> {
    pub(super) composed: Composed<'a>,
    /// For each destination, in order, how each blob gets there.
    pub(super) moves: Vec<Vec<Move>>,
}

impl<'a> Composed<'a> {
    /// Decides.
    pub(super) fn plan(self) -> Result<Planned<'a>, Error> {
        let opened = &self.read.opened;
        let mut needs = needs::needs(&self);
        let work_dir = &opened.run.job.work_dir;
        one_download::share(&mut needs, opened.destinations.len(), work_dir);
        let needs = opened.run.resolver.with_pushed(needs);
        let no_upload = opened.run.job.no_upload;
        let mut all = Vec::new();
        for destination in &opened.destinations {
            let moves = plan::plan(destination.target.as_ref(), &needs, no_upload);
            if no_upload {
                needs::forbid_moves(destination, &moves)?;
            }
            all.push(moves);
        }
        Ok(Planned {
            composed: self,
            moves: all,
        })
    }
}
