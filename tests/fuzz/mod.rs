//! What the fuzz targets run, over a few thousand inputs that are nearly right. The same inputs every
//! time: `cargo fuzz` (see `fuzz/Cargo.toml`) is for finding new ones, and `OHOCI_FUZZ_RUNS` for more
//! of these.

mod corpus;
mod mutation;

#[path = "../../fuzz/bodies/ar.rs"]
mod ar;
#[path = "../../fuzz/bodies/archive.rs"]
mod archive;
#[path = "../../fuzz/bodies/challenge.rs"]
mod challenge;
#[path = "../../fuzz/bodies/conda_match_spec.rs"]
mod conda_match_spec;
#[path = "../../fuzz/bodies/conda_shards.rs"]
mod conda_shards;
#[path = "../../fuzz/bodies/config_patch.rs"]
mod config_patch;
#[path = "../../fuzz/bodies/deb.rs"]
mod deb;
#[path = "../../fuzz/bodies/deb822.rs"]
mod deb822;
#[path = "../../fuzz/bodies/docker_archive.rs"]
mod docker_archive;
#[path = "../../fuzz/bodies/elf_edit.rs"]
mod elf_edit;
#[path = "../../fuzz/bodies/image_config.rs"]
mod image_config;
#[path = "../../fuzz/bodies/index.rs"]
mod index;
#[path = "../../fuzz/bodies/journal.rs"]
mod journal;
#[path = "../../fuzz/bodies/json.rs"]
mod json;
#[path = "../../fuzz/bodies/lock.rs"]
mod lock;
#[path = "../../fuzz/bodies/manifest.rs"]
mod manifest;
#[path = "../../fuzz/bodies/npm_lockfile.rs"]
mod npm_lockfile;
#[path = "../../fuzz/bodies/npm_tarball.rs"]
mod npm_tarball;
#[path = "../../fuzz/bodies/patch_paths.rs"]
mod patch_paths;
#[path = "../../fuzz/bodies/release.rs"]
mod release;
#[path = "../../fuzz/bodies/sdist.rs"]
mod sdist;
#[path = "../../fuzz/bodies/tar_read.rs"]
mod tar_read;
#[path = "../../fuzz/bodies/wheel.rs"]
mod wheel;
#[path = "../../fuzz/bodies/whiteouts.rs"]
mod whiteouts;

use std::path::Path;

use mutation::{Random, mutated};

use crate::deps::python::wheel as wheel_of_pkg;

/// How many inputs each target gets.
const RUNS: usize = 2000;

/// Turns an input into what the target takes: compresses it, say.
type Finish = fn(Vec<u8>) -> Vec<u8>;

