//! Datasets by name: where Hugging Face's tools leave them on this machine, and what to download where
//! they are not there.
//!
//! Sources: huggingface_hub's documentation, "Understand caching" (`datasets--OWNER--NAME`, `refs`,
//! `snapshots`) and "Environment variables"; the aliases of SWE-bench 5.0.2's command line.

use std::path::{Path, PathBuf};

use super::error::InputError;
use ohoci_config::Environment;
use ohoci_config::environment::{HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, XDG_CACHE_HOME};

/// What upstream's command line calls its datasets.
const ALIASES: [(&str, &str); 5] = [
    ("full", "SWE-bench/SWE-bench"),
    ("lite", "SWE-bench/SWE-bench_Lite"),
    ("verified", "SWE-bench/SWE-bench_Verified"),
    ("multilingual", "SWE-bench/SWE-bench_Multilingual"),
    ("multimodal", "SWE-bench/SWE-bench_Multimodal"),
];

/// The owners under which SWE-bench's datasets are, and were.
const OWNERS: [&str; 2] = ["SWE-bench", "princeton-nlp"];

/// The hub, unless a mirror is set.
const HUB: &str = "https://huggingface.co";

/// A dataset of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    owner: String,
    name: String,
}

impl Name {
    /// What names a dataset: one of upstream's aliases, or `OWNER/NAME`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let full = ALIASES.iter().find(|(alias, _)| *alias == text);
        let (owner, name) = full.map_or(text, |(_, full)| full).split_once('/')?;
        let fits = |part: &str| {
            let is_fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(is_fit)
        };
        (fits(owner) && fits(name)).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The owners to look under, the named one first.
    fn owners(&self) -> Vec<&str> {
        let mut owners = vec![self.owner.as_str()];
        if OWNERS.contains(&self.owner.as_str()) {
            owners.extend(OWNERS.iter().filter(|owner| **owner != self.owner));
        }
        owners
    }
}

/// The files of a split, in order.
pub(super) fn files(
    name: &Name,
    split: &str,
    environment: &Environment,
) -> Result<Vec<PathBuf>, InputError> {
    let hub = hub(environment);
    for owner in name.owners() {
        let Some(hub) = &hub else { break };
        let dataset = hub.join(format!("datasets--{owner}--{}", name.name));
        for snapshot in snapshots(&dataset) {
            let found = of_split(&snapshot, split);
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Err(missing(name, split, hub.as_deref(), environment))
}

/// The files of a split in a directory: `SPLIT.parquet` and its like, in it, in `data` or in a
/// directory of the split's name.
pub(super) fn of_split(directory: &Path, split: &str) -> Vec<PathBuf> {
    let below = [
        directory.to_owned(),
        directory.join("data"),
        directory.join(split),
    ];
    for (place, is_own) in below.iter().zip([false, false, true]) {
        let entries = fs_err::read_dir(place).into_iter().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_own || is_of_split(path, split))
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
            .collect();
        found.sort();
        if !found.is_empty() {
            return found;
        }
        for end in ["jsonl", "json"] {
            let path = place.join(format!("{split}.{end}"));
            if path.is_file() {
                return vec![path];
            }
        }
    }
    Vec::new()
}

/// Whether a file is a split's: `test.parquet`, or one part of it, `test-00000-of-00002.parquet`.
fn is_of_split(path: &Path, split: &str) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let rest = stem.and_then(|stem| stem.strip_prefix(split));
    rest.is_some_and(|rest| {
        let is_part = |c: char| c.is_ascii_digit() || "-of".contains(c);
        rest.is_empty() || (rest.starts_with('-') && rest.chars().all(is_part))
    })
}

/// The states of a dataset that are on this machine, the one that counts first.
fn snapshots(dataset: &Path) -> Vec<PathBuf> {
    let below = dataset.join("snapshots");
    let named = fs_err::read_to_string(dataset.join("refs/main")).ok();
    let named = named.map(|commit| below.join(commit.trim()));
    let entries = fs_err::read_dir(&below).into_iter().flatten();
    let mut others: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| Some(path) != named.as_ref())
        .collect();
    others.sort();
    named.into_iter().chain(others).collect()
}

