//! `--layer`: directories and tars, where they land, and on which side of the base.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::images::{Layer, Node, bare};
use crate::support::peer::sha256;

/// Files and their content in a layer of a layout; directories have none.
fn files(ohoci: &Ohoci, layout: &str, descriptor: &Value) -> BTreeMap<String, String> {
    let digest = descriptor["digest"].as_str().unwrap();
    let hash = digest.trim_start_matches("sha256:");
    let bytes = fs_err::read(ohoci.work().join(layout).join("blobs/sha256").join(hash)).unwrap();
    assert_eq!(sha256(&bytes), digest);
    let kind = descriptor["mediaType"].as_str().unwrap();
    let mut tar = Vec::new();
    if kind.ends_with("zstd") {
        tar = zstd::decode_all(bytes.as_slice()).unwrap();
    } else if kind.ends_with("gzip") {
        GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut tar)
            .unwrap();
    } else {
        tar = bytes;
    }
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(
            found.insert(name.clone(), content),
            None,
            "{name} is there twice"
        );
    }
    found
}

fn manifest(ohoci: &Ohoci, reference: &str) -> Value {
    ohoci
        .run(["inspect", "--manifest", reference])
        .exits(0)
        .json()
}

#[test]
fn directories_and_tars_of_every_compression_land_where_they_are_told() {
    let ohoci = Ohoci::new();
    let file = || Node::File(b"content".to_vec());
    let nodes = [("share", Node::Directory), ("share/file", file())];
    ohoci.write("work/directory/share/file", "content");
    for (name, compression) in [
        ("plain.tar", Compression::None),
        ("packed.tar.gz", Compression::Gzip),
        ("packed.tar.zst", Compression::Zstd),
    ] {
        ohoci.write(
            format!("work/{name}"),
            Layer::pack(&nodes, compression).bytes,
        );
    }
    let below = |prefix: &str| {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        if !prefix.is_empty() {
            all.insert(format!("{prefix}/"), String::new());
        }
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        all.insert(format!("{prefix}share/"), String::new());
        all.insert(format!("{prefix}share/file"), "content".to_owned());
        all
    };
    let normal = |found: BTreeMap<String, String>| -> BTreeMap<String, String> {
        // A directory's entry may or may not end in a slash.
        found
            .into_iter()
            .map(|(name, content)| (name.trim_end_matches('/').to_owned(), content))
            .collect()
    };
    for source in ["directory", "plain.tar", "packed.tar.gz", "packed.tar.zst"] {
        for (suffix, prefix) in [("", ""), (":/", ""), (":/openhands", "openhands")] {
            for compression in ["gzip", "zstd"] {
                let layer = format!("{source}{suffix}");
                ohoci
                    .run([
                        "compose",
                        "--base",
                        "scratch",
                        "--layer",
                        &layer,
                        "--compression",
                        compression,
                        "--push",
                        "oci:out:1",
                    ])
                    .exits(0);
                let manifest = manifest(&ohoci, "oci:out:1");
                let descriptor = &manifest["layers"][0];
                assert_eq!(
                    normal(files(&ohoci, "out", descriptor)),
                    normal(below(prefix)),
                    "{layer}"
                );
                let kind = descriptor["mediaType"].as_str().unwrap();
                // What is compressed already and needs no moving is taken as it is.
                let given = prefix.is_empty() && source.starts_with("packed");
                if !given {
                    assert!(kind.ends_with(compression), "{layer}: {kind}");
                } else {
                    let bytes = fs_err::read(ohoci.work().join(source)).unwrap();
                    assert_eq!(descriptor["digest"], json!(sha256(&bytes)), "{layer}");
                }
            }
        }
    }
}

