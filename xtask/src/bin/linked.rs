//! Links the packages of a frozen environment into a prefix, as `ohoci swebench images` does before it runs anything:
//! `linked CHANNEL CACHE PREFIX FROZEN`. The channel is a directory, FROZEN a file with a line for each package.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ohoci_compose::Unwatched;
use ohoci_conda::virtual_package::Target;
use ohoci_config::{Environment, PackageMirrors};
use ohoci_deps::conda::channels::Settings;
use ohoci_deps::conda::choice::{Choice, subdirs};
use ohoci_deps::conda::source::CondaSource;
use ohoci_deps::fetch::Fetcher;
use ohoci_node::LayerStore;
use ohoci_store::cache::Cache;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [channel, cache, prefix, frozen] = arguments.as_slice() else {
        bail!("linked CHANNEL CACHE PREFIX FROZEN");
    };
    let lines: Vec<String> = fs_err::read_to_string(frozen)?
        .lines()
        .map(str::to_owned)
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(linked(channel, cache, prefix, &lines))
}

async fn linked(channel: &Path, cache: &Path, prefix: &Path, lines: &[String]) -> Result<()> {
    let flags = [channel.display().to_string()];
    let environment = Environment::of([]);
    let mirrors = PackageMirrors::default();
    let settings = Settings::of_machine(&flags, &environment, &mirrors, Path::new("/nothing"));
    fs_err::create_dir_all(cache)?;
    let source = CondaSource {
        fetcher: Fetcher::new(Arc::new(Cache::new(cache)), Arc::new(Unwatched)),
        channels: settings.channels(&[])?,
        work_dir: cache.to_owned(),
        offline: false,
        now: 0,
    };
    let architecture = std::env::consts::ARCH;
    let [subdir, noarch] = subdirs(architecture);
    let lists = source.lists(&[subdir, noarch]).await?;
    let target = Target::oldest(subdir);
    let mut choices = source.choose(&[lines], &lists, &target).await?;
    let Some(Choice::Packages(packages)) = choices.pop() else {
        bail!("the channel does not have all packages");
    };
    let fetched = source.fetch(&packages).await?;
    let text = prefix.to_str().context("the prefix is no UTF-8")?;
    let store = LayerStore::open(&cache.join("unpacked"))?;
    let linked = source.link(&fetched, text, &store)?;
    fs_err::create_dir(prefix)?;
    linked.write(prefix)?;
    Ok(())
}
