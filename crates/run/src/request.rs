//! What a run is asked to be, as data.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use ohoci_compose::job::Job;
use ohoci_image::{Platform, Reference};
use ohoci_sandbox::{Bind, HOST_NAME, Network};

/// What is to run, and how, beyond what the image says.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to run instead of the image's own command.
    pub words: Vec<OsString>,
    /// What to start instead of the image's entrypoint; nothing of it where it is empty.
    pub entrypoint: Option<String>,
    /// Variables besides the image's.
    pub environment: Vec<(String, String)>,
    /// The working directory, which is made if it is missing.
    pub directory: Option<String>,
    /// `USER[:GROUP]`, by names of the root file system or by numbers.
    pub user: Option<String>,
    /// Files and directories of this machine that are seen inside.
    pub mounts: Vec<Bind>,
    /// Directories over which an empty file system in memory is put.
    pub temporary: Vec<PathBuf>,
    /// What the sandbox is called.
    pub host_name: String,
    /// Names that lead to addresses, besides those that every sandbox knows.
    pub hosts: Vec<(String, IpAddr)>,
    /// What it can reach.
    pub network: Network,
    /// Whether the root file system cannot be written.
    pub read_only: bool,
    /// Whether programs may make namespaces of their own.
    pub nested_namespaces: bool,
    /// Whether the program has a terminal.
    pub terminal: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            entrypoint: None,
            environment: Vec::new(),
            directory: None,
            user: None,
            mounts: Vec::new(),
            temporary: Vec::new(),
            host_name: HOST_NAME.to_owned(),
            hosts: Vec::new(),
            network: Network::None,
            read_only: false,
            nested_namespaces: false,
            terminal: false,
        }
    }
}

/// Where a root file system comes from.
#[derive(Clone, Debug)]
pub enum RootChoice {
    /// An image; of an index the one for a platform, or for this machine.
    Image(Reference, Option<Platform>),
    /// What a job would compose; it is pushed nowhere.
    Composed(Box<Job>),
    /// A directory of this machine.
    Directory(PathBuf),
}
