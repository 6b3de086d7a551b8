//! Stacks of small layers, seen through the store and as flattening them says.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rustix::fs::{FileType, readlinkat};

use ohoci_compose::compose::ImageLayer;
use ohoci_image::Digest;
use ohoci_layer::limits::Budget;
use ohoci_layer::tar_write::TarWriter;
use ohoci_layer::{Entry, Kind, LayerPath, OpenLayer, flatten_checked};
use ohoci_sandbox::merged::{Merged, Node, child, names_in};
use ohoci_store::Error;

use super::*;

fn path(raw: &str) -> LayerPath {
    LayerPath::parse(raw.as_bytes()).unwrap()
}

/// A layer of a few words, each with its own date: `d:x` is a directory, `f:x` a file, `l:x=target` a
/// symlink, `h:x=target` a hard link, `w:d/x` a whiteout, `o:d` an opaque directory, `c:x` a device.
fn layer(number: usize, members: &[String]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (position, member) in members.iter().enumerate() {
        let (kind, rest) = member.split_once(':').unwrap();
        let (at, value) = rest.split_once('=').unwrap_or((rest, ""));
        let content = format!("{number} {position}");
        let mut at = at.to_owned();
        let mut mode = [0o755, 0o700, 0o1777, 0o750][position % 4];
        let kind = match kind {
            "d" => Kind::Directory,
            "f" => {
                mode = [0o644, 0o600, 0o755][position % 3];
                Kind::File(content.len() as u64)
            }
            "l" => Kind::Symlink(value.into()),
            "h" => Kind::Hardlink(path(value)),
            "p" => Kind::Fifo,
            "c" => Kind::CharDevice(ohoci_layer::Device { major: 1, minor: 3 }),
            "w" | "o" => {
                let (above, name) = match kind {
                    "w" => at.rsplit_once('/').unwrap_or(("", &at)),
                    _ => (at.as_str(), ".wh..opq"),
                };
                at = format!("{above}/.wh.{name}");
                Kind::File(0)
            }
            _ => unreachable!("{member}"),
        };
        let mut entry = Entry::new(kind, mode);
        entry.mtime = i64::try_from(1_000_000 + number * 1000 + position).unwrap();
        let mut input: &[u8] = match entry.kind {
            Kind::File(0) => b"",
            _ => content.as_bytes(),
        };
        writer.append(&path(&at), &entry, &mut input).unwrap();
    }
    writer.finish().unwrap()
}

fn layers(stack: &[Vec<String>]) -> Vec<Vec<u8>> {
    let layers = stack.iter().enumerate();
    layers
        .map(|(number, members)| layer(number, members))
        .collect()
}

fn words(stack: &[&[&str]]) -> Vec<Vec<String>> {
    let owned = |members: &&[&str]| members.iter().map(ToString::to_string).collect();
    stack.iter().map(owned).collect()
}

fn image_layers(layers: &[Vec<u8>]) -> Vec<ImageLayer> {
    layers
        .iter()
        .map(|tar| ImageLayer {
            diff_id: Digest::of(tar),
            body: Arc::new(Bytes::from(tar.clone())),
            size: u64::try_from(tar.len()).unwrap(),
        })
        .collect()
}

fn kept(store: &LayerStore, layers: &[Vec<u8>]) -> Result<Stack, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(keep(store, image_layers(layers), "cannot unpack the image"))
}

/// One line for everything in a stack.
fn seen(stack: &Stack) -> Vec<String> {
    let merged = Merged::open(stack.directories().iter().cloned()).unwrap();
    let Node::Directory(root) = merged.find(Path::new("/")).unwrap() else {
        unreachable!();
    };
    let mut all = Vec::new();
    look(&root, Path::new(""), &mut all);
    all.sort();
    all
}

