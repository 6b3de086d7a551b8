//! `ohoci registry serve`: a small registry.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::oneshot;

use super::exit_code;
use super::failure::Failure;
use super::output;
use super::signals::Signals;
use crate::server::{Options, ServeError, Server};

/// Serve a small, standards-compliant registry.
///
/// Every repository NAME is an OCI layout at DIR/NAME, which other tools read as it is. There is
/// no authentication: listen on loopback, or behind something that has it. Prints the address it
/// listens on, then serves until Ctrl-C or SIGTERM; requests in flight are finished, unless the
/// signal comes again.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where images are kept [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,
}

/// Runs the command; ends only by a signal.
pub(super) async fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let temporary;
    let storage = match &arguments.dir {
        Some(directory) => directory.clone(),
        None => {
            temporary = tempfile::Builder::new()
                .prefix("ohoci-registry-")
                .tempdir()
                .map_err(|error| {
                    Failure::new("cannot make a temporary directory", error.to_string())
                })?;
            temporary.path().to_owned()
        }
    };
    let server = Server::bind(Options::new(arguments.listen, storage))
        .map_err(|error| cannot_serve(&error))?;
    // Who has read the address may send a signal.
    let mut signals = Signals::take();
    // The address is the result: a script that asked for port 0 reads it from stdout.
    output::result(&server.address().to_string())?;
    let (stop, stopped) = oneshot::channel();
    let serving = server.run_until(async {
        // The sender is dropped only together with this.
        let _ = stopped.await;
    });
    let told_twice = async {
        Signals::next(&mut signals).await;
        // Nobody listens when the server has ended already.
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

fn cannot_serve(error: &ServeError) -> Failure {
    let failure = Failure::new("cannot serve a registry", error.to_string());
    match error {
        ServeError::Listen { .. } => failure.hinted("--listen 127.0.0.1:0 takes a free port"),
        ServeError::InUse { .. } => {
            failure.hinted("end the other server, or choose another directory with --dir")
        }
        ServeError::Storage { .. } => failure,
    }
}
