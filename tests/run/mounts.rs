//! What of this machine a program sees, by `--mount`, `-v` and `--tmpfs`.

use super::{Scene, image};

#[test]
fn mounts_are_seen_and_written_unless_read_only() {
    let scene = Scene::new(image());
    scene.ohoci.write("work/shared/file", "from outside\n");
    scene.ohoci.write("work/shared/other", "another\n");
    let said = scene.says(
        &["--mount", "shared:/mnt/deep", "--mount", "shared/other:/opt/greeting:ro"],
        "cat /mnt/deep/file /opt/greeting; echo inside > /mnt/deep/new; (echo x > /opt/greeting) 2>/dev/null || echo refused",
    );
    assert_eq!(said, "from outside\nanother\nrefused\n");
    let new = fs_err::read_to_string(scene.ohoci.work().join("shared/new")).unwrap();
    assert_eq!(new, "inside\n");
    let said = scene.says(
        &["--mount", "shared:/mnt:ro"],
        "(echo x > /mnt/new) 2>/dev/null || echo refused",
    );
    assert_eq!(said, "refused\n");
}

#[test]
fn a_volume_is_mounted_as_docker_has_it_and_an_image_s_words_are_its_own() {
    let scene = Scene::new(image());
    let own = scene.ohoci.work().join("own");
    fs_err::create_dir(&own).unwrap();
    fs_err::write(own.join("file"), "seen\n").unwrap();
    let volume = |to: &str| format!("{}:{to}", own.display());
    let said = scene.says(
        &["-v", &volume("/one"), "-e", "A=1", "-v", &volume("/two:ro")],
        "cat /one/file /two/file; echo $A; (echo > /two/new) 2>/dev/null || echo refused",
    );
    assert_eq!(said, "seen\nseen\n1\nrefused\n");
    // Behind the image, it is the program's, and before one it shows requests.
    let words = [
        "run",
        "-v",
        "oci:image",
        "sh",
        "-c",
        "echo $0 $1",
        "-v",
        "/a:/b",
    ];
    let said = scene.ohoci.run(words).exits(0);
    assert_eq!(said.stdout, "-v /a:/b\n");
}

#[test]
fn read_only_means_everything_but_mounts() {
    let scene = Scene::new(image());
    let write =
        "for d in / /tmp /opt /mnt /scratch; do touch $d/x 2>/dev/null && echo $d; done; true";
    fs_err::create_dir(scene.ohoci.work().join("shared")).unwrap();
    let flags = [
        "--read-only",
        "--mount",
        "shared:/mnt",
        "--tmpfs",
        "/scratch",
    ];
    assert_eq!(scene.says(&flags, write), "/mnt\n/scratch\n");
    assert_eq!(scene.says(&[], write), "/\n/tmp\n/opt\n");
}
