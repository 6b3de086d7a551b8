//! `ohoci doctor`: what this machine can do, and what mends what it lacks.

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable, version};
use ohoci_doctor::{Finding, Machine, State, examine};

/// Say what this machine can do, and for each lack what mends it.
///
/// Looks at sandboxes, at where packages come from, at the registries that are named, and at what is kept
/// on the disk. Tries what can be tried without changing anything. Exit code 4 says that something is
/// lacking; images can be composed and copied whatever is said of sandboxes and packages.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Registries to ask, such as registry.example
    #[arg(value_name = "REGISTRY")]
    pub registries: Vec<String>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    lacking: usize,
    findings: &'a [Finding],
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?;
    let store = context.layer_store()?;
    let path = std::env::var_os("PATH");
    let credentials = context.credentials(registry);
    let machine = Machine {
        environment: &context.environment,
        path: path.as_ref(),
        config: &context.config,
        client: &context.resolver.client,
        credentials: &credentials,
        registries: &arguments.registries,
        cache_dir: context.cache_dir.as_deref(),
        store: &store,
        work_dir: &context.work_dir,
    };
    let findings = Box::pin(examine(&machine)).await;
    let is_lacking = |finding: &&Finding| finding.state == State::Lacking;
    let lacking = findings.iter().filter(is_lacking).count();
    match arguments.format {
        Format::Json => output::json(&Report {
            version: version::VERSION,
            lacking,
            findings: &findings,
        })?,
        Format::Text => output::result(text(&findings).trim_end())?,
    }
    Ok(match lacking {
        0 => exit_code::DONE,
        _ => exit_code::WANTING,
    })
}

/// A line for each finding, and one for what mends it.
fn text(findings: &[Finding]) -> String {
    let mut text = format!("ohoci {}\n", version::VERSION);
    let mut area = "";
    let width = findings.iter().map(|finding| finding.name.len()).max();
    let width = width.unwrap_or_default();
    for finding in findings {
        if finding.area != area {
            area = finding.area;
            text.push_str(&format!("\n{area}\n"));
        }
        let state = match finding.state {
            State::Fine => "fine   ",
            State::Lacking => "LACKING",
            State::Known => "       ",
        };
        text.push_str(&format!(
            "  {state}  {:width$}  {}\n",
            printable::line(&finding.name),
            printable::line(&finding.what)
        ));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!(
                "           {:width$}  mend: {}\n",
                "",
                printable::line(mend)
            ));
        }
    }
    text
}
