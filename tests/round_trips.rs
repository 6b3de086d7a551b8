//! How long the way of a run is in round trips: what `ohoci compose` needs of a network that is far.

use std::time::Duration;

use testbed::{Relay, RoundTrips};

use crate::support::certificates::Authority;
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::tls_front::TlsFront;
use crate::support::token_server::{Behaviour, TokenServer};
use crate::support::workbench::Workbench;

/// Longer than anything that the client does between two messages.
const FAR: Duration = Duration::from_millis(250);

#[test]
fn over_https_with_tokens_eight_do_where_the_token_server_is_known() {
    let authority = Authority::new();
    let round_trips = RoundTrips::default();
    let server = TokenServer::start(Behaviour::default());
    let front = TlsFront::start(server.address(), &authority);
    let tokens = Relay::counting(front.address(), FAR, round_trips.clone()).unwrap();
    let realm = format!("https://{}/token", tokens.address());
    let registry = DebianRegistry::with_tokens_over_tls(&server, realm, &authority);
    let relay = Relay::counting(registry.address(), FAR, round_trips.clone()).unwrap();
    let token = server.token_for(&["base", "deps", "app"]);
    let bench = Workbench::new(
        &relay.address().to_string(),
        registry.tls_token_peer(&authority, token),
    );
    bench.ohoci.log_in(&bench.host, USER, PASSWORD);
    bench.push_layers("base", 2);
    bench.push_layers("deps", 1);
    // By its own setting: with --ca-file, a loopback registry is asked first whether it speaks TLS.
    let trust = |host: String| format!("[registry.\"{host}\"]\nca = [{:?}]\n", authority.file());
    let hosts = [relay.address(), tokens.address()].map(|address| trust(address.to_string()));
    bench
        .ohoci
        .write("config/ohoci/config.toml", hosts.concat());
    let run = |variable: &str| {
        // What an earlier run closed may still be on its way.
        std::thread::sleep(FAR * 3);
        let _ = round_trips.take();
        bench.composed(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--env", variable, "--push", "@/app:1",
        ]);
        round_trips.take()
    };
    let cold = run("A=1");
    let warm = run("A=2");
    assert!(warm <= 8, "{warm}, and {cold} where nothing is known");
    assert!(warm < cold, "{warm}, and {cold} where nothing is known");
}