fn look(stack: &[Arc<OwnedFd>], at: &Path, all: &mut Vec<String>) {
    for name in names_in(stack).unwrap() {
        let Some(node) = child(stack, &name).unwrap() else {
            continue;
        };
        let path = at.join(&name);
        let stat = node.stat().unwrap();
        let what = match &node {
            Node::Directory(stack) => {
                look(stack, &path, all);
                "directory".to_owned()
            }
            Node::Other { holder, name, .. } => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    let target = readlinkat(holder, name, Vec::new()).unwrap();
                    format!("link to {}", target.to_string_lossy())
                }
                FileType::Fifo => "pipe".to_owned(),
                _ => {
                    let mut text = String::new();
                    std::fs::File::from(node.open().unwrap())
                        .read_to_string(&mut text)
                        .unwrap();
                    text
                }
            },
        };
        let mode = match what.starts_with("link") {
            true => 0,
            false => stat.st_mode & 0o7777,
        };
        all.push(format!(
            "{}: {what} {mode:o} {}",
            path.display(),
            stat.st_mtime
        ));
    }
}

/// The same, as flattening the layers says.
fn flattened(layers: &[Vec<u8>]) -> Option<Vec<String>> {
    let open: Vec<Box<OpenLayer<'_>>> = layers
        .iter()
        .map(|bytes| {
            let open = || Ok(Box::new(bytes.as_slice()) as Box<dyn std::io::Read>);
            Box::new(open) as Box<OpenLayer<'_>>
        })
        .collect();
    let open: Vec<_> = open.iter().map(AsRef::as_ref).collect();
    let diff_ids: Vec<_> = layers.iter().map(|tar| Digest::of(tar)).collect();
    let spool = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::unlimited());
    let tree = flatten_checked(&open, &diff_ids, &LayerPath::root(), &budget, spool.path());
    let tree = match tree {
        Ok(tree) => tree,
        Err(ohoci_layer::FlattenError::NotFound { .. }) => return Some(Vec::new()),
        Err(_) => return None,
    };
    let mut all = Vec::new();
    for (path, entry) in &tree {
        let entry = match &entry.kind {
            Kind::Hardlink(target) => tree.get(target).unwrap(),
            _ => entry,
        };
        let what = match &entry.kind {
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink(target) => format!("link to {}", String::from_utf8_lossy(target)),
            Kind::Fifo => "pipe".to_owned(),
            Kind::File(content) => std::io::read_to_string(content.open().unwrap()).unwrap(),
            _ => continue,
        };
        let mode = match what.starts_with("link") {
            true => 0,
            false => entry.mode & 0o1777,
        };
        let at = String::from_utf8_lossy(path.as_bytes());
        all.push(format!("{at}: {what} {mode:o} {}", entry.mtime));
    }
    all.sort();
    Some(all)
}

