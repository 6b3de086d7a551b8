//! Promises that packages of conda are linked as py-rattler links them, byte by byte, and that each thing that
//! can be wrong with a channel has a message of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ohoci_compose::Unwatched;
use ohoci_conda::repodata::Repodata;
use ohoci_conda::shelf::Shelf;
use ohoci_conda::solve::{ChannelPriority, SolveError, solve};
use ohoci_conda::virtual_package::Target;
use ohoci_config::{Environment, PackageMirrors};
use ohoci_deps::conda::channels::{Channels, Settings};
use ohoci_deps::conda::choice::Choice;
use ohoci_deps::conda::error::{CondaError, CondaErrorKind};
use ohoci_deps::conda::source::CondaSource;
use ohoci_deps::conda::unpacked::LinkedPrefix;
use ohoci_deps::fetch::Fetcher;
use ohoci_node::LayerStore;
use ohoci_store::cache::Cache;
use testbed::file_server::FileServer;

/// What another installer makes of the packages, and the indexer of the channel.
const PEER: &str = "py-rattler==0.28.0";

const SUBDIRS: [&str; 2] = ["linux-64", "noarch"];

/// Frozen lines of an environment.
const FROZEN: [&str; 4] = ["python=3.9.20=0", "zlib=1.0=0", "tool=1.0=0", "after=1.0=0"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/conda")
        .join(name)
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A Python with py-rattler, and a channel that it indexed.
struct Peer {
    directory: tempfile::TempDir,
    python: PathBuf,
}

impl Peer {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = directory.path().join("venv");
        said(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        );
        let python = environment.join("bin/python");
        said(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            PEER,
            "backports.zstd",
        ]));
        let peer = Self { directory, python };
        said(peer.script("channel.py").arg(peer.at("channel")));
        peer
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(fixture(name));
        command
    }

    fn source(&self, channel: &str) -> Result<CondaSource, CondaError> {
        let flags = [channel.to_owned()];
        let environment = Environment::of([]);
        let nothing = PackageMirrors::default();
        let settings = Settings::of_machine(&flags, &environment, &nothing, Path::new("/nothing"));
        Ok(self.source_of(settings.channels(&[])?))
    }

    fn source_of(&self, channels: Channels) -> CondaSource {
        let cache = Arc::new(Cache::new(self.at("cache")));
        CondaSource {
            fetcher: Fetcher::new(cache, Arc::new(Unwatched)),
            channels,
            work_dir: self.directory.path().to_owned(),
            offline: false,
            now: 0,
        }
    }

    /// Links frozen packages of a channel.
    async fn linked(
        &self,
        channel: &str,
        lines: &[&str],
        prefix: &str,
    ) -> Result<LinkedPrefix, CondaError> {
        let source = self.source(channel)?;
        let lists = source.lists(&SUBDIRS).await?;
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let target = Target::oldest("linux-64");
        let choice = source.choose(&[&lines], &lists, &target).await?.remove(0);
        let Choice::Packages(packages) = choice else {
            panic!("{choice:?}");
        };
        let fetched = source.fetch(&packages).await?;
        let store = LayerStore::open(&self.at("store")).unwrap();
        source.link(&fetched, prefix, &store)
    }
}

/// Files by path: links by their targets, others by whether they can be run and their content.
fn files(root: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for child in fs_err::read_dir(directory).unwrap() {
            let path = child.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let kind = fs_err::symlink_metadata(&path).unwrap();
            if name.starts_with("__clobbers__") || name == "CACHEDIR.TAG" {
                continue;
            } else if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                let target = fs_err::read_link(&path).unwrap();
                found.insert(name, (format!("-> {}", target.display()), Vec::new()));
            } else {
                // Who may write is left to a umask there, and here to root.
                let mode = format!("{:o}", kind.permissions().mode() & 0o755);
                found.insert(name, (mode, fs_err::read(&path).unwrap()));
            }
        }
    }
    found
}

