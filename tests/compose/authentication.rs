//! Registries that ask who is there.

use ohoci_image::media_type::Family;
use serde_json::json;

use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::peer::Access;
use crate::support::token_server::{Behaviour, Scopes, TokenServer};
use crate::support::workbench::Workbench;

#[test]
fn passwords_open_a_registry() {
    let registry = DebianRegistry::with_password();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Password));
    bench.push_base("base", Family::Docker);
    let arguments = ["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"];
    let outcome = bench.compose(&arguments).exits(1);
    assert!(
        outcome
            .stderr
            .contains(&format!("ohoci login {}", bench.host)),
        "{}",
        outcome.stderr
    );
    bench.ohoci.log_in(&bench.host, USER, "wrong");
    let outcome = bench.compose(&arguments).exits(1);
    assert!(!outcome.stderr.contains("wrong"), "{}", outcome.stderr);
    bench.ohoci.log_in(&bench.host, USER, PASSWORD);
    bench.composed(&arguments);
    bench.push_deps("@/deps:1");
    bench.composed(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
    ]);
    assert_eq!(bench.pull("app", "1").layers().len(), 2);
}

#[test]
fn token_servers_open_a_registry_whatever_they_make_of_several_scopes() {
    for scopes in [
        Scopes::All,
        Scopes::First,
        Scopes::Last,
        Scopes::RejectRepeated,
    ] {
        let server = TokenServer::start(Behaviour {
            scopes,
            ..Behaviour::default()
        });
        let registry = DebianRegistry::with_tokens(&server);
        let token = server.token_for(&["base", "deps", "app"]);
        let bench = Workbench::new(&registry.host(), registry.peer(Access::Token(token)));
        bench.ohoci.log_in(&bench.host, USER, PASSWORD);
        let base = bench.push_base("base", Family::Oci);
        bench.push_deps("@/deps:1");
        let report = bench.composed(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ]);
        let made = bench.pull("app", "1");
        assert_eq!(report["digest"], json!(made.digest), "{scopes:?}");
        let deps = bench.pull("deps", "1");
        assert_eq!(
            made.layers(),
            [base.layers[0].digest.as_str(), deps.layers()[0]],
            "{scopes:?}"
        );
        for digest in made.layers() {
            assert!(bench.peer.blob("app", digest).is_some(), "{scopes:?}");
        }
        // Only a token for both repositories lets a registry mount from one to the other.
        let expected = if scopes == Scopes::All {
            "mounted"
        } else {
            "copied"
        };
        let ways: Vec<_> = report["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["arrival"].as_str().unwrap())
            .collect();
        assert_eq!(ways, [expected, expected], "{scopes:?}");
    }
}

#[test]
fn public_images_are_read_without_logging_in() {
    let server = TokenServer::start(Behaviour::default());
    let registry = DebianRegistry::with_tokens(&server);
    let token = server.token_for(&["base"]);
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Token(token)));
    bench.push_base("base", Family::Oci);
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "oci:app:1"]);
    let outcome = bench
        .compose(&["--base", "@/base:1", "--env", "A=1", "--push", "@/base:2"])
        .exits(1);
    assert!(
        outcome
            .stderr
            .contains(&format!("ohoci login {}", bench.host)),
        "{}",
        outcome.stderr
    );
}
