//! Deps images and directories that are looked into.

use std::path::Path;

use crate::context::Context;
use crate::failure::Failure;
use ohoci_compose::read::{Choice, this_machine};
use ohoci_deps::built::{BuiltImage, of_directory, read_image};
use ohoci_deps::place::Prefix;
use ohoci_image::{Platform, Reference};

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) platform: Option<&'a Platform>,
    pub(super) prefix: &'a Prefix,
}

/// The images of a reference, or the one of a directory.
pub(super) async fn read(
    subject: &str,
    wanted: Wanted<'_>,
    context: &Context,
) -> Result<Vec<BuiltImage>, Failure> {
    let path = Path::new(subject);
    if path.is_dir() {
        let platform = wanted.platform.cloned().unwrap_or_else(this_machine);
        return of_directory(path, platform, wanted.prefix)
            .map(|image| vec![image])
            .map_err(|why| Failure::new(format!("cannot look into {subject}"), why));
    }
    let reference: Reference = subject.parse()?;
    let choice = match wanted.platform {
        Some(platform) => Choice::Platforms(vec![platform.clone()]),
        None => Choice::All,
    };
    let resolver = &context.resolver;
    Ok(read_image(
        resolver,
        &reference,
        &choice,
        wanted.prefix,
        &context.work_dir,
    )
    .await?)
}