/// What a prefix's record says of a package's files: path, type, and digests.
fn recorded(files: &BTreeMap<String, (String, Vec<u8>)>, name: &str) -> Vec<[String; 4]> {
    let (_, content) = &files[&format!("conda-meta/{name}.json")];
    let record: serde_json::Value = serde_json::from_slice(content).unwrap();
    let paths = record["paths_data"]["paths"].as_array().unwrap();
    let keys = ["_path", "path_type", "sha256", "sha256_in_prefix"];
    let entries = paths
        .iter()
        .map(|path| keys.map(|key| path[key].to_string()));
    entries.collect()
}

#[tokio::test]
async fn packages_are_linked_as_another_installer_links_them_and_every_trouble_has_its_message() {
    let peer = Peer::new();
    let channel = peer.at("channel").display().to_string();
    same_files(&peer, &channel).await;
    messages(&peer, &channel).await;
    same_choices(&peer);
    shards(&peer).await;
}

/// Of two made-up channels the same packages are chosen as by py-rattler's solver, or none where it finds none.
fn same_choices(peer: &Peer) {
    let directory = peer.at("questions");
    let questions = said(peer.script("questions.py").arg(&directory));
    let lists: Vec<Vec<Repodata>> = ["one", "two"]
        .iter()
        .map(|channel| {
            let read = |subdir: &&str| {
                let path = directory.join(channel).join(subdir).join("repodata.json");
                Repodata::read(fs_err::read(path).unwrap(), channel, subdir).unwrap()
            };
            SUBDIRS.iter().map(read).collect()
        })
        .collect();
    let mut shelf = Shelf::new(lists.len());
    for (at, lists) in lists.iter().enumerate() {
        for list in lists {
            for number in 0..30 {
                let name = format!("p{number}");
                shelf.add(at, &name, list.packages(&name, &|_| true));
            }
        }
    }
    let target = Target::oldest("linux-64");
    let (mut answered, mut impossible) = (0, 0);
    for line in questions.lines() {
        let question: serde_json::Value = serde_json::from_str(line).unwrap();
        let texts = |key: &str| -> Option<Vec<String>> {
            let texts = question[key].as_array()?.iter();
            Some(
                texts
                    .map(|text| text.as_str().unwrap().to_owned())
                    .collect(),
            )
        };
        let priority = ChannelPriority::parse(question["priority"].as_str().unwrap()).unwrap();
        let found = solve(&texts("specs").unwrap(), &shelf, &target, priority);
        let found = found.map(|packages| {
            let texts = packages.iter().map(|package| package.record.to_string());
            let mut texts: Vec<String> = texts.collect();
            texts.sort();
            texts
        });
        match texts("chosen") {
            Some(expected) => {
                assert_eq!(found.unwrap(), expected, "{line}");
                answered += 1;
            }
            None => {
                assert!(matches!(found, Err(SolveError::Conflict(_))), "{line}");
                impossible += 1;
            }
        }
    }
    assert!(answered > 50 && impossible > 20, "{answered} {impossible}");
}

