//! Stacks of small layers.

use super::*;
use crate::tar_write::TarWriter;

fn path(raw: &str) -> LayerPath {
    LayerPath::parse(raw.as_bytes()).unwrap()
}

/// A layer of a few words: `d:x` is a directory, `f:x=content` a file, `l:x=target` a
/// symlink, `h:x=target` a hard link.
fn layer(members: &[&str]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for member in members {
        let (kind, rest) = member.split_once(':').unwrap();
        let (at, value) = rest.split_once('=').unwrap_or((rest, ""));
        let kind = match kind {
            "d" => Kind::Directory,
            "f" => Kind::File(value.len() as u64),
            "l" => Kind::Symlink(value.into()),
            "h" => Kind::Hardlink(path(value)),
            _ => unreachable!("{member}"),
        };
        let entry = Entry::new(kind, 0o640);
        writer
            .append(&path(at), &entry, &mut value.as_bytes())
            .unwrap();
    }
    writer.finish().unwrap()
}

fn flat(prefix: &str, layers: &[&[&str]]) -> Result<Tree, FlattenError> {
    let layers: Vec<_> = layers.iter().map(|members| layer(members)).collect();
    let openers: Vec<Box<OpenLayer<'_>>> = layers
        .iter()
        .map(|bytes| {
            let open = || Ok(Box::new(bytes.as_slice()) as Box<dyn Read>);
            Box::new(open) as Box<OpenLayer<'_>>
        })
        .collect();
    let openers: Vec<_> = openers.iter().map(AsRef::as_ref).collect();
    let spool = tempfile::tempdir().unwrap();
    flatten(
        &openers,
        &path(prefix),
        &Arc::new(Budget::unlimited()),
        spool.path(),
    )
}

/// The tree in the words of [`layer`].
fn words(tree: &Tree) -> Vec<String> {
    let word = |(path, entry): (&LayerPath, &Entry)| match &entry.kind {
        Kind::Directory => format!("d:{path}"),
        Kind::Symlink(target) => format!("l:{path}={}", String::from_utf8_lossy(target)),
        Kind::Hardlink(target) => format!("h:{path}={target}"),
        Kind::File(content) => {
            let mut text = String::new();
            content.open().unwrap().read_to_string(&mut text).unwrap();
            format!("f:{path}={text}")
        }
        other => format!("{other:?}"),
    };
    tree.iter().map(word).collect()
}

fn check(prefix: &str, layers: &[&[&str]], expected: &[&str]) {
    assert_eq!(
        words(&flat(prefix, layers).unwrap()),
        expected,
        "{layers:?}"
    );
}

#[test]
fn later_layers_replace_and_whiteouts_remove() {
    check(
        "/o",
        &[
            &[
                "d:o",
                "f:o/a=1",
                "f:o/b=1",
                "d:o/c",
                "f:o/c/x=1",
                "f:other=1",
            ],
            &["f:o/a=2", "f:o/.wh.b", "f:o/.wh.c", "f:.wh.other"],
        ],
        &["d:/o", "f:/o/a=2"],
    );
    check(
        "/o",
        &[
            &["d:o", "f:o/old=1"],
            &["d:o", "f:o/new=2", "f:o/.wh..wh..opq"],
        ],
        &["d:/o", "f:/o/new=2"],
    );
    check(
        "/o",
        &[
            &["d:o/c", "f:o/c/x=1"],
            &["f:o/c=2"],
            &["d:o/c", "f:o/c/y=3"],
        ],
        &["d:/o", "d:/o/c", "f:/o/c/y=3"],
    );
}

#[test]
fn a_whiteout_spares_its_own_layer() {
    check(
        "/o",
        &[
            &["f:o/a=1", "f:o/b=1"],
            &["f:o/a=2", "f:o/.wh.a", "f:.wh.o"],
        ],
        &["d:/o", "f:/o/a=2"],
    );
    check(
        "/o",
        &[&["f:o/a=1"], &["f:.wh..wh..opq", "f:o/b=2"]],
        &["d:/o", "f:/o/b=2"],
    );
}

