//! `ohoci registry serve`: a small registry.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;
use url::Url;

use super::arguments::RegistryArguments;
use super::compose::{created, epoch};
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::signals::Signals;
use ohoci_gateway::{Gateway, Rule};
use ohoci_server::{Options, ServeError, Server, TlsFiles, TokenOptions};
use ohoci_store::cache::Cache;

/// What names of temporary directories begin with.
const PREFIX: &str = "ohoci-registry-";

/// Where documents that were composed for others are in the cache.
const CACHE: &str = "gateway";

/// Serve a small, standards-compliant registry.
///
/// Every repository NAME is an OCI layout at DIR/NAME, which other tools read as it is. Prints the
/// address it listens on, then serves until Ctrl-C or SIGTERM; requests in flight are finished,
/// unless the signal comes again.
///
/// Whoever reaches it may read and write everything, unless there is --htpasswd; everything, with
/// the passwords, is sent as it is, unless there are --tls-cert and --tls-key. Those files are read
/// again when they change.
///
/// It holds as many connections and uploads as fit into the files that the process may have open
/// (`ulimit -n`, which it raises to the hard limit). A client may take 30 s for a request's head,
/// 90 s until the next request, and 60 s without getting on in the middle of a body.
///
/// With --compose it keeps nothing and takes nothing: it answers for images that were never pushed, by
/// composing them when they are pulled, as the rules of a file say (`docs/gateway.md`). They have the
/// digests that `ohoci compose` would push.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where images are kept [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Compose images when they are pulled, as the rules of this file say, instead of keeping any
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "max_uploads"])]
    pub compose: Option<PathBuf>,

    /// Write a line of JSON to stderr for every request
    #[arg(long)]
    pub access_log: bool,

    /// Address to listen on: IP:PORT, HOST:PORT, or :PORT for every IPv4 address of this machine;
    /// port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub listen: String,

    /// Speak HTTPS with this certificate (PEM, followed by those that lead to its authority)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve only the users of this file, each a line USER:HASH as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,

    /// Give those users tokens that hold for a while, and take them instead of passwords; they are signed
    /// with the key in this file, which is made if it is not there
    #[arg(long, value_name = "FILE", requires = "htpasswd")]
    pub token_key: Option<PathBuf>,

    /// How long a token holds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub token_seconds: u32,

    /// The URL where clients get tokens, behind a proxy that changes names [default: /token below the
    /// address that a client uses]
    #[arg(long, value_name = "URL", requires = "token_key")]
    pub token_realm: Option<Url>,

    /// Most connections at once [default: as many as fit, up to 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// Most unfinished uploads at once [default: as many as fit, up to 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_uploads: Option<u32>,

    /// Throw an unfinished upload away when nothing has come for this long
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    pub upload_idle: u32,

    /// The same for an upload of which nothing has come at all
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    pub empty_upload_idle: u32,
}

/// Runs the command; ends only by a signal.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let listen = address(&arguments.listen)?;
    ohoci_server::raise_descriptor_limit();
    let (temporary, context);
    let server = if let Some(file) = &arguments.compose {
        context = Context::open(registry)?;
        let gateway = gateway(file, &context).await?;
        // Nothing is written there.
        let options = options(arguments, listen, PathBuf::new());
        Server::bind_to(options, Arc::new(gateway))
    } else {
        let storage = match &arguments.dir {
            Some(directory) => directory.clone(),
            None => {
                // A killed server removes nothing at its end.
                ohoci_server::remove_abandoned(&std::env::temp_dir(), PREFIX);
                temporary = tempfile::Builder::new()
                    .prefix(PREFIX)
                    .tempdir()
                    .map_err(|error| {
                        Failure::new("cannot make a temporary directory", error.to_string())
                    })?;
                temporary.path().to_owned()
            }
        };
        Server::bind(options(arguments, listen, storage))
    };
    let server = server.map_err(|error| cannot_serve(&error))?;
    // Who has read the address may send a signal.
    let mut signals = Signals::take();
    for warning in warnings(arguments, &server) {
        output::warning(&warning);
    }
    // The address is the result: a script that asked for port 0 reads it from stdout.
    output::result(&server.address().to_string())?;
    let (stop, stopped) = oneshot::channel();
    let serving = server.run_until(async {
        // The sender is dropped only together with this.
        let _ = stopped.await;
    });
    let told_twice = async {
        Signals::next(&mut signals).await;
        // The receiver is gone when the server has ended already.
        let _ = stop.send(());
        Signals::next(&mut signals).await;
    };
    tokio::select! {
        outcome = serving => outcome
            .map(|()| exit_code::DONE)
            .map_err(|error| Failure::new("the registry ended", error.to_string())),
        () = told_twice => Ok(exit_code::INTERRUPTED),
    }
}

