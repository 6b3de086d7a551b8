//! The repository in an image, taken out of its layers for an audit.

use std::path::Path;

use futures_util::future::try_join_all;

use super::audit::{self, Audit};
use super::git::Git;
use super::repository::is_commit;
use ohoci_compose::flatten;
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_image::{Content, Platform, Reference};
use ohoci_layer::{Directory, LayerPath};
use ohoci_sandbox::RemovedDirectory;
use ohoci_store::{Error, ErrorKind};
use ohoci_unpack::{Owners, unpack};

/// Label of an instance's image: the commit that its work tree stands at.
pub(crate) const BASE_COMMIT: &str = "ohoci.swebench.base-commit";

/// Where the repository lies.
const GIT_DIR: &str = "testbed/.git";

/// Audits an image's `/testbed/.git`; its programs are not run. The base commit is that of the
/// image's label unless one is given.
///
/// # Errors
/// When the image cannot be read, has no repository there, or does not say its base commit.
pub async fn audit_image(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
    base_commit: Option<&str>,
    git: &Git,
    work_dir: &Path,
) -> Result<Audit, Error> {
    let what = || format!("cannot audit {reference}");
    let fail = |why: String| Error::new(ErrorKind::Unsupported, what(), why);
    let choice = platform.map_or(Choice::Default, |platform| {
        Choice::Platforms(vec![platform.clone()])
    });
    resolver.announce(&[reference], &[]);
    let source = resolver.source(reference).await?;
    let found = read::images(source.clone(), &choice, &|_, _| ()).await?;
    let image = found.images.into_iter().next();
    let image = image.ok_or_else(|| fail("it holds no image".to_owned()))?;
    let label = image.config.document().object().get("config");
    let label = label.and_then(|config| config.get("Labels")?.get(BASE_COMMIT)?.as_str());
    let commit = base_commit.or(label).ok_or_else(|| {
        let why = format!("it has no label {BASE_COMMIT} that names its base commit");
        fail(why).hinted("name it with --base-commit, as the dataset's row does")
    })?;
    if !is_commit(commit) {
        return Err(fail(format!(
            "{commit:?} is no commit: 40 hexadecimal digits"
        )));
    }
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Err(fail("it is an index, not an image".to_owned()));
    };
    let files = try_join_all(layers.iter().enumerate().map(|(at, layer)| {
        let path = work_dir.join(format!("audit-layer-{at}"));
        flatten::spool(source.as_ref(), layer, path)
    }))
    .await?;
    let (git, commit, work_dir) = (git.clone(), commit.to_owned(), work_dir.to_owned());
    let limits = resolver.limits;
    let diff_ids = image.config.diff_ids().to_vec();
    tokio::task::spawn_blocking(move || {
        let prefix = LayerPath::parse(GIT_DIR.as_bytes()).map_err(|error| error.to_string())?;
        let tree = flatten::image_tree(&files, &diff_ids, &prefix, (&work_dir, limits))?;
        let directory = RemovedDirectory::create().map_err(|error| error.to_string())?;
        unpack(tree, directory.path(), Owners::Own, &|| true).map_err(|error| error.to_string())?;
        let root = Directory::open(directory.path()).map_err(|error| error.to_string())?;
        let git_dir = root
            .directory(GIT_DIR)
            .map_err(|error| format!("/{GIT_DIR} is no directory of the image: {error}"))?;
        audit::audit(&git, &git_dir, &commit, &work_dir).map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| fail(error.to_string()))?
    .map_err(fail)
}