/// A list in shards that py-rattler made, from a directory and from a server: what is not as its digest says is
/// refused, and what was downloaded is not asked for again.
async fn shards(peer: &Peer) {
    let root = peer.at("sharded");
    said(peer.script("channel.py").arg(&root).arg("shards"));
    let linux = root.join("linux-64");
    for subdir in SUBDIRS {
        for name in ["repodata.json", "repodata.json.zst"] {
            fs_err::remove_file(root.join(subdir).join(name)).unwrap();
        }
    }
    let asked = ["tool".to_owned()];
    let names = |choice: &Choice| -> Vec<String> {
        let Choice::Packages(packages) = choice else {
            panic!("{choice:?}");
        };
        packages
            .iter()
            .map(|package| package.record.to_string())
            .collect()
    };
    let chosen = async |source: &CondaSource| -> Result<Vec<String>, CondaError> {
        let lists = source.lists(&SUBDIRS).await?;
        let target = Target::oldest("linux-64");
        let choices = source.choose(&[&asked], &lists, &target).await?;
        Ok(names(&choices[0]))
    };
    let expected = ["python=3.9.20=0", "tool=1.0=0", "zlib=1.0=0"];
    let here = peer.source(&root.display().to_string()).unwrap();
    assert_eq!(chosen(&here).await.unwrap(), expected);
    let frozen = peer
        .linked(&root.display().to_string(), &FROZEN, "/p")
        .await;
    assert!(frozen.is_ok());

    let mut served = BTreeMap::new();
    for (path, (_, content)) in files(&root) {
        served.insert(format!("c/{path}"), content);
    }
    let server = FileServer::start(served.clone());
    let mut there = peer.source(&format!("{}/c", server.url())).unwrap();
    there.fetcher = Fetcher::new(
        Arc::new(Cache::new(peer.at("other-cache"))),
        Arc::new(Unwatched),
    );
    assert_eq!(chosen(&there).await.unwrap(), expected);
    let asked_for = |ending: &str| {
        let requests = server.take_requests();
        let paths = requests
            .iter()
            .filter(|request| request.path.ends_with(ending));
        paths.count()
    };
    // Those of three names, and not of the channel's others.
    assert_eq!(asked_for(".msgpack.zst"), SUBDIRS.len() + 3);
    assert_eq!(chosen(&there).await.unwrap(), expected);
    there.offline = true;
    assert_eq!(chosen(&there).await.unwrap(), expected);
    assert_eq!(asked_for(""), 0);
    let more = async |source: &CondaSource| {
        let lists = source.lists(&SUBDIRS).await.unwrap();
        let target = Target::oldest("linux-64");
        source
            .choose(&[&["after".to_owned()]], &lists, &target)
            .await
    };
    let error = more(&there).await.unwrap_err();
    assert!(
        error.to_string().contains("nothing may be downloaded"),
        "{error}"
    );
    there.offline = false;
    for (path, content) in &mut served {
        if path.contains("/shards/") {
            content.push(0);
        }
    }
    server.put(served);
    let error = more(&there).await.unwrap_err();
    assert_eq!(error.kind(), CondaErrorKind::WrongDigest);
    assert!(error.to_string().contains("hashes to sha256:"), "{error}");
    // A channel whose index cannot be read is not passed over.
    fs_err::write(linux.join("repodata_shards.msgpack.zst"), "{}").unwrap();
    let error = chosen(&here).await.unwrap_err();
    assert_eq!(error.kind(), CondaErrorKind::Malformed);
}

async fn same_files(peer: &Peer, channel: &str) {
    let theirs = peer.at("theirs");
    let prefix = theirs.display().to_string();
    let url = format!("file://{channel}");
    said(
        peer.script("install.py")
            .args([&url, &prefix])
            .arg(peer.at("their-cache"))
            .args(["python", "tool", "after"]),
    );
    let packages = peer.linked(channel, &FROZEN, &prefix).await.unwrap();
    assert_eq!(packages.unpacked.len(), FROZEN.len());
    let linked = &packages.linked;
    let scripts: Vec<String> = linked
        .scripts
        .iter()
        .map(|script| script.path.to_string())
        .collect();
    assert_eq!(scripts, ["/bin/.after-post-link.sh"]);
    assert_eq!(linked.menus.len(), 1);
    assert_eq!(linked.overwritten.len(), 1);
    let ours = peer.at("ours");
    fs_err::create_dir(&ours).unwrap();
    packages.write(&ours).unwrap();
    let (mut ours_found, mut theirs_found) = (files(&ours), files(&theirs));
    for name in ["python-3.9.20-0", "tool-1.0-0"] {
        assert_eq!(
            recorded(&ours_found, name),
            recorded(&theirs_found, name),
            "{name}"
        );
    }
    let is_record = |name: &String| name.starts_with("conda-meta/");
    assert!(
        ours_found
            .keys()
            .filter(|name| is_record(name))
            .eq(theirs_found.keys().filter(|name| is_record(name)))
    );
    ours_found.retain(|name, _| !is_record(name));
    theirs_found.retain(|name, _| !is_record(name));
    assert!(ours_found.contains_key("bin/tool-2"));
    assert_eq!(ours_found, theirs_found);
    let records = said(peer.script("records.py").arg(&ours));
    assert_eq!(
        records,
        "after 1.0 0 linux-64 channel 3\npython 3.9.20 0 linux-64 channel 4\n\
         tool 1.0 0 noarch channel 6\nzlib 1.0 0 linux-64 channel 4\n"
    );
    // From the cache alone, and the same again.
    fs_err::rename(peer.at("channel/linux-64"), peer.at("channel/away")).unwrap();
    fs_err::create_dir(peer.at("channel/linux-64")).unwrap();
    let list = "channel/linux-64/repodata.json";
    fs_err::copy(peer.at("channel/away/repodata.json"), peer.at(list)).unwrap();
    let again = peer.linked(channel, &FROZEN, &prefix).await.unwrap();
    assert_eq!(again.unpacked, []);
    let second = peer.at("second");
    fs_err::create_dir(&second).unwrap();
    again.write(&second).unwrap();
    assert_eq!(files(&second), files(&ours));
    let inode = |root: &Path, name: &str| fs_err::metadata(root.join(name)).unwrap().ino();
    for (name, is_shared) in [("bin/tool-2", true), ("conda-meta/tool-1.0-0.json", false)] {
        assert_eq!(
            inode(&ours, name) == inode(&second, name),
            is_shared,
            "{name}"
        );
    }
    other_file_system(peer, channel, &prefix, &files(&ours)).await;
    other_prefix(peer, channel).await;
    fs_err::remove_dir_all(peer.at("channel/linux-64")).unwrap();
    fs_err::rename(peer.at("channel/away"), peer.at("channel/linux-64")).unwrap();
}