/// Gives the target the seeds as they are, which it has to accept, and then changed ones. A panic fails
/// the test, and says where the input is.
fn fuzz(name: &str, body: fn(&[u8]) -> bool, finish: Finish, seeds: &[Vec<u8>]) {
    let runs = std::env::var("OHOCI_FUZZ_RUNS").ok();
    let runs = runs.map_or(RUNS, |runs| runs.parse().unwrap());
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    let mut random = Random::new(name.len() as u64);
    let whole = seeds.iter().map(|seed| seed.to_vec()).collect::<Vec<_>>();
    let changed = (0..runs).map(|_| mutated(&mut random, &seeds));
    for (number, input) in whole.into_iter().chain(changed).enumerate() {
        let input = finish(input);
        match std::panic::catch_unwind(|| body(&input)) {
            Ok(accepted) => assert!(accepted || number >= seeds.len(), "{name}: seed {number}"),
            Err(panic) => {
                let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}"));
                fs_err::write(&at, &input).unwrap();
                eprintln!("the input is in {}", at.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn as_it_is(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn any_bytes_as_a_debian_package() {
    fuzz("ar", ar::run, as_it_is, &corpus::debs());
    fuzz("deb", deb::run, as_it_is, &corpus::debs());
    fuzz(
        "deb-data",
        deb::run,
        corpus::deb_of_data,
        &[corpus::data_tar()],
    );
    let control = [corpus::control_tar()];
    fuzz("deb-control", deb::run, corpus::deb_of_control, &control);
}

#[test]
fn any_text_as_what_a_debian_archive_publishes() {
    fuzz(
        "deb822",
        deb822::run,
        as_it_is,
        &texts(&[corpus::INDEX, corpus::SOURCES]),
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/debian/gnupg");
    let mut seeds = texts(&[
        "Origin: x\nSuite: stable\nCodename: trixie\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
         Valid-Until: Thu, 08 Jan 2026 00:00:00 UTC\nAcquire-By-Hash: yes\nSHA256:\n \
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 12 main/binary-amd64/Packages.xz\n",
    ]);
    for file in ["strong.asc", "both.asc"] {
        seeds.push(fs_err::read(root.join(file)).unwrap());
    }
    fuzz("release", release::run, as_it_is, &seeds);
}

#[test]
fn any_bytes_as_a_python_package() {
    fuzz("wheel", wheel::run, as_it_is, &[wheel_of_pkg()]);
    let sources = [corpus::source(), corpus::poetry_source()];
    fuzz("sdist", sdist::run, corpus::gzip_tar, &sources);
    let compressed = [corpus::gzip(&corpus::source())];
    fuzz("sdist-gzip", sdist::run, as_it_is, &compressed);
}

#[test]
fn any_bytes_as_an_npm_package() {
    let package = [corpus::npm_package()];
    fuzz("npm", npm_tarball::run, corpus::gzip_tar, &package);
    let compressed = [corpus::gzip(&package[0])];
    fuzz("npm-gzip", npm_tarball::run, as_it_is, &compressed);
    let lockfile = texts(&[corpus::NPM_LOCKFILE]);
    fuzz("npm-lockfile", npm_lockfile::run, as_it_is, &lockfile);
}

#[test]
fn any_bytes_as_what_a_channel_of_conda_lists_and_any_text_as_what_is_asked_of_it() {
    let specs = texts(&[
        "numpy >=1.8,<2|==3.* *_openblas",
        "main/linux-64::python=3.6.13=h12debd9_1 # why",
        "a[version='~=1.2', build=*_1, build_number='>=2', md5=\"00ff\", channel=main]",
    ]);
    fuzz("conda-spec", conda_match_spec::run, as_it_is, &specs);
    let lists = [corpus::shard_index(), corpus::shard()];
    fuzz("conda-shards", conda_shards::run, as_it_is, &lists);
}

#[test]
fn any_bytes_as_an_archive() {
    let mut seeds = corpus::zips();
    seeds.push(corpus::tar_with_links());
    seeds.push(corpus::gzip(&corpus::tar_with_links()));
    fuzz("archive", archive::run, as_it_is, &seeds);
    let tars = [corpus::tar_with_links(), corpus::source()];
    fuzz("archive-tar", archive::run, corpus::with_checksums, &tars);
    fuzz("tar", tar_read::run, corpus::with_checksums, &tars);
}

#[test]
fn any_bytes_as_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/elf");
    let mut seeds = Vec::new();
    for (file, kinds) in [("program-amd64", [0, 2]), ("library-arm64", [1, 3])] {
        let bytes = fs_err::read(root.join(file)).unwrap();
        // Its first byte tells the target how to take the rest; 4 is for the loader.
        for kind in kinds.into_iter().chain([4 | kinds[0]]) {
            seeds.push([&[kind], bytes.as_slice()].concat());
        }
    }
    fuzz("elf", elf_edit::run, as_it_is, &seeds);
}

#[test]
fn any_text_as_a_lock() {
    fuzz("lock", lock::run, as_it_is, &texts(&[corpus::LOCK]));
}

#[test]
fn any_bytes_as_what_a_registry_says() {
    let challenges = texts(&[
        "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"a:b:pull,push\"",
        "Basic realm=\"x\", Bearer realm=\"y\\\"z\" , Digest abc==",
    ]);
    fuzz("challenge", challenge::run, as_it_is, &challenges);
    let manifests = texts(&[
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":92},\"layers\":[]}\n{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=b\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}\n{}",
    ]);
    fuzz("manifest", manifest::run, as_it_is, &manifests);
    let patches = texts(&[
        "{\"env\":{\"PATH\":\"/x:${PATH}\",\"B\":\"${C:-d}${E:+f}\"},\"unset_env\":[\"A\"],\"entrypoint\":[\"/a\"],\"exposed_ports\":[\"80/tcp\"],\"labels\":{\"a\":\"b\"},\"user\":\"1:1\"}\n{\"config\":{\"Env\":[\"A=b\",\"PATH=/bin\"],\"Cmd\":[\"x\"],\"ExposedPorts\":{}}}",
    ]);
    fuzz("patch", config_patch::run, as_it_is, &patches);
}

#[test]
fn any_text_as_a_patch() {
    let seeds = texts(&corpus::PATCHES);
    fuzz("patch_paths", patch_paths::run, as_it_is, &seeds);
}

#[test]
fn any_bytes_as_a_document_of_an_image() {
    let configs = texts(&[
        r#"{"architecture":"amd64","os":"linux","created":"2020-01-01T00:00:00Z","config":{"User":"1:1","Env":["A=b"],"Entrypoint":["/a"],"Cmd":null,"Labels":{"a":"1","A":"2","ohoci.patch":"{\"user\":\"0\",\"labels\":{\"x\":null}}","ohoci.intent":"{\"version\":1,\"position\":\"top\",\"layers\":[[\"base\",3]]}"},"Volumes":{"/v":{}},"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"],"Interval":1e9}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x"},{"empty_layer":true}]}"#,
        r#"{"architecture":"arm64","os":"linux","variant":"v8","os.features":["x"],"container_config":{"Labels":null},"rootfs":null}"#,
    ]);
    fuzz("image-config", image_config::run, as_it_is, &configs);
    let indexes = texts(&[
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"annotations":{"org.opencontainers.image.ref.name":"a","A":"","a":""},"platform":{"os":"linux","architecture":"arm","variant":"v7"}},{}],"annotations":{}}"#,
        r#"{"schemaVersion":2,"manifests":null}"#,
    ]);
    fuzz("index", index::run, as_it_is, &indexes);
    let lists = texts(&[
        r#"[{"Config":"c.json","RepoTags":["a:1","b/c:2"],"Layers":["l/layer.tar"],"LayerSources":{"sha256:00":{"mediaType":"x","size":1,"digest":"sha256:00"}}},{"Config":"d","RepoTags":null,"Layers":null,"Parent":"x"}]"#,
        "[]",
    ]);
    fuzz("docker-archive", docker_archive::run, as_it_is, &lists);
    let all = [configs, indexes, lists].concat();
    fuzz("json", json::run, as_it_is, &all);
}

#[test]
fn any_bytes_as_a_journal() {
    let line = r#"{"time":"t","base_image":"b","tags":["r:1"],"error":null,"log_path":null,"status":"built","skip_reason":null,"attempt_count":1,"started_at":"s","finished_at":"f","duration_seconds":0.5,"remote_check_seconds":0.0,"build_seconds":0.25,"post_build_seconds":0.0,"key":"k"}"#;
    let torn = format!(
        "{line}\n{{\"time\n\n{}\n",
        line.replace("\"k\"", "\"other\"")
    );
    fuzz("journal", journal::run, as_it_is, &texts(&[line, &torn]));
}

#[test]
fn any_bytes_as_layers_with_whiteouts() {
    let seeds = [corpus::layers_with_whiteouts()];
    fuzz("whiteouts", whiteouts::run, as_it_is, &seeds);
    fuzz(
        "whiteouts-tar",
        whiteouts::run,
        corpus::with_checksums,
        &seeds,
    );
    let packed = [corpus::gzip(&corpus::layers_with_whiteouts())];
    fuzz("whiteouts-gzip", whiteouts::run, as_it_is, &packed);
}

#[test]
fn every_target_has_a_body_that_is_run_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |directory: &str| -> Vec<String> {
        let entries = fs_err::read_dir(root.join("fuzz").join(directory)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("bodies"), names("fuzz_targets"));
    let here = include_str!("mod.rs");
    let manifest = fs_err::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    for name in names("bodies") {
        let target = name.trim_end_matches(".rs");
        assert!(here.contains(&format!("{target}::run,")), "{target}");
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
    }
}
