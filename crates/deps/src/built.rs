//! Reads a deps image, or a directory, back into trees.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::archive::{Spool, tar::read_tar};
use super::contents::Contents;
use super::place::{Machine, Prefix};
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_image::{Content as Documents, Descriptor, Platform, Reference};
use ohoci_layer::directory::read_directory;
use ohoci_layer::{Content, Kind, LayerPath, Tree};
use ohoci_store::{BodyError, Error, ErrorKind, Source};

/// Most bytes of a layer when decompressed.
const MAX_LAYER: u64 = 32 << 30;
/// Largest list of contents that is read.
const MAX_CONTENTS: u64 = 64 << 20;

/// The layers of one image.
#[derive(Debug)]
pub struct BuiltImage {
    /// What it runs on.
    pub platform: Platform,
    /// The same, where layers can be made for it.
    pub machine: Machine,
    /// Its layers, lowest first.
    pub layers: Vec<BuiltLayer>,
}

/// A layer of an image.
#[derive(Debug)]
pub struct BuiltLayer {
    /// The feature, where the layer says so; else its digest, or `directory`.
    pub name: String,
    /// Its tree, from the image's root.
    pub tree: Tree,
    /// What it says of itself.
    pub contents: Option<Contents>,
}

/// Reads an image of a reference, for one platform. Layers are written to `work_dir` on the way.
///
/// # Errors
/// When something is missing or unreadable, or the platform is none that layers are made for.
pub async fn read_image(
    resolver: &Resolver,
    reference: &Reference,
    choice: &Choice,
    prefix: &Prefix,
    work_dir: &Path,
) -> Result<Vec<BuiltImage>, Error> {
    let source = resolver.source(reference).await?;
    let found = read::images(source, choice, &|_, _| {}).await?;
    let mut images = Vec::new();
    for image in &found.images {
        let platform = image.config.platform().clone();
        let refuse = |why: String| {
            Error::new(
                ErrorKind::Unsupported,
                format!("cannot look into {reference}"),
                why,
            )
        };
        let machine = Machine::of(&platform).ok_or_else(|| {
            refuse(format!(
                "it is for {platform}, for which no layers are made"
            ))
        })?;
        let Documents::Image { layers, .. } = image.manifest.content() else {
            return Err(refuse("it is an index inside an index".to_owned()));
        };
        let mut built = Vec::new();
        for layer in layers {
            let tree = layer_tree(&found.source, layer, work_dir).await?;
            let contents = contents_in(&tree, prefix);
            let name = match &contents {
                Some(contents) => contents.feature.clone(),
                None => layer.digest.short().to_owned(),
            };
            built.push(BuiltLayer {
                name,
                tree,
                contents,
            });
        }
        images.push(BuiltImage {
            platform,
            machine,
            layers: built,
        });
    }
    Ok(images)
}

/// A directory as the one layer of an image for a platform.
///
/// # Errors
/// When it cannot be read, or no layers are made for the platform.
pub fn of_directory(
    root: &Path,
    platform: Platform,
    prefix: &Prefix,
) -> Result<BuiltImage, String> {
    let machine =
        Machine::of(&platform).ok_or_else(|| format!("no layers are made for {platform}"))?;
    let tree = read_directory(root, 0)
        .map_err(|error| error.to_string())?
        .tree;
    let tree = tree
        .moved_below(&LayerPath::root(), 0)
        .map_err(|error| error.to_string())?;
    Ok(BuiltImage {
        platform,
        machine,
        layers: vec![BuiltLayer {
            name: "directory".to_owned(),
            contents: contents_in(&tree, prefix),
            tree,
        }],
    })
}

async fn layer_tree(
    source: &Arc<dyn Source>,
    layer: &Descriptor,
    work_dir: &Path,
) -> Result<Tree, Error> {
    let what = || format!("cannot read layer {} of {}", layer.digest, source.place());
    let path = work_dir.join(format!("look-{}", layer.digest.hex()));
    let fail = |error: std::io::Error| Error::io(what(), error);
    let reading = |error: BodyError| Error::reading(what(), error);
    let mut stream = source.blob(layer).open(0).await.map_err(reading)?;
    let mut file = tokio::fs::File::create(&path).await.map_err(fail)?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(reading)?;
        file.write_all(&piece).await.map_err(fail)?;
    }
    file.flush().await.map_err(fail)?;
    let work_dir = work_dir.to_owned();
    let tree = tokio::task::spawn_blocking(move || {
        let spool = Spool::create(&work_dir).map_err(|error| error.to_string())?;
        let file = fs_err::File::open(&path).map_err(|error| error.to_string())?;
        let tree = read_tar(file, MAX_LAYER, &spool).map_err(|error| error.to_string())?;
        // What is kept of it is in the spool.
        let _ = fs_err::remove_file(&path);
        Ok::<_, String>(tree)
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?;
    tree.map_err(|why| Error::new(ErrorKind::Unsupported, what(), why))
}

/// What a layer says of itself, where it does.
fn contents_in(tree: &Tree, prefix: &Prefix) -> Option<Contents> {
    let directory = LayerPath::parse(b"share/ohoci").ok()?;
    let directory = prefix.path().join(&directory).ok()?;
    tree.iter()
        .filter(|(path, _)| path.is_within(&directory))
        .find_map(|(_, entry)| match &entry.kind {
            Kind::File(content) => parsed(content),
            _ => None,
        })
}

fn parsed(content: &Content) -> Option<Contents> {
    if content.size() > MAX_CONTENTS {
        return None;
    }
    serde_json::from_reader(std::io::BufReader::new(content.open().ok()?)).ok()
}