/// A member; a whiteout with the directory that it is in. Unpacking would make that, and flattening
/// alone does not.
fn members() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let place = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let kind = prop::sample::select(vec!["d", "d", "f", "f", "l", "h", "w", "o", "p"]);
    (kind, place.clone(), place).prop_map(|(kind, at, target)| match kind {
        "l" => vec![format!("l:{at}=/{target}")],
        "h" => vec![format!("h:{at}={target}")],
        "o" => vec![format!("d:{at}"), format!("o:{at}")],
        "w" => {
            let above = at.rsplit_once('/').map(|(above, _)| format!("d:{above}"));
            above.into_iter().chain([format!("w:{at}")]).collect()
        }
        _ => vec![format!("{kind}:{at}")],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_stack_shows_what_its_layers_come_to(
        stack in prop::collection::vec(prop::collection::vec(members(), 0..6), 1..5),
        again in prop::option::of(0..4_usize),
    ) {
        let stack: Vec<Vec<String>> = stack.into_iter().map(|members| members.concat()).collect();
        let mut layers = layers(&stack);
        // Some images have a layer twice.
        layers.extend(again.and_then(|at| layers.get(at).cloned()));
        let scratch = tempfile::tempdir().unwrap();
        let store = LayerStore::open(scratch.path()).unwrap();
        let kept = kept(&store, &layers);
        match (flattened(&layers), kept) {
            (Some(expected), Ok(kept)) => {
                let mut seen = seen(&kept);
                // What only a whiteout implied, and flattening forgets with it.
                seen.retain(|line| {
                    expected.contains(line) || !line.ends_with(": directory 755 0")
                });
                prop_assert_eq!(seen, expected);
            }
            (None, Err(_)) => {}
            (None, Ok(_)) => {}
            (Some(_), Err(error)) => {
                return Err(TestCaseError::fail(format!("{}: {}", error.what(), error.why())));
            }
        }
    }
}

#[test]
fn traps_look_as_they_do_when_the_layers_are_flattened() {
    let all = words(&[
        &[
            "d:etc",
            "f:etc/old",
            "d:tmp",
            "f:opaque/gone",
            "d:file",
            "f:file/x",
            "f:dir",
            "l:lib=usr/lib",
        ],
        &[
            "w:etc/old",
            "f:etc/new",
            "o:opaque",
            "f:opaque/here",
            "f:file",
            "d:dir",
            "f:dir/y",
        ],
        &[
            "f:tmp/implied",
            "h:linked=etc/new",
            "h:lib/behind=etc/new",
            "p:pipe",
        ],
        &["d:etc", "f:etc/new", "w:linked", "d:file"],
    ]);
    let layers = layers(&all);
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let stack = kept(&store, &layers).unwrap();
    assert_eq!(seen(&stack), flattened(&layers).unwrap());
}

#[test]
fn a_layer_that_two_images_have_is_there_once_and_one_that_an_image_has_twice_is_no_trouble() {
    let all = words(&[&["f:a/x"], &["f:a/y"], &["d:a"]]);
    let layers = layers(&all);
    let [one, two, three] = layers.as_slice() else {
        unreachable!();
    };
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let first = kept(&store, &[one.clone(), two.clone()]).unwrap();
    let second = [one, three, two, one].map(Clone::clone);
    let twice = kept(&store, &second).unwrap();
    assert_eq!(store.usage().unwrap().layers, 3);
    assert_eq!(seen(&twice), flattened(&second).unwrap());
    assert!(
        first
            .directories()
            .iter()
            .any(|directory| twice.contains(directory))
    );
}

#[test]
fn what_stands_between_a_layer_and_itself_may_need_the_lower_one() {
    let all = words(&[&["d:a", "f:a/x"], &["f:a/y", "h:a/z=a/x"]]);
    let mut layers = layers(&all);
    layers.push(layers[0].clone());
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let stack = kept(&store, &layers).unwrap();
    assert_eq!(seen(&stack), flattened(&layers).unwrap());
    // The layer, what the other needs over it, and the other.
    assert_eq!(stack.directories().len(), 3);
}

#[test]
fn what_is_in_use_stays_and_the_rest_goes_by_its_age() {
    let all = words(&[&["f:a"], &["f:b"], &["f:c"]]);
    let layers = layers(&all);
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let used = kept(&store, &layers[..1]).unwrap();
    drop(kept(&store, &layers[1..]).unwrap());
    let latest = store.list().unwrap()[0].last_used;
    let hour = Duration::from_secs(3600);
    let pruned = store.prune(Retention::UsedSince(latest - hour)).unwrap();
    assert_eq!(pruned, Pruned::default());
    let pruned = store.prune(Retention::UsedSince(latest + hour)).unwrap();
    assert_eq!((pruned.layers, pruned.bytes), (2, 8192));
    assert_eq!(pruned.bytes_in_use, 4096);
    assert_eq!(store.usage().unwrap().bytes_in_use, 4096);
    drop(used);
    let pruned = store.prune(Retention::Bytes(4096)).unwrap();
    assert_eq!(pruned.layers, 0);
    assert_eq!(store.prune(Retention::Nothing).unwrap().layers, 1);
    assert_eq!(store.list().unwrap(), []);
    let locks = fs_err::read_dir(store.path().join("locks")).unwrap();
    assert_eq!(locks.count(), 0);
    // What was removed is unpacked again.
    assert_eq!(seen(&kept(&store, &layers).unwrap()).len(), 3);
}

#[test]
fn damage_is_seen_and_repaired() {
    let damages: [fn(&Path); 6] = [
        |files| fs_err::write(files.join("a"), "0 9").unwrap(),
        |files| fs_err::write(files.join("a"), "").unwrap(),
        |files| fs_err::remove_file(files.join("d/b")).unwrap(),
        |files| fs_err::write(files.join("more"), "").unwrap(),
        |files| {
            fs_err::remove_file(files.join("l")).unwrap();
            fs_err::os::unix::fs::symlink("b", files.join("l")).unwrap();
        },
        |files| {
            let mode = std::fs::Permissions::from_mode(0o711);
            fs_err::set_permissions(files.join("d"), mode).unwrap();
        },
    ];
    let layers = layers(&words(&[&["f:a", "d:d", "f:d/b", "w:gone", "l:l=a"]]));
    for damage in damages {
        let scratch = tempfile::tempdir().unwrap();
        let store = LayerStore::open(scratch.path()).unwrap();
        let stack = kept(&store, &layers).unwrap();
        let files = stack.directories()[0].clone();
        let verify = |repairs| store.verify(repairs, &mut |_| ()).unwrap();
        assert_eq!(verify(true)[0].damage, Vec::<String>::new());
        damage(&files);
        let found = &verify(true)[0];
        assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
        assert!(!found.removed, "it is in use");
        drop(stack);
        assert!(!verify(false)[0].removed);
        assert!(verify(true)[0].removed);
        let stack = kept(&store, &layers).unwrap();
        assert_eq!(seen(&stack), flattened(&layers).unwrap());
        assert!(verify(false)[0].damage.is_empty());
    }
}

#[test]
fn layers_that_are_not_what_they_should_be_leave_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let good = layers(&words(&[&["f:a"]]));
    let mut cut = good[0].clone();
    cut.truncate(700);
    for (tar, expected) in [
        (cut, "tar"),
        (b"no tar at all".repeat(100), "tar"),
        (layers(&words(&[&["f:a", "f:a/b"]])).remove(0), "below"),
        (layers(&words(&[&["h:a=b"]])).remove(0), "is not there"),
        (layers(&words(&[&["d:d", "h:a=d"]])).remove(0), "directory"),
    ] {
        let error = kept(&store, &[tar]).unwrap_err();
        assert!(error.why().contains(expected), "{}", error.why());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lying = ImageLayer {
        diff_id: Digest::of(b"other"),
        body: Arc::new(Bytes::from(good[0].clone())),
        size: 0,
    };
    let error = runtime
        .block_on(keep(&store, vec![lying], "cannot unpack"))
        .unwrap_err();
    assert!(error.why().contains("diff ID"), "{}", error.why());
    // A layer alone may be kept whose link leads nowhere: another image may have what it leads to.
    let layers_left: Vec<PathBuf> = fs_err::read_dir(store.path().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(layers_left.len(), 1, "{layers_left:?}");
    let unfinished = fs_err::read_dir(store.path().join("unfinished")).unwrap();
    assert_eq!(unfinished.count(), 0);
}

#[test]
fn nothing_in_a_layer_speaks_to_the_kernel() {
    let mut writer = TarWriter::new(Vec::new());
    let mut directory = Entry::new(Kind::Directory, 0o755);
    directory
        .xattrs
        .insert(b"user.overlay.opaque".to_vec(), b"y".to_vec());
    directory
        .xattrs
        .insert(b"user.mine".to_vec(), b"1".to_vec());
    writer
        .append(&path("d"), &directory, &mut std::io::empty())
        .unwrap();
    let program = Entry::new(Kind::File(0), 0o6755);
    writer
        .append(&path("d/p"), &program, &mut std::io::empty())
        .unwrap();
    let tar = writer.finish().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let below = layers(&words(&[&["f:d/below", "c:null"]])).remove(0);
    let stack = kept(&store, &[below, tar]).unwrap();
    let expected = ["d/below", "d/p", "d"];
    let seen = seen(&stack);
    let names: Vec<_> = seen
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, expected);
    let top = &stack.directories()[0];
    let mode = fs_err::metadata(top.join("d/p")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    let mut value = [0; 4];
    let own = rustix::fs::getxattr(top.join("d"), "user.mine", &mut value[..]);
    assert_eq!(own.unwrap(), 1);
    assert!(top.as_os_str().as_bytes().starts_with(b"/"));
}

#[test]
fn processes_that_want_the_same_layer_unpack_it_once() {
    let layers = layers(&words(&[&["f:a", "f:b"], &["f:c"]]));
    let scratch = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let run = || {
            // Each opens it, as a process of its own would.
            let store = LayerStore::open(scratch.path()).unwrap();
            seen(&kept(&store, &layers).unwrap()).len()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), 3);
        }
    });
    let store = LayerStore::open(scratch.path()).unwrap();
    assert_eq!(store.usage().unwrap().layers, 2);
}