/// Reads the rules, and what they need to be got ready.
async fn gateway(file: &Path, context: &Context) -> Result<Gateway, Failure> {
    let what = || format!("cannot compose as {} says", file.display());
    let rules = Rule::read(file).map_err(|error| Failure::usage(format!("{}: {error}", what())))?;
    output::start_server_log();
    let cache = match &context.cache_dir {
        // What strangers can ask for is not what else this machine has read.
        Some(directory) => Cache::new(directory.join(CACHE)),
        None => Cache::disabled(),
    };
    Gateway::open(
        rules,
        &context.resolver,
        Arc::new(cache),
        created(context)?,
        epoch(&context.environment)?.unwrap_or_default(),
        context.work_dir.clone(),
    )
    .await
    .map_err(|error| Failure::new(what(), error.to_string()))
}

fn options(arguments: &Arguments, listen: SocketAddr, storage: PathBuf) -> Options {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut options = Options::new(listen, storage);
    options.tls = arguments
        .tls_cert
        .clone()
        .zip(arguments.tls_key.clone())
        .map(|(certificate, key)| TlsFiles { certificate, key });
    options.htpasswd.clone_from(&arguments.htpasswd);
    options.tokens = arguments.token_key.clone().map(|key| TokenOptions {
        key,
        lifetime: seconds(arguments.token_seconds),
        realm: arguments.token_realm.as_ref().map(Url::to_string),
    });
    options.max_connections = arguments.max_connections.map(number);
    options.max_uploads = arguments.max_uploads.map(number);
    options.upload_idle = seconds(arguments.upload_idle);
    options.empty_upload_idle = seconds(arguments.empty_upload_idle);
    let shortest = options.upload_idle.min(options.empty_upload_idle);
    options.upload_sweep = options.upload_sweep.min(shortest / 4);
    options.notice = Some(Arc::new(output::warning));
    if arguments.access_log {
        options.log = Some(Arc::new(output::access));
    }
    options
}

/// The address that `--listen` means. Of a name's addresses the IPv4 one counts: that is what
/// clients of `localhost` try on every machine.
fn address(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = |why: &str| {
        Failure::usage(format!("--listen {text}: {why}"))
            .hinted("--listen 127.0.0.1:5000, localhost:0 or :5000")
    };
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| wrong("it has no port"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| wrong("what stands behind the colon is no port"))?;
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| wrong(&error.to_string()))?
        .collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| wrong("the name has no address"))
}

/// What whoever starts such a server should think about once more.
fn warnings(arguments: &Arguments, server: &Server) -> Vec<String> {
    let mut warnings = Vec::new();
    let address = server.address();
    let plain = arguments.tls_cert.is_none();
    if !is_loopback(address.ip()) {
        if arguments.htpasswd.is_none() {
            let may = match arguments.compose {
                None => "read and write everything",
                Some(_) => "read every base that the rules permit, with this machine's credentials",
            };
            warnings.push(format!(
                "whoever reaches {address} may {may}: there is no --htpasswd"
            ));
        }
        if plain && arguments.htpasswd.is_some() {
            warnings.push(format!(
                "passwords for {address} are sent as plain text: there are no --tls-cert and --tls-key"
            ));
        } else if plain {
            warnings.push(format!(
                "images for {address} are sent as plain text, and may be changed on their way: \
                 there are no --tls-cert and --tls-key"
            ));
        }
    }
    let secrets = [
        &arguments.tls_key,
        &arguments.htpasswd,
        &arguments.token_key,
    ];
    for file in secrets.into_iter().flatten() {
        if is_open_to_all(file) {
            warnings.push(format!(
                "every user of this machine may read {file}: chmod o= {file}",
                file = file.display()
            ));
        }
    }
    if let Some(asked) = arguments.max_connections
        && u64::from(asked) > server.connections() as u64
    {
        warnings.push(format!(
            "only {} connections are served at once: the process may have no more files open",
            server.connections()
        ));
    }
    warnings
}

/// Whether only this machine reaches an address.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether others than a file's owner and group may read it.
fn is_open_to_all(file: &Path) -> bool {
    fs_err::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn cannot_serve(error: &ServeError) -> Failure {
    let failure = Failure::new("cannot serve a registry", error.to_string());
    match error {
        ServeError::Listen { .. } => failure.hinted("--listen 127.0.0.1:0 takes a free port"),
        ServeError::InUse { .. } => {
            failure.hinted("end the other server, or choose another directory with --dir")
        }
        ServeError::File(file) => match file.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        },
        ServeError::Descriptors { .. } => failure.hinted("ulimit -n 1024"),
        ServeError::Storage { .. } => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, meant) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:0", "[::1]:0"),
            (":5000", "0.0.0.0:5000"),
            ("localhost:0", "127.0.0.1:0"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), meant);
        }
        for wrong in ["5000", "localhost", "localhost:http", ":65536", ":"] {
            let said = address(wrong).unwrap_err().to_string();
            assert!(said.contains("hint: --listen"), "{said}");
        }
    }
}
