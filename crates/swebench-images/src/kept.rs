//! Layers that are kept in the cache under the key of what they were made from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use ohoci_compose::compose::ImageLayer;
use ohoci_compose::local::{LayerBytes, LocalLayer};
use ohoci_image::Descriptor;
use ohoci_layer::Tree;
use ohoci_layer::pack::{PackOptions, pack_tree};
use ohoci_layer::packed::{LayerFile, PackedLayer};
use ohoci_store::cache::Cache;
use ohoci_store::file_body::{file_body, own_file_body};

/// What the cache calls these layers; the number changes when equal input gives other bytes.
const FACT: &str = "swebench-layer-1";

/// A layer that is there: in a file, or where machines share levels.
#[derive(Clone, Debug)]
pub struct KeptLayer {
    /// What compose takes.
    pub layer: LocalLayer,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// The size of its tar, in bytes.
    pub uncompressed: u64,
    /// Whether it was made before.
    pub from_cache: bool,
}

impl KeptLayer {
    /// The blob's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layer.descriptor.size
    }

    /// The layer with where its bytes come from.
    #[must_use]
    pub(crate) fn image_layer(&self) -> Option<ImageLayer> {
        let body = match &self.layer.from {
            LayerBytes::File(body) => Arc::clone(body),
            LayerBytes::Image(source) => source.blob(&self.layer.descriptor),
        };
        Some(ImageLayer {
            diff_id: self.layer.diff_id.clone(),
            body,
            size: self.size(),
        })
    }

    /// What its history entry says.
    #[must_use]
    pub(crate) fn created_by(name: &str) -> String {
        format!("ohoci swebench images: {name}")
    }
}

/// The layer that was made from this, if it is still there.
#[must_use]
pub(crate) fn find(cache: &Cache, key: &str) -> Option<KeptLayer> {
    let fact = cache.fact(FACT, key)?;
    let text = |name: &str| fact.get(name).and_then(Value::as_str);
    let number = |name: &str| fact.get(name).and_then(Value::as_u64);
    let descriptor = Descriptor::new(
        text("mediaType")?.to_owned(),
        text("digest")?.parse().ok()?,
        number("size")?,
    );
    let path = cache.path_of(&descriptor.digest)?;
    Some(KeptLayer {
        layer: LocalLayer {
            directories: Vec::new(),
            diff_id: text("diffId")?.parse().ok()?,
            from: LayerBytes::File(cache.body(&descriptor)?),
            name: text("name")?.to_owned(),
            created_by: text("createdBy")?.to_owned(),
            platform: None,
            packing: None,
            descriptor,
        },
        path: Some(path),
        uncompressed: number("uncompressed")?,
        from_cache: true,
    })
}

/// Packs a tree and keeps it, in the cache if there is one, else in the work directory.
///
/// # Errors
/// When it cannot be packed or written, in words.
pub(crate) fn make(
    cache: &Cache,
    key: &str,
    name: &str,
    tree: Tree,
    options: &PackOptions,
    work_dir: &Path,
) -> Result<KeptLayer, String> {
    let created_by = KeptLayer::created_by(name);
    let packed =
        pack_tree(tree, created_by, options, work_dir).map_err(|error| error.to_string())?;
    let PackedLayer {
        descriptor,
        diff_id,
        file,
        created_by,
        uncompressed_size,
        ..
    } = packed;
    let (path, is_ours) = match file {
        LayerFile::Given(path) => (path, false),
        LayerFile::Temporary(path) => (path.keep().map_err(|error| error.error.to_string())?, true),
    };
    let kept = keep(cache, &path, &descriptor);
    if kept.is_some() {
        cache.remember_fact(
            FACT,
            key,
            &json!({
                "mediaType": descriptor.media_type,
                "digest": descriptor.digest.to_string(),
                "size": descriptor.size,
                "diffId": diff_id.to_string(),
                "uncompressed": uncompressed_size,
                "name": name,
                "createdBy": created_by,
            }),
        );
        let _ = fs_err::remove_file(&path);
    }
    let is_ours = is_ours || kept.is_some();
    let path = kept.unwrap_or(path);
    let body = if is_ours {
        own_file_body(&path, &descriptor)
    } else {
        file_body(&path, &descriptor)
    };
    Ok(KeptLayer {
        layer: LocalLayer {
            directories: Vec::new(),
            from: LayerBytes::File(body),
            name: name.to_owned(),
            platform: None,
            packing: None,
            descriptor,
            diff_id,
            created_by,
        },
        path: is_ours.then_some(path),
        uncompressed: uncompressed_size,
        from_cache: false,
    })
}

/// Copies a file into the cache. One that is full or read-only only costs the next run the work.
fn keep(cache: &Cache, path: &Path, descriptor: &Descriptor) -> Option<PathBuf> {
    use std::io::Read as _;
    let mut staged = cache.stage()?;
    let mut file = fs_err::File::open(path).ok()?;
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut piece).ok()?;
        if count == 0 {
            return cache.insert_file(staged, &descriptor.digest);
        }
        staged.write(piece.get(..count)?).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules};

    #[test]
    fn a_layer_is_found_by_what_it_was_made_from() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        let mut tree = Tree::new();
        let content = Content::Memory("x".into());
        let entry = Entry::new(Kind::File(content), 0o644);
        let path = LayerPath::parse(b"a/b").unwrap();
        tree.insert(path, entry, Rules::Strict).unwrap();
        let options = PackOptions::default();
        let made = make(&cache, "key", "level", tree, &options, directory.path()).unwrap();
        assert!(!made.from_cache);
        let found = find(&cache, "key").unwrap();
        assert!(found.from_cache);
        assert_eq!(found.layer.descriptor, made.layer.descriptor);
        assert_eq!(found.layer.diff_id, made.layer.diff_id);
        assert!(find(&cache, "other").is_none());
        let layer = found.image_layer().unwrap();
        assert_eq!(layer.size, made.size());
    }
}