/// Where no file can have a name in both, files are copied.
async fn other_file_system(
    peer: &Peer,
    channel: &str,
    prefix: &str,
    expected: &BTreeMap<String, (String, Vec<u8>)>,
) {
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs_err::metadata(path).unwrap().dev();
    assert_ne!(device(elsewhere.path()), device(&peer.at("store")));
    let again = peer.linked(channel, &FROZEN, prefix).await.unwrap();
    again.write(elsewhere.path()).unwrap();
    assert_eq!(files(elsewhere.path()), *expected);
}

/// A prefix of another name has files of its own.
async fn other_prefix(peer: &Peer, channel: &str) {
    let other = peer
        .linked(channel, &FROZEN, "/other/prefix")
        .await
        .unwrap();
    assert_eq!(other.unpacked.len(), FROZEN.len());
    let directory = peer.at("other");
    fs_err::create_dir(&directory).unwrap();
    other.write(&directory).unwrap();
    let tool = fs_err::read_to_string(directory.join("bin/tool-2")).unwrap();
    assert!(
        tool.starts_with("#!/other/prefix/bin/python3.9\n"),
        "{tool}"
    );
}

async fn messages(peer: &Peer, channel: &str) {
    let fails = async |channel: &str, line: &str| {
        let error = peer.linked(channel, &[line], "/p").await.unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, text) = fails(channel, "gone=1.0=0").await;
    assert_eq!(kind, CondaErrorKind::Gone);
    assert!(
        text.starts_with("linux-64/gone-1.0-0.conda has left its channel: "),
        "{text}"
    );
    let (kind, text) = fails(channel, "changed=1.0=0").await;
    assert_eq!(kind, CondaErrorKind::WrongDigest);
    assert!(
        text.contains("changed-1.0-0.conda: what it has hashes to sha256:"),
        "{text}"
    );
    let (kind, text) = fails(channel, "escape=1.0=0").await;
    assert_eq!(kind, CondaErrorKind::Malformed);
    assert!(
        text.contains("escape-1.0-0.conda") && text.contains(".."),
        "{text}"
    );
    let (kind, text) = fails("/nowhere/at/all", "a=1=0").await;
    assert_eq!(kind, CondaErrorKind::NoChannel);
    assert!(
        text.starts_with("there is no channel all: /nowhere/at/all/linux-64 has no repodata.json"),
        "{text}"
    );
    let (kind, text) = fails("conda-forge", "a=1=0").await;
    assert_eq!(kind, CondaErrorKind::NoPlace);
    assert_eq!(text, "nothing says where the channel conda-forge is");
    let list = peer.at("channel/noarch/repodata.json.zst");
    fs_err::write(list, "[]").unwrap();
    let (kind, text) = fails(channel, "tool=1.0=0").await;
    assert_eq!(kind, CondaErrorKind::Malformed);
    assert!(
        text.starts_with("the list of channel/noarch: this is no list of conda packages"),
        "{text}"
    );
}
