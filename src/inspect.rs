//! `ohoci inspect`: what an image consists of and what it was made from.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::trusted::TrustedArguments;
use super::{output, printable};
use ohoci_compose::inspect::{self, ImageInspection, Inspection, RawDocument, Runtime};
use ohoci_compose::signatures::tree::{self, About};
use ohoci_compose::signatures::verifying::SignatureState;
use ohoci_image::Role;
use ohoci_image::{Digest, Platform, Reference, annotation};
use ohoci_report::size;

/// Show what an image consists of: index, manifests, layers with sizes, and where they came from.
///
/// On a terminal, digests of blobs and long labels are shortened.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Of an index, only the image for this platform
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Print the image's config, byte for byte
    #[arg(long, conflicts_with = "manifest")]
    pub config: bool,

    /// Print the manifest or index, byte for byte
    #[arg(long)]
    pub manifest: bool,

    /// Show what is about the image as well: signatures, statements, bills of materials
    #[arg(long, conflicts_with_all = ["config", "manifest"])]
    pub referrers: bool,

    /// Whose signatures count, with --referrers.
    #[command(flatten)]
    pub trusted: TrustedArguments,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let reference: Reference = arguments.reference.parse()?;
    let platform = &arguments.platform;
    if !arguments.referrers && !arguments.trusted.is_empty() {
        return Err(Failure::usage(
            "signatures are verified with --referrers only",
        ));
    }
    let context = Context::open(registry)?;
    let resolver = &context.resolver;
    if arguments.config {
        raw(&inspect::config(resolver, &reference, platform.as_ref()).await?)?;
    } else if arguments.manifest {
        raw(&inspect::manifest(resolver, &reference, platform.as_ref()).await?)?;
    } else {
        let inspection = inspect::inspect(resolver, &reference, platform.as_ref()).await?;
        let about = if arguments.referrers {
            let trusted = arguments.trusted.read()?;
            Some(tree::tree(resolver, &reference, &trusted).await?)
        } else {
            None
        };
        match arguments.format {
            Format::Json => output::json(&Shown {
                image: &inspection,
                referrers: about.as_deref(),
            })?,
            Format::Text => {
                let view = View {
                    short: std::io::stdout().is_terminal(),
                };
                let mut text = view.tree(&inspection);
                if let Some(about) = &about {
                    text.push_str(if about.is_empty() {
                        "\nnothing is about it"
                    } else {
                        "\nabout it"
                    });
                    view.push_about(&mut text, about, "");
                }
                output::result(&text)?;
            }
        }
    }
    context.show_server_warnings();
    Ok(exit_code::DONE)
}

fn raw(document: &RawDocument) -> Result<(), Failure> {
    output::document(&document.0)
}

/// The inspection as JSON, and what is about the image where that was asked for.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    image: &'a Inspection,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrers: Option<&'a [About]>,
}

/// How an inspection is shown.
#[derive(Clone, Copy, Debug)]
struct View {
    /// Whether digests of blobs and labels are shortened, as for a terminal.
    short: bool,
}

impl View {
    /// The inspection as a tree.
    fn tree(self, inspection: &Inspection) -> String {
        let mut text = format!("{}\n{}", inspection.reference, inspection.digest);
        if !inspection.index {
            for image in &inspection.images {
                self.push_image(&mut text, image, "");
            }
            return text;
        }
        let _ = write!(
            text,
            "\nindex  {}  {}",
            inspection.media_type,
            size::bytes(inspection.size)
        );
        let count = inspection.images.len() + inspection.others.len();
        for (at, image) in inspection.images.iter().enumerate() {
            let last = at + 1 == count;
            let _ = write!(
                text,
                "\n{} {}  {}",
                if last { "└─" } else { "├─" },
                printable::line(image.platform.as_deref().unwrap_or("artifact")),
                image.digest
            );
            self.push_image(&mut text, image, if last { "   " } else { "│  " });
        }
        for (at, other) in inspection.others.iter().enumerate() {
            let last = inspection.images.len() + at + 1 == count;
            let _ = write!(
                text,
                "\n{} {}  {}  {}",
                if last { "└─" } else { "├─" },
                other.kind,
                self.digest(&other.blob.digest),
                size::bytes(other.blob.size)
            );
        }
        text
    }