#[test]
fn only_the_prefix_is_kept() {
    check(
        "/opt/o",
        &[&["d:opt", "d:opt/o", "f:opt/o/a=1", "f:opt/ob=1", "f:opt/x=1"]],
        &["d:/opt/o", "f:/opt/o/a=1"],
    );
    check(
        "/bin/tool",
        &[&["f:bin/tool=1", "f:bin/tools=1"]],
        &["f:/bin/tool=1"],
    );
    check("/", &[&["d:.", "f:a=1"]], &["f:/a=1"]);
}

#[test]
fn hard_links_keep_the_content_that_they_were_made_for() {
    check(
        "/o",
        &[&["f:o/b=1", "h:o/a=o/b", "h:o/c=o/b"]],
        &["d:/o", "f:/o/a=1", "h:/o/b=/o/a", "h:/o/c=/o/a"],
    );
    check(
        "/o",
        &[
            &["f:o/b=1", "h:o/a=o/b"],
            &["f:o/b=2"],
            &["h:o/c=o/b", "f:o/.wh.b"],
        ],
        &["d:/o", "f:/o/a=1", "f:/o/c=2"],
    );
}

#[test]
fn hard_links_out_of_the_prefix_become_copies() {
    check(
        "/o",
        &[
            &["f:usr/x=1"],
            &["f:usr/x=2", "h:o/a=usr/x", "h:o/b=usr/x"],
            &["f:usr/x=3"],
        ],
        &["d:/o", "f:/o/a=2", "h:/o/b=/o/a"],
    );
    check(
        "/o",
        &[&["f:usr/x=1"], &["h:o/a=usr/x"], &["f:usr/x=3"]],
        &["d:/o", "f:/o/a=1"],
    );
    let gone: &[&[&str]] = &[&["h:o/a=usr/x", "f:o/b=1"], &["f:o/.wh.a"]];
    check("/o", gone, &["d:/o", "f:/o/b=1"]);
}

#[test]
fn in_a_whole_image_things_land_where_symlinks_of_their_layer_lead_and_replace_those_below() {
    check(
        "/",
        &[
            &["d:usr", "l:lib=usr/lib", "f:usr/lib/old=0"],
            &["f:lib/a=1", "h:lib/b=lib/a", "f:lib/.wh.old"],
            &["l:x=/y/../lib/", "f:x/c=3"],
        ],
        &[
            "d:/lib",
            "f:/lib/a=1",
            "h:/lib/b=/lib/a",
            "f:/lib/c=3",
            "d:/usr",
            "d:/usr/lib",
            "f:/usr/lib/old=0",
            "l:/x=/y/../lib/",
        ],
    );
    check(
        "/",
        &[
            &["l:out=../../..", "f:out/etc/a=1"],
            &["l:d=etc", "f:d/.wh..wh..opq"],
        ],
        &["l:/d=etc", "l:/out=../../.."],
    );
    let circle: &[&[&str]] = &[&["l:a=b", "l:b=a", "f:a/c=1"]];
    let error = flat("/", circle).unwrap_err().to_string();
    assert!(error.contains("too many symlinks"), "{error}");
}

#[test]
fn what_has_no_clear_place_is_refused() {
    let cases: [(&[&[&str]], &str); 6] = [
        (&[&["f:x=1"]], "nothing at /o"),
        (&[&["l:o=p"]], "symlink"),
        (&[&["l:o/a=/etc", "f:o/a/b=1"]], "below /o/a"),
        (&[&["h:o/a=o/b"]], "/o/b, which is not there"),
        (&[&["h:o/a=usr/x"]], "not there"),
        (&[&["d:usr", "h:o/a=usr"]], "directory"),
    ];
    for (layers, reason) in cases {
        let error = flat("/o", layers).unwrap_err().to_string();
        assert!(error.contains(reason), "{layers:?}: {error}");
    }
    // In a layer of its own it takes the symlink's place.
    check(
        "/o",
        &[&["l:o/a=/etc"], &["f:o/a/b=1"]],
        &["d:/o", "d:/o/a", "f:/o/a/b=1"],
    );
    let error = flat("/opt/o", &[&["l:opt=usr/opt", "f:usr/opt/o=1"]]).unwrap_err();
    assert!(error.to_string().contains("/opt is a symlink"), "{error}");
}
