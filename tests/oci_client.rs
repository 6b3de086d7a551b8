//! `oci-client`, another program's registry client, reads what ohoci pushes and pushes what ohoci
//! composes on.

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::debian_registry::DebianRegistry;
use crate::support::images::busybox;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer, block_on, sha256};
use crate::support::workbench::{Workbench, deps_layer};

fn client() -> Client {
    Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    })
}

const TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Both registries, by host, and a peer of each.
fn registries() -> (DebianRegistry, OhociRegistry, [(String, Peer); 2]) {
    let debian = DebianRegistry::open();
    let own = OhociRegistry::start();
    let both = [
        (debian.host(), debian.peer(Access::Anonymous)),
        (own.host(), own.peer()),
    ];
    (debian, own, both)
}

#[test]
fn it_reads_what_was_composed() {
    let (_debian, _own, both) = registries();
    for (host, peer) in both {
        let bench = Workbench::new(&host, peer);
        bench.push_deps("@/deps:1");
        for family in [Family::Docker, Family::Oci] {
            bench.push_base("base", family);
            let report = bench.composed(&[
                "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
            ]);
            let reference: Reference = format!("{host}/app:1").parse().unwrap();
            let anonymous = RegistryAuth::Anonymous;
            let client = client();
            let image = block_on(client.pull(&reference, &anonymous, TYPES.into())).unwrap();
            assert_eq!(image.digest.as_deref(), report["digest"].as_str());
            // It gives the layers in the order in which they arrived.
            let mut digests: Vec<String> = image
                .layers
                .iter()
                .map(|layer| sha256(&layer.data))
                .collect();
            digests.sort();
            let mut told: Vec<&str> = report["layers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|layer| layer["digest"].as_str().unwrap())
                .collect();
            told.sort_unstable();
            assert_eq!(digests, told);
            assert_eq!(
                image.manifest.unwrap().config.digest,
                sha256(&image.config.data)
            );
            let config: Value = serde_json::from_slice(&image.config.data).unwrap();
            assert_eq!(config["config"]["Entrypoint"], json!(["tool"]));
        }
    }
}

#[test]
fn what_it_pushed_is_a_base_and_deps() {
    let (_debian, _own, both) = registries();
    for (host, peer) in both {
        let bench = Workbench::new(&host, peer);
        let base = busybox(Family::Oci, Compression::Gzip).build();
        let layer = deps_layer(Compression::Zstd);
        let deps_config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Labels": {"ohoci.patch": r#"{"entrypoint":["tool"]}"#}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        });
        for (repository, data, kind, config) in [
            ("base", &base.layers[0].bytes, TYPES[1], base.config.clone()),
            (
                "deps",
                &layer.bytes,
                TYPES[2],
                deps_config.to_string().into_bytes(),
            ),
        ] {
            let layers = [ImageLayer::new(data.clone(), kind.to_owned(), None)];
            let config = Config::oci_v1(config, None);
            let manifest = OciImageManifest::build(&layers, &config, None);
            let reference: Reference = format!("{host}/{repository}:1").parse().unwrap();
            let anonymous = RegistryAuth::Anonymous;
            let client = client();
            block_on(client.push(&reference, &layers, config, &anonymous, Some(manifest))).unwrap();
        }
        bench.composed(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ]);
        let made = bench.pull("app", "1");
        assert_eq!(
            made.layers(),
            [base.layers[0].digest.as_str(), layer.digest.as_str()]
        );
        assert_eq!(made.runtime()["Entrypoint"], json!(["tool"]));
    }
}