    /// What is about the image, each behind what it is about.
    fn push_about(self, text: &mut String, list: &[About], indent: &str) {
        for (at, one) in list.iter().enumerate() {
            let last = at + 1 == list.len();
            let kind = match &one.signature {
                Some(signature) => &signature.predicate_type,
                None => &one.kind,
            };
            let _ = write!(
                text,
                "\n{indent}{} {}  {}",
                if last { "└─" } else { "├─" },
                printable::line(kind),
                self.digest(&one.digest)
            );
            if let Some(tag) = &one.tag {
                let _ = write!(text, "  {}", printable::line(tag));
            }
            match &one.signature {
                Some(SignatureState { by: Some(key), .. }) => {
                    let _ = write!(text, "  signed by {}", printable::line(key));
                }
                Some(SignatureState { why: Some(why), .. }) => {
                    let _ = write!(text, "  not verified: {}", printable::line(why));
                }
                Some(_) => text.push_str("  not verified: no key was given"),
                None => {}
            }
            if let Some(why) = &one.unreadable {
                let _ = write!(text, "  cannot be read: {}", printable::line(why));
            }
            let deeper = format!("{indent}{}", if last { "   " } else { "│  " });
            self.push_about(text, &one.about, &deeper);
        }
    }

    fn push_image(self, text: &mut String, image: &ImageInspection, indent: &str) {
        let mut line = |name: &str, value: &str| {
            let _ = write!(text, "\n{indent}{name:<10} {}", printable::line(value));
        };
        line(
            "manifest",
            &format!("{}  {}", image.media_type, size::bytes(image.size)),
        );
        if indent.is_empty()
            && let Some(platform) = &image.platform
        {
            line("platform", platform);
        }
        if let Some(created) = &image.created {
            line("created", created);
        }
        if let Some(base) = &image.base {
            line("base", &self.source(base));
        }
        if let Some(intent) = &image.intent {
            for deps in &intent.deps {
                line("deps", &self.source(deps));
            }
        }
        self.push_runtime(&image.runtime, &mut line);
        line(
            "config",
            &format!(
                "{}  {}",
                self.digest(&image.config.digest),
                size::bytes(image.config.size)
            ),
        );
        line(
            "layers",
            &format!("{}, {}", image.layers.len(), size::bytes(image.layers_size)),
        );
        let count = image.layers.len();
        for (at, layer) in image.layers.iter().enumerate() {
            let _ = write!(
                text,
                "\n{indent}{} {:<5} {:>9}  {}",
                if at + 1 == count { "└─" } else { "├─" },
                origin(layer.origin),
                size::bytes(layer.blob.size),
                self.digest(&layer.blob.digest)
            );
            if let Some(created_by) = &layer.created_by {
                let _ = write!(text, "  {}", shortened(created_by));
            }
        }
    }

    /// What a container starts with: a line for each word that the config has to say.
    fn push_runtime(self, runtime: &Runtime, line: &mut impl FnMut(&str, &str)) {
        for (name, value) in [("entrypoint", &runtime.entrypoint), ("cmd", &runtime.cmd)] {
            if let Some(value) = value {
                line(name, &value.to_string());
            }
        }
        for (name, value) in [
            ("user", &runtime.user),
            ("workdir", &runtime.working_dir),
            ("signal", &runtime.stop_signal),
        ] {
            if let Some(value) = value {
                line(name, value);
            }
        }
        for (name, values) in [
            ("env", &runtime.env),
            ("port", &runtime.ports),
            ("volume", &runtime.volumes),
        ] {
            for value in values {
                line(name, value);
            }
        }
        for (key, value) in &runtime.labels {
            // The record of how the image is made stands above, as its base and deps.
            if key == annotation::INTENT {
                continue;
            }
            let value = if self.short {
                shortened(value)
            } else {
                value.clone()
            };
            line("label", &format!("{key}={value}"));
        }
    }

    fn source(self, source: &ohoci_image::label::Source) -> String {
        match (&source.name, &source.digest) {
            (Some(name), Some(digest)) => format!("{name}  {}", self.digest(digest)),
            (Some(name), None) => name.clone(),
            (None, Some(digest)) => self.digest(digest),
            (None, None) => "unknown".to_owned(),
        }
    }

    /// A digest; with its algorithm also where it is shortened, so that it is known for what it is.
    fn digest(self, digest: &Digest) -> String {
        let whole = digest.to_string();
        match whole.split_once(':') {
            Some((algorithm, _)) if self.short => format!("{algorithm}:{}", digest.short()),
            _ => whole,
        }
    }
}

fn origin(origin: Option<Role>) -> &'static str {
    origin.map_or("layer", Role::name)
}

/// The start of a history line, on one line.
fn shortened(history: &str) -> String {
    let line = printable::line(history);
    let mut words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() > 60 {
        words = words.chars().take(59).collect();
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_lines_are_short_and_harmless() {
        assert_eq!(shortened("a\n  b\u{1b}[31m"), "a b\u{fffd}[31m");
        assert_eq!(shortened(&"x".repeat(100)).chars().count(), 60);
    }

    #[test]
    fn digests_are_shortened_for_terminals_alone() {
        let digest = Digest::of(b"");
        let shown = |short| View { short }.digest(&digest);
        assert_eq!(shown(false), digest.to_string());
        assert_eq!(shown(true), "sha256:e3b0c44298fc");
    }
}
