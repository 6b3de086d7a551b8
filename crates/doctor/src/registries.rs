//! Whether registries answer, and what is offered to them.

use super::{Finding, Machine, State};
use ohoci_registry::Credential;

const AREA: &str = "registries";

pub(super) async fn examine(machine: &Machine<'_>) -> Vec<Finding> {
    if machine.registries.is_empty() {
        let what = "none was asked: `ohoci doctor REGISTRY` asks one";
        return vec![Finding::new(AREA, "registries", State::Known, what)];
    }
    let mut findings = Vec::new();
    for host in machine.registries {
        let (offered, is_known) = match machine.credentials.credential(host, "").await {
            Ok(Credential::Anonymous) => ("no credentials are known".to_owned(), false),
            Ok(Credential::Basic { username, .. }) => (format!("as {username}"), true),
            Ok(_) => ("with a token".to_owned(), true),
            Err(error) => {
                findings.push(
                    Finding::new(AREA, host, State::Lacking, error.to_string())
                        .mended_by(format!("ohoci login {host}")),
                );
                continue;
            }
        };
        findings.push(match machine.client.authenticate(host).await {
            Ok(()) => Finding::new(AREA, host, State::Fine, format!("answers; {offered}")),
            Err(error) => {
                let what = format!("{error}; {offered}");
                let finding = Finding::new(AREA, host, State::Lacking, what);
                match error.hint() {
                    Some(hint) => finding.mended_by(hint),
                    None if is_known => finding,
                    None => finding.mended_by(format!("ohoci login {host}")),
                }
            }
        });
    }
    findings
}