/// The blob is gzip to whoever knows no more, and names the digest of its table where snapshotters look.
#[test]
fn estargz_is_gzip_with_a_table_and_stays_so_when_it_is_composed_again() {
    let ohoci = Ohoci::new();
    ohoci.write("work/directory/share/file", "content");
    ohoci.write(
        "work/plain.tar",
        Layer::pack(&[("share", Node::Directory)], Compression::None).bytes,
    );
    let table = "containerd.io/snapshot/stargz/toc.digest";
    for layer in ["directory:/opt", "plain.tar"] {
        let made = ["compose", "--base", "scratch", "--layer", layer];
        let made = made.into_iter().chain(["--compression", "estargz"]);
        ohoci.run(made.chain(["--push", "oci:out:1"])).exits(0);
        let descriptor = manifest(&ohoci, "oci:out:1")["layers"][0].clone();
        let hash = descriptor["digest"].as_str().unwrap();
        let hash = hash.trim_start_matches("sha256:");
        let blob = ohoci.work().join("out/blobs/sha256").join(hash);
        let mut tar = Vec::new();
        flate2::read::MultiGzDecoder::new(fs_err::File::open(blob).unwrap())
            .read_to_end(&mut tar)
            .unwrap();
        let mut found = None;
        for member in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut member = member.unwrap();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            found = Some((member.path().unwrap().into_owned(), content));
        }
        let (name, content) = found.unwrap();
        assert_eq!(name.to_str(), Some("stargz.index.json"));
        let text = serde_json::from_slice::<Value>(&content).unwrap();
        assert_eq!(text["version"], json!(1));
        assert_eq!(descriptor["annotations"][table], json!(sha256(&content)));
        let again = ["compose", "--base", "scratch", "--deps", "oci:out:1"];
        ohoci
            .run(again.into_iter().chain(["--push", "oci:again:1"]))
            .exits(0);
        assert_eq!(manifest(&ohoci, "oci:again:1")["layers"][0], descriptor);
    }
    let wrong = [
        "copy",
        "oci:out:1",
        "oci:other:1",
        "--compression",
        "estargz",
    ];
    ohoci.run(wrong).exits(2);
}

#[test]
fn nothing_above_the_destination_but_its_parents_is_in_the_layer() {
    let ohoci = Ohoci::new();
    ohoci.write("work/directory/a", "a");
    ohoci
        .run([
            "compose",
            "--base",
            "scratch",
            "--layer",
            "directory:/opt/tool/x",
            "--push",
            "oci:out:1",
        ])
        .exits(0);
    let manifest = manifest(&ohoci, "oci:out:1");
    let found: Vec<String> = files(&ohoci, "out", &manifest["layers"][0])
        .into_keys()
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect();
    assert_eq!(found.last().map(String::as_str), Some("opt/tool/x/a"));
    assert!(
        found
            .iter()
            .all(|name| "opt/tool/x/a".starts_with(name.as_str())),
        "{found:?}"
    );
}

#[test]
fn position_decides_on_which_side_of_the_base_layers_go() {
    let ohoci = Ohoci::new();
    bare(Family::Oci, vec![])
        .many_layers(2, Compression::Gzip)
        .build()
        .write_layout(&ohoci.work().join("base"), "1");
    ohoci.write("work/one/a", "a");
    ohoci.write("work/two/b", "b");
    let base = manifest(&ohoci, "oci:base:1");
    let mut added = Vec::new();
    for (position, base_at, added_at) in [("top", 0, 2), ("bottom", 2, 0)] {
        ohoci
            .run([
                "compose",
                "--base",
                "oci:base:1",
                "--layer",
                "one",
                "--layer",
                "two",
                "--position",
                position,
                "--env",
                "A=1",
                "--push",
                "oci:out:1",
            ])
            .exits(0);
        let made = manifest(&ohoci, "oci:out:1");
        let layers = made["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 4);
        assert_eq!(
            layers[base_at..base_at + 2],
            base["layers"].as_array().unwrap()[..]
        );
        assert!(files(&ohoci, "out", &layers[added_at]).contains_key("a"));
        assert!(files(&ohoci, "out", &layers[added_at + 1]).contains_key("b"));
        added.push(layers[added_at..added_at + 2].to_vec());

        let config = ohoci
            .run(["inspect", "--config", "oci:out:1"])
            .exits(0)
            .json();
        let history: Vec<&str> = config["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["empty_layer"] != json!(true))
            .map(|entry| entry["created_by"].as_str().unwrap())
            .collect();
        assert_eq!(history[base_at], "ADD layer 0", "{history:?}");
        assert!(history[added_at].starts_with("ohoci"), "{history:?}");
    }
    assert_eq!(
        added[0], added[1],
        "a layer's identity does not depend on where it goes"
    );
}

#[test]
fn a_layer_that_cannot_be_packed_says_which_and_why() {
    let ohoci = Ohoci::new();
    ohoci.write("work/no.tar", "this is no tar");
    ohoci.write(
        "work/cut.tar.gz",
        &Layer::pack(&[("a", Node::File(vec![7; 5000]))], Compression::Gzip).bytes[..40],
    );
    for (layer, code) in [
        ("not-there", 1),
        ("no.tar", 1),
        ("cut.tar.gz", 1),
        ("no.tar:relative", 2),
    ] {
        let outcome = ohoci
            .run([
                "compose",
                "--base",
                "scratch",
                "--layer",
                layer,
                "--push",
                "oci:out:1",
            ])
            .exits(code);
        let path = layer.split(':').next().unwrap();
        assert!(outcome.stderr.contains(path), "{}", outcome.stderr);
    }
    assert!(!ohoci.work().join("out").exists());
}

/// The members of the only layer of a layout's image: path, owner, group and mode.
fn owners(ohoci: &Ohoci, layout: &str) -> Vec<(String, u64, u64, u32)> {
    let found = manifest(ohoci, &format!("oci:{layout}:1"));
    let layers = found["layers"].as_array().unwrap();
    let hash = layers.last().unwrap()["digest"].as_str().unwrap();
    let hash = hash.trim_start_matches("sha256:");
    let path = ohoci.work().join(layout).join("blobs/sha256").join(hash);
    let bytes = fs_err::read(path).unwrap();
    let mut tar = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let entries = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        (path, owner.0, owner.1, header.mode().unwrap())
    });
    entries.collect()
}