/// Where Hugging Face's tools keep what they download.
fn hub(environment: &Environment) -> Option<PathBuf> {
    let path = |variable| environment.get(variable).map(PathBuf::from);
    path(HF_HUB_CACHE).or_else(|| {
        let home = path(HF_HOME).or_else(|| {
            let cache = path(XDG_CACHE_HOME).or_else(|| Some(environment.home()?.join(".cache")));
            Some(cache?.join("huggingface"))
        });
        Some(home?.join("hub"))
    })
}

fn missing(name: &Name, split: &str, hub: Option<&Path>, environment: &Environment) -> InputError {
    let Name { owner, name } = name;
    let looked = match hub {
        Some(hub) => format!("its split {split} is not in {}", hub.display()),
        None => "there is no home directory to look for it in".to_owned(),
    };
    let endpoint = environment.get(HF_ENDPOINT);
    let endpoint = endpoint.as_deref().and_then(|endpoint| endpoint.to_str());
    let endpoint = endpoint.unwrap_or(HUB).trim_end_matches('/');
    InputError::new(format!("there is no dataset {owner}/{name} on this machine"), looked).hinted(format!(
        "`hf download --repo-type dataset {owner}/{name}` puts it there (with --token TOKEN where it is not public); \
         or download {endpoint}/datasets/{owner}/{name}/resolve/main/data/{split}-00000-of-00001.parquet and name \
         the file with --dataset-name"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_upstreams_aliases_are_told_from_files() {
        let name = |text| Name::parse(text).map(|name| format!("{}/{}", name.owner, name.name));
        let full = "SWE-bench/SWE-bench_Verified";
        assert_eq!(name("verified").as_deref(), Some(full));
        assert_eq!(name("a/b.c").as_deref(), Some("a/b.c"));
        for text in ["rows", "./rows", "../rows", "/data/rows", "a/b/c", "a/"] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn a_split_is_found_as_the_hub_lays_it_out() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::of([(HF_HOME, home.path().into())]);
        let name = Name::parse("verified").unwrap();
        let error = files(&name, "test", &environment).unwrap_err();
        let error = error.hint().unwrap();
        assert!(error.contains("hf download --repo-type dataset SWE-bench/SWE-bench_Verified"));
        assert!(
            error.contains("/resolve/main/data/test-00000-of-00001.parquet"),
            "{error}"
        );
        let dataset = home
            .path()
            .join("hub/datasets--princeton-nlp--SWE-bench_Verified");
        for (commit, file) in [
            ("old", "test-00000-of-00001.parquet"),
            ("new", "test-00000-of-00002.parquet"),
            ("new", "test-00001-of-00002.parquet"),
            ("new", "test_extra-00000-of-00001.parquet"),
            ("new", "dev-00000-of-00001.parquet"),
        ] {
            let data = dataset.join("snapshots").join(commit).join("data");
            fs_err::create_dir_all(&data).unwrap();
            fs_err::write(data.join(file), "").unwrap();
        }
        fs_err::create_dir_all(dataset.join("refs")).unwrap();
        fs_err::write(dataset.join("refs/main"), "new\n").unwrap();
        let found = files(&name, "test", &environment).unwrap();
        let data = dataset.join("snapshots/new/data");
        let expected = ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"];
        assert_eq!(found, expected.map(|file| data.join(file)));
        assert!(files(&name, "train", &environment).is_err());
    }

    #[test]
    fn the_mirror_is_named_where_there_is_one() {
        let endpoint = (HF_ENDPOINT, "https://mirror.example/".into());
        let environment = Environment::of([endpoint]);
        let name = Name::parse("lite").unwrap();
        let error = files(&name, "test", &environment).unwrap_err();
        let error = error.hint().unwrap();
        let address = "https://mirror.example/datasets/SWE-bench/SWE-bench_Lite/resolve/";
        assert!(error.contains(address), "{error}");
    }
}
