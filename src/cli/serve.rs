//! `ohoci registry serve`: a small registry.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::exit_code;
use super::failure::Failure;
use super::output;
use crate::server::{Options, Server};

/// Serve a small, standards-compliant registry.
///
/// Every repository NAME is an OCI layout at DIR/NAME, which other tools read as it is. There is
/// no authentication: listen on loopback, or behind something that has it. Prints the address it
/// listens on, then serves until Ctrl-C.
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
    let server = Server::bind(Options::new(arguments.listen, storage)).map_err(|error| {
        Failure::new(
            format!("cannot serve a registry on {}", arguments.listen),
            error.to_string(),
        )
        .hinted("--listen 127.0.0.1:0 takes a free port")
    })?;
    // The address is the result: a script that asked for port 0 reads it from stdout.
    output::result(&server.address().to_string());
    server
        .run_until(super::interrupted())
        .await
        .map_err(|error| Failure::new("the registry ended", error.to_string()))?;
    Ok(exit_code::DONE)
}
