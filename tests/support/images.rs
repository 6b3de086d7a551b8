//! Small real images, plain and odd, made without any packing code of ohoci.

use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use ohoci_image::media_type::{Compression, Family};
use serde_json::{Map, Value, json};

use super::peer::{Peer, sha256};

/// The file that makes an image runnable: one static program with a shell in it.
const BUSYBOX: &str = "/bin/busybox";

/// A layer as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) compression: Compression,
    pub(crate) bytes: Vec<u8>,
    /// Digest of `bytes`.
    pub(crate) digest: String,
    /// Digest of the tar inside.
    pub(crate) diff_id: String,
}

/// What a path in a layer is.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory,
    /// A program: mode 755.
    Program(Vec<u8>),
    /// A file: mode 644.
    File(Vec<u8>),
    Link(&'static str),
}

impl Layer {
    /// Packs nodes in the given order; all belong to root and to the epoch.
    pub(crate) fn pack(nodes: &[(&str, Node)], compression: Compression) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, node) in nodes {
            let mut header = tar::Header::new_ustar();
            let (kind, mode, content): (_, _, &[u8]) = match node {
                Node::Directory => (tar::EntryType::Directory, 0o755, &[]),
                Node::Program(content) => (tar::EntryType::Regular, 0o755, content),
                Node::File(content) => (tar::EntryType::Regular, 0o644, content),
                Node::Link(target) => {
                    header.set_link_name(target).unwrap();
                    (tar::EntryType::Symlink, 0o777, &[])
                }
            };
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content).unwrap();
        }
        Self::from_tar(&builder.into_inner().unwrap(), compression)
    }

    /// Compresses a tar.
    pub(crate) fn from_tar(tar: &[u8], compression: Compression) -> Self {
        let bytes = match compression {
            Compression::None => tar.to_vec(),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(tar, 1).unwrap(),
        };
        Self {
            compression,
            digest: sha256(&bytes),
            diff_id: sha256(tar),
            bytes,
        }
    }

    fn descriptor(&self, family: Family) -> Value {
        let media_type = family
            .layer(self.compression)
            .expect("Docker has no zstd layers");
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// The file system of a small runnable image: busybox, a few of its names, `/etc` and `/tmp`.
pub(crate) fn busybox_layer(compression: Compression) -> Layer {
    let program =
        fs_err::read(BUSYBOX).expect("busybox-static is not installed; run cargo xtask test");
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    let mut nodes = vec![
        ("bin", Node::Directory),
        ("bin/busybox", Node::Program(program)),
        ("etc", Node::Directory),
        ("etc/passwd", Node::File(passwd.to_vec())),
        ("proc", Node::Directory),
        ("tmp", Node::Directory),
    ];
    nodes.extend(
        ["bin/cat", "bin/env", "bin/id", "bin/ls", "bin/sh"]
            .map(|path| (path, Node::Link("busybox"))),
    );
    Layer::pack(&nodes, compression)
}

/// An image: its documents as bytes, and its layers.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
    platform: Value,
}

/// How an image is made; see [`busybox`].
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    family: Family,
    layers: Vec<Layer>,
    config: Value,
    history: bool,
    extra: Map<String, Value>,
}

/// A runnable image for this machine's platform: busybox, PATH, `sh` as its command.
pub(crate) fn busybox(family: Family, compression: Compression) -> Recipe {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Recipe {
        family,
        layers: vec![busybox_layer(compression)],
        config: json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {"Env": [path], "Cmd": ["sh"]},
        }),
        history: true,
        extra: Map::new(),
    }
}

/// This machine's architecture, as images spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An image with only these layers and an empty `config`.
pub(crate) fn bare(family: Family, layers: Vec<Layer>) -> Recipe {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}});
    Recipe {
        family,
        layers,
        config,
        history: true,
        extra: Map::new(),
    }
}

impl Recipe {
    pub(crate) fn platform(mut self, architecture: &str, variant: Option<&str>) -> Self {
        self.config["architecture"] = json!(architecture);
        if let Some(variant) = variant {
            self.config["variant"] = json!(variant);
        }
        self
    }

    /// One more layer on top.
    pub(crate) fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// So many more layers, each with one file of its own.
    pub(crate) fn many_layers(mut self, count: usize, compression: Compression) -> Self {
        for number in 0..count {
            let path = format!("layer-{number}");
            let content = Node::File(path.clone().into_bytes());
            self.layers
                .push(Layer::pack(&[(path.as_str(), content)], compression));
        }
        self
    }

    /// Sets a field of the `config` object, such as `Healthcheck` or one that nobody knows.
    pub(crate) fn set(mut self, field: &str, value: Value) -> Self {
        self.config["config"][field] = value;
        self
    }

