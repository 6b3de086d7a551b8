//! Copies many tags of a repository, one after the other; what they share moves once.

use std::path::PathBuf;
use std::sync::Arc;

use glob::Pattern;

use super::copy;
use super::names;
use super::resolver::Resolver;
use super::shipment::CopyReport;
use super::watch::Observer;
use ohoci_image::{Platform, Reference, RegistryReference};
use ohoci_layer::compress::Settings;
use ohoci_store::{Error, ErrorKind};

/// What to copy where.
#[derive(Clone, Debug)]
pub struct TagsJob {
    /// The repository; a tag or digest of it is not looked at.
    pub from: RegistryReference,
    /// Where to: repositories and OCI layouts, without a tag.
    pub to: Vec<Reference>,
    /// Which tags: those that one of these matches, or all where there is none.
    pub patterns: Vec<Pattern>,
    /// Of indexes, only the image for this platform.
    pub platform: Option<Platform>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Copy what is about the images as well.
    pub referrers: bool,
    /// Compress layers in this way; `None` is as they are.
    pub compression: Option<Settings>,
    /// Where blobs are kept that go to several targets.
    pub work_dir: PathBuf,
}

/// Copies each tag to the same tag.
///
/// # Errors
/// When no tag is wanted, a target cannot hold tags, or with the first copy that fails; those before it are
/// in place.
pub async fn copy_tags(
    job: &TagsJob,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<CopyReport>, Error> {
    let what = || format!("cannot copy tags of {}", job.from.name());
    let refused = |why: String| Error::new(ErrorKind::Unsupported, what(), why);
    let tags = names::tags(resolver, &job.from).await?;
    let count = tags.len();
    let is_wanted =
        |tag: &String| job.patterns.is_empty() || job.patterns.iter().any(|one| one.matches(tag));
    let wanted: Vec<String> = tags.into_iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Err(refused(match count {
            0 => "it has no tags".to_owned(),
            _ => format!("none of its {count} tags is asked for"),
        }));
    }
    let mut jobs = Vec::new();
    for tag in &wanted {
        let to = job
            .to
            .iter()
            .map(|place| tagged(place, tag).map_err(refused));
        jobs.push(copy::Job {
            from: tagged(&Reference::Registry(job.from.clone()), tag).map_err(refused)?,
            to: to.collect::<Result<_, _>>()?,
            platform: job.platform.clone(),
            no_upload: job.no_upload,
            referrers: job.referrers,
            compression: job.compression,
            work_dir: job.work_dir.clone(),
        });
    }
    let mut reports = Vec::new();
    for job in &jobs {
        reports.push(Box::pin(copy::copy(job, resolver, observer)).await?);
    }
    Ok(reports)
}

/// A place with this tag.
fn tagged(place: &Reference, tag: &str) -> Result<Reference, String> {
    match place {
        Reference::Registry(named) => {
            RegistryReference::new(named.host(), named.repository(), Some(tag), None)
                .map(Reference::Registry)
                .map_err(|error| error.to_string())
        }
        Reference::Layout { path, .. } => Ok(Reference::Layout {
            path: path.clone(),
            tag: Some(tag.to_owned()),
        }),
        other => Err(format!(
            "{other} holds one image; tags go to repositories and OCI layouts"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_to_repositories_and_layouts() {
        for (place, wanted) in [
            ("registry.example/a", Some("registry.example/a:t")),
            ("oci:dir", Some("oci:dir:t")),
            ("oci-archive:file", None),
            ("docker-archive:file", None),
        ] {
            let tagged = tagged(&place.parse().unwrap(), "t");
            assert_eq!(
                tagged.ok().map(|place| place.to_string()).as_deref(),
                wanted
            );
        }
    }
}
