//! `ohoci export`: the files of an image as a tar.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;

use super::arguments::RegistryArguments;
use super::context::Context;
use super::failure::Failure;
use super::progress::Progress;
use super::{exit_code, output};
use ohoci_image::{Platform, Reference};
use ohoci_unpack::find_image;

/// Write the files of an image as one tar, as a container would see them.
///
/// The tar is uncompressed. Owners, modes, times and links are the image's; the same image gives the same
/// bytes.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image: a registry reference, or oci:DIR, oci-archive:FILE or docker-archive:FILE
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Where to; - is stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Of an index, the image for this platform [default: the one for this machine]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let to_stdout = arguments.file.as_os_str() == "-";
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage("a tar is nothing for a terminal")
            .hinted("name a file, or pipe it into `tar -t`"));
    }
    let reference: Reference = arguments.reference.parse()?;
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let found = find_image(&context.resolver, &reference, arguments.platform.as_ref()).await;
    let outcome = match found {
        Ok(image) => image.tar(&context.work_dir).await,
        Err(error) => Err(error),
    };
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let tar = outcome?;
    let unreadable = |error: io::Error| Failure::new("cannot read the tar", error.to_string());
    let mut from = fs_err::File::open(tar.file.path()).map_err(unreadable)?;
    if to_stdout {
        output::stream(&mut from)?;
    } else {
        let unwritten = |error: io::Error| {
            Failure::new(
                format!("cannot write {}", arguments.file.display()),
                error.to_string(),
            )
        };
        let mut to = fs_err::File::create(&arguments.file).map_err(unwritten)?;
        io::copy(&mut from, &mut to).map_err(unwritten)?;
    }
    Ok(exit_code::DONE)
}
