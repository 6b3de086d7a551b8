//! Shards of a run for a scheduler of other machines: a job array for Slurm, an Indexed Job for
//! Kubernetes. Shards leave their files in one folder, which all of them see, or a registry carries
//! them.

mod kubernetes;
mod slurm;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use kubernetes::Cluster;
use ohoci_layout::staged;
pub use slurm::{Submitted, submit, submit_both};

/// One of the parts that a run is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

/// Why text names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shard; write INDEX/COUNT, with an index from 0 to below the count")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let read = || {
            let (index, of) = text.split_once('/')?;
            let shard = Self {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            };
            (shard.index < shard.of).then_some(shard)
        };
        read().ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl Shard {
    /// Whether an instance is part of it, by its place in the dataset. Neighbours are of the same
    /// repository mostly, and take alike long: they go to different shards.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        place % self.of == self.index
    }
}

/// What shards have in common.
#[derive(Clone, Debug)]
pub struct Shards<'a> {
    /// What the scheduler calls them.
    pub name: &'a str,
    /// What the file that starts them is called, without what says its kind.
    pub file: &'a str,
    /// What the log of each begins with; its index follows.
    pub log: &'a str,
    /// How many there are.
    pub count: usize,
    /// How many run at once; `None` for as many as the scheduler lets.
    pub at_once: Option<usize>,
    /// The command line of one, without the shard.
    pub command: &'a [String],
    /// The directory that it is started in.
    pub directory: &'a str,
}

/// A scheduler, and what it needs to know beside the shards.
#[derive(Clone, Debug)]
pub enum Scheduler {
    /// Slurm.
    Slurm {
        /// Lines for `#SBATCH`.
        options: Vec<String>,
    },
    /// Kubernetes.
    Kubernetes(Cluster),
}

/// How shards are handed to a scheduler.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// How many shards there are, or each stage has, unless there is less to do.
    pub shards: usize,
    /// How many run at once; `None` for as many as the scheduler lets.
    pub at_once: Option<usize>,
    /// The command line of a shard, without what says which it is.
    pub command: Vec<String>,
    /// The directory that it is started in.
    pub directory: String,
    /// Whether a person starts them.
    pub only_writes: bool,
}

/// A file that starts shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handout {
    /// Where it goes.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// The command that has it started.
    pub start: &'static [&'static str],
}

impl Scheduler {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slurm { .. } => "slurm",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// What starts the shards: a batch script, or a Job. `folder` is where that and the shards' logs lie,
    /// as the machines that run them see it.
    #[must_use]
    pub fn handout(&self, shards: &Shards<'_>, folder: &Path) -> Handout {
        match self {
            Self::Slurm { options } => Handout {
                path: folder.join(format!("{}.sh", shards.file)),
                text: slurm::script(shards, options, &folder.display().to_string()),
                start: &["sbatch"],
            },
            Self::Kubernetes(cluster) => Handout {
                path: folder.join(format!("{}.json", shards.file)),
                text: format!("{:#}\n", kubernetes::job(shards, cluster)),
                start: &["kubectl", "apply", "-f"],
            },
        }
    }
}

impl Handout {
    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        staged::replace(&self.path, self.text.as_bytes())
    }

    /// The command line that has it started.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words: Vec<String> = self.start.iter().map(|word| (*word).to_owned()).collect();
        words.push(self.path.display().to_string());
        quoted(&words)
    }
}

/// A name that Kubernetes takes (RFC 1123, labels), and Slurm anyway.
#[must_use]
pub(crate) fn name(wanted: &str) -> String {
    let name: String = wanted
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(50)
        .collect();
    format!("ohoci-{}", name.trim_matches('-'))
        .trim_end_matches('-')
        .to_owned()
}

/// A command line for a shell.
#[must_use]
pub fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quote = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn shards(command: &[String]) -> Shards<'_> {
        Shards {
            name: "My run_1",
            file: "job",
            log: "shard",
            count: 3,
            at_once: Some(2),
            command,
            directory: "/work",
        }
    }

    pub(super) fn command() -> Vec<String> {
        ["ohoci", "swebench", "it's", ""].map(str::to_owned).into()
    }

    #[test]
    fn every_instance_is_in_one_shard() {
        let all = [0, 1, 2].map(|index| Shard { index, of: 3 });
        for place in 0..10 {
            assert_eq!(all.iter().filter(|shard| shard.has(place)).count(), 1);
        }
        assert_eq!("2/3".parse(), Ok(all[2]));
        for wrong in ["3/3", "0/0", "1", "-1/2", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_handout_says_how_it_is_started() {
        let command = command();
        let slurm = Scheduler::Slurm {
            options: Vec::new(),
        };
        let handout = slurm.handout(&shards(&command), Path::new("/shared/my run"));
        assert_eq!(handout.command(), "sbatch '/shared/my run/job.sh'");
        assert!(
            handout
                .text
                .contains("--output=/shared/my run/shard-%a.log")
        );
    }
}
