//! What git knows of an image's files when an evaluation begins.

use std::fmt::Write as _;

use serde_json::Value;

use super::scene::{ID, Scene};

/// Has every shell of an evaluation note, before the first `git diff`, how many files git would have to
/// read to tell whether they have changed.
const COUNT: &str = r#"git() {
  if [[ " $* " == *" diff "* && ! -e /stale ]]; then
    mapfile -t stale < <(command git -c 'safe.directory=*' diff-files --name-only)
    echo "${#stale[@]}" > /stale
  fi
  command git "$@"
}
"#;

#[test]
fn git_reads_no_file_again_that_is_as_it_was_committed() {
    let many: Vec<(String, String)> = (0..500)
        .map(|number| {
            let mut text = String::new();
            for line in 0..20 {
                let _ = writeln!(text, "{number} {line}");
            }
            (format!("many/file-{number:03}.txt"), text)
        })
        .collect();
    let mut files: Vec<(&str, &str)> = vec![("/count.sh", COUNT)];
    files.extend(many.iter().map(|(path, text)| (&**path, &**text)));
    let scene = Scene::with(&files);
    let row = scene.row_testing("echo \"stale $(</stale)\"; bash run_tests.sh");
    scene.dataset(&[row]);
    let adjustments = || {
        let list = ["store", "list", "--format", "json"];
        let list = scene.ohoci.run(list).exits(0).stdout;
        let kept: Vec<Value> = serde_json::from_str(&list).unwrap();
        let kept = kept.into_iter().filter(|kept| kept["kind"] != "layer");
        kept.count()
    };
    let mut kept = Vec::new();
    for level in ["env", "instance", "instance"] {
        let flags = ["--env", "BASH_ENV=/count.sh", "--fresh"];
        let flags = [&flags[..], &["--cache_level", level]].concat();
        scene.run("gold", &flags).exits(0);
        let log = scene.file("gold", "run_instance.log");
        if !log.contains(", overlay)") {
            // Without the kernel's overlay files have other inodes every time.
            return;
        }
        assert!(log.contains("-  echo \"hello $1\""), "{ID}: {log}");
        // The file that the patch has changed.
        let output = scene.file("gold", "test_output.txt");
        assert!(output.contains("\nstale 1\n"), "{output}");
        kept.push(adjustments());
    }
    assert_eq!(kept[0], 0, "it goes with the layers");
    assert!(kept[1] > 0);
    assert_eq!(kept[1], kept[2], "it is made once");
}
