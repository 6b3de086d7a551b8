//! Takes one path out of a foreign image as one layer: `--deps-path`.
//!
//! It is done once: the result is kept in the cache by the image's digest, so that composing onto
//! the next base reads nothing of the image's layers.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::layer_reader::LayerReader;
use super::local::kept;
use super::read::Image;
use ohoci_image::{Content, Descriptor, Digest, media_type};
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layer::{LayerPath, OpenLayer, PackOptions, PackedLayer, Tree};
use ohoci_store::cache::Cache;
use ohoci_store::{Body, BodyError, Error, ErrorKind, Source};

/// What the cache calls these results; the number changes when equal input gives other bytes.
const FACT: &str = "flattened-1";

/// A flattened layer.
#[derive(Clone, Debug)]
pub struct Flattened {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its bytes.
    pub body: Arc<dyn Body>,
}

/// What `path` finally holds in an image, as one layer.
///
/// # Errors
/// When a layer cannot be read, or there is nothing at the path.
pub async fn flatten(
    source: &dyn Source,
    image: &Image,
    path: &str,
    reader: LayerReader<'_>,
    work_dir: &Path,
) -> Result<Flattened, Error> {
    let cache = reader.cache;
    let what = || format!("cannot take {path} out of {}", source.place());
    let prefix = LayerPath::parse(path.as_bytes())
        .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    let key = format!("{} {prefix}", image.manifest.digest());
    if let Some(known) = known(cache, &key) {
        return Ok(known);
    }
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            what(),
            "it is an index, not an image",
        ));
    };
    let files = try_join_all(layers.iter().enumerate().map(|(at, layer)| {
        let path = work_dir.join(format!("deps-layer-{at}"));
        spool(source, layer, path)
    }))
    .await?;
    let (work, limits) = (work_dir.to_owned(), reader.limits);
    let diff_ids = image.config.diff_ids().to_vec();
    let packed =
        tokio::task::spawn_blocking(move || pack(&files, &diff_ids, &prefix, (&work, limits)))
            .await
            .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
            .map_err(|why| Error::new(ErrorKind::Unsupported, what(), why))?;
    keep(cache, &key, packed, &what()).await
}

/// What an earlier run kept, if all of it is still there.
fn known(cache: &Cache, key: &str) -> Option<Flattened> {
    let fact = cache.fact(FACT, key)?;
    let digest = |name: &str| fact.get(name).and_then(Value::as_str)?.parse().ok();
    let descriptor = Descriptor::new(
        media_type::OCI_LAYER_GZIP,
        digest("digest")?,
        fact.get("size").and_then(Value::as_u64)?,
    );
    Some(Flattened {
        diff_id: digest("diffId")?,
        body: cache.body(&descriptor)?,
        descriptor,
    })
}

/// Writes a layer to a file, because flattening may have to read it twice.
///
/// # Errors
/// When it cannot be read, is not what its digest says, or the file cannot be written.
pub async fn spool(
    source: &dyn Source,
    layer: &Descriptor,
    path: PathBuf,
) -> Result<PathBuf, Error> {
    let what = || format!("cannot read layer {} of {}", layer.digest, source.place());
    let fail = |error: std::io::Error| Error::io(what(), error);
    let reading = |error: BodyError| Error::reading(what(), error);
    let mut stream = source.blob(layer).open(0).await.map_err(reading)?;
    let mut file = tokio::fs::File::create(&path).await.map_err(fail)?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(reading)?;
        file.write_all(&piece).await.map_err(fail)?;
    }
    file.flush().await.map_err(fail)?;
    Ok(path)
}

fn pack(
    files: &[PathBuf],
    diff_ids: &[Digest],
    prefix: &LayerPath,
    (work_dir, limits): (&Path, UnpackLimits),
) -> Result<PackedLayer, String> {
    let options = PackOptions::default();
    let tree = image_tree(files, diff_ids, prefix, (work_dir, limits))?;
    ohoci_layer::pack_tree(tree, format!("ohoci: take {prefix}"), &options, work_dir)
        .map_err(|error| error.to_string())
}

/// What the layers in these files, lowest first, finally hold at a path. Contents wait in the
/// directory; all together may come to what the limits allow.
///
/// # Errors
/// As [`ohoci_layer::flatten()`], in words.
pub fn tree(
    files: &[PathBuf],
    prefix: &LayerPath,
    (work_dir, limits): (&Path, UnpackLimits),
) -> Result<Tree, String> {
    flattened(files, &[], prefix, (work_dir, limits))
}

/// The same, of the layers of an image whose config gives them these diff IDs.
///
/// # Errors
/// As [`tree`], and when the layers are not those that the config means.
pub fn image_tree(
    files: &[PathBuf],
    diff_ids: &[Digest],
    prefix: &LayerPath,
    (work_dir, limits): (&Path, UnpackLimits),
) -> Result<Tree, String> {
    if files.len() != diff_ids.len() {
        return Err(format!(
            "its manifest lists {} layers, but its config {} diff IDs",
            files.len(),
            diff_ids.len()
        ));
    }
    flattened(files, diff_ids, prefix, (work_dir, limits))
}

fn flattened(
    files: &[PathBuf],
    diff_ids: &[Digest],
    prefix: &LayerPath,
    (work_dir, limits): (&Path, UnpackLimits),
) -> Result<Tree, String> {
    let open: Vec<Box<OpenLayer<'_>>> = files
        .iter()
        .map(|path| {
            Box::new(move || {
                fs_err::File::open(path).map(|file| Box::new(file) as Box<dyn Read + '_>)
            }) as Box<OpenLayer<'_>>
        })
        .collect();
    let open: Vec<&OpenLayer<'_>> = open.iter().map(AsRef::as_ref).collect();
    let budget = Arc::new(Budget::new(limits));
    ohoci_layer::flatten_checked(&open, diff_ids, prefix, &budget, work_dir)
        .map_err(|error| error.to_string())
}

async fn keep(
    cache: &Cache,
    key: &str,
    packed: PackedLayer,
    what: &str,
) -> Result<Flattened, Error> {
    let (descriptor, diff_id) = (packed.descriptor, packed.diff_id);
    let body = kept(packed.file, &descriptor)?;
    if let Some(mut staged) = cache.stage() {
        let reading = |error: BodyError| Error::reading(what, error);
        let mut stream = body.open(0).await.map_err(reading)?;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(reading)?;
            if staged.write(&piece).is_err() {
                break;
            }
        }
        // A cache that is full or read-only only costs the next run the work.
        if cache.insert_file(staged, &descriptor.digest).is_some() {
            cache.remember_fact(
                FACT,
                key,
                &json!({
                    "digest": descriptor.digest.to_string(),
                    "size": descriptor.size,
                    "diffId": diff_id.to_string(),
                }),
            );
        }
    }
    Ok(Flattened {
        descriptor,
        diff_id,
        body,
    })
}