#[test]
fn what_a_killed_process_left_goes_with_the_next_and_a_store_of_another_version_is_made_anew() {
    let layers = layers(&words(&[&["f:a"]]));
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let stack = kept(&store, &layers).unwrap();
    let place = stack.directories()[0].parent().unwrap().to_owned();
    drop(stack);
    fs_err::write(place.join("layer.json"), "{\"version\":0}").unwrap();
    fs_err::write(place.join("files/a"), "old").unwrap();
    let stack = kept(&store, &layers).unwrap();
    assert_eq!(seen(&stack), flattened(&layers).unwrap());
}

#[test]
fn what_was_made_from_files_stands_over_them_until_they_are_unpacked_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let store = LayerStore::open(scratch.path()).unwrap();
    let layers = layers(&words(&[&["f:b", "d:a", "f:a/x"], &["f:c"]]));
    let stack = kept(&store, &layers).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let asked = |stack: &Stack, name| runtime.block_on(store.addition(stack, name)).unwrap();
    let missing = |stack: &Stack, name| match asked(stack, name) {
        Added::Missing(adding) => adding,
        Added::There(there) => panic!("{there:?}"),
    };
    let file = AddedFile {
        path: path("a/made"),
        content: b"made".to_vec(),
        mode: 0o640,
    };
    let made = missing(&stack, "one").keep(&store, Some(&file)).unwrap();
    let over = made.directory().unwrap();
    assert_eq!(fs_err::read(over.join("a/made")).unwrap(), b"made");
    let merged = Merged::open(stack.directories().iter().cloned()).unwrap();
    let below = merged.find(Path::new("/a")).unwrap().stat().unwrap();
    let above = fs_err::metadata(over.join("a")).unwrap();
    assert_eq!(above.mode(), below.st_mode);
    assert_eq!(above.mtime(), below.st_mtime);
    drop(made);
    assert!(matches!(asked(&stack, "one"), Added::There(_)));
    let nothing = missing(&stack, "two").keep(&store, None).unwrap();
    assert_eq!(nothing.directory(), None);
    let verified = store.verify(false, &mut |_| {}).unwrap();
    assert!(verified.iter().all(|kept| kept.damage.is_empty()));
    nothing.remove(&store).unwrap();
    drop(missing(&stack, "two"));

    let diff_ids = stack.diff_ids().to_vec();
    drop(stack);
    store.remove(crate::Kind::Layer, &diff_ids).unwrap();
    let stack = kept(&store, &layers).unwrap();
    drop(missing(&stack, "one"));
}