    /// Sets a field at the top of the config document.
    pub(crate) fn set_top(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// Sets a field of the manifest, such as `annotations`.
    pub(crate) fn set_manifest(mut self, field: &str, value: Value) -> Self {
        self.extra.insert(field.to_owned(), value);
        self
    }

    /// Leaves out `history`, as some tools do.
    pub(crate) fn without_history(mut self) -> Self {
        self.history = false;
        self
    }

    pub(crate) fn build(self) -> Image {
        let Self {
            family,
            layers,
            mut config,
            history,
            extra,
        } = self;
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        if history {
            let mut entries: Vec<Value> = (0..layers.len())
                .map(|number| json!({"created": "2020-01-01T00:00:00Z", "created_by": format!("ADD layer {number}")}))
                .collect();
            entries.push(json!({"created": "2020-01-01T00:00:00Z", "created_by": "CMD [\"sh\"]", "empty_layer": true}));
            config["history"] = json!(entries);
        }
        let mut platform = json!({"os": config["os"], "architecture": config["architecture"]});
        if let Some(variant) = config.get("variant") {
            platform["variant"] = variant.clone();
        }
        let config = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": family.manifest(),
            "config": {"mediaType": family.config(), "digest": sha256(&config), "size": config.len()},
            "layers": layers.iter().map(|layer| layer.descriptor(family)).collect::<Vec<_>>(),
        });
        for (field, value) in extra {
            manifest[field] = value;
        }
        let manifest = manifest.to_string().into_bytes();
        Image {
            digest: sha256(&manifest),
            media_type: family.manifest(),
            manifest,
            config,
            layers,
            platform,
        }
    }
}

impl Image {
    /// Uploads config and layers, then the manifest under a tag or its own digest.
    pub(crate) fn push(&self, peer: &Peer, repository: &str, reference: &str) {
        for blob in self.blobs() {
            peer.put_blob(repository, blob);
        }
        peer.put_manifest(repository, reference, self.media_type, &self.manifest);
    }

    /// Adds the image to the OCI layout in this directory, which is made if need be.
    pub(crate) fn write_layout(&self, directory: &Path, tag: &str) {
        write_blobs(directory, &self.blobs());
        add_to_layout(directory, self.media_type, &self.manifest, tag);
    }

    fn blobs(&self) -> Vec<&[u8]> {
        let layers = self.layers.iter().map(|layer| layer.bytes.as_slice());
        layers.chain([self.config.as_slice()]).collect()
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.manifest.len(), "platform": self.platform})
    }
}

/// An index and its images.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) images: Vec<Image>,
}

impl Index {
    pub(crate) fn new(family: Family, images: Vec<Image>) -> Self {
        let descriptors: Vec<Value> = images.iter().map(Image::descriptor).collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": family.index(), "manifests": descriptors});
        let manifest = manifest.to_string().into_bytes();
        Self {
            digest: sha256(&manifest),
            media_type: family.index(),
            manifest,
            images,
        }
    }

    /// A runnable image for this machine and the same for another architecture.
    pub(crate) fn busybox(family: Family, compression: Compression) -> Self {
        let here = busybox(family, compression);
        let other = here.clone().platform("arm", Some("v7"));
        Self::new(family, vec![here.build(), other.build()])
    }

    /// Pushes the images by digest, then the index.
    pub(crate) fn push(&self, peer: &Peer, repository: &str, tag: &str) {
        for image in &self.images {
            image.push(peer, repository, &image.digest);
        }
        peer.put_manifest(repository, tag, self.media_type, &self.manifest);
    }

    /// Adds the index to the OCI layout in this directory, which is made if need be.
    pub(crate) fn write_layout(&self, directory: &Path, tag: &str) {
        for image in &self.images {
            write_blobs(directory, &image.blobs());
            write_blobs(directory, &[&image.manifest]);
        }
        add_to_layout(directory, self.media_type, &self.manifest, tag);
    }
}

fn write_blobs(directory: &Path, blobs: &[&[u8]]) {
    let place = directory.join("blobs/sha256");
    fs_err::create_dir_all(&place).unwrap();
    for blob in blobs {
        let digest = sha256(blob);
        fs_err::write(place.join(digest.trim_start_matches("sha256:")), blob).unwrap();
    }
}

fn add_to_layout(directory: &Path, media_type: &str, manifest: &[u8], tag: &str) {
    write_blobs(directory, &[manifest]);
    fs_err::write(
        directory.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let file = directory.join("index.json");
    let mut index: Value = match fs_err::read(&file) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => json!({"schemaVersion": 2, "manifests": []}),
    };
    let descriptor = json!({
        "mediaType": media_type, "digest": sha256(manifest), "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    });
    index["manifests"].as_array_mut().unwrap().push(descriptor);
    fs_err::write(file, index.to_string()).unwrap();
}