fn paths(ohoci: &Ohoci, layout: &str) -> Vec<String> {
    let owners = owners(ohoci, layout).into_iter();
    owners.map(|(path, ..)| path).collect()
}

#[test]
fn one_file_becomes_its_destination_or_goes_into_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let ohoci = Ohoci::new();
    let tool = ohoci.write("work/tool", "#!/bin/sh\n");
    fs_err::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let compose = |layer: &str, layout: &str| {
        let push = format!("oci:{layout}:1");
        ohoci.run([
            "compose", "--base", "scratch", "--layer", layer, "--push", &push,
        ])
    };
    compose("tool:/usr/bin/it", "as").exits(0);
    assert_eq!(
        owners(&ohoci, "as"),
        [("usr/bin/it".to_owned(), 0, 0, 0o755)]
    );
    compose("tool:/usr/bin/", "into").exits(0);
    assert_eq!(paths(&ohoci, "into"), ["usr/bin/tool"]);
    let refused = compose("tool", "nowhere").exits(1).stderr;
    assert!(
        refused.contains("no tar") && refused.contains("FILE:/PATH"),
        "{refused}"
    );
}

#[test]
fn a_tar_on_stdin_is_a_layer() {
    let ohoci = Ohoci::new();
    let nodes = [
        ("share", Node::Directory),
        ("share/file", Node::File(b"content".to_vec())),
    ];
    let layer = Layer::pack(&nodes, Compression::Gzip);
    ohoci.write("work/layer.tgz", &layer.bytes);
    let compose = |layer: &str, layout: &str| {
        let mut command = ohoci.command();
        let push = format!("oci:{layout}:1");
        command.args([
            "compose", "--base", "scratch", "--layer", layer, "--push", &push,
        ]);
        let file = fs_err::File::open(ohoci.work().join("layer.tgz")).unwrap();
        command.stdin(file.into_parts().0);
        crate::support::command::Outcome::of(&mut command)
    };
    compose("-", "root").exits(0);
    let blob = manifest(&ohoci, "oci:root:1")["layers"][0]["digest"].clone();
    assert_eq!(blob, json!(sha256(&layer.bytes)), "kept byte for byte");
    compose("-:/opt", "below").exits(0);
    assert_eq!(
        paths(&ohoci, "below"),
        ["opt/", "opt/share/", "opt/share/file"]
    );
    let twice = ohoci.run([
        "compose", "--base", "scratch", "--layer", "-", "--layer", "-:/x", "--push", "oci:x:1",
    ]);
    assert!(twice.exits(2).stderr.contains("read once"));
    let empty = ohoci.run([
        "compose", "--base", "scratch", "--layer", "-", "--push", "oci:x:1",
    ]);
    assert!(empty.exits(1).stderr.contains("nothing came in"));
}

