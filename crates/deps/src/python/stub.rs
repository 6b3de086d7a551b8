//! Wheels with nothing but metadata: what a resolver asks for that runs no builds.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use pep440_rs::Version;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::name::PackageName;

/// The name and the content of a wheel that says what `metadata` says and holds no code.
pub(super) fn wheel(
    package: &PackageName,
    version: &Version,
    metadata: &str,
) -> Result<(String, Vec<u8>), rawzip::Error> {
    let stem = format!("{}-{version}", package.escaped());
    let mut zip = ZipArchiveWriter::new(Vec::new());
    for (name, content) in [
        ("METADATA", metadata),
        (
            "WHEEL",
            "Wheel-Version: 1.0\nGenerator: ohoci\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("RECORD", ""),
    ] {
        let path = format!("{stem}.dist-info/{name}");
        let (mut entry, config) = zip
            .new_file(path.as_str())
            // uv cannot read what is stored and has its size behind it.
            .compression_method(CompressionMethod::DEFLATE)
            // The beginning of time for zips.
            .last_modified(UtcDateTime::from_unix(315_532_800))
            .start()?;
        let mut data = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
        data.write_all(content.as_bytes())?;
        let (encoder, descriptor) = data.finish()?;
        encoder.finish()?;
        entry.finish(descriptor)?;
    }
    Ok((format!("{stem}-py3-none-any.whl"), zip.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::zip::{Limits, Zip};

    #[test]
    fn a_stub_is_a_wheel() {
        let package = PackageName::parse("Some-Pkg").unwrap();
        let version = "1.0+local".parse().unwrap();
        let (name, bytes) = wheel(&package, &version, "Name: x\n").unwrap();
        assert_eq!(name, "some_pkg-1.0+local-py3-none-any.whl");
        name.parse::<super::super::WheelName>().unwrap();
        let zip = Zip::open(bytes.as_slice(), bytes.len() as u64, Limits::default()).unwrap();
        let paths: Vec<_> = zip
            .members()
            .iter()
            .map(|member| member.path.to_string())
            .collect();
        assert_eq!(paths[0], "/some_pkg-1.0+local.dist-info/METADATA");
    }
}
