//! `ohoci man` and `ohoci completions`: man pages and shell completions, made of the command line
//! itself.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::failure::Failure;
use super::{examples, exit_code, output};

/// Print a man page.
///
/// `ohoci man` is about ohoci itself, `ohoci man deps build` about that command.
#[derive(Args, Clone, Debug)]
pub struct ManArguments {
    /// The command that the page is about
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub command: Vec<String>,

    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Print completions of ohoci's commands and flags for a shell.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// A man page and the name of its file.
#[derive(Clone, Debug)]
pub struct Page {
    /// Such as `ohoci-compose.1`.
    pub file: String,
    /// The page, in the language of man pages.
    pub text: Vec<u8>,
}

/// Runs `man`.
pub(super) fn man(arguments: &ManArguments) -> Result<u8, Failure> {
    if let Some(directory) = &arguments.dir {
        let write = |page: &Page| {
            fs_err::create_dir_all(directory)?;
            fs_err::write(directory.join(&page.file), &page.text)
        };
        for page in pages() {
            write(&page).map_err(|error| {
                Failure::new(
                    format!("cannot write man pages to {}", directory.display()),
                    error.to_string(),
                )
            })?;
        }
        return Ok(exit_code::DONE);
    }
    let mut command = super::command();
    command.build();
    let mut found = &command;
    for word in &arguments.command {
        found = found.find_subcommand(word).ok_or_else(|| {
            Failure::usage(format!(
                "there is no command {}",
                arguments.command.join(" ")
            ))
            .hinted("ohoci --help lists them")
        })?;
    }
    output::plain(&page(found, &arguments.command.join(" ")).text)?;
    Ok(exit_code::DONE)
}

/// Runs `completions`.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "ohoci", &mut text);
    output::plain(&text)?;
    Ok(exit_code::DONE)
}

/// The pages of ohoci and all of its commands.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut command = super::command();
    command.build();
    let mut pages = Vec::new();
    collect(&command, "", &mut pages);
    pages
}

fn collect(command: &Command, path: &str, pages: &mut Vec<Page>) {
    pages.push(page(command, path));
    let shown = |inner: &&Command| !inner.is_hide_set() && inner.get_name() != "help";
    for inner in command.get_subcommands().filter(shown) {
        let path = format!("{path} {}", inner.get_name());
        collect(inner, path.trim_start(), pages);
    }
}

/// The page of a command; `path` names it below `ohoci`.
fn page(command: &Command, path: &str) -> Page {
    // Examples have a section of their own.
    let man = Man::new(command.clone().after_help(None::<&str>));
    let mut text = Vec::new();
    // A vector takes whatever is written to it.
    let _ = render(&man, command, path, &mut text);
    Page {
        file: man.get_filename(),
        text,
    }
}

fn render(man: &Man, command: &Command, path: &str, w: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(w)?;
    man.render_name_section(w)?;
    man.render_synopsis_section(w)?;
    man.render_description_section(w)?;
    man.render_options_section(w)?;
    if command.has_subcommands() {
        man.render_subcommands_section(w)?;
    }
    let lines = examples::of(path);
    if !lines.is_empty() {
        writeln!(w, ".SH EXAMPLES\n.nf")?;
        for line in lines {
            writeln!(w, "{}", escaped(line))?;
        }
        writeln!(w, ".fi")?;
    }
    if path.is_empty() {
        writeln!(w, ".SH ENVIRONMENT")?;
        for variable in ohoci_config::environment::ALL {
            let meaning = escaped(&variable.meaning.replace('`', ""));
            writeln!(w, ".TP\n\\fB{}\\fR\n{meaning}", escaped(variable.name))?;
        }
    } else {
        writeln!(
            w,
            ".SH ENVIRONMENT\nThe variables that ohoci reads are in \\fBohoci\\fR(1)."
        )?;
    }
    writeln!(w, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in exit_code::of(path) {
        writeln!(w, ".TP\n\\fB{}\\fR\n{}", escaped(code), escaped(meaning))?;
    }
    man.render_version_section(w)
}

/// Text as roff shows it: no character of it is taken for an order.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_environment_and_exit_status() {
        let pages = pages();
        for wanted in ["ohoci.1", "ohoci-compose.1", "ohoci-deps-build.1"] {
            assert!(pages.iter().any(|page| page.file == wanted), "{wanted}");
        }
        for page in &pages {
            let text = String::from_utf8(page.text.clone()).unwrap();
            for section in [".SH ENVIRONMENT", ".SH \"EXIT STATUS\""] {
                assert_eq!(text.matches(section).count(), 1, "{}: {section}", page.file);
            }
        }
        let run = pages
            .iter()
            .find(|page| page.file == "ohoci-run.1")
            .unwrap();
        let text = String::from_utf8(run.text.clone()).unwrap();
        assert!(
            text.contains(".SH EXAMPLES") && text.contains("\\fB124\\fR"),
            "{text}"
        );
        assert!(!text.contains("Examples:"), "{text}");
    }

    #[test]
    fn nothing_is_an_order_to_roff() {
        assert_eq!(escaped(".SH a\\b-c"), "\\&.SH a\\eb\\-c");
        assert_eq!(escaped("'x"), "\\&'x");
    }
}
