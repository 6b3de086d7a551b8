//! Ways out of the storage, spelt in every way that a path can be spelt in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ohoci_image::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server_conformance::support::{Registry, files};

/// One step up, as it is or in disguise.
const UP: [&str; 18] = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..%2f",
    "..%5c",
    "..\\",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%ef%bc%8e%ef%bc%8e",
    "%u002e%u002e",
    "..;",
    "..%00",
    "..%20",
    "....",
    ".",
    "",
];

/// The answer to one request on a connection of its own.
async fn ask(address: SocketAddr, method: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: registry.example\r\nConnection: close\r\n\
         Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whoever is refused early may see a reset behind the answer.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    (status.unwrap_or(0), answer)
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |name: String| {
        let path = directory.join(name);
        let content = fs_err::read(&path).unwrap();
        (path, content)
    };
    files(directory).into_iter().map(read).collect()
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_the_storage() {
    // A repository beside the storage, which would be served if it were found.
    let place = tempfile::tempdir().unwrap();
    let stranger = Registry::start_in(tempfile::tempdir_in(place.path()).unwrap(), |_| ());
    stranger.push_image("outside", "v1", b"secret").await;
    let outside = stranger.directory.path().file_name().unwrap();
    let outside = format!("{}/outside", outside.to_str().unwrap());
    let registry = Registry::start_in(tempfile::tempdir_in(place.path()).unwrap(), |_| ());
    registry.push_image("a", "v1", b"layer").await;
    let before = contents(place.path());

    let secret = Digest::of(b"secret");
    let mut asked = 0;
    for up in UP {
        for target in [
            format!("/v2/{up}/{outside}/manifests/v1"),
            format!("/v2/{up}{outside}/tags/list"),
            format!("/v2/a/{up}/{up}/{outside}/manifests/v1"),
            format!("/v2/a/manifests/{up}%2f{up}%2f{outside}%2findex.json"),
            format!("/v2/a/manifests/{up}/{up}/{outside}/index.json"),
            format!("/v2/a/blobs/sha256:{up}%2f{up}%2f{up}%2f{outside}%2findex.json"),
            format!(
                "/v2/a/blobs/{up}/{up}/{outside}/blobs/sha256/{}",
                secret.hex()
            ),
            format!("/v2/a/blobs/uploads/{up}%2f{up}%2f{outside}%2findex.json"),
            format!("/v2/a/blobs/uploads/{up}/{up}/{outside}/index.json"),
            format!("/v2/a/referrers/sha256:{up}%2f{up}%2f{outside}"),
            format!("/v2/a/blobs/uploads/?mount={secret}&from={up}/{outside}"),
            format!("/v2/a/blobs/uploads/?digest=sha256:{up}/{up}/{outside}/index.json"),
        ] {
            for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
                let (status, answer) = ask(registry.address, method, &target).await;
                // What cannot be mounted becomes an upload.
                let upload = status == 202 && method == "POST" && target.contains("mount=");
                let refused = (400..500).contains(&status);
                assert!(upload || refused, "{method} {target}: {answer}");
                assert!(
                    !answer.contains("\"manifests\""),
                    "{method} {target}: {answer}"
                );
                asked += 1;
            }
        }
    }
    assert!(asked >= 88);
    let mut after = contents(place.path());
    after.retain(|path, _| !path.starts_with(registry.directory.path().join(".uploads")));
    let lock = registry.directory.path().join(".uploads/lock");
    after.insert(lock, Vec::new());
    assert_eq!(after, before);
    registry.get("/v2/a/manifests/v1").await.is(200);
}
