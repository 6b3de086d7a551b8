//! Same inputs, same digest: whoever composes, wherever, and however often.

use std::path::Path;

use ohoci_image::media_type::Family;
use serde_json::json;

use crate::support::command::Ohoci;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

/// The same files each time, made in another order.
fn files(root: &Path, reversed: bool) {
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..3 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Compressible, but not trivially so.
            (state >> 28) as u8
        })
        .collect();
    let mut all = vec![
        ("a/one", noise),
        ("a/two", vec![1; 100]),
        ("b/three", vec![]),
    ];
    if reversed {
        all.reverse();
    }
    for (path, content) in all {
        let file = root.join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, content).unwrap();
    }
    std::os::unix::fs::symlink("one", root.join("a/link")).unwrap();
}

#[test]
fn directory_machine_and_moment_leave_no_trace() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Docker);
    bench.push_deps("@/deps:1");
    let host = &bench.host;
    let (base, deps) = (format!("{host}/base:1"), format!("{host}/deps:1"));

    let compose = |reversed: bool, layer: &str, compression: &str, wrapper: &[&str]| {
        let ohoci = Ohoci::new();
        files(&ohoci.work().join("files"), reversed);
        let plain = ohoci.command();
        let layer = layer.replace("{work}", ohoci.work().to_str().unwrap());
        let mut command = std::process::Command::new(wrapper.first().map_or_else(
            || plain.get_program().to_owned(),
            |program| (*program).into(),
        ));
        if let Some((_, rest)) = wrapper.split_first() {
            command.args(rest).arg(plain.get_program());
        }
        command.env_clear();
        for (key, value) in plain.get_envs() {
            command.env(key, value.unwrap());
        }
        if reversed {
            command.env("TZ", "Asia/Tokyo").env("LC_ALL", "C.UTF-8");
        }
        let target = format!("{host}/app:{compression}");
        let output = command
            .current_dir(ohoci.work())
            .args([
                "compose",
                "--base",
                &base,
                "--deps",
                &deps,
                "--layer",
                &layer,
                "--compression",
                compression,
                "--env",
                "B=2",
                "--env",
                "A=1",
                "--label",
                "z=1",
                "--label",
                "y=2",
                "--expose",
                "90",
                "--expose",
                "80",
                "--push",
                &target,
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{wrapper:?}: {text}");
        String::from_utf8(output.stdout).unwrap()
    };
    for compression in ["gzip", "zstd"] {
        let first = compose(false, "files:/own", compression, &[]);
        let umask = ["sh", "-c", "umask 077; exec \"$0\" \"$@\""];
        let one_processor = ["taskset", "-c", "0"];
        for (layer, wrapper) in [
            ("files:/own", &[][..]),
            ("files:/own", &umask),
            ("files:/own", &one_processor),
            ("{work}/files:/own", &[]),
        ] {
            let again = compose(true, layer, compression, wrapper);
            assert_eq!(again, first, "{compression} {layer} {wrapper:?}");
        }
    }
}

#[test]
fn a_project_file_gives_the_same_image_wherever_the_project_lies() {
    let compose = |directory: &str| {
        let ohoci = Ohoci::new();
        ohoci.write(
            format!("work/{directory}/ohoci.toml"),
            "[compose]\nbase = \"scratch\"\nlayer = [\"files:/own\"]\n",
        );
        ohoci.write(format!("work/{directory}/files/a"), "a");
        let output = ohoci
            .command()
            .current_dir(ohoci.work().join(directory))
            .args(["compose", "--dry-run", "--format", "json"])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["digest"].clone()
    };
    assert_eq!(compose("here"), compose("some/where/else"));
}

#[test]
fn a_warm_cache_changes_nothing() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    let arguments = [
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
    ];
    let cold = bench.composed(&arguments);
    let warm = bench.composed(&arguments);
    let none = bench.composed(&[&arguments[..], &["--no-cache"]].concat());
    assert_eq!(warm["status"], json!("unchanged"));
    assert_eq!([&warm["digest"], &none["digest"]], [&cold["digest"]; 2]);
}
