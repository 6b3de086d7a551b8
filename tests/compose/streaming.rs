//! Layers that must move stream from registry to registry: bounded memory, no file.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};

use crate::support::images::{Layer, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

/// Size of the layer in bytes: a tar that consists of its end.
const LAYER: usize = 200 << 20;

/// The most memory that moving it may take, in KiB.
const MEMORY: u64 = 80 << 10;

/// The largest file that may be written meanwhile, in KiB.
const FILE: u64 = 1 << 10;

#[test]
fn a_large_layer_passes_through_without_a_file_and_in_little_memory() {
    let from = OhociRegistry::start();
    let to = OhociRegistry::start();
    let bench = Workbench::new(&from.host(), from.peer());
    let base = bare(Family::Oci, vec![])
        .layer(Layer::from_tar(&vec![0; LAYER], Compression::None))
        .build();
    // The registry's repositories are layouts, so nothing has to be sent to fill it.
    base.write_layout(&from.directory().join("base"), "1");
    let target = format!("{}/app:1", to.host());

    let plain = bench.ohoci.command();
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--fsize={}", FILE << 10))
        .arg(plain.get_program())
        .env_clear();
    for (key, value) in plain.get_envs() {
        command.env(key, value.unwrap());
    }
    let child = command
        .current_dir(bench.ohoci.work())
        .args(bench.expand(&[
            "compose", "--base", "@/base:1", "--env", "A=1", "--push", &target,
        ]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let peak = peak_memory(child);
    assert!(peak < MEMORY, "{peak} KiB");

    let layer = base.layers[0].digest.trim_start_matches("sha256:");
    let stored = to.directory().join("app/blobs/sha256").join(layer);
    assert_eq!(fs_err::metadata(stored).unwrap().len(), LAYER as u64);
}

/// Waits for a process, which has to succeed; returns the most memory it was seen to use, in KiB.
fn peak_memory(mut child: Child) -> u64 {
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        // The kernel keeps the peak itself, so that only the last moments can be missed.
        if let Ok(text) = fs_err::read_to_string(&status_file)
            && let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:"))
        {
            let number = line.split_whitespace().nth(1).unwrap();
            peak = peak.max(number.parse().unwrap());
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(status.success(), "{status}: {said}");
    assert!(peak > 0, "nothing was measured");
    peak
}
