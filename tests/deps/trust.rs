//! What a mirror serves counts only with a signature, in its time, and as the signature says.

use testbed::debian::Key;
use testbed::debian::key::SignatureSettings;
use testbed::file_server::FileServer;

use super::hostile::written;
use super::{Project, SIGNED, archive};

/// What `deps lock` complains about, with the mirror's port taken out.
#[track_caller]
fn complaint(project: &Project) -> String {
    let root = project.ohoci.work().join("..");
    let before = written(&root);
    let (stdout, stderr) = project.deps(1, &["lock", "layers/core.toml"]);
    assert_eq!(stdout, "");
    assert_eq!(written(&root), before, "{stderr}");
    let url = project.mirror.url();
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    stderr.replace(host, "MIRROR")
}

#[test]
fn a_release_that_another_key_signed_is_refused() {
    let project = Project::new();
    let other = Key::new(2, SIGNED - 1000);
    project.ohoci.write("work/layers/key.gpg", other.public());
    let stderr = complaint(&project);
    assert!(
        stderr.contains("no mirror has trixie in a form that can be trusted: MIRROR: InRelease: the signature by key"),
        "{stderr}"
    );
    assert!(
        stderr.contains("is by a key that is not in the keyring"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: mirrors come from apt's configuration"),
        "{stderr}"
    );

    project.ohoci.write("work/layers/key.gpg", "no key");
    assert!(complaint(&project).contains("key.gpg: there are no OpenPGP keys in it"));
}

#[test]
fn a_release_that_was_changed_is_refused() {
    let project = Project::new();
    let mut files = archive().files(&project.key, SignatureSettings::at(SIGNED));
    let release = files.get_mut("dists/trixie/InRelease").unwrap();
    let text = String::from_utf8(release.clone()).unwrap();
    *release = text.replace("Origin: Test", "Origin: Evil").into_bytes();
    project.mirror.put(files);
    assert!(complaint(&project).contains("is wrong: the text is not what was signed"));
}

#[test]
fn a_release_counts_for_its_time_and_its_name() {
    let project = Project::new();
    project.publish(&archive().field("Valid-Until", "Fri, 02 Jan 2026 00:00:00 UTC"));
    assert!(complaint(&project).contains("counted until 2026-01-02T00:00:00Z"));
    project.publish(&archive().date("Thu, 01 Jan 2099 00:00:00 UTC"));
    assert!(complaint(&project).contains("which is in the future"));

    let project = Project::new();
    let files = archive().files(&project.key, SignatureSettings::at(SIGNED));
    let release = files["dists/trixie/InRelease"].clone();
    project
        .mirror
        .put([("dists/sid/InRelease".to_owned(), release)].into());
    let text = project.ohoci.work().join("layers/core.toml");
    let recipe = fs_err::read_to_string(&text)
        .unwrap()
        .replace("trixie", "sid");
    fs_err::write(&text, recipe).unwrap();
    assert!(
        complaint(&project).contains("it is the release of test, also called trixie, not of sid")
    );
}

#[test]
fn an_index_that_is_not_the_releases_is_refused() {
    let project = Project::new();
    let files = archive().files(&project.key, SignatureSettings::at(SIGNED));
    let indexes = files
        .iter()
        .filter(|(path, _)| path.contains("binary-arm64"));
    let changed = indexes.map(|(path, content)| {
        let mut content = content.clone();
        *content.last_mut().unwrap() ^= 1;
        (path.clone(), content)
    });
    project.mirror.put(changed.collect());
    let stderr = complaint(&project);
    assert!(stderr.contains("what it has hashes to"), "{stderr}");
}

#[test]
fn every_mirror_is_asked_and_each_says_why_not() {
    let project = Project::new();
    let empty = FileServer::start([].into());
    let (bad, good) = (empty.url(), project.mirror.url());
    project.configure(&format!(
        "[mirrors]\ndebian = [\"{bad}\", \"http://127.0.0.1:1/\", \"{good}\"]\n"
    ));
    project.locked();
    assert_eq!(empty.take_requests().len(), 1);

    let project = Project::new();
    project.configure(&format!("[mirrors]\ndebian = [\"{bad}\"]\n"));
    let stderr = complaint(&project);
    assert!(stderr.contains("404 Not Found"), "{stderr}");
}