#[test]
fn chown_gives_everything_in_layers_to_a_user() {
    let ohoci = Ohoci::new();
    ohoci.write("work/app/bin/run", "#!/bin/sh\n");
    let base = [
        "compose",
        "--base",
        "scratch",
        "--push",
        "oci:image:1",
        "--layer",
        "app:/srv",
    ];
    let chown = |owner: &'static str| ohoci.run(base.into_iter().chain(["--chown", owner]));
    chown("10001:20").exits(0);
    for (path, uid, gid, _) in owners(&ohoci, "image") {
        assert_eq!((uid, gid), (10001, 20), "{path}");
    }
    let refused = chown("app").exits(1).stderr;
    assert!(refused.contains("scratch has no users"), "{refused}");
    let refused = chown("app user").exits(2).stderr;
    assert!(refused.contains("USER[:GROUP]"), "{refused}");
}

#[test]
fn names_of_owners_are_those_of_the_base() {
    let ohoci = Ohoci::new();
    ohoci.write("work/app/run", "#!/bin/sh\n");
    ohoci.write("work/system/etc/passwd", "app:x:1000:1001::/:/bin/sh\n");
    ohoci.write("work/system/etc/group", "staff:x:50:app\n");
    ohoci
        .run([
            "compose",
            "--base",
            "scratch",
            "--layer",
            "system",
            "--push",
            "oci:base:1",
        ])
        .exits(0);
    let compose = |owner: &str| {
        ohoci.run([
            "compose",
            "--base",
            "oci:base:1",
            "--layer",
            "app:/srv",
            "--chown",
            owner,
            "--push",
            "oci:image:1",
        ])
    };
    for (owner, expected) in [
        ("app", (1000, 1001)),
        ("app:staff", (1000, 50)),
        ("7:staff", (7, 50)),
    ] {
        compose(owner).exits(0);
        let owners = owners(&ohoci, "image");
        let (_, uid, gid, _) = owners.iter().find(|(path, ..)| path == "srv/run").unwrap();
        assert_eq!((*uid, *gid), expected, "{owner}");
    }
    let refused = compose("nobody").exits(1).stderr;
    assert!(refused.contains("no user \"nobody\""), "{refused}");
    assert!(refused.contains("UID[:GID]"), "{refused}");
}

#[test]
fn excludes_are_those_of_dockerignore_and_only_when_asked_for() {
    let ohoci = Ohoci::new();
    for path in [
        ".dockerignore",
        "README.md",
        "NOTES.md",
        "src/main.py",
        "src/main.pyc",
        "web/node_modules/a/index.js",
        "web/node_modules/kept/index.js",
        "web/app.js",
    ] {
        ohoci.write(format!("work/app/{path}"), "x");
    }
    let list = "# notes\n*.md\n!README.md\n**/*.pyc\r\n\n";
    ohoci.write("work/app/.dockerignore", list);
    let compose = |more: &[&str], layout: &str| {
        let push = format!("oci:{layout}:1");
        let base = [
            "compose", "--base", "scratch", "--layer", "app:/app", "--push", &push,
        ];
        ohoci.run(base.into_iter().chain(more.iter().copied()))
    };
    compose(&[], "all").exits(0);
    assert_eq!(paths(&ohoci, "all").len(), 14, "{:?}", paths(&ohoci, "all"));
    compose(
        &[
            "--exclude-from",
            "app/.dockerignore",
            "--exclude",
            "web/node_modules",
            "--exclude",
            "!web/node_modules/kept",
        ],
        "some",
    )
    .exits(0);
    assert_eq!(
        paths(&ohoci, "some"),
        [
            "app/",
            "app/.dockerignore",
            "app/README.md",
            "app/src/",
            "app/src/main.py",
            "app/web/",
            "app/web/app.js",
            "app/web/node_modules/",
            "app/web/node_modules/kept/",
            "app/web/node_modules/kept/index.js",
        ]
    );
    let refused = compose(&["--exclude", "[a"], "x").exits(2).stderr;
    assert!(refused.contains("[a"), "{refused}");
    let useless = ohoci.run([
        "compose",
        "--base",
        "scratch",
        "--env",
        "A=1",
        "--exclude",
        "a",
        "--push",
        "oci:x:1",
    ]);
    assert!(useless.exits(2).stderr.contains("--exclude"));
}
